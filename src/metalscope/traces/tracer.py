"""Tracer: begins spans, decides which are kept, and hands those on."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from metalscope.correlating import CURRENT_SPAN, SpanContext, UnsampledContext
from metalscope.fork import reset_in_child
from metalscope.operation import NS_PER_MS
from metalscope.traces.block import SpanBlock
from metalscope.traces.joining import CONTEXT_MODULE, TRACES, Neighbour
from metalscope.traces.live import LiveSpan
from metalscope.traces.sampling import NEVER, HeadSampler, RandomSource
from metalscope.traces.span import Decision, FinishedSpan, SpanKind
from metalscope.traces.tally import Tally

if TYPE_CHECKING:
    from metalscope.trace_options import TracesOptions

__all__ = ["MOST_ERROR_CHARACTERS", "SpanSink", "Tracer"]

MOST_ERROR_CHARACTERS: Final = 1024
"""A longer text of what went wrong is cut."""


class _Here(threading.local):
    """The thread this is asked on. Its name is that of the first time: asking anew costs."""

    def __init__(self) -> None:
        thread = threading.current_thread()
        self.number, self.name = threading.get_ident(), thread.name


_HERE: Final = _Here()


class SpanSink(Protocol):
    """Where finished spans go."""

    def take(self, span: FinishedSpan) -> None:
        """Take one; called by any thread, and never blocks."""
        ...


class Tracer:
    """Makes spans. Nothing it does raises: what goes wrong is counted in the room ``traces``.

    Args:
        options: which spans are kept, and whether the program's provider is joined.
        on_error: told of what goes wrong, as (room, exception).
        sinks: where spans go that the program's own provider does not have.
        always: where all that are kept go, whoever else has them.
        sanitized: what is to be kept secret taken out, for the program's own provider.
        source: where random numbers come from.
    """

    def __init__(
        self,
        options: TracesOptions,
        *,
        on_error: Callable[[str, BaseException], None],
        sinks: Sequence[SpanSink] = (),
        always: Sequence[SpanSink] = (),
        sanitized: Callable[[FinishedSpan], FinishedSpan] | None = None,
        source: RandomSource | None = None,
    ) -> None:
        self._on_error = on_error
        self.hand_to(sinks, always=always, sanitized=sanitized)
        self.sampler = HeadSampler(options.sample_ratio, source)
        self.neighbour = Neighbour(on_error, joins=options.join_provider)
        slow_ns = round(options.slow_threshold_ms * NS_PER_MS)
        self.threshold_ns = slow_ns if options.keep_slow else NEVER
        """What takes longer, in ns, is kept as slow."""
        self.keeps_failed = options.keep_failed
        self.start_at_zero()
        reset_in_child(self)

    def hand_to(
        self,
        sinks: Sequence[SpanSink],
        *,
        always: Sequence[SpanSink] = (),
        sanitized: Callable[[FinishedSpan], FinishedSpan] | None = None,
    ) -> None:
        """Hand spans to these from now on; the arguments are those of the class."""
        self._sanitized = sanitized
        self._always = tuple(sink.take for sink in always)
        self._all = (*self._always, *(sink.take for sink in sinks))

    def start_at_zero(self) -> None:
        """Forget what was counted. What began before is not handed on: the parent does that."""
        self._process = object()
        self._tallies = {decision: Tally() for decision in Decision}
        self._failures = Tally()

    @property
    def counts(self) -> Mapping[str, int]:
        """How many spans were kept, by the :class:`Decision` that kept them."""
        return {decision.value: tally.total() for decision, tally in self._tallies.items()}

    @property
    def dropped(self) -> int:
        """How many a sink failed to take."""
        return self._failures.total()

    def span(
        self,
        name: str,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None,
        parent: SpanContext | None = None,
    ) -> SpanBlock:
        """A span around a block: ``with tracer.span("request") as span: ...``; also async with.

        Args:
            name: what it is; one of few, without ids.
            kind: its place between processes.
            attributes: what is known of it: texts, numbers, truth values, or lists of one of these.
            parent: what it is within; the span that is current where none is given.
        """
        return SpanBlock(self, name, kind, attributes, parent)

    def innermost(self) -> SpanContext | None:
        """The span that what runs now is in, of this library or of OpenTelemetry."""
        return self.neighbour.innermost(CURRENT_SPAN.get(), self.neighbour.current())

    def begin(  # noqa: PLR0917 - called for each operation: a keyword costs
        self,
        span: LiveSpan,
        name: str,
        attributes: dict[str, Any],
        parent: SpanContext | None = None,
        chosen: bool | None = None,
        start_ns: int | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> None:
        """Begin a span; :meth:`finish` ends it.

        Args:
            span: which.
            name: what it is.
            attributes: what is known of it.
            parent: what it is within; the innermost current span where none is given and
                ``chosen`` does not say that there is none.
            chosen: whether the trace that it begins, if it has no parent, is to be kept; where it
                is ``None``, the trace's new id decides.
            start_ns: when it began, a Unix time in ns; now where none is given.
            kind: its place between processes.
        """
        beside = CONTEXT_MODULE in sys.modules
        foreign = self.neighbour.current() if beside else None
        if parent is None and chosen is None:
            parent = CURRENT_SPAN.get()
            if beside:
                parent = self.neighbour.innermost(parent, foreign)
        if parent is None:
            context = self._new_trace(chosen=chosen)
        else:
            child = SpanContext if parent.sampled else UnsampledContext
            context = child(parent.trace_id, self.sampler.new_span_id())
            context.trace_state = parent.trace_state
        span.start(name, context, parent, kind, attributes, start_ns)
        span.process = self._process
        if beside:
            self._join(span, foreign)

    def enter(self, span: LiveSpan) -> None:
        """Make it the current span, and start its clock."""
        if span.joined is not None:
            span.attached = self.neighbour.attach(span.joined)
        span.enter()

    def leave(self, span: LiveSpan) -> int:
        """Make current what was before. Returns how long the span took, in ns."""
        duration_ns = span.leave()
        if span.attached is not None:
            self.neighbour.detach(span.attached)
            span.attached = None
        return duration_ns

    def finish(self, span: LiveSpan, duration_ns: int, *, decision: Decision | None = None) -> None:
        """End a span and hand it on, if it is kept; ``decision`` where that is decided already."""
        context = span.context
        context.live = None
        if decision is None and context.sampled:
            decision = Decision.SAMPLED
        elif decision is None:
            decision = self.decide(context, duration_ns, failed=span.failed) or span.keep
        joined = span.joined
        if (decision is None and joined is None) or span.process is not self._process:
            return
        here, start_ns, error = _HERE, span.start_ns, span.error
        finished = FinishedSpan(
            context.trace_id, context.span_id, span.parent_id, span.name, start_ns,
            start_ns + duration_ns, span.kind, span.attributes,
            error[:MOST_ERROR_CHARACTERS] if error else "", span.failed, span.events, span.links,
            context.trace_state, decision or Decision.SAMPLED, span.correlation_id,
            here.number, here.name,
        )  # fmt: skip
        if joined is not None:
            told = finished if self._sanitized is None else self._sanitized(finished)
            self.neighbour.end(joined, told)
        if decision is None:
            return
        if decision is not Decision.SAMPLED:
            span.mark_ancestors()
        self._tallies[decision].add()
        # The provider has what it samples.
        sinks = self._all if joined is None or not context.sampled else self._always
        for take in sinks:
            try:
                take(finished)
            except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
                self._failures.add()
                self.report(error)

    def decide(
        self, context: SpanContext, duration_ns: int | None, *, failed: bool
    ) -> Decision | None:
        """Why a span that took so long is kept on its own account; ``None``: it is not."""
        if context.sampled:
            return Decision.SAMPLED
        if failed and self.keeps_failed:
            return Decision.FAILED
        if duration_ns is not None and duration_ns > self.threshold_ns:
            return Decision.SLOW
        return None

    def report(self, error: BaseException) -> None:
        """Tell of what went wrong."""
        self._on_error(TRACES, error)

    def _join(self, span: LiveSpan, foreign: Any) -> None:
        """Begin the span at the program's own provider too, whose ids it has then."""
        span.foreign = foreign
        joined = self.neighbour.start(span, foreign)
        if joined is not None:
            span.foreign = span.joined = joined
            span.context = self.neighbour.context_of(joined)
            span.context.live = span

    def _new_trace(self, *, chosen: bool | None) -> SpanContext:
        sampler = self.sampler
        if chosen is None:
            trace_id, span_id = sampler.new_ids()
            chosen = sampler.keeps(trace_id)
        else:
            trace_id, span_id = sampler.kept_ids() if chosen else sampler.left_ids()
        return SpanContext(trace_id, span_id) if chosen else UnsampledContext(trace_id, span_id)
