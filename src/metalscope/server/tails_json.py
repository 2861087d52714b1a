"""Log records and traces as the API gives them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from metalscope.moments import moment, rfc3339
from metalscope.operation import NS_PER_MS
from metalscope.tail_room import MORE

if TYPE_CHECKING:
    from metalscope.logs.record import LogRecord
    from metalscope.traces.span import FinishedSpan
    from metalscope.traces.summary import TraceSummary

__all__ = ["record_dict", "trace_dict", "trace_summary_dict"]

MOST_VALUES: Final = 50_000
"""Attributes of all spans of one answer; those of the spans after that are left out."""

EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
LATEST: Final = datetime.max.replace(tzinfo=UTC)

_LEFT_OUT: Final = {MORE: MORE}


def record_dict(number: int, record: LogRecord) -> dict[str, Any]:
    """A record of the tail and its number."""
    error = record.exception
    return {
        "sequence": number,
        "timestamp": _time(record.timestamp_ns),
        "severity": record.severity.text,
        "body": record.body,
        "event": record.event,
        "logger": record.logger,
        "attributes": dict(record.attributes),
        "correlation_id": record.correlation_id,
        "trace_id": record.trace_id,
        "span_id": record.span_id,
        "exception": None
        if error is None
        else {"type": error.type, "message": error.message, "stacktrace": error.stacktrace},
        "thread": record.thread,
    }


def trace_summary_dict(one: TraceSummary) -> dict[str, Any]:
    """A trace in a list of traces."""
    return {
        "trace_id": f"{one.trace_id:032x}",
        "name": one.name,
        "start": _time(one.start_ns),
        "duration_ms": one.duration_ns / NS_PER_MS,
        "spans": one.spans,
        "failed": one.failed,
        "correlation_id": one.correlation_id,
        "decision": one.decision.value,
    }


def trace_dict(spans: Sequence[FinishedSpan]) -> dict[str, Any]:
    """A trace with all its spans, of which there is one at least."""
    start_ns = min(span.start_ns for span in spans)
    told: list[dict[str, Any]] = []
    left = MOST_VALUES
    for span in spans:
        left -= len(span.attributes) + sum(1 + len(one.attributes) for one in span.events)
        told.append(_span_dict(span, start_ns, whole=left >= 0))
    return {"trace_id": f"{spans[0].trace_id:032x}", "spans": told, "start": _time(start_ns)}


def _span_dict(span: FinishedSpan, start_ns: int, *, whole: bool) -> dict[str, Any]:
    return {
        "span_id": f"{span.span_id:016x}",
        "parent_id": f"{span.parent_id:016x}" if span.parent_id else None,
        "name": span.name,
        "kind": span.kind.value,
        "start_ms": (span.start_ns - start_ns) / NS_PER_MS,
        "duration_ms": span.duration_ns / NS_PER_MS,
        "error": span.error,
        "failed": span.failed,
        "attributes": dict(span.attributes) if whole else _LEFT_OUT,
        "events": [
            {
                "name": one.name,
                "at_ms": (one.time_ns - start_ns) / NS_PER_MS,
                "attributes": dict(one.attributes),
            }
            for one in (span.events if whole else ())
        ],
        "correlation_id": span.correlation_id,
        "thread_name": span.thread_name,
        "decision": span.decision.value,
    }


def _time(ns: int) -> str:
    try:
        return rfc3339(moment(ns // 1000))
    except OverflowError:  # a record's time is what the program says it is
        return rfc3339(LATEST if ns > 0 else EARLIEST)
