from __future__ import annotations

import gc
import json
import os
import signal
import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalscope.operation import MetalError, OperationKind
from metalscope.recorder import MAX_NAME_LENGTH, OTHER, Operation, Recorder


def make_recorder(max_series: int = 100) -> tuple[Recorder, list[tuple[str, BaseException]]]:
    errors: list[tuple[str, BaseException]] = []
    return Recorder(max_series=max_series, on_error=lambda *what: errors.append(what)), errors


def counts(recorder: Recorder) -> dict[tuple[str, ...], int]:
    return {tuple(series): totals.durations.count for series, totals in recorder.collect().items()}


def test_an_operation_is_counted_with_its_bytes_and_device_time():
    recorder, errors = make_recorder()
    with Operation(recorder, "execute", "matmul", 10, "gpu:0") as op:
        op.add_bytes(5)
        op.set_gpu_ns(700)
    ((series, totals),) = recorder.collect().items()
    assert series == ("execute", "matmul", "gpu:0", "ok")
    assert (totals.durations.count, totals.nbytes, totals.gpu_ns, totals.gpu_count) == (
        1,
        15,
        700,
        1,
    )
    assert not errors


def test_an_exception_passes_through_untouched_and_names_the_outcome():
    recorder, _ = make_recorder()
    mine = ValueError("mine")
    with (
        pytest.raises(ValueError, match="mine") as caught,
        Operation(recorder, "execute", "f", 0, ""),
    ):
        raise mine
    assert caught.value is mine
    assert mine.__context__ is None
    assert counts(recorder) == {("execute", "f", "", "invalid_argument"): 1}


def test_a_failure_without_an_exception_can_be_said():
    recorder, _ = make_recorder()
    with Operation(recorder, "execute", "f", 0, "") as op:
        op.set_error(MetalError.TIMEOUT)
    with Operation(recorder, "execute", "f", 0, "") as op:
        op.set_error("device_lost")
    assert counts(recorder) == {
        ("execute", "f", "", "timeout"): 1,
        ("execute", "f", "", "device_lost"): 1,
    }


async def test_async_with_times_the_block():
    recorder, _ = make_recorder()
    async with Operation(recorder, "execute", "f", 0, ""):
        pass
    assert sum(counts(recorder).values()) == 1


def test_bad_input_is_reported_and_never_raised():
    class HostileError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text for you")

    recorder, errors = make_recorder()
    recorder.record("exectue", "f", "", "ok", 1)
    recorder.record("execute", "f", "", "ok", -1)
    recorder.record("execute", "f", "", "ok", "long")  # type: ignore[arg-type]
    with pytest.raises(HostileError), Operation(recorder, "execute", "f", 0, ""):
        raise HostileError
    assert recorder.outcome_of("no_such_error") == MetalError.INTERNAL_ERROR
    assert [room for room, _ in errors] == ["recorder"] * 5
    assert "expected one of: allocate, compile" in str(errors[0][1])
    assert counts(recorder) == {("execute", "f", "", "internal_error"): 1}


def test_names_past_the_cap_go_to_other_and_are_counted():
    recorder, _ = make_recorder(max_series=10)
    for number in range(1000):
        recorder.record("execute", f"kernel{number}", "", "ok", 5)
    seen = counts(recorder)
    assert len(seen) == 11
    assert seen["execute", OTHER, "", "ok"] == 990
    assert recorder.overflowed == 990
    assert sum(seen.values()) == 1000


def test_hostile_names_are_made_fit_to_be_shown():
    recorder, errors = make_recorder()
    recorder.record("execute", "x" * 10_000, "", "ok", 1)
    recorder.record("execute", "lone \ud800 surrogate", "", "ok", 1)
    recorder.record("execute", 7, "", "ok", 1)  # type: ignore[arg-type]
    recorder.record("execute", "7", "", "ok", 1)
    names = {series.name: totals.durations.count for series, totals in recorder.collect().items()}
    assert max(map(len, names)) == MAX_NAME_LENGTH
    assert names["lone ? surrogate"] == 1
    assert names["7"] == 2
    assert not errors


def test_threads_that_come_and_go_lose_no_count():
    recorder, _ = make_recorder()

    def work(number: int) -> None:
        for _ in range(500):
            recorder.record("execute", f"k{number % 3}", "", "ok", 1000)

    for _ in range(10):
        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        recorder.collect()
        for thread in threads:
            thread.join()
    gc.collect()
    assert sum(counts(recorder).values()) == 10 * 8 * 500
    # Ended threads' cells were folded; only the base is left of them.
    assert recorder._shards == []


def test_a_collector_that_reads_all_the_time_never_sees_a_count_go_back():
    recorder, _ = make_recorder()
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            recorder.record("execute", "k", "", "ok", 1000)

    thread = threading.Thread(target=work)
    thread.start()
    last = 0
    for _ in range(300):
        totals = next(iter(recorder.collect().values()), None)
        if totals is None:
            continue
        assert totals.durations.count >= last
        assert totals.durations.sum_ns >= totals.durations.count * 1000
        last = totals.durations.count
    stop.set()
    thread.join()
    assert last > 0


def test_a_signal_handler_that_records_loses_nothing():
    recorder, errors = make_recorder()
    handled = 0

    def handler(_signum: int, _frame: object) -> None:
        nonlocal handled
        handled += 1
        with Operation(recorder, "execute", "f", 0, ""):
            pass

    previous = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for _ in range(100_000):
            with Operation(recorder, "execute", "f", 0, ""):
                pass
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert handled > 0
    assert counts(recorder) == {("execute", "f", "", "ok"): 100_000 + handled}
    assert not errors


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_starts_at_zero_and_leaves_the_parent_alone():
    recorder, _ = make_recorder()
    for _ in range(3):
        recorder.record("execute", "parent", "", "ok", 1)
    reader, writer = os.pipe()
    # The lock is held by another thread at the moment of the fork; the child must not hang on it.
    holding, release = threading.Event(), threading.Event()

    def hold() -> None:
        with recorder._lock:
            holding.set()
            release.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    holding.wait(10)
    pid = os.fork()
    if pid == 0:  # pragma: no cover - runs in the child
        recorder.record("execute", "child", "", "ok", 1)
        os.write(writer, json.dumps(sorted(map(list, counts(recorder)))).encode())
        os._exit(0)
    release.set()
    holder.join()
    os.close(writer)
    with os.fdopen(reader) as pipe:
        assert json.loads(pipe.read()) == [["execute", "child", "", "ok"]]
    os.waitpid(pid, 0)
    assert counts(recorder) == {("execute", "parent", "", "ok"): 3}


def test_an_evicted_series_frees_its_place_and_what_still_arrives_is_counted():
    recorder, _ = make_recorder(max_series=1)
    recorder.record("execute", "old", "", "ok", 10)
    (series,) = recorder.collect()
    held = recorder._local.cells[series]  # as a thread holds it between look-up and write
    gone = recorder.evict([series])
    assert gone[series].durations.count == 1
    assert recorder.collect() == {}
    recorder.record("execute", "new", "", "ok", 10)
    assert ("execute", "new", "", "ok") in counts(recorder)
    held.sum_ns += 10
    held.counts[0] += 1
    assert counts(recorder)["execute", "old", "", "ok"] == 1


@given(
    st.lists(
        st.tuples(
            st.sampled_from(OperationKind),
            st.sampled_from("abcd"),
            st.sampled_from(["ok", *MetalError]),
            st.integers(0, 10**12),
            st.integers(0, 10**9),
        ),
        max_size=100,
    ),
    st.integers(1, 3),
)
def test_totals_equal_a_naive_model_over_any_sequence_and_threads(operations, threads):
    recorder, _ = make_recorder()
    naive_count: Counter[tuple[str, str, str, str]] = Counter()
    naive_ns: Counter[tuple[str, str, str, str]] = Counter()
    for kind, name, outcome, duration, _ in operations:
        naive_count[kind, name, "", outcome] += 1
        naive_ns[kind, name, "", outcome] += duration

    def work(part: int) -> None:
        for kind, name, outcome, duration, nbytes in operations[part::threads]:
            recorder.record(kind, name, "", outcome, duration, nbytes)

    workers = [threading.Thread(target=work, args=(part,)) for part in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    totals = recorder.collect()
    assert {tuple(s): t.durations.count for s, t in totals.items()} == naive_count
    assert {tuple(s): t.durations.sum_ns for s, t in totals.items()} == {
        key: naive_ns[key] for key in naive_count
    }
    assert sum(t.nbytes for t in totals.values()) == sum(o[4] for o in operations)
