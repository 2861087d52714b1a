"""The program's own OpenTelemetry: the span it is in, and its tracer provider.

It is never imported here: a program that has a span or a provider has loaded it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from metalscope import attributes as names
from metalscope._version import __version__
from metalscope.correlating import SpanContext, UnsampledContext

if TYPE_CHECKING:
    from metalscope.traces.live import LiveSpan
    from metalscope.traces.span import FinishedSpan

__all__ = ["CONTEXT_MODULE", "TRACES", "Neighbour"]

TRACES: Final = "traces"
"""Where internal errors of spans are counted."""

CONTEXT_MODULE: Final = "opentelemetry.context"
_TRACE_MODULE: Final = "opentelemetry.trace"


class Neighbour:
    """OpenTelemetry in this process, as far as the program has loaded it.

    Args:
        on_error: told of what goes wrong, as (room, exception).
        joins: whether spans are made by the provider the program has set.
        room: where what goes wrong is counted.
    """

    def __init__(
        self, on_error: Callable[[str, BaseException], None], *, joins: bool, room: str = TRACES
    ) -> None:
        self._on_error = on_error
        self._joins = joins
        self._room = room
        self._tracer: Any = None
        self._variable: ContextVar[Any] | None = None
        self._last: tuple[Any, SpanContext | None] = (None, None)

    # -- the span the program is in ----------------------------------------------------------

    def variable(self) -> ContextVar[Any] | None:
        """The context variable in which OpenTelemetry keeps its context.

        ``None`` as long as it is not loaded, and where it keeps its context otherwise: a program
        can have it do so (``OTEL_PYTHON_CONTEXT``), and a later version of it may.
        """
        if self._variable is None:
            runtime = getattr(sys.modules.get(CONTEXT_MODULE), "_RUNTIME_CONTEXT", None)
            variable = getattr(runtime, "_current_context", None)
            if isinstance(variable, ContextVar):
                self._variable = variable
        return self._variable

    def is_elsewhere(self) -> bool:
        """Whether there may be a context of it: ``False`` is certain, and told at little cost."""
        variable = self.variable()
        if variable is None:
            return CONTEXT_MODULE in sys.modules
        return bool(variable.get(None))

    def current(self) -> Any:
        """The span that is current there; ``None`` where there is no valid one."""
        api = sys.modules.get(_TRACE_MODULE)
        if api is None or not self.is_elsewhere():
            return None
        try:
            span = api.get_current_span()
            if span is self._last[0] or span.get_span_context().is_valid:
                return span
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            # Another thread may be half way through importing it.
            if hasattr(api, "get_current_span"):
                self._on_error(self._room, error)
        return None

    def context_of(self, span: Any) -> SpanContext:
        """Its ids, and whether its trace is kept, in this library's form: a new one."""
        theirs = span.get_span_context()
        kind = SpanContext if theirs.trace_flags.sampled else UnsampledContext
        state = theirs.trace_state
        text = state.to_header() if state else ""
        return kind(theirs.trace_id, theirs.span_id, trace_state=text)

    def innermost(self, own: SpanContext | None, foreign: Any) -> SpanContext | None:
        """Which of the two current spans, this library's and OpenTelemetry's, is the inner one.

        Each of ours knows what was current there when it began: another one that is current now
        began since. One of ours that came from elsewhere is around all that began here.
        """
        if foreign is None:
            return own
        live = None if own is None else own.live
        if live is not None and getattr(live, "foreign", None) is foreign:
            return own
        # Many operations run in one span, and its ids cost more than all else here.
        last = self._last
        if last[0] is not foreign:
            last = self._last = (foreign, self.context_of(foreign))
        return last[1]

    # -- spans of its provider ---------------------------------------------------------------

    def tracer(self) -> Any:
        """A tracer of the provider the program has set; ``None`` where it has set none."""
        if self._tracer is None and self._joins and _TRACE_MODULE in sys.modules:
            api = sys.modules[_TRACE_MODULE]
            try:
                provider = _provider_of(api)
                if provider is not None:
                    self._tracer = provider.get_tracer("metalscope", __version__)
            except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
                if hasattr(api, "get_tracer_provider"):
                    self._on_error(self._room, error)
        return self._tracer

    def start(self, span: LiveSpan, current: Any) -> Any:
        """Start the same span there; ``None`` where no provider is joined, or it makes none.

        ``current`` is the span that is current there.
        """
        tracer = self.tracer()
        if tracer is None:
            return None
        try:
            api = sys.modules[_TRACE_MODULE]
            theirs = tracer.start_span(
                span.name,
                context=_context_for(api, span.parent, current),
                kind=api.SpanKind[span.kind.name],
                attributes=dict(span.attributes),
                start_time=span.start_ns,
            )
            return theirs if theirs.get_span_context().is_valid else None
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            self._on_error(self._room, error)
            return None

    def attach(self, span: Any) -> tuple[Any, Any] | None:
        """Make it the current span there. Returns what is then current, and what was."""
        try:
            contexts = sys.modules[CONTEXT_MODULE]
            before = contexts.get_current()
            attached = sys.modules[_TRACE_MODULE].set_span_in_context(span, before)
            contexts.attach(attached)
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            self._on_error(self._room, error)
            return None
        return attached, before

    def detach(self, attached: tuple[Any, Any]) -> None:
        """Make current what was, if nothing else was made so since."""
        try:
            contexts = sys.modules[CONTEXT_MODULE]
            # Not by a token, which is of no use in another context: where a generator is closed.
            if contexts.get_current() is attached[0]:
                contexts.attach(attached[1])
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            self._on_error(self._room, error)

    def end(self, theirs: Any, span: FinishedSpan) -> None:
        """End a span there with all that is known of it."""
        try:
            if theirs.is_recording():
                api = sys.modules[_TRACE_MODULE]
                theirs.update_name(span.name)
                theirs.set_attributes(_attributes(span))
                for event in span.events:
                    theirs.add_event(event.name, dict(event.attributes), event.time_ns)
                for link in span.links:
                    to = api.SpanContext(link.trace_id, link.span_id, is_remote=True)
                    theirs.add_link(to, dict(link.attributes))
                if span.failed:
                    theirs.set_status(api.Status(api.StatusCode.ERROR, span.error or None))
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            self._on_error(self._room, error)
        try:
            theirs.end(end_time=span.end_ns)
        except Exception as error:  # noqa: BLE001 - a span processor of the program may raise
            self._on_error(self._room, error)


def _provider_of(api: ModuleType) -> Any:
    """The provider that was set; ``None`` where there is the API's stand-in alone."""
    # Where none is set, asking for it would make the one that OTEL_PYTHON_TRACER_PROVIDER names:
    # that is for the program to do, in its time.
    if getattr(api, "_TRACER_PROVIDER", api) is None:
        return None
    provider = api.get_tracer_provider()
    stand_ins = (api.ProxyTracerProvider, api.NoOpTracerProvider)
    return None if isinstance(provider, stand_ins) else provider


def _context_for(api: ModuleType, parent: SpanContext | None, current: Any) -> Any:
    """The context there in which ``parent`` is the current span; ``None`` where it is."""
    if parent is None:
        return None
    if current is not None:
        theirs = current.get_span_context()
        if (theirs.trace_id, theirs.span_id) == (parent.trace_id, parent.span_id):
            return None
    state = parent.trace_state
    context = api.SpanContext(
        parent.trace_id,
        parent.span_id,
        is_remote=parent.live is None,
        trace_flags=api.TraceFlags(api.TraceFlags.SAMPLED if parent.sampled else 0),
        trace_state=api.TraceState.from_header([state]) if state else None,
    )
    return api.set_span_in_context(api.NonRecordingSpan(context))


def _attributes(span: FinishedSpan) -> dict[str, Any]:
    """The span's own and, by OpenTelemetry's names, where it ran."""
    attributes = dict(span.attributes)
    if span.correlation_id is not None:
        attributes[names.CORRELATION_ID] = span.correlation_id
    attributes["thread.id"] = span.thread
    attributes["thread.name"] = span.thread_name
    return attributes
