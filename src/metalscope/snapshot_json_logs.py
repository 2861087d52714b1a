"""Notable operations and the state of sinks from their JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metalscope.export_status import BreakerState
from metalscope.json_values import (
    maybe,
    read_known,
    read_number,
    read_text,
    read_time,
    read_whole,
)
from metalscope.notable import NotableOperation
from metalscope.operation import OK, OperationKind
from metalscope.sink_status import Signal, SinkStatus

__all__ = ["notable_from_dict", "sink_from_dict"]

Data = Mapping[str, Any]


def notable_from_dict(data: Data) -> NotableOperation:
    """What ``NotableOperation.to_dict()`` was made of.

    Raises:
        ValueError, TypeError, KeyError: it is no such data.
    """
    return NotableOperation(
        timestamp=read_time(data["timestamp"]),
        kind=OperationKind(data["kind"]),
        name=read_text(data["name"]),
        device=read_text(data.get("device", "")),
        outcome=read_text(data.get("outcome", OK)),
        duration_ms=maybe(read_number, data.get("duration_ms")),
        gpu_ms=maybe(read_number, data.get("gpu_ms")),
        nbytes=read_whole(data.get("nbytes", 0)),
        correlation_id=maybe(read_text, data.get("correlation_id")),
        trace_id=maybe(read_text, data.get("trace_id")),
        span_id=maybe(read_text, data.get("span_id")),
    )


def sink_from_dict(data: Data) -> SinkStatus:
    """What ``SinkStatus.to_dict()`` was made of.

    Raises:
        ValueError, TypeError, KeyError: it is no such data.
    """
    signal: Signal = "traces" if data.get("signal") == "traces" else "logs"
    return SinkStatus(
        name=read_text(data["name"]),
        type=read_text(data.get("type", "")),
        signal=signal,
        state=read_known(BreakerState, data.get("state")) or BreakerState.CLOSED,
        delivered=read_whole(data.get("delivered", 0)),
        failures=_counts(data, "failures"),
        dropped=_counts(data, "dropped"),
        waiting=read_whole(data.get("waiting", 0)),
        waiting_bytes=read_whole(data.get("waiting_bytes", 0)),
        last_success=maybe(read_time, data.get("last_success")),
        last_error=read_text(data.get("last_error", "")),
    )


def _counts(data: Data, name: str) -> dict[str, int]:
    return {read_text(key): read_whole(count) for key, count in (data.get(name) or {}).items()}
