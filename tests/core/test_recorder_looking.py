"""What both recorders do besides counting: tell, remember, and hand over what is in a trace."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import types
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar, copy_context
from importlib import import_module
from time import perf_counter_ns
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalscope.operation import OK
from metalscope.recorder import Series

MODULE = "a_module_of_another_library"


class Sampled:
    """A span that is kept."""


class Unsampled(Sampled):
    """One that is not."""


class Watched:
    """A recorder of either kind, and all that came of it."""

    def __init__(self, module: Any, **options: Any) -> None:
        self.errors: list[BaseException] = []
        options.setdefault("max_series", 100)
        self.recorder = module.Recorder(
            on_error=lambda _, error: self.errors.append(error), **options
        )
        self.told: list[tuple[Any, ...]] = []
        self.diverted: list[str] = []
        self.own: ContextVar[Any] = ContextVar("own", default=None)

    def operation(self, *what: Any, **more: Any) -> Any:
        return self.recorder.operation(*what, **more)

    def record(self, *what: Any, **more: Any) -> None:
        self.recorder.record(*what, **more)

    def watch(self, above_ns: int = 100) -> None:
        self.recorder.watch(above_ns, lambda *what: self.told.append(what))

    def divert(self, **handlers: Any) -> None:
        recorder = self.recorder

        def operation(kind: str, name: str, **more: Any) -> Any:
            self.diverted.append(name)
            return recorder.plain_operation(kind, name, **more)

        def record(kind: str, name: str, **more: Any) -> None:
            self.diverted.append(name)
            recorder.plain_record(kind, name, **more)

        handlers = {"operation": operation, "record": record} | handlers
        recorder.divert(own=self.own, span_type=Sampled, foreign_module=MODULE, **handlers)

    def both(self, name: str, times: int = 1) -> None:
        """Record, by turns, with both methods."""
        for _ in range(times):
            with self.operation("execute", name):
                pass
            self.record("execute", name, duration_ns=1)

    def counts(self) -> dict[tuple[str, ...], int]:
        return {tuple(s[1:]): t.operations for s, t in self.recorder.collect().items()}


@pytest.fixture(params=["compiled", "pure"], scope="module")
def module(request: pytest.FixtureRequest) -> Any:
    try:
        return import_module(f"metalscope._recorder_{request.param}")
    except ImportError as error:
        if os.environ.get("CI"):
            pytest.fail(f"the compiled recorder is not built, and under CI it must be: {error}")
        pytest.skip(f"the compiled recorder is not built: {error}")


@pytest.fixture
def watched(module: Any) -> Any:
    """One that goes wrong nowhere."""
    made = Watched(module)
    yield made
    assert made.errors == []


# -- watching ------------------------------------------------------------------------------------


def test_whoever_watches_is_told_of_what_was_slow(watched: Watched) -> None:
    watched.record("execute", "before", duration_ns=1000)
    watched.watch(100)
    watched.record("execute", "at it", duration_ns=100)
    watched.record("execute", "above", duration_ns=101, nbytes=7, device="gpu:0", gpu_ns=5)
    # Also of a series that was there before.
    watched.record("execute", "before", duration_ns=102)
    with watched.operation("execute", "timed", nbytes=3) as operation:
        operation.set_gpu_ns(9)
    above, before, timed = watched.told
    assert above == (Series("execute", "above", "gpu:0", OK), 101, 7, 5, None)
    assert before == (Series("execute", "before", "", OK), 102, 0, None, None)
    assert (timed[0].name, timed[2:]) == ("timed", (3, 9, None))
    (totals,) = (t for s, t in watched.recorder.collect().items() if s.name == "timed")
    assert timed[1] == totals.durations.sum_ns
    watched.recorder.watch(100, None)
    watched.record("execute", "above", duration_ns=1000)
    assert len(watched.told) == 3


def test_it_is_told_of_what_failed_and_has_the_exception_itself(watched: Watched) -> None:
    watched.watch(2**62)
    error, other = MemoryError("no room"), TimeoutError("late")
    with suppress(MemoryError), watched.operation("allocate", "raised", nbytes=4):
        raise error
    with suppress(MemoryError), watched.operation("allocate", "said first") as operation:
        operation.set_error("timeout")
        raise error
    with watched.operation("execute", "said") as operation:
        operation.set_error("timeout")
    watched.record("execute", "recorded", duration_ns=5, error=other)
    watched.record("execute", "a word", duration_ns=5, error="device_lost")
    with suppress(KeyboardInterrupt), watched.operation("execute", "stopped"):
        raise KeyboardInterrupt
    with watched.operation("execute", "taken back") as operation:
        operation.set_error("timeout")
        operation.set_error(None)
    assert [(what[0].name, what[0].outcome, what[4]) for what in watched.told] == [
        ("raised", "out_of_memory", error),
        ("said first", "timeout", error),
        ("said", "timeout", None),
        ("recorded", "timeout", other),
        ("a word", "device_lost", None),
    ]
    assert watched.told[0][2] == 4
    # It is told once the operation was counted.
    assert sum(watched.counts().values()) == 7


def test_what_was_not_timed_is_told_of_if_it_failed(module: Any) -> None:
    watched = Watched(module, sample_rate=0.0)
    watched.watch(-1)
    with watched.operation("execute", "f"):
        pass
    with suppress(MemoryError), watched.operation("execute", "f"):
        raise MemoryError
    told = [(what[0].outcome, what[1]) for what in watched.told]
    assert ("out_of_memory", None) in told


def test_it_is_told_on_the_thread_it_ran_on_and_in_its_context(watched: Watched) -> None:
    place: ContextVar[str] = ContextVar("place", default="")
    found: list[tuple[str, int]] = []
    watched.recorder.watch(0, lambda *_: found.append((place.get(), threading.get_ident())))

    def work() -> None:
        place.set("thread")
        watched.record("execute", "f", duration_ns=5)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [where for where, _ in found] == ["thread"]
    assert found[0][1] != threading.get_ident()


def test_one_that_raises_is_told_of_and_the_operation_counts(module: Any) -> None:
    watched = Watched(module)

    def broken(*_: Any) -> None:
        raise OSError("no watch")

    watched.recorder.watch(-1, broken)
    watched.both("f")
    with suppress(MemoryError), watched.operation("execute", "f"):
        raise MemoryError
    assert [str(error) for error in watched.errors] == ["no watch"] * 3
    assert watched.counts() == {("f", "", OK): 2, ("f", "", "out_of_memory"): 1}


def test_whoever_is_told_may_record_and_stop_the_watch(watched: Watched) -> None:
    def told(series: Series, *_: Any) -> None:
        watched.recorder.watch(0, None)
        watched.record("execute", f"{series.name} told", duration_ns=50)

    watched.recorder.watch(10, told)
    watched.record("execute", "f", duration_ns=20)
    watched.record("execute", "f", duration_ns=20)
    assert watched.counts() == {("f", "", OK): 2, ("f told", "", OK): 1}


# -- remembering ---------------------------------------------------------------------------------


def test_the_last_operations_are_remembered_in_their_order(watched: Watched) -> None:
    watched.record("execute", "too early", duration_ns=1)
    watched.recorder.remember(3)
    assert watched.recorder.remembered() == []
    before = perf_counter_ns()
    watched.record("execute", "a", duration_ns=1)
    watched.record("execute", "b", duration_ns=2, nbytes=7, device="gpu:0")
    assert [one[0].name for one in watched.recorder.remembered()] == ["a", "b"]
    with suppress(MemoryError), watched.operation("execute", "c"):
        raise MemoryError
    with watched.operation("execute", "d") as operation:
        operation.add_bytes(5)
    last = watched.recorder.remembered()
    assert [one[0] for one in last] == [
        Series("execute", "b", "gpu:0", OK),
        Series("execute", "c", "", "out_of_memory"),
        Series("execute", "d", "", OK),
    ]
    assert [one[2] for one in last] == [7, 0, 5]
    assert last[0][1] == 2
    ends = [one[3] for one in last]
    assert before <= ends[0] <= ends[1] <= ends[2] <= perf_counter_ns()
    assert {one[4] for one in last} == {threading.get_ident()}
    watched.recorder.remember(0)
    watched.both("e")
    assert watched.recorder.remembered() == []


@given(st.integers(1, 9), st.lists(st.sampled_from("abc"), max_size=30))
def test_as_many_are_remembered_as_were_asked_for(size: int, names: list[str]) -> None:
    for kind in ("compiled", "pure"):
        watched = Watched(import_module(f"metalscope._recorder_{kind}"))
        watched.recorder.remember(size)
        for number, name in enumerate(names):
            watched.record("execute", name, duration_ns=number)
        found = [(one[0].name, one[1]) for one in watched.recorder.remembered()]
        assert found == [(name, n) for n, name in enumerate(names)][-size:]


def test_those_of_all_threads_are_remembered(watched: Watched) -> None:
    watched.recorder.remember(1000)
    threads = [threading.Thread(target=watched.both, args=(f"t{n}", 20)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = watched.recorder.remembered()
    assert len(last) == 120
    for n, thread in enumerate(threads):
        assert {one[4] for one in last if one[0].name == f"t{n}"} == {thread.ident}


def test_what_was_not_timed_is_remembered_without_a_duration(module: Any) -> None:
    watched = Watched(module, sample_rate=0.0)
    watched.recorder.remember(5)
    with watched.operation("execute", "f"):
        pass
    assert [(one[0].name, one[1]) for one in watched.recorder.remembered()] == [("f", None)]


def test_an_evicted_series_is_remembered_still(watched: Watched) -> None:
    watched.recorder.remember(5)
    watched.record("execute", "f", duration_ns=1)
    watched.recorder.evict(list(watched.recorder.collect()))
    watched.record("execute", "f", duration_ns=2)
    assert [one[1] for one in watched.recorder.remembered()] == [1, 2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("kind", ["compiled", "pure"])
def test_a_forked_child_remembers_nothing_of_its_parent(kind: str) -> None:
    code = f"""
import os
from metalscope._recorder_{kind} import Recorder
recorder = Recorder(max_series=10, on_error=print)
told = []
recorder.watch(0, lambda *what: told.append(what))
recorder.remember(5)
recorder.record("execute", "parent", duration_ns=1)
pid = os.fork()
if pid == 0:
    ok = recorder.remembered() == []
    told.clear()
    recorder.record("execute", "child", duration_ns=1)
    names = [one[0].name for one in recorder.remembered()]
    os._exit(0 if ok and names == ["child"] and len(told) == 1 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert [one[0].name for one in recorder.remembered()] == ["parent"]
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# -- handing over --------------------------------------------------------------------------------


def test_what_runs_in_a_span_that_is_kept_is_handed_over(watched: Watched) -> None:
    watched.divert()
    watched.both("outside")
    for span, name in ((Sampled(), "kept"), (Unsampled(), "left"), (None, "none")):
        token = watched.own.set(span)
        watched.both(name)
        watched.own.reset(token)
    copy_context().run(watched.own.set, Sampled())
    watched.both("after")
    assert watched.diverted == ["kept", "kept"]
    assert watched.counts() == {
        (name, "", OK): 2 for name in ("outside", "kept", "left", "none", "after")
    }


def test_outside_of_any_trace_one_is_handed_over_after_so_many(watched: Watched) -> None:
    def operation(kind: str, name: str, **more: Any) -> Any:
        watched.diverted.append(name)
        watched.recorder.skip(2)
        return watched.recorder.plain_operation(kind, name, **more)

    watched.divert(operation=operation)
    watched.recorder.skip(3)
    for number in range(9):
        if number == 4:
            # In a trace that is not kept nothing is counted for this.
            token = watched.own.set(Unsampled())
            watched.both("left", 5)
            watched.own.reset(token)
        with watched.operation("execute", str(number)):
            pass
    assert watched.diverted == ["3", "6"]
    watched.recorder.skip(0)
    with watched.operation("execute", "at once"):
        pass
    assert watched.diverted == ["3", "6", "at once"]


def test_once_another_library_is_loaded_its_context_counts(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.divert()
    watched.both("not loaded")
    assert watched.diverted == []
    monkeypatch.setitem(sys.modules, MODULE, types.ModuleType(MODULE))
    watched.both("not found")
    assert watched.diverted == ["not found", "not found"]
    theirs: ContextVar[dict[str, Any]] = ContextVar("theirs")
    theirs.set({})
    watched.recorder.found_foreign(theirs)
    watched.both("empty")
    token = theirs.set({"span": 1})
    watched.both("in it")
    left = watched.own.set(Unsampled())
    watched.both("in both")
    watched.own.reset(left)
    theirs.reset(token)
    watched.both("empty again")
    assert watched.diverted[2:] == ["in it", "in it", "in both", "in both"]


def test_one_without_a_context_variable_is_not_looked_at(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.divert()
    monkeypatch.setitem(sys.modules, MODULE, types.ModuleType(MODULE))
    watched.recorder.found_foreign(None)
    watched.both("f")
    assert watched.diverted == []


def test_a_handler_that_raises_is_told_of_and_the_operation_counts(module: Any) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise OSError("no spans")

    watched = Watched(module)
    watched.divert(operation=broken, record=broken)
    watched.recorder.skip(0)
    watched.both("f")
    assert watched.counts() == {("f", "", OK): 2}
    assert [str(error) for error in watched.errors] == ["no spans"] * 2


def test_an_interrupt_in_a_handler_passes_through(watched: Watched) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    watched.divert(operation=interrupted, record=interrupted)
    watched.recorder.skip(0)
    with pytest.raises(KeyboardInterrupt):
        watched.operation("execute", "f")
    with pytest.raises(KeyboardInterrupt):
        watched.record("execute", "f", duration_ns=1)


def test_wrong_arguments_raise_as_they_do_otherwise(module: Any) -> None:
    watched = Watched(module)
    watched.divert()
    watched.recorder.skip(0)
    calls: list[Callable[[], Any]] = [
        watched.operation,
        lambda: watched.operation("execute"),
        lambda: watched.operation("execute", "f", color=1),
        lambda: watched.record("execute", "f"),
        lambda: watched.record("execute", "f", 5),
        lambda: watched.record("execute", "f", duration_ns=1, color=1),
    ]
    for call in calls:
        with pytest.raises(TypeError):
            call()
    assert watched.counts() == {}


def test_what_is_plain_is_what_it_is_without(module: Any) -> None:
    def work(operation: Any, record: Any) -> None:
        with operation("transfer", "f", nbytes=4, device="gpu:0") as op:
            op.add_bytes(3)
        with suppress(MemoryError), operation("transfer", "f"):
            raise MemoryError
        record("execute", "g", duration_ns=5, nbytes=2, gpu_ns=1)
        record("execute", "g", duration_ns=5, error="timeout", device="gpu:0")
        record("no kind", "g", duration_ns=5)
        operation("no kind", "g")

    for rate in (1.0, 0.0):
        plain, diverted = Watched(module, sample_rate=rate), Watched(module, sample_rate=rate)
        diverted.divert()
        work(plain.operation, plain.record)
        work(diverted.recorder.plain_operation, diverted.recorder.plain_record)
        assert diverted.counts() == plain.counts()
        assert len(diverted.errors) == len(plain.errors) == 2


def test_a_disabled_recorder_counts_nothing_whatever_looks_at_it(module: Any) -> None:
    watched = Watched(module, enabled=False)
    watched.watch(-1)
    watched.recorder.remember(5)
    watched.both("f")
    assert (watched.counts(), watched.told, watched.recorder.remembered()) == ({}, [], [])


def test_what_a_manager_records_by_is_handed_over_too(module: Any) -> None:
    watched = Watched(module)
    watched.divert()
    watched.recorder.skip(0)

    class Manager(module.Recording):  # type: ignore[misc]
        pass

    manager = Manager()
    manager._record_by(watched.recorder)
    with manager.operation("execute", "f"):
        pass
    manager.record("execute", "g", duration_ns=1)
    assert watched.diverted == ["f", "g"]


# -- references ----------------------------------------------------------------------------------


def test_nothing_is_held_that_was_let_go(module: Any) -> None:
    """All of it many times over: the references of what took part are as many as before."""
    watched = Watched(module)
    error, span, name, device = MemoryError("x"), Sampled(), "a name of its own", "gpu:7"
    theirs: ContextVar[Any] = ContextVar("theirs")

    def told(*_: Any) -> None: ...

    def work() -> None:
        watched.recorder.watch(0, told)
        watched.divert()
        watched.recorder.found_foreign(theirs)
        watched.recorder.remember(4)
        for number in range(10):
            token = watched.own.set(span if number % 2 else None)
            with suppress(MemoryError), watched.operation("execute", name, device=device):
                raise error
            watched.record("execute", name, duration_ns=number, error=error)
            watched.record("execute", name, duration_ns=number, device=device)
            watched.own.reset(token)
        watched.recorder.remembered()
        watched.recorder.remember(0)
        watched.recorder.watch(0, None)
        watched.diverted.clear()
        error.__traceback__ = None
        error.__context__ = None

    def references() -> list[int]:
        gc.collect()
        return [
            sys.getrefcount(one)
            for one in (error, span, name, device, told, theirs, watched.own, Sampled)
        ]

    for _ in range(3):
        work()
    before, blocks = references(), sys.getallocatedblocks()
    for _ in range(50):
        work()
    # The recorder's own handlers of the last divert() are other objects, and as many.
    assert references() == before
    assert sys.getallocatedblocks() - blocks < 200
    assert watched.errors == []


def test_a_recorder_that_is_let_go_takes_its_handlers_along(module: Any) -> None:
    import weakref

    class Handler:
        def __call__(self, *_: Any, **__: Any) -> Any: ...

    def make() -> list[weakref.ref[Any]]:
        watched = Watched(module)
        handlers = Handler(), Handler(), Handler()
        watched.divert(operation=handlers[0], record=handlers[1])
        watched.recorder.watch(0, handlers[2])
        watched.recorder.remember(3)
        watched.both("f")
        return [weakref.ref(one) for one in handlers]

    gone = make()
    gc.collect()
    assert [one() for one in gone] == [None] * 3
