"""Spans of a tracer: where they belong, which are kept, and what they say."""

from __future__ import annotations

import asyncio
import gc
import inspect
import sys
import threading
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest
from kept_spans import Tracing

from metalscope.correlating import (
    CURRENT_SPAN,
    SpanContext,
    UnsampledContext,
    correlation,
    current_span,
)
from metalscope.manager import MetalTelemetryManager
from metalscope.traces.no_span import NoSpan
from metalscope.traces.span import Decision, Span, SpanKind
from metalscope.traces.tally import Tally
from metalscope.traces.tracer import MOST_ERROR_CHARACTERS


@pytest.fixture
def tracing() -> Iterator[Tracing]:
    made = Tracing(slow_threshold_ms=10_000)
    yield made
    assert made.errors == []
    assert current_span() is None


@pytest.fixture
def unsampled() -> Iterator[Tracing]:
    """One that keeps no trace from its beginning."""
    made = Tracing(sample_ratio=0.0, slow_threshold_ms=10_000)
    yield made
    assert made.errors == []


def test_a_span_is_current_within_its_block_and_has_what_is_said_of_it(tracing: Tracing) -> None:
    before = time.time_ns()
    with (
        correlation("order-17"),
        tracing.span("request", kind=SpanKind.SERVER, attributes={"path": "/"}) as span,
    ):
        assert current_span() is span.context
        span.set_attribute("status", 200)
        span.add_event("parsed", {"bytes": 3})
        span.add_link(7, 8)
    (done,) = tracing.spans
    assert (done.name, done.kind, done.parent_id) == ("request", SpanKind.SERVER, 0)
    assert (done.trace_id, done.span_id) == (span.context.trace_id, span.context.span_id)
    assert dict(done.attributes) == {"path": "/", "status": 200}
    assert before <= done.start_ns <= done.events[0].time_ns <= time.time_ns()
    assert done.duration_ns > 0
    assert [(link.trace_id, link.span_id) for link in done.links] == [(7, 8)]
    assert (done.failed, done.error, done.decision) == (False, "", Decision.SAMPLED)
    assert done.correlation_id == "order-17"
    assert done.thread == threading.get_ident()
    assert done.thread_name == threading.current_thread().name


def test_spans_within_are_children_of_one_trace(tracing: Tracing) -> None:
    with tracing.span("request"):
        with tracing.span("load"):
            pass
        with tracing.span("eval"), tracing.span("kernel"):
            pass
    assert tracing.kept.parents() == {
        "request": None, "load": "request", "eval": "request", "kernel": "eval",
    }  # fmt: skip
    assert len({span.trace_id for span in tracing.spans}) == 1
    assert tracing.tracer.counts["sampled"] == 4


async def test_tasks_that_run_at_once_keep_their_parents_apart(tracing: Tracing) -> None:
    async def work(name: str) -> None:
        async with tracing.span(name):
            await asyncio.sleep(0)
            async with tracing.span(f"{name} inner"):
                await asyncio.sleep(0.001)

    async with tracing.span("all"):
        await asyncio.gather(*(work(f"w{n}") for n in range(8)))
    parents = tracing.kept.parents()
    assert all(parents[f"w{n} inner"] == f"w{n}" for n in range(8))
    assert all(parents[f"w{n}"] == "all" for n in range(8))


async def test_what_outlives_its_parent_still_belongs_to_its_trace(tracing: Tracing) -> None:
    async def later() -> None:
        await asyncio.sleep(0.001)
        with tracing.span("later"):
            pass

    with tracing.span("request"):
        task = asyncio.create_task(later())
    await task
    assert tracing.kept.parents()["later"] == "request"


def test_an_exception_passes_through_and_marks_the_span(tracing: Tracing) -> None:
    error = KeyError("gone")
    with pytest.raises(KeyError) as caught, tracing.span("request"), tracing.span("inner"):
        raise error
    assert caught.value is error
    for name in ("inner", "request"):
        span = tracing.kept.one(name)
        assert (span.failed, span.error) == (True, "KeyError: 'gone'")
        assert span.attributes["error.type"] == "KeyError"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_what_ends_a_block_without_saying_anything_of_it_is_no_failure(
    tracing: Tracing, error: type[BaseException]
) -> None:
    with pytest.raises(error), tracing.span("request"):
        raise error
    assert not tracing.kept.one("request").failed


def test_what_the_program_says_went_wrong_stands(tracing: Tracing) -> None:
    with tracing.span("request") as span:
        span.set_error("x" * 5000)
    assert tracing.kept.one("request").failed
    assert len(tracing.kept.one("request").error) == MOST_ERROR_CHARACTERS
    with suppress(ValueError), tracing.span("other") as span:
        span.set_error("first")
        raise ValueError("late")
    assert tracing.kept.one("other").error == "first"


def test_an_exception_that_cannot_be_shown_does_no_harm(tracing: Tracing) -> None:
    class HostileError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    with pytest.raises(HostileError), tracing.span("request"):
        raise HostileError
    assert tracing.kept.one("request").error == "HostileError"


def test_functions_can_be_decorated(tracing: Tracing) -> None:
    @tracing.span("sync")
    def sync(value: int) -> int:
        """Documented."""
        assert current_span() is not None
        return 1 if value == 0 else sync(value - 1)

    @tracing.span("async")
    async def later() -> int:
        await asyncio.sleep(0)
        return sync(0)

    assert sync(2) == 1
    assert sync.__doc__ == "Documented."
    assert len({span.span_id for span in tracing.spans}) == 3
    tracing.spans.clear()
    assert asyncio.run(later()) == 1
    assert tracing.kept.parents() == {"sync": "async", "async": None}


def test_a_parent_that_is_given_goes_before_the_current_one(tracing: Tracing) -> None:
    elsewhere = SpanContext(5, 6, trace_state="vendor=1")
    with tracing.span("here"), tracing.span("there", parent=elsewhere):
        pass
    there = tracing.kept.one("there")
    assert (there.trace_id, there.parent_id, there.trace_state) == (5, 6, "vendor=1")


def test_within_a_trace_from_elsewhere_its_own_decision_holds() -> None:
    for ratio in (0.0, 1.0):
        tracing = Tracing(sample_ratio=ratio)
        with tracing.span("kept", parent=SpanContext(5, 6)):
            pass
        with tracing.span("left", parent=UnsampledContext(5, 6)):
            assert isinstance(current_span(), UnsampledContext)
        assert tracing.kept.names() == ["kept"]


# -- what is kept for what it was ----------------------------------------------------------------


def test_of_a_trace_that_is_not_kept_nothing_goes_out(unsampled: Tracing) -> None:
    with unsampled.span("request") as span, unsampled.span("inner") as inner:
        assert type(span.context) is type(inner.context) is UnsampledContext
        assert inner.context.trace_id == span.context.trace_id
    assert unsampled.spans == []
    assert set(unsampled.tracer.counts.values()) == {0}


def test_what_failed_is_kept_with_all_around_it(unsampled: Tracing) -> None:
    with unsampled.span("request"):
        with unsampled.span("before"):
            pass
        with unsampled.span("eval"):
            with unsampled.span("kernel") as kernel:
                kernel.set_error("lost")
            with unsampled.span("sibling"):
                pass
    assert unsampled.kept.parents() == {"kernel": "eval", "eval": "request", "request": None}
    assert {span.name: span.decision for span in unsampled.spans} == {
        "kernel": Decision.FAILED, "eval": Decision.AROUND, "request": Decision.AROUND,
    }  # fmt: skip
    assert unsampled.tracer.counts == {"sampled": 0, "slow": 0, "failed": 1, "around": 2}


def test_what_was_slow_is_kept_whatever_was_decided() -> None:
    tracing = Tracing(sample_ratio=0.0, slow_threshold_ms=1e-6)
    with tracing.span("request"):
        pass
    assert tracing.kept.one("request").decision is Decision.SLOW


def test_keeping_what_was_slow_or_failed_can_be_turned_off() -> None:
    tracing = Tracing(sample_ratio=0.0, slow_threshold_ms=1e-6, keep_slow=False, keep_failed=False)
    with pytest.raises(ValueError, match="x"), tracing.span("request"):
        raise ValueError("x")
    assert tracing.spans == []


# -- odd orders ----------------------------------------------------------------------------------


def test_generators_that_end_in_another_order_leave_no_span_behind(tracing: Tracing) -> None:
    def generate(name: str) -> Iterator[int]:
        with tracing.span(name):
            yield 1
            yield 2

    with tracing.span("request") as request:
        first, second = generate("first"), generate("second")
        next(first), next(second)
        first.close()
        second.close()
        assert current_span() is request.context
    assert current_span() is None
    assert set(tracing.kept.names()) == {"first", "second", "request"}


async def test_a_generator_that_is_closed_elsewhere_does_no_harm(tracing: Tracing) -> None:
    async def generate() -> AsyncIterator[int]:
        async with tracing.span("stream"):
            yield 1

    async def begin(stream: Any) -> None:
        await anext(stream)

    stream = generate()
    await asyncio.create_task(begin(stream))
    with tracing.span("request") as request:
        await stream.aclose()  # type: ignore[attr-defined]
        assert current_span() is request.context
    assert tracing.kept.names() == ["stream", "request"]


async def test_tasks_that_begin_each_other_hold_nothing_of_those_before(tracing: Tracing) -> None:
    seen: list[weakref.ref[Any]] = []

    class Marked(dict[str, Any]):
        __slots__ = ("__weakref__",)

    async def step(left: int) -> None:
        with tracing.span("step") as span:
            span.attributes = Marked()
            seen.append(weakref.ref(span.attributes))
            tracing.spans.clear()
            task = asyncio.create_task(step(left - 1)) if left else None
            await asyncio.sleep(0)
        if task is not None:
            await task

    await step(30)
    tracing.spans.clear()
    tracing.always.spans.clear()
    gc.collect()
    assert [one() for one in seen] == [None] * 31


def test_spans_need_no_cycle_collector(tracing: Tracing) -> None:
    def work() -> None:
        for _ in range(100):
            with tracing.span("request"), tracing.span("inner"):
                pass
        tracing.spans.clear()
        tracing.always.spans.clear()

    work()
    gc.collect()
    gc.disable()
    try:
        work()
        assert gc.collect() == 0
    finally:
        gc.enable()


# -- what goes wrong -----------------------------------------------------------------------------


def test_a_sink_that_fails_is_told_of_and_the_others_have_the_span() -> None:
    class Broken:
        def take(self, span: object) -> None:
            raise OSError("full")

    tracing = Tracing()
    tracing.tracer.hand_to([Broken(), tracing.kept])
    with tracing.span("request"):
        pass
    assert tracing.kept.names() == ["request"]
    assert [(room, str(error)) for room, error in tracing.errors] == [("traces", "full")]
    assert (tracing.tracer.dropped, tracing.tracer.counts["sampled"]) == (1, 1)


def test_bad_arguments_are_told_of_and_the_block_runs() -> None:
    tracing = Tracing()
    ran = []
    with tracing.span("request", kind="sideways") as span:  # type: ignore[arg-type]
        span.set_attribute("a", 1)
        ran.append(current_span())
    with tracing.span("request", attributes=7):  # type: ignore[arg-type]
        ran.append(current_span())
    assert ran == [None, None]
    assert [room for room, _ in tracing.errors] == ["traces", "traces"]
    assert tracing.spans == []


def test_counts_are_exact_under_threads() -> None:
    tally = Tally()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [
            threading.Thread(target=lambda: [tally.add() for _ in range(3000)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            tally.total()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert tally.total() == 12_000


def test_the_current_span_is_of_the_classes_the_recorder_knows(tracing: Tracing) -> None:
    with tracing.span("request"):
        assert type(CURRENT_SPAN.get()) is SpanContext


def test_where_nothing_is_traced_a_span_takes_all_that_a_span_takes() -> None:
    methods = {
        name: inspect.signature(method)
        for name, method in vars(Span).items()
        if callable(method) and not name.startswith("_")
    }
    assert {"set_attribute", "add_event", "add_link", "set_error"} <= set(methods)
    for name, signature in methods.items():
        nothing = inspect.signature(getattr(NoSpan, name))
        assert list(nothing.parameters) == list(signature.parameters), name
    with MetalTelemetryManager() as telemetry, telemetry.span("request") as span:
        span.set_attribute("a", 1)
        span.add_event("b", {"c": 1}, at_ns=1)
        span.add_link(1, 2, {"d": 1})
        span.set_error(ValueError("e"))
