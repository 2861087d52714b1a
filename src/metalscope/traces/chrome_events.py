"""Spans as events of the Trace Event Format, one JSON object a line."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from metalscope.traces.chrome_rows import Lying, Row, Rows
from metalscope.traces.span import Decision, FinishedSpan, SpanKind

__all__ = ["TraceEvents"]

_CATEGORY: Final = "metalscope"
_FAILED: Final = "terrible"
"""Red, by the reserved names of colours that the format's first viewer has."""
_SLOW: Final = "bad"

_TICK_NS: Final = 125
"""Times are rounded down to an eighth of a µs, which binary fractions hold exactly.

Else a viewer's rounding could have a child end after its parent, and crossing spans are not shown.
"""
_SLACK: Final = 160
"""In such eighths, 20 µs: so far a span may be drawn from where it was.

When a span began is read on another clock than how long it took, so a span that lies within another
may seem to end some µs after it.
"""
_BEFORE_NS: Final = 3600 * 10**9
"""Times count from so long before the first span, lest one that is written later, and began
earlier, has a negative one. Viewers show the time since the first event."""
_DEEPEST: Final = 16


_Key = tuple[int, int]
"""The ids of a trace and a span."""


class TraceEvents:
    """Makes the events of one process.

    Args:
        pid: the process.
        process: its name.
        first_ns: when the first of its spans began, Unix time in ns.
    """

    def __init__(self, pid: int, process: str, first_ns: int) -> None:
        self._pid = pid
        self._process = process
        self._origin_ns = first_ns - _BEFORE_NS
        self._rows = Rows(slack=_SLACK)
        self._drawn: dict[_Key, tuple[int, int]] = {}
        self._latest = 0

    def header(self) -> Iterator[str]:
        """What comes before all others."""
        yield self._metadata("process_name", 0, {"name": self._process})

    def plan(self, spans: Sequence[FinishedSpan]) -> list[FinishedSpan]:
        """Find rows for what is written next.

        Returns:
            The spans in the order in which :meth:`of` has to be given them, the inner ones first.
        """
        self._drawn = self._around_children(spans)
        self._rows.plan(map(self._lying, spans))
        return sorted(spans, key=lambda span: (self._lying(span).end, -self._lying(span).start))

    def place(self, span: FinishedSpan) -> tuple[int, int]:
        """By which events are sorted, so that of two that begin at once the outer one is first."""
        lying = self._lying(span)
        return lying.start, -lying.end

    def of(self, span: FinishedSpan) -> Iterator[str]:
        """The events of a span: names of a new row, the span, and what happened within it."""
        lying = self._lying(span)
        start, end = lying.start, lying.end
        self._latest = max(self._latest, end)
        row = self._rows.find(lying)
        if row is None:
            yield from self._apart(span, start, end)
            return
        if row.is_new:
            yield from self._named(span, row)
        yield self._event(
            "X", span, row.number, ts=row.start / 8, dur=(row.end - row.start) / 8,
            args=_args(span),
        )  # fmt: skip
        for one in span.events:
            moment = min(max(self._ticks(one.time_ns), row.start), row.end)
            yield _json(
                {
                    "ph": "i", "s": "t", "name": one.name, "cat": _CATEGORY, "ts": moment / 8,
                    "pid": self._pid, "tid": row.number, "args": _plain(one.attributes),
                }
            )  # fmt: skip

    def left_out(self, counts: Mapping[str, int]) -> str:
        """What is said at the end of spans that are not there, by reason."""
        return _json(
            {
                "ph": "i", "s": "g", "cat": _CATEGORY, "ts": self._latest / 8, "tid": 0,
                "pid": self._pid, "name": f"{sum(counts.values())} spans are left out",
                "args": dict(counts),
            }
        )  # fmt: skip

    def _lying(self, span: FinishedSpan) -> Lying:
        start, end = self._drawn.get(_key(span)) or self._measured(span)
        return Lying((span.thread, span.thread_name), span.trace_id, start, end)

    def _measured(self, span: FinishedSpan) -> tuple[int, int]:
        start = self._ticks(span.start_ns)
        return start, max(start, self._ticks(span.end_ns))

    def _around_children(self, spans: Sequence[FinishedSpan]) -> dict[_Key, tuple[int, int]]:
        """Where spans are drawn that seem to begin or end a little within one of their children."""
        by_key = {_key(span): span for span in spans}
        drawn: dict[_Key, tuple[int, int]] = {}
        # They come in the order in which they ended: children before their parents.
        for child in spans:
            parent = by_key.get((child.trace_id, child.parent_id))
            if parent is None or parent.thread != child.thread:
                continue
            start, end = self._measured(parent)
            its_start, its_end = drawn.get(_key(child)) or self._measured(child)
            now_start, now_end = drawn.get(_key(parent), (start, end))
            if start - its_start <= _SLACK:
                now_start = min(now_start, its_start)
            if its_end - end <= _SLACK:
                now_end = max(now_end, its_end)
            if (now_start, now_end) != (start, end):
                drawn[_key(parent)] = now_start, now_end
        return drawn

    def _apart(self, span: FinishedSpan, start: int, end: int) -> Iterator[str]:
        """As an asynchronous event, which belongs to no thread's stack."""
        identity = f"0x{span.span_id:016x}"
        yield self._event("b", span, 0, ts=start / 8, id=identity, args=_args(span))
        yield self._event("e", span, 0, ts=end / 8, id=identity)

    def _named(self, span: FinishedSpan, row: Row) -> Iterator[str]:
        name = span.thread_name or f"thread {span.thread}"
        if row.place:
            name += f" ({row.place + 1})"
        yield self._metadata("thread_name", row.number, {"name": name})
        yield self._metadata("thread_sort_index", row.number, {"sort_index": row.number})

    def _event(self, phase: str, span: FinishedSpan, row: int, **more: Any) -> str:
        slow = span.decision is Decision.SLOW
        marks = [_CATEGORY, *(["failed"] if span.failed else []), *(["slow"] if slow else [])]
        event = {"ph": phase, "name": span.name, "cat": ",".join(marks), "pid": self._pid}
        event |= {"tid": row, **more}
        if span.failed or slow:
            event["cname"] = _FAILED if span.failed else _SLOW
        return _json(event)

    def _metadata(self, name: str, row: int, args: Mapping[str, Any]) -> str:
        return _json({"ph": "M", "name": name, "pid": self._pid, "tid": row, "args": args})

    def _ticks(self, moment_ns: int) -> int:
        return max(0, (moment_ns - self._origin_ns) // _TICK_NS)


def _key(span: FinishedSpan) -> _Key:
    return span.trace_id, span.span_id


def _args(span: FinishedSpan) -> dict[str, Any]:
    args: dict[str, Any] = _plain(span.attributes)
    # Numbers of more than 53 bits are text, as viewers read numbers into doubles.
    args |= {
        "trace_id": f"{span.trace_id:032x}",
        "span_id": f"{span.span_id:016x}",
        "start_unix_ns": str(span.start_ns),
        "duration_ns": span.duration_ns,
    }
    if span.parent_id:
        args["parent_id"] = f"{span.parent_id:016x}"
    if span.correlation_id is not None:
        args["correlation_id"] = span.correlation_id
    if span.kind is not SpanKind.INTERNAL:
        args["kind"] = span.kind.value
    if span.decision is not Decision.SAMPLED:
        args["kept_for"] = span.decision.value
    if span.failed:
        args["error"] = span.error
    if span.links:
        args["links"] = [f"{one.trace_id:032x}-{one.span_id:016x}" for one in span.links]
    return args


def _plain(value: Any, depth: int = 0) -> Any:
    """As JSON has it; what JSON has no word for, as text."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth < _DEEPEST and isinstance(value, Mapping):
        return {str(key): _plain(one, depth + 1) for key, one in value.items()}
    if depth < _DEEPEST and isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(one, depth + 1) for one in value]
    return str(value)


# Not in ASCII: Perfetto shows escapes as they are.
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def _json(event: Mapping[str, Any]) -> str:
    text = _ENCODER.encode(event)
    # A lone surrogate, which is no character, becomes `?`.
    return text.encode("utf-8", "replace").decode()
