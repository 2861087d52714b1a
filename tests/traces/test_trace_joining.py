"""Spans in a program with an OpenTelemetry of its own: the SDK's, with its exporter in memory."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
from kept_spans import Tracing
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler

from metalscope.correlating import (
    CURRENT_SPAN,
    SpanContext,
    UnsampledContext,
    correlation,
    current_span,
)
from metalscope.traces.joining import Neighbour
from metalscope.traces.span import SpanKind

MS = 1_000_000


class Program:
    """A program that has set a tracer provider."""

    def __init__(self, sampler: Sampler) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("program")
        self.span = self.tracer.start_as_current_span

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def one(self, name: str) -> ReadableSpan:
        (span,) = (span for span in self.spans if span.name == name)
        return span

    def parents(self) -> dict[str, str | None]:
        by_id = {span.context.span_id: span.name for span in self.spans}
        return {
            span.name: by_id[span.parent.span_id] if span.parent is not None else None
            for span in self.spans
        }


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    made = Program(ParentBased(ALWAYS_ON))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", made.provider)
    before = context.get_current()
    yield made
    assert context.get_current() == before
    assert current_span() is None


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> Program:
    """One that samples nothing."""
    made = Program(ParentBased(ALWAYS_OFF))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", made.provider)
    return made


@pytest.fixture(params=["compiled", "pure"], scope="module")
def module(request: pytest.FixtureRequest) -> Any:
    return import_module(f"metalscope._recorder_{request.param}")


@pytest.fixture
def make(module: Any) -> Iterator[Callable[..., Tracing]]:
    made: list[Tracing] = []

    def make(**options: Any) -> Tracing:
        options.setdefault("slow_threshold_ms", 10_000)
        made.append(Tracing(module, **options))
        return made[-1]

    yield make
    assert [one.errors for one in made] == [[] for _ in made]


Make = Callable[..., Tracing]


def ids(span: ReadableSpan) -> tuple[int, int]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def test_our_spans_and_the_programs_are_one_tree(program: Program, make: Make) -> None:
    tracing = make()
    with (
        program.span("server"),
        tracing.span("request", kind=SpanKind.CLIENT),
        program.span("handler"),
        tracing.operation("synchronize", "eval"),
        program.span("callback"),
        tracing.operation("execute", "kernel"),
    ):
        tracing.record("execute", "recorded", duration_ns=5)
    assert program.parents() == {
        "server": None,
        "request": "server",
        "handler": "request",
        "synchronize eval": "handler",
        "callback": "synchronize eval",
        "execute kernel": "callback",
        "execute recorded": "execute kernel",
    }
    assert len({ids(span)[0] for span in program.spans}) == 1
    # A file has them too; what goes where the provider sends them does not get them twice.
    assert tracing.spans == []
    assert len(tracing.always.spans) == 4
    for span in tracing.always.spans:
        assert (span.trace_id, span.span_id) == ids(program.one(span.name))
        assert span.start_ns == program.one(span.name).start_time
        assert span.end_ns == program.one(span.name).end_time
    assert program.one("request").kind is trace.SpanKind.CLIENT
    assert program.one("execute recorded").instrumentation_scope.name == "metalscope"


def test_what_is_known_of_an_operation_is_in_its_span(program: Program, make: Make) -> None:
    tracing = make()
    with (
        correlation("order-17"),
        suppress(MemoryError),
        tracing.operation("allocate", "f", nbytes=4, device="gpu:0"),
    ):
        trace.get_current_span().set_attribute("mine", 1)
        raise MemoryError("no room")
    with tracing.span("request", attributes={"a": 1}) as span:
        span.add_event("parsed", {"b": 2})
        span.add_link(5, 6)
    failed, request = program.one("allocate f"), program.one("request")
    assert failed.attributes is not None
    assert dict(failed.attributes) == {
        "metal.operation.kind": "allocate",
        "metal.operation.name": "f",
        "metal.device.name": "gpu:0",
        "metal.operation.outcome": "out_of_memory",
        "metal.operation.bytes": 4,
        "error.type": "out_of_memory",
        "metalscope.correlation_id": "order-17",
        "mine": 1,
        "thread.id": failed.attributes["thread.id"],
        "thread.name": failed.attributes["thread.name"],
    }
    assert failed.status.status_code is trace.StatusCode.ERROR
    assert failed.status.description == "MemoryError: no room"
    assert request.status.status_code is trace.StatusCode.UNSET
    assert [event.name for event in request.events] == ["parsed"]
    assert [link.context.trace_id for link in request.links] == [5]


def test_the_current_span_of_both_is_one(program: Program, make: Make) -> None:
    tracing = make()
    with tracing.span("request") as span:
        theirs = trace.get_current_span().get_span_context()
        assert (theirs.trace_id, theirs.span_id) == (span.context.trace_id, span.context.span_id)
        assert current_span() is span.context
        assert type(span.context) is SpanContext
    assert len(program.spans) == 1


async def test_tasks_that_run_at_once_keep_their_parents_apart(
    program: Program, make: Make
) -> None:
    tracing = make()

    async def work(name: str) -> None:
        async with tracing.span(name):
            await asyncio.sleep(0)
            with program.span(f"{name} inner"):
                async with tracing.operation("execute", name):
                    await asyncio.sleep(0.001)

    await asyncio.gather(*(work(f"w{n}") for n in range(5)))
    parents = program.parents()
    for n in range(5):
        assert parents[f"execute w{n}"] == f"w{n} inner"
        assert parents[f"w{n} inner"] == f"w{n}"


def test_a_trace_that_came_from_elsewhere_goes_on(program: Program, make: Make) -> None:
    tracing = make()
    for context_class in (SpanContext, UnsampledContext):
        token = CURRENT_SPAN.set(context_class(5, 6, trace_state="vendor=1"))
        with tracing.span("request"), tracing.operation("execute", "f"):
            pass
        CURRENT_SPAN.reset(token)
    (operation, request) = program.spans
    assert (ids(request)[0], ids(operation)[0]) == (5, 5)
    assert request.parent is not None
    assert request.parent.span_id == 6
    assert request.parent.is_remote
    assert request.parent.trace_state.to_header() == "vendor=1"


def test_the_programs_sampler_decides(strict: Program, make: Make) -> None:
    tracing = make(slow_threshold_ms=50)
    with tracing.span("request") as span, tracing.operation("execute", "f"):
        assert type(span.context) is UnsampledContext
        assert not trace.get_current_span().get_span_context().trace_flags.sampled
    with tracing.operation("execute", "f"):
        pass
    assert strict.spans == ()
    assert tracing.always.spans == tracing.spans == []
    assert tracing.counts() == {"f": 2}


def test_what_it_leaves_and_was_slow_or_failed_goes_to_our_own_sinks(
    strict: Program, make: Make
) -> None:
    tracing = make(slow_threshold_ms=50)
    with tracing.span("request"):
        with suppress(MemoryError), tracing.operation("execute", "failed"):
            raise MemoryError
        tracing.record("execute", "slow", duration_ns=51 * MS)
    assert tracing.kept.parents() == {
        "execute failed": "request", "execute slow": "request", "request": None,
    }  # fmt: skip
    assert strict.spans == ()


def test_what_was_slow_in_no_trace_is_a_span_of_the_provider(program: Program, make: Make) -> None:
    tracing = make(sample_ratio=0.0, slow_threshold_ms=50)
    tracing.record("execute", "slow", duration_ns=51 * MS)
    tracing.record("execute", "fast", duration_ns=MS)
    (slow,) = program.spans
    assert slow.end_time - slow.start_time == 51 * MS
    ((_, told),) = tracing.notable
    assert told == (f"{ids(slow)[0]:032x}", f"{ids(slow)[1]:016x}")
    assert tracing.tracer.counts["slow"] == 1


def test_secrets_are_taken_out_before_the_provider_has_the_span(
    program: Program, make: Make
) -> None:
    tracing = make()
    tracing.tracer.hand_to(
        [],
        sanitized=lambda span: replace(
            span, name="***", attributes=dict.fromkeys(span.attributes, "***"), error="***"
        ),
    )
    with suppress(ValueError), tracing.span("token=1", attributes={"a": "token=2"}):
        raise ValueError("token=3")
    (span,) = program.spans
    assert "token" not in span.to_json()


def test_without_joining_our_spans_are_children_and_go_to_our_sinks(
    program: Program, make: Make
) -> None:
    tracing = make(join_provider=False)
    with program.span("server"), tracing.span("request"):
        with tracing.operation("execute", "f"):
            pass
        with program.span("inner"), tracing.operation("execute", "g"):
            pass
    server, request = program.one("server"), tracing.kept.one("request")
    assert (request.trace_id, request.parent_id) == ids(server)
    assert tracing.kept.one("execute f").parent_id == request.span_id
    # Its own spans know nothing of ours.
    assert program.parents() == {"inner": "server", "server": None}
    assert tracing.kept.one("execute g").parent_id == ids(program.one("inner"))[1]


def test_in_a_span_of_theirs_that_is_not_sampled_nothing_is_kept(make: Make) -> None:
    tracing = make()
    quiet = Program(ALWAYS_OFF)
    with quiet.span("server"):
        with tracing.operation("execute", "f"):
            pass
        with tracing.span("request") as span:
            assert type(span.context) is UnsampledContext
    assert tracing.spans == []


def test_a_context_without_a_span_is_no_trace(make: Make) -> None:
    for ratio, kept in ((1.0, 50), (0.0, 0)):
        tracing = make(sample_ratio=ratio)
        token = context.attach(baggage.set_baggage("tenant", "a"))
        for _ in range(50):
            with tracing.operation("execute", "f"):
                pass
        context.detach(token)
        assert len(tracing.spans) == kept
        assert tracing.counts() == {"f": 50}


def test_a_provider_that_is_set_later_is_joined_then(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    tracing = make()
    with tracing.span("before") as before:
        later = Program(ALWAYS_ON)
        monkeypatch.setattr(trace, "_TRACER_PROVIDER", later.provider)
        with tracing.operation("execute", "f"):
            pass
    assert tracing.kept.names() == ["before"]
    (operation,) = later.spans
    assert operation.parent is not None
    assert (ids(operation)[0], operation.parent.span_id) == (
        before.context.trace_id, before.context.span_id,
    )  # fmt: skip


def test_generators_leave_no_span_behind(
    program: Program, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    tracing = make()

    def generate(name: str) -> Iterator[int]:
        with tracing.span(name):
            yield 1

    with tracing.span("request"), caplog.at_level(logging.DEBUG):
        first, second = generate("first"), generate("second")
        next(first), next(second)
        second.close()
        first.close()
        with tracing.operation("execute", "f"):
            pass
    assert program.parents()["execute f"] == "request"
    assert caplog.records == []


class Broken(TracerProvider):
    """A provider that fails."""

    def get_tracer(self, *_: Any, **__: Any) -> Any:
        raise OSError("no tracer")


def test_a_provider_that_fails_does_no_harm(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", Broken())
    tracing = Tracing(module)
    with tracing.span("request"), tracing.operation("execute", "f"):
        pass
    assert tracing.kept.names() == ["execute f", "request"]
    assert {(room, str(error)) for room, error in tracing.errors} == {("traces", "no tracer")}


def test_a_processor_that_fails_does_no_harm(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program(ALWAYS_ON)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", program.provider)

    def broken(*_: Any, **__: Any) -> None:
        raise OSError("full")

    tracing = Tracing(module)
    for hook in ("on_start", "on_end"):
        with monkeypatch.context() as patch:
            patch.setattr(program.provider._active_span_processor, hook, broken)
            with tracing.operation("execute", "f"):
                pass
    assert tracing.counts() == {"f": 2}
    assert {str(error) for _, error in tracing.errors} == {"full"}
    assert context.get_current() == {}


def test_where_its_context_is_kept_otherwise_it_is_asked_each_time(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Elsewhere:
        """A context that is not in a context variable."""

        def __init__(self) -> None:
            self._stack = [context.Context()]

        def attach(self, one: Any) -> Any:
            self._stack.append(one)
            return len(self._stack)

        def get_current(self) -> Any:
            return self._stack[-1]

        def detach(self, token: Any) -> None:
            del self._stack[token - 1 :]

    monkeypatch.setattr(context, "_RUNTIME_CONTEXT", Elsewhere())
    tracing = Tracing(module, sample_ratio=0.0, join_provider=False)
    assert Neighbour(print, joins=False).variable() is None
    program = Program(ALWAYS_ON)
    for _ in range(3):
        with tracing.operation("execute", "outside"):
            pass
        with program.span("server"), tracing.operation("execute", "inside"):
            pass
    assert tracing.kept.names() == ["execute inside"] * 3
    assert [span.parent_id for span in tracing.spans] == [ids(span)[1] for span in program.spans]
    assert tracing.counts() == {"inside": 3, "outside": 3}
    assert tracing.errors == []


def test_a_program_without_opentelemetry_does_not_get_it_by_spans() -> None:
    code = """
import sys
from kept_spans import Tracing
from metalscope import recorder
tracing = Tracing(sys.modules[recorder.Recorder.__module__])
with tracing.span("request"), tracing.operation("execute", "f"):
    tracing.record("execute", "g", duration_ns=1)
assert len(tracing.spans) == 3
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
import opentelemetry.trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span
outer = SpanContext(5, 6, is_remote=True, trace_flags=TraceFlags(1))
with use_span(NonRecordingSpan(outer)), tracing.operation("execute", "later"):
    pass
assert tracing.kept.one("execute later").parent_id == 6
assert not tracing.errors
"""
    env = {key: value for key, value in os.environ.items() if not key.startswith("METALSCOPE_")}
    for pure in ("0", "1"):
        env |= {"METALSCOPE_PURE_PYTHON": pure, "PYTHONPATH": os.path.dirname(__file__)}  # noqa: PTH120
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=env)


def test_a_provider_named_in_the_environment_is_not_made_before_the_program_asks(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setenv("OTEL_PYTHON_TRACER_PROVIDER", "sdk_tracer_provider")
    tracing = make()
    with tracing.span("request"):
        pass
    assert trace._TRACER_PROVIDER is None
    assert tracing.kept.names() == ["request"]
