"""``metalscope.instrument("threads")``: who is started inherits the id and the span."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import multiprocessing
import multiprocessing.process
import os
import subprocess
import sys
import textwrap
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from types import FunctionType
from typing import Any

import pytest
from carried_work import (
    LIBRARY,
    OwnRun,
    OwnThread,
    Seen,
    SpawnedOwnRun,
    fail,
    put_seen,
    seen,
    seen_in_process,
)

import metalscope
from metalscope import MetalTelemetryManager
from metalscope.correlating import CURRENT_SPAN, SpanContext, correlation, within
from metalscope.instrument import instruments

SPAN = SpanContext(0xAB, 0xCD)
NOTHING: Seen = (None, None, None)
ALL: Seen = ("a", "ab/cd", True)

PATCHED = [
    (threading.Thread, "start"),
    (threading.Thread, "_bootstrap_inner"),
    (ThreadPoolExecutor, "submit"),
    (ProcessPoolExecutor, "submit"),
    (multiprocessing.process.BaseProcess, "start"),
]


@pytest.fixture
def threads() -> Iterator[None]:
    metalscope.instrument("threads", MetalTelemetryManager())
    yield
    metalscope.uninstrument("threads")


def of_a_thread(make: Callable[[Callable[[], None]], threading.Thread]) -> Seen:
    found: list[Seen] = []
    thread = make(lambda: found.append(seen()))
    thread.start()
    thread.join()
    return found[0]


def plain(work: Callable[[], None]) -> threading.Thread:
    return threading.Thread(target=work)


@pytest.mark.parametrize(
    "make", [plain, lambda work: threading.Timer(0, work)], ids=["thread", "timer"]
)
def test_a_thread_inherits_what_is_current_where_it_is_started(threads: None, make: Any) -> None:
    made: list[threading.Thread] = []
    with within("made", None):
        found: list[Seen] = []
        made.append(make(lambda: found.append(seen())))
    with within("a", SPAN):
        made[0].start()
    made[0].join()
    assert found == [ALL]
    with within("b", None):
        assert of_a_thread(make) == ("b", None, None)
    assert of_a_thread(make) == NOTHING


def test_so_does_one_whose_class_has_its_own_run_and_start(threads: None) -> None:
    thread = OwnThread()
    with within("a", SPAN):
        thread.start()
    thread.join()
    assert thread.saw == ALL


def test_a_span_itself_is_there_in_a_thread_of_its_process(threads: None) -> None:
    live = SpanContext(1, 2, live=object())  # type: ignore[arg-type]
    found: list[SpanContext | None] = []
    with within(None, live):
        thread = threading.Thread(target=lambda: found.append(CURRENT_SPAN.get()))
        thread.start()
        thread.join()
    assert found == [live]


def test_a_thread_of_this_library_works_for_nobody(threads: None) -> None:
    with within("a", SPAN):
        assert of_a_thread(lambda w: threading.Thread(target=w, name="metalscope-x")) == NOTHING


def test_an_executor_runs_each_piece_in_what_was_current_at_its_submission(threads: None) -> None:
    with ThreadPoolExecutor(1) as pool:
        with within("a", SPAN):
            first = pool.submit(seen)
            mapped = pool.map(seen, range(2))
        nothing = pool.submit(seen)
        with correlation("b"):
            last = pool.submit(seen, 1)
        assert first.result() == ALL
        assert list(mapped) == [ALL, ALL]
        assert nothing.result() == NOTHING, "though the thread was started within a"
        assert last.result() == ("b", None, None)


def test_an_executor_keeps_what_its_threads_have_besides(threads: None) -> None:
    with ThreadPoolExecutor(1, initializer=LIBRARY.set, initargs=("of the worker",)) as pool:
        with correlation("a"):
            assert pool.submit(LIBRARY.get).result() == "of the worker"
            pool.submit(LIBRARY.set, "changed").result()
        assert pool.submit(LIBRARY.get).result() == "changed"


async def test_so_do_the_executors_of_an_event_loop(threads: None) -> None:
    loop = asyncio.get_running_loop()

    async def one(name: str) -> list[Seen]:
        with correlation(name):
            return [await loop.run_in_executor(None, seen), await asyncio.to_thread(seen)]

    assert await asyncio.gather(one("a"), one("b")) == [
        [("a", None, None)] * 2,
        [("b", None, None)] * 2,
    ]
    assert await loop.run_in_executor(None, seen) == NOTHING


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pool_of_processes_does_the_same(threads: None, method: str) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        live = SpanContext(0xAB, 0xCD, live=threading.Lock())  # type: ignore[arg-type]
        with within("a", live):
            first = pool.submit(seen_in_process)
            mapped = pool.map(seen_in_process, range(2))
        nothing = pool.submit(seen_in_process)
        assert first.result() == (ALL, False)
        assert list(mapped) == [(ALL, False)] * 2
        assert nothing.result() == (NOTHING, False), "though the process was started within a"


def of_a_process(method: str, *, own: bool) -> tuple[Seen, bool]:
    context: Any = multiprocessing.get_context(method)
    queue = context.Queue()
    if not own:
        process = context.Process(target=put_seen, args=(queue,))
    else:
        process = OwnRun(queue) if method == "fork" else SpawnedOwnRun(queue)
    process.start()
    assert "run" not in vars(process)
    found: tuple[Seen, bool] = queue.get(timeout=60)
    process.join(60)
    assert process.exitcode == 0
    return found


@pytest.mark.parametrize(("method", "own"), [("fork", False), ("fork", True), ("spawn", True)])
def test_a_process_inherits_by_whatever_way_it_is_started(
    threads: None, method: str, own: bool
) -> None:
    live = SpanContext(0xAB, 0xCD, live=threading.Lock())  # type: ignore[arg-type]
    with within("a", live):
        assert of_a_process(method, own=own) == (ALL, False)


def test_what_fails_fails_as_it_would(threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[Any, Seen]] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append((args, seen())))
    with within("a", SPAN):
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        with ThreadPoolExecutor(1) as pool:
            error = pool.submit(fail).exception()
        with pytest.raises(RuntimeError, match="threads can only be started once"):
            thread.start()
        with pytest.raises(RuntimeError, match="after shutdown"):
            pool.submit(seen)
        with pytest.raises(TypeError, match=r"submit\(\) missing 1 required positional argument"):
            pool.submit()  # type: ignore[call-arg]
    ((args, saw),) = told
    assert (args.exc_type, saw) == (LookupError, ALL)
    names = [frame.name for frame in traceback.extract_tb(args.exc_traceback)]
    assert names == ["_bootstrap_inner", "run", "fail"]
    assert error is not None
    assert [frame.name for frame in traceback.extract_tb(error.__traceback__)] == ["run", "fail"]
    assert seen() == NOTHING


class Big:
    """Something that a span holds."""


def test_nothing_is_held_after_a_thread_ended_or_a_task_is_done(threads: None) -> None:
    gc.collect()
    gc.disable()
    try:
        with ThreadPoolExecutor(1) as pool:
            big = Big()
            gone = weakref.ref(big)
            with within("a", SpanContext(1, 2, live=big)):  # type: ignore[arg-type]
                thread = threading.Thread(target=seen)
                thread.start()
                thread.join()
                pool.submit(seen).result()
            del big
            # The worker lets go of a task before it waits for the next.
            pool.submit(seen).result()
            assert gone() is None
            assert not [name for name in vars(thread) if "metalscope" in name]
    finally:
        gc.enable()


def test_a_thread_that_cannot_be_started_holds_nothing(
    threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_named: object) -> None:
        raise RuntimeError("can't start new thread")

    starter = "_start_joinable_thread" if sys.version_info >= (3, 13) else "_start_new_thread"
    monkeypatch.setattr(threading, starter, refuse)
    thread = threading.Thread(target=seen)
    with within("a", SPAN), pytest.raises(RuntimeError, match="can't start new thread"):
        thread.start()
    assert not [name for name in vars(thread) if "metalscope" in name]


def test_taken_out_it_leaves_the_very_functions_that_were_there() -> None:
    before = [vars(owner)[name] for owner, name in PATCHED]
    telemetry = MetalTelemetryManager()
    for _ in range(2):
        metalscope.instrument("threads", telemetry)
        metalscope.instrument("threads", telemetry)
        metalscope.instrument("threads", MetalTelemetryManager())
        assert all(
            vars(owner)[name] is not one for one, (owner, name) in zip(before, PATCHED, strict=True)
        )
        metalscope.uninstrument("threads")
        metalscope.uninstrument("threads")
        assert [vars(owner)[name] for owner, name in PATCHED] == before
    with within("a", SPAN):
        assert of_a_thread(plain) == NOTHING


def test_wrapped_by_another_since_it_works_only_while_it_is_in_place() -> None:
    original = threading.Thread.start
    metalscope.instrument("threads", MetalTelemetryManager())
    ours = threading.Thread.start

    def theirs(self: threading.Thread) -> None:
        ours(self)

    threading.Thread.start = theirs  # type: ignore[method-assign]
    try:
        with within("a", SPAN):
            assert of_a_thread(plain) == ALL
        metalscope.uninstrument("threads")
        assert threading.Thread.start is theirs
        with within("a", SPAN):
            assert of_a_thread(plain) == NOTHING
        metalscope.instrument("threads", MetalTelemetryManager())
        with within("a", SPAN):
            assert of_a_thread(plain) == ALL
        metalscope.uninstrument("threads")
    finally:
        threading.Thread.start = original  # type: ignore[method-assign]


class Knowing:
    """A wrapper as wrapt's: it says it is a function, and for whom it is called it knows only by
    being bound."""

    __class__: Any = FunctionType

    def __init__(self, original: Callable[..., Any], told: list[threading.Thread]) -> None:
        self.original = original
        self.told = told
        self.thread: Any = None

    def __get__(self, thread: Any, _kind: object = None) -> Knowing:
        bound = Knowing(self.original, self.told)
        bound.thread = thread
        return bound

    def __call__(self) -> None:
        self.told.append(self.thread)
        self.original(self.thread)


def test_it_wraps_what_another_has_wrapped(request: pytest.FixtureRequest) -> None:
    original = threading.Thread.start
    told: list[threading.Thread] = []
    theirs = Knowing(original, told)
    threading.Thread.start = theirs  # type: ignore[method-assign, assignment]
    try:
        request.getfixturevalue("threads")
        with within("a", SPAN):
            assert of_a_thread(plain) == ALL
        assert [type(one) for one in told] == [threading.Thread]
        metalscope.uninstrument("threads")
        assert vars(threading.Thread)["start"] is theirs
    finally:
        threading.Thread.start = original  # type: ignore[method-assign]


def run(source: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


def test_it_is_no_library_that_is_recorded_unasked_and_loads_nothing() -> None:
    assert "threads" not in instruments()
    out = run(
        """
        import sys, metalscope
        telemetry = metalscope.MetalTelemetryManager()
        from metalscope.instrument import instrument_on_import
        from metalscope.correlating import correlation, current_correlation_id
        import threading
        before, meta = threading.Thread.start, len(sys.meta_path)
        stop = instrument_on_import(telemetry)
        print(threading.Thread.start is before)
        stop()
        for name in ("concurrent.futures.process", "multiprocessing.process"):
            sys.modules.pop(name, None)
        loaded = {*sys.modules}
        metalscope.instrument("threads", telemetry)
        print(sorted(one for one in {*sys.modules} - loaded if not one.startswith("metalscope")))
        from concurrent.futures.process import ProcessPoolExecutor
        submit = ProcessPoolExecutor.submit
        print(submit.__module__, submit.__closure__ is not None)
        metalscope.uninstrument("threads")
        print(ProcessPoolExecutor.submit.__closure__ is None, len(sys.meta_path) == meta)
        """
    )
    assert out.splitlines() == ["True", "[]", "concurrent.futures.process True", "True True"]


def test_concurrent_futures_itself_is_not_touched(threads: None) -> None:
    future: concurrent.futures.Future[int] = concurrent.futures.Future()
    future.set_result(1)
    assert future.result() == 1
