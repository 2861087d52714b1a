"""One behaviour, two recorders: every test here runs on the compiled one and on the pure one."""

from __future__ import annotations

import contextlib
import gc
import inspect
import json
import os
import signal
import sys
import threading
import weakref
from collections import Counter
from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalscope.histogram import EDGES_NS, DurationHistogram
from metalscope.operation import MetalError, OperationKind
from metalscope.recorder import MAX_NAME_LENGTH, OTHER

LARGEST = 2**63 - 1


@pytest.fixture(params=["compiled", "pure"], scope="module")
def recording(request):
    """The module of one implementation."""
    try:
        return import_module(f"metalscope._recorder_{request.param}")
    except ImportError as error:
        if os.environ.get("CI"):
            pytest.fail(f"the compiled recorder is not built, and under CI it must be: {error}")
        pytest.skip(f"the compiled recorder is not built: {error}")


@pytest.fixture
def recorder(recording):
    """A recorder that is told of no error."""
    recorder, errors = make_recorder(recording)
    yield recorder
    assert not errors


def make_recorder(recording, max_series=100):
    errors: list[tuple[str, BaseException]] = []
    made = recording.Recorder(max_series=max_series, on_error=lambda *what: errors.append(what))
    return made, errors


def counts(recorder) -> dict[tuple[str, ...], int]:
    return {tuple(series): totals.durations.count for series, totals in recorder.collect().items()}


def test_an_operation_is_counted_with_its_bytes_and_device_time(recorder):
    with recorder.operation("execute", "matmul", nbytes=10, device="gpu:0") as op:
        op.add_bytes(5)
        op.set_gpu_ns(700)
    ((series, totals),) = recorder.collect().items()
    assert series == ("execute", "matmul", "gpu:0", "ok")
    assert (totals.durations.count, totals.nbytes) == (1, 15)
    assert (totals.gpu_ns, totals.gpu_count) == (700, 1)
    assert 0 < totals.durations.sum_ns < 10**10


def test_an_exception_passes_through_untouched_and_names_the_outcome(recorder):
    mine = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as caught, recorder.operation("execute", "f"):
        raise mine
    assert caught.value is mine
    assert mine.__context__ is None
    assert counts(recorder) == {("execute", "f", "", "invalid_argument"): 1}


def test_an_exception_keeps_the_bytes_of_its_operation(recorder):
    op = recorder.operation("allocate", "f", nbytes=7)
    op.set_gpu_ns(3)
    with pytest.raises(MemoryError), op:
        raise MemoryError
    ((series, totals),) = recorder.collect().items()
    assert (series.outcome, totals.nbytes, totals.gpu_ns) == ("out_of_memory", 7, 3)


def test_an_end_that_is_no_error_is_counted_as_none(recorder):
    with pytest.raises(KeyboardInterrupt), recorder.operation("execute", "f"):
        raise KeyboardInterrupt
    assert counts(recorder) == {("execute", "f", "", "ok"): 1}


def test_a_failure_without_an_exception_can_be_said(recorder):
    with recorder.operation("execute", "f") as op:
        op.set_error(MetalError.TIMEOUT)
    with recorder.operation("execute", "f") as op:
        op.set_error("device_lost")
    op = recorder.operation("execute", "f")
    op.set_error(MemoryError())
    with pytest.raises(ValueError, match="x"), op:
        raise ValueError("x")
    with recorder.operation("execute", "f") as op:
        op.set_error("timeout")
        op.set_error(None)
    assert counts(recorder) == {
        ("execute", "f", "", "timeout"): 1,
        ("execute", "f", "", "device_lost"): 1,
        ("execute", "f", "", "out_of_memory"): 1,
        ("execute", "f", "", "ok"): 1,
    }


async def test_async_with_times_the_block_and_lets_exceptions_through(recorder):
    async with recorder.operation("execute", "f") as op:
        op.add_bytes(3)
    with pytest.raises(TimeoutError):
        async with recorder.operation("execute", "f"):
            raise TimeoutError
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(recorder.operation("execute", "f"))
    assert counts(recorder) == {("execute", "f", "", "ok"): 2, ("execute", "f", "", "timeout"): 1}
    assert sum(totals.nbytes for totals in recorder.collect().values()) == 3


def test_an_operation_works_on_an_exit_stack_and_more_than_once(recorder):
    op = recorder.operation("execute", "f")
    with contextlib.ExitStack() as stack:
        assert stack.enter_context(op) is op
    with op as same:
        assert same is op
    assert counts(recorder) == {("execute", "f", "", "ok"): 2}


def test_operations_nest_as_deep_as_one_likes(recorder):
    with contextlib.ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(recorder.operation("execute", "f"))
    assert counts(recorder) == {("execute", "f", "", "ok"): 500}
    assert recorder.collect()["execute", "f", "", "ok"].durations.sum_ns > 0


def test_wrong_calls_are_type_errors_as_of_any_function(recorder):
    for call in (
        lambda: recorder.operation("execute"),
        lambda: recorder.operation("execute", "f", 5),
        lambda: recorder.operation("execute", "f", colour="red"),
        lambda: recorder.operation("execute", "f", name="g"),
        lambda: recorder.record("execute", "f"),
        lambda: recorder.record("execute", "f", 5),
    ):
        with pytest.raises(TypeError):
            call()
    recorder.record(duration_ns=5, name="f", kind="execute")
    with recorder.operation(name="f", kind="execute", device="", nbytes=0):
        pass
    assert counts(recorder) == {("execute", "f", "", "ok"): 2}


def test_both_methods_show_their_signature(recorder):
    assert str(inspect.signature(recorder.operation)).startswith("(kind")
    assert [*inspect.signature(recorder.operation).parameters] == [
        "kind", "name", "nbytes", "device",
    ]  # fmt: skip
    assert [*inspect.signature(recorder.record).parameters] == [
        "kind", "name", "duration_ns", "nbytes", "error", "device", "gpu_ns",
    ]  # fmt: skip
    assert recorder.operation.__doc__
    assert recorder.record.__doc__


def test_bad_input_is_reported_and_never_raised(recording):
    class HostileError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text for you")

    recorder, errors = make_recorder(recording)
    recorder.record("exectue", "f", duration_ns=1)
    with recorder.operation("exectue", "f") as op:
        op.add_bytes(1)
    for duration in (-1, 2**63, 10**5000, 1.5, "long", None):
        recorder.record("execute", "f", duration_ns=duration)
    with pytest.raises(HostileError), recorder.operation("execute", "f"):
        raise HostileError
    assert recorder.outcome_of("no_such_error") == MetalError.INTERNAL_ERROR
    assert [room for room, _ in errors] == ["recorder"] * 10
    assert "expected one of: allocate, compile" in str(errors[0][1])
    assert counts(recorder) == {("execute", "f", "", "internal_error"): 1}


def test_bad_bytes_and_device_times_are_reported_and_left_out(recording):
    recorder, errors = make_recorder(recording)
    with recorder.operation("execute", "f", nbytes=-1) as op:
        for bad in (-1, 2**63, "5", 0.5, None):
            op.add_bytes(bad)
            op.set_gpu_ns(bad)
        op.add_bytes(LARGEST)
        op.add_bytes(1)
    recorder.record("execute", "f", duration_ns=1, nbytes="many", gpu_ns=-5)
    recorder.record("execute", "f", duration_ns=1, nbytes=LARGEST, gpu_ns=LARGEST)
    ((_, totals),) = recorder.collect().items()
    assert totals.durations.count == 3
    assert totals.nbytes == 2 * LARGEST
    assert (totals.gpu_ns, totals.gpu_count) == (LARGEST, 1)
    assert len(errors) == 14
    assert {type(error) for _, error in errors} == {ValueError, TypeError}


def test_what_counts_as_a_whole_number_counts(recorder):
    class Tensor:
        def __index__(self) -> int:
            return 40

    class Nanoseconds(int):
        def __radd__(self, other: object) -> int:
            raise AssertionError("recording does not run the caller's arithmetic")

    recorder.record("execute", "f", duration_ns=Tensor(), nbytes=Tensor(), gpu_ns=Tensor())
    recorder.record("execute", "f", duration_ns=Nanoseconds(2), nbytes=True)
    ((_, totals),) = recorder.collect().items()
    assert (totals.durations.sum_ns, totals.nbytes, totals.gpu_ns) == (42, 41, 40)
    assert type(totals.durations.max_ns) is int


def test_sums_past_every_machine_word_are_exact(recorder):
    for _ in range(5):
        recorder.record("execute", "f", duration_ns=LARGEST, nbytes=LARGEST, gpu_ns=LARGEST)
    ((_, totals),) = recorder.collect().items()
    assert totals.durations.sum_ns == totals.nbytes == totals.gpu_ns == 5 * LARGEST
    assert totals.durations.cells == ((len(EDGES_NS), 5),)


def test_leaving_what_was_not_entered_is_reported(recording):
    recorder, errors = make_recorder(recording)
    recorder.operation("execute", "f").__exit__(None, None, None)
    assert len(errors) == 1
    assert counts(recorder) == {}


def test_control_c_in_the_middle_of_recording_reaches_the_program(recording):
    class Interrupting:
        def __str__(self) -> str:
            raise KeyboardInterrupt

    recorder, errors = make_recorder(recording)
    with pytest.raises(KeyboardInterrupt):
        recorder.operation("execute", Interrupting())
    with pytest.raises(KeyboardInterrupt):
        recorder.record("execute", Interrupting(), duration_ns=1)
    assert not errors


def test_names_past_the_cap_go_to_other_and_are_counted(recording):
    recorder, errors = make_recorder(recording, max_series=10)
    for number in range(500):
        recorder.record("execute", f"kernel{number}", duration_ns=5)
        with recorder.operation("execute", f"kernel{number}"):
            pass
    seen = counts(recorder)
    assert len(seen) == 11
    assert seen["execute", OTHER, "", "ok"] == 980
    assert recorder.overflowed == 980
    assert sum(seen.values()) == 1000
    assert not errors


def test_a_hundred_thousand_names_stay_within_the_cap(recording):
    recorder, _ = make_recorder(recording, max_series=1000)
    for number in range(100_000):
        recorder.record("execute", f"kernel{number}", duration_ns=5)
    assert len(recorder.collect()) == 1001
    assert recorder.overflowed == 99_000


def test_more_names_than_any_cache_holds_are_kept_apart(recording):
    recorder, _ = make_recorder(recording, max_series=10_000)
    naive: Counter[tuple[str, ...]] = Counter()
    kinds = [kind.value for kind in OperationKind]
    for turn in range(3):
        for number in range(2000):
            kind, device = kinds[number % 5], ("", "gpu:0")[number % 2]
            name = f"kernel{number // 3}"  # a new string each turn, equal to the last one's
            recorder.record(kind, name, duration_ns=turn, device=device)
            with recorder.operation(OperationKind(kind), name, device=device):
                pass
            naive[kind, name, device, "ok"] += 2
    assert counts(recorder) == naive


def test_hostile_names_are_made_fit_to_be_shown(recorder):
    class Shouting(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("do not compare me")

        def __hash__(self) -> int:
            raise RuntimeError("do not hash me")

    for name in ("x" * 10_000, "lone \ud800 surrogate", 7, "7", ["7"], Shouting("7")):
        recorder.record("execute", name, duration_ns=1)
        with recorder.operation("execute", name):
            pass
    seen = {series.name: totals.durations.count for series, totals in recorder.collect().items()}
    assert max(map(len, seen)) == MAX_NAME_LENGTH
    assert seen["lone ? surrogate"] == 2
    assert seen["7"] == 6
    assert seen["['7']"] == 2


def test_a_disabled_recorder_counts_nothing_and_lets_everything_through(recording):
    recorder = recording.Recorder(max_series=10, on_error=pytest.fail, enabled=False)
    with recorder.operation("execute", "f", nbytes=5) as op:
        assert op is recording.UNRECORDED
        op.add_bytes("nonsense")
        op.set_error("timeout")
        op.set_gpu_ns(-5)
    with pytest.raises(ZeroDivisionError), recorder.operation("execute", "f"):
        _ = 1 / 0
    recorder.record("execute", "f", duration_ns=5)
    assert recorder.collect() == {}


async def test_a_disabled_recorder_does_nothing_in_async_with_too(recording):
    recorder = recording.Recorder(max_series=10, on_error=pytest.fail, enabled=False)
    async with recorder.operation("execute", "f") as op:
        assert op is recording.UNRECORDED
    assert recorder.collect() == {}


def test_threads_that_come_and_go_lose_no_count(recorder):
    def work(number: int) -> None:
        for _ in range(500):
            recorder.record("execute", f"k{number % 3}", duration_ns=1000)
            with recorder.operation("execute", "shared"):
                pass

    for _ in range(10):
        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        recorder.collect()
        for thread in threads:
            thread.join()
    seen = counts(recorder)
    assert seen["execute", "shared", "", "ok"] == 10 * 8 * 500
    assert [seen["execute", f"k{n}", "", "ok"] for n in range(3)] == [15_000, 15_000, 10_000]
    assert len(seen) == 4


def test_an_operation_may_end_on_another_thread(recorder):
    op = recorder.operation("execute", "f")
    op.__enter__()
    thread = threading.Thread(target=op.__exit__, args=(None, None, None))
    thread.start()
    thread.join()
    assert counts(recorder) == {("execute", "f", "", "ok"): 1}


def test_a_collector_that_reads_all_the_time_never_sees_a_count_go_back(recorder):
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            recorder.record("execute", "k", duration_ns=1000)

    thread = threading.Thread(target=work)
    thread.start()
    last = 0
    for _ in range(300):
        totals = next(iter(recorder.collect().values()), None)
        if totals is None:
            continue
        assert totals.durations.count >= last
        assert totals.durations.sum_ns == totals.durations.count * 1000
        last = totals.durations.count
    stop.set()
    thread.join()
    assert last > 0


def test_a_signal_handler_that_records_loses_nothing(recorder):
    handled = 0

    def handler(_signum: int, _frame: object) -> None:
        nonlocal handled
        handled += 1
        with recorder.operation("execute", "f"):
            pass
        recorder.record("execute", f"k{handled % 7}", duration_ns=1, nbytes=1)
        if handled % 50 == 0:
            recorder.collect()

    previous = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
    try:
        for number in range(100_000):
            with recorder.operation("execute", "f"):
                pass
            if number % 1000 == 0:
                recorder.collect()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert handled > 0
    seen = counts(recorder)
    assert seen.pop(("execute", "f", "", "ok")) == 100_000 + handled
    assert sum(seen.values()) == handled
    assert sum(totals.nbytes for totals in recorder.collect().values()) == handled


def test_a_finalizer_that_records_inside_a_collection_loses_nothing(recorder):
    class Recording:
        def __init__(self) -> None:
            self.me = self  # only the cycle collector ends it

        def __del__(self) -> None:
            recorder.record("execute", "finalizer", duration_ns=1)

    threshold = gc.get_threshold()
    gc.set_threshold(5)
    try:
        for number in range(300):
            Recording()
            recorder.record("execute", f"k{number % 50}", duration_ns=number)
            recorder.collect()
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    seen = counts(recorder)
    assert seen.pop(("execute", "finalizer", "", "ok")) == 300
    assert sum(seen.values()) == 300


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_starts_at_zero_and_leaves_the_parent_alone(recorder):
    for _ in range(3):
        recorder.record("execute", "parent", duration_ns=1)
    reader, writer = os.pipe()
    # The lock is held by another thread at the moment of the fork; the child must not hang on it.
    holding, release = threading.Event(), threading.Event()

    def hold() -> None:
        with recorder._lock, recorder._reading:
            holding.set()
            release.wait(10)

    holder = threading.Thread(target=hold)
    with recorder.operation("execute", "across"):
        holder.start()
        holding.wait(10)
        pid = os.fork()
    if pid == 0:  # pragma: no cover - runs in the child
        recorder.record("execute", "child", duration_ns=1)
        os.write(writer, json.dumps(sorted([*k, n] for k, n in counts(recorder).items())).encode())
        os._exit(0)
    release.set()
    holder.join()
    os.close(writer)
    with os.fdopen(reader) as pipe:
        assert json.loads(pipe.read()) == [
            ["execute", "across", "", "ok", 1],
            ["execute", "child", "", "ok", 1],
        ]
    os.waitpid(pid, 0)
    assert counts(recorder) == {
        ("execute", "parent", "", "ok"): 3,
        ("execute", "across", "", "ok"): 1,
    }


def test_an_evicted_series_frees_its_place_and_what_still_arrives_is_counted(recording):
    recorder, _ = make_recorder(recording, max_series=1)
    recorder.record("execute", "old", duration_ns=10, nbytes=3)
    under_way = recorder.operation("execute", "old", nbytes=4)
    with under_way:
        (series,) = recorder.collect()
        gone = recorder.evict([series])
        assert (gone[series].durations.count, gone[series].nbytes) == (1, 3)
        assert recorder.collect() == {}
    assert counts(recorder) == {("execute", "old", "", "ok"): 1}
    assert recorder.collect()[series].nbytes == 4
    recorder.evict(recorder.collect())
    recorder.record("execute", "new", duration_ns=10)
    assert counts(recorder) == {("execute", "new", "", "ok"): 1}
    assert recorder.overflowed == 0
    with under_way:
        pass
    assert counts(recorder)["execute", OTHER, "", "ok"] == 1
    assert recorder.overflowed == 1


def test_a_place_taken_by_operations_that_never_succeed_is_freed_too(recording):
    recorder, _ = make_recorder(recording, max_series=1)
    with pytest.raises(ValueError, match="x"), recorder.operation("execute", "failing"):
        raise ValueError("x")
    recorder.evict(recorder.collect())
    recorder.record("execute", "new", duration_ns=1)
    assert counts(recorder) == {("execute", "new", "", "ok"): 1}


def test_what_is_counted_and_evicted_at_once_is_counted_once(recorder):
    stop = threading.Event()
    recorded = [0, 0, 0]

    def work(number: int) -> None:
        while not stop.is_set():
            with recorder.operation("execute", "f"):
                pass
            recorder.record("execute", "f", duration_ns=5, nbytes=2)
            recorded[number] += 1

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    evicted = nbytes = 0
    for _ in range(300):
        for totals in recorder.evict(recorder.collect()).values():
            evicted += totals.durations.count
            nbytes += totals.nbytes
    stop.set()
    for thread in threads:
        thread.join()
    for totals in recorder.collect().values():
        evicted += totals.durations.count
        nbytes += totals.nbytes
    assert evicted == 2 * sum(recorded) > 0
    assert nbytes == 2 * sum(recorded)


def test_recording_leaves_no_object_behind(recorder):
    name, error = "a name", ValueError("x")

    def work(times: int) -> None:
        for _ in range(times):
            with recorder.operation("execute", name, nbytes=5, device="gpu:0") as op:
                op.add_bytes(3)
            with contextlib.suppress(ValueError), recorder.operation("execute", name):
                raise error
            recorder.record("execute", name, duration_ns=7, error=error, gpu_ns=1)
            recorder.record("execute", f"{name}!", duration_ns=7)
            error.__traceback__ = None

    work(600)
    recorder.collect()
    gc.collect()
    blocks, names = sys.getallocatedblocks(), sys.getrefcount(name)
    work(20_000)
    recorder.collect()
    gc.collect()
    assert sys.getallocatedblocks() - blocks < 500
    assert abs(sys.getrefcount(name) - names) <= 3
    assert sys.getrefcount(error) <= 5


def test_a_recorder_nobody_holds_is_freed(recording):
    recorder, _ = make_recorder(recording)
    recorder.record("execute", "f", duration_ns=1)
    op = recorder.operation("execute", "f")
    gone = weakref.ref(recorder)
    del recorder
    gc.collect()
    with op:
        pass  # what an operation needs, it holds
    del op
    gc.collect()
    assert gone() is None


def assert_exact(recorder, durations: list[int]) -> None:
    for duration in durations:
        recorder.record("execute", "f", duration_ns=duration)
    (totals,) = recorder.collect().values()
    assert totals.durations == DurationHistogram.from_durations(durations)


def test_every_edge_falls_into_the_same_cell_as_in_the_histogram(recorder):
    near = {edge + step for edge in EDGES_NS for step in (-1, 0, 1)}
    powers = {2**power + step for power in range(63) for step in (-1, 0, 1)}
    assert_exact(recorder, [0, *sorted(near | powers), LARGEST])


@given(st.lists(st.integers(0, LARGEST) | st.integers(0, 10**10), min_size=1, max_size=50))
def test_any_duration_falls_into_the_same_cell_as_in_the_histogram(recording, durations):
    assert_exact(make_recorder(recording)[0], durations)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(OperationKind),
            st.sampled_from("abcd"),
            st.sampled_from(["", "gpu:0"]),
            st.sampled_from([None, *MetalError]),
            st.integers(0, 10**12),
            st.integers(0, 10**9),
            st.none() | st.integers(0, 10**9),
        ),
        max_size=100,
    ),
    st.integers(1, 3),
)
def test_totals_equal_a_naive_model_over_any_sequence_and_threads(recording, operations, threads):
    recorder, errors = make_recorder(recording)
    naive: dict[tuple[str, ...], list[int]] = {}
    for kind, name, device, error, duration, nbytes, gpu_ns in operations:
        sums = naive.setdefault((kind, name, device, error or "ok"), [0] * 5)
        row = (1, duration, nbytes, gpu_ns or 0, gpu_ns is not None)
        sums[:] = map(sum, zip(sums, row, strict=True))

    def work(part: int) -> None:
        for kind, name, device, error, duration, nbytes, gpu_ns in operations[part::threads]:
            recorder.record(
                kind, name, duration_ns=duration, nbytes=nbytes, error=error, device=device,
                gpu_ns=gpu_ns,
            )  # fmt: skip

    workers = [threading.Thread(target=work, args=(part,)) for part in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not errors
    assert naive == {
        tuple(series): [t.durations.count, t.durations.sum_ns, t.nbytes, t.gpu_ns, t.gpu_count]
        for series, t in recorder.collect().items()
    }
