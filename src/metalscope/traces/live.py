"""LiveSpan: a span of the tracer while it runs, and what it is the current one instead of."""

from __future__ import annotations

from time import perf_counter_ns, time_ns
from typing import Any

from metalscope.correlating import CURRENT_SPAN, SpanContext, current_correlation_id
from metalscope.traces.span import Decision, Span, SpanKind

__all__ = ["LiveSpan"]


class LiveSpan(Span):
    """A span that runs in this process. One that is made is begun by the tracer."""

    __slots__ = (
        "_before", "_before_live", "attached", "began_ns", "correlation_id", "foreign", "joined",
        "parent", "process",
    )  # fmt: skip

    def __init__(self) -> None:
        """Make one that has not begun; see :meth:`start`."""

    def start(  # noqa: PLR0917 - called for each operation: a keyword costs
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: dict[str, Any],
        start_ns: int | None,
    ) -> None:
        """Begin, within ``parent``, now or at a Unix time in ns."""
        self.name = name
        self.context = context
        self.parent = parent
        self.parent_id = 0 if parent is None else parent.span_id
        self.kind = kind
        self.attributes = attributes
        self.events = ()
        self.links = ()
        self.error = ""
        self.failed = False
        self.keep = None
        self.foreign: Any = None
        """The span of OpenTelemetry that was current when it began, or is it itself."""
        self.joined: Any = None
        """The span of the program's own OpenTelemetry provider that this one is."""
        self.attached: tuple[Any, Any] | None = None
        """What was made current at OpenTelemetry for it, and what was before."""
        self.process: object = None
        """Stands for the process it began in."""
        self.correlation_id = current_correlation_id()
        context.live = self
        self.start_ns = time_ns() if start_ns is None else start_ns

    def enter(self) -> None:
        """Be the current span, and start the clock."""
        before = CURRENT_SPAN.get()
        self._before = before
        self._before_live = None if before is None else before.live
        CURRENT_SPAN.set(self.context)
        self.began_ns = perf_counter_ns()

    def leave(self) -> int:
        """Be it no longer, and be over. Returns how long it was, in ns.

        Generators and tasks may end in another order, and elsewhere, than they began. So nothing
        is done where this is not the current span, and a span that is over does not come back.
        """
        duration_ns = perf_counter_ns() - self.began_ns
        before, live = self._before, self._before_live
        while live is not None and live.context.live is None and isinstance(live, LiveSpan):
            before, live = live._before, live._before_live
        # Kept short, so that those that are over are held by nobody.
        self._before, self._before_live = before, live
        context = self.context
        if CURRENT_SPAN.get() is context:
            CURRENT_SPAN.set(before)
        context.live = None
        return duration_ns

    def mark_ancestors(self) -> None:
        """Have all kept that this is within and that are not over."""
        above = None if self.parent is None else self.parent.live
        while above is not None:
            if above.keep is None:
                above.keep = Decision.AROUND
            if not isinstance(above, LiveSpan) or above.parent is None:
                return
            above = above.parent.live
