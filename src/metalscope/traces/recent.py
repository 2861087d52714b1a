"""RecentSpans: the latest spans that were kept in memory, by their traces, for the page."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from metalscope.export_options import Audience
from metalscope.fork import reset_in_child
from metalscope.operation import NS_PER_MS
from metalscope.tail_room import Room, is_small
from metalscope.traces.span import FinishedSpan
from metalscope.traces.summary import TraceSummary, summary_of
from metalscope.traces.tally import Tally

__all__ = ["MOST_OF_ONE", "RecentSpans"]

MOST_OF_ONE: Final = 16_384
"""Characters that are kept of one span."""

_ROOM: Final = "traces"
_SHORT: Final = 512


class Sanitizes(Protocol):
    """What is asked of a :class:`~metalscope.sanitizing.Sanitizer`."""

    def span(self, span: FinishedSpan, audience: Audience) -> FinishedSpan:
        """As ``audience`` may see it."""
        ...


class _Kept:
    """A span, and what it was made into so far."""

    __slots__ = ("is_clean", "outside", "span")

    def __init__(self, span: FinishedSpan) -> None:
        self.span = span
        self.is_clean = False
        self.outside: FinishedSpan | None = None


class _Trace:
    """The spans of a trace, and what was said of them since the last one came."""

    __slots__ = ("spans", "summaries")

    def __init__(self) -> None:
        self.spans: list[_Kept] = []
        self.summaries: dict[Audience, TraceSummary] = {}


class RecentSpans:
    """A sink of spans that keeps the latest, at most :data:`MOST_OF_ONE` characters of each.

    Who finishes a span only appends it. Each tick :meth:`settle` puts what came in its place, and
    has sanitized at once what holds more than short texts and numbers; the rest is when somebody
    looks. Where there are too many, the trace that had nothing new for longest goes whole. One
    trace has at most half of the room, and lets go of its own oldest spans after that.

    A process forked from this one has none, and takes none: where it starts telemetry it has one
    of its own.

    Args:
        limit: most spans; as many may wait for the next tick.
        sanitizer: what no span gets past.
        on_error: told of what goes wrong, as (room, exception).
    """

    def __init__(
        self,
        limit: int,
        sanitizer: Sanitizes,
        *,
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        self.limit: Final = limit
        self._of_one = max(1, limit // 2)
        self._sanitizer = sanitizer
        self._on_error = on_error
        self._begin(limit)
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Have no spans, and take none: in a child, no tick comes that settles them."""
        self._begin(0)

    def _begin(self, room: int) -> None:
        self._room = room
        self._waiting: deque[FinishedSpan] = deque()
        self._passed = Tally()
        self._lock = threading.RLock()
        # By trace; that which had a span last is the last.
        self._traces: OrderedDict[int, _Trace] = OrderedDict()
        self._count = 0
        self._gone = 0

    def take(self, span: FinishedSpan) -> None:
        """Keep a span; never waits."""
        waiting = self._waiting
        waiting.append(span)
        if len(waiting) > self._room:
            self._let_pass(waiting)

    def _let_pass(self, waiting: deque[FinishedSpan]) -> None:
        try:
            waiting.popleft()
        except IndexError:  # settled meanwhile
            return
        self._passed.add()

    def close(self) -> None:
        """Take no more; what is here stays."""
        self.settle()
        self._room = 0

    @property
    def forgotten(self) -> int:
        """How many spans were let go of."""
        return self._gone + self._passed.total()

    def settle(self) -> None:
        """Put what came in its place, unless somebody is doing that."""
        if self._lock.acquire(blocking=False):
            try:
                self._settle()
            finally:
                self._lock.release()

    def traces(
        self,
        *,
        correlation_id: str | None = None,
        name: str = "",
        failed: bool | None = None,
        min_ms: float = 0.0,
        limit: int | None = None,
        audience: Audience = Audience.INTERNAL,
    ) -> tuple[TraceSummary, ...]:
        """The traces that fit, as ``audience`` may see them, the latest begun first.

        Args:
            correlation_id: that one of its spans has.
            name: what the name of one of its spans contains, whether in upper or lower case.
            failed: whether one of its spans did.
            min_ms: shortest duration, in ms.
            limit: most of them.
            audience: they are looked at as it may see them.
        """
        wanted = name.casefold()
        found: list[TraceSummary] = []
        with self._lock:
            self._settle()
            for trace in self._traces.values():
                one = self._summary(trace, audience)
                if one is None or one.duration_ns < min_ms * NS_PER_MS:
                    continue
                if failed is not None and failed != (one.failed > 0):
                    continue
                if correlation_id is not None and all(
                    span.correlation_id != correlation_id for span in self._seen(trace, audience)
                ):
                    continue
                if not wanted or any(
                    wanted in span.name.casefold() for span in self._seen(trace, audience)
                ):
                    found.append(one)
        found.sort(key=lambda one: one.start_ns, reverse=True)
        return tuple(found[:limit])

    def trace(
        self, trace_id: int, audience: Audience = Audience.INTERNAL
    ) -> tuple[FinishedSpan, ...]:
        """The spans of a trace, as ``audience`` may see them, the first begun first; none where it
        is not here."""
        with self._lock:
            self._settle()
            trace = self._traces.get(trace_id)
            spans = [] if trace is None else self._seen(trace, audience)
        # Of those that begin at once the outer one comes first.
        return tuple(sorted(spans, key=lambda span: (span.start_ns, -span.end_ns)))

    def _settle(self) -> None:
        waiting = self._waiting
        for _ in range(len(waiting)):
            try:
                span = waiting.popleft()
            except IndexError:  # let pass meanwhile
                return
            kept = _Kept(span)
            if _is_small(span) or self._clean(kept):
                self._add(span.trace_id, kept)
            else:
                self._gone += 1

    def _add(self, trace_id: int, kept: _Kept) -> None:
        traces = self._traces
        trace = traces.get(trace_id)
        if trace is None:
            trace = traces[trace_id] = _Trace()
        else:
            traces.move_to_end(trace_id)
            trace.summaries.clear()
        trace.spans.append(kept)
        if len(trace.spans) > self._of_one:
            del trace.spans[0]
            self._gone += 1
            return
        self._count += 1
        if self._count > self.limit:
            _, oldest = traces.popitem(last=False)
            self._count -= len(oldest.spans)
            self._gone += len(oldest.spans)

    def _summary(self, trace: _Trace, audience: Audience) -> TraceSummary | None:
        known = trace.summaries.get(audience)
        if known is None:
            spans = self._seen(trace, audience)
            if not spans:
                return None
            known = trace.summaries[audience] = summary_of(spans)
        return known

    def _seen(self, trace: _Trace, audience: Audience) -> list[FinishedSpan]:
        found: list[FinishedSpan] = []
        for kept in trace.spans:
            if not kept.is_clean and not self._clean(kept):
                continue
            if audience == Audience.INTERNAL:
                found.append(kept.span)
                continue
            if kept.outside is None:
                kept.outside = self._sanitizer.span(kept.span, audience)
            found.append(kept.outside)
        return found

    def _clean(self, kept: _Kept) -> bool:
        try:
            kept.span = _bounded(self._sanitizer.span(kept.span, Audience.INTERNAL))
        except Exception as error:  # noqa: BLE001 - law: what was not looked at stays in
            self._on_error(_ROOM, error)
            return False
        kept.is_clean = True
        return True


def _is_small(span: FinishedSpan) -> bool:
    name, error = span.name, span.error
    return (
        type(name) is type(error) is str
        and len(name) <= _SHORT
        and len(error) <= 2 * _SHORT
        and not span.events
        and not span.links
        and is_small(span.attributes)
    )


def _bounded(span: FinishedSpan) -> FinishedSpan:
    room = Room(MOST_OF_ONE)
    return replace(
        span,
        name=room.text(span.name),
        error=room.text(span.error),
        attributes=room.fields(span.attributes),
        events=tuple(
            replace(one, name=room.text(one.name), attributes=room.fields(one.attributes))
            for one in span.events
        ),
        links=(),  # the page shows none
    )
