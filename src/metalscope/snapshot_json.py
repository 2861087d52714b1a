"""The snapshot from its JSON: what ``/api/v1/snapshot`` and recordings hold, and back.

Keys that are not known are passed over and absent ones leave the field's default, so data of an
older and of a newer version under the same :data:`~metalscope.snapshot.SCHEMA_VERSION` can be
read. A reading or component of a kind that this version has no word for is left out. An outcome or
a histogram that cannot be read exactly is refused: counts are exact or they are not there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final, TypeVar

from metalscope.errors import MetalscopeError
from metalscope.export_status import BreakerState, ExporterStatus
from metalscope.histogram_json import DURATION_EDGES, histogram_from_dict
from metalscope.json_values import (
    maybe,
    read_known,
    read_number,
    read_text,
    read_time,
    read_whole,
)
from metalscope.operation import OK, MetalError, OperationKind
from metalscope.snapshot import (
    SCHEMA_VERSION,
    ActivityPoint,
    CustomMetric,
    DeviceInfo,
    Exemplar,
    InternalMetrics,
    MetalTelemetrySnapshot,
    OperationMetrics,
    OutcomeMetrics,
    RecentActivity,
    ResourceKind,
    ResourceMetrics,
    SystemInfo,
    TelemetryEvent,
)
from metalscope.snapshot_json_alerts import alert_from_dict, channel_from_dict
from metalscope.snapshot_json_counters import counters_from_dict
from metalscope.snapshot_json_health import health_from_dict
from metalscope.snapshot_json_logs import notable_from_dict, sink_from_dict

__all__ = ["SnapshotFormatError", "snapshot_from_dict"]

_EXPORTER_COUNTS: Final = (
    "queued", "delivered", "points", "rejected_points", "waiting", "waiting_bytes",
)  # fmt: skip

T = TypeVar("T")
E = TypeVar("E", bound=Enum)
Data = Mapping[str, Any]


class SnapshotFormatError(MetalscopeError, ValueError):
    """The data is no snapshot, or none that this version can read exactly; the text says why."""


def snapshot_from_dict(data: Data) -> MetalTelemetrySnapshot:
    """The snapshot whose ``to_dict()`` is ``data``, equal in every part.

    Args:
        data: what ``MetalTelemetrySnapshot.to_dict()`` gave, or ``json.loads`` of its JSON; times
            are exact to the microsecond.

    Raises:
        SnapshotFormatError: the data is of another schema version, its histograms have other
            edges, or a part is not what it should be.
    """
    if not isinstance(data, Mapping):
        raise SnapshotFormatError("a snapshot is a JSON object")
    version = data.get("schema_version")
    if version != SCHEMA_VERSION:
        raise SnapshotFormatError(
            f"the snapshot has schema version {version!r}; this metalscope reads {SCHEMA_VERSION}"
        )
    edges = data.get("duration_edges")
    if edges != DURATION_EDGES and data.get("operations"):
        made = f"has durations in cells {edges!r}" if edges else "does not name its duration cells"
        raise SnapshotFormatError(
            f"the snapshot {made}; this metalscope reads {DURATION_EDGES!r}: use the version of "
            "metalscope that wrote it"
        )
    return MetalTelemetrySnapshot(
        timestamp=_part("timestamp", read_time, data.get("timestamp")),
        started_at=_part("started_at", read_time, data.get("started_at")),
        operations=_parts(data, "operations", _operation),
        resources=_parts(data, "resources", _resource),
        health=_part("health", health_from_dict, data.get("health") or {}),
        alerts=_parts(data, "alerts", alert_from_dict),
        recent=_part("recent", _recent, data.get("recent") or {}),
        custom=_parts(data, "custom", _custom),
        events=_parts(data, "events", _event),
        notable=_parts(data, "notable", notable_from_dict),
        system=_part("system", _system, data["system"]) if data.get("system") else None,
        internals=_part("internals", _internals, data.get("internals") or {}),
        retired_operations=_part(
            "retired_operations", read_whole, data.get("retired_operations", 0)
        ),
        retired_errors=_part("retired_errors", read_whole, data.get("retired_errors", 0)),
        counters=_part("counters", counters_from_dict, data.get("counters")),
    )


def _part(name: str, read: Callable[[Any], T], value: Any) -> T:
    try:
        return read(value)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        why = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise SnapshotFormatError(f"{name}: {why}") from error


def _parts(data: Data, name: str, read: Callable[[Any], T | None]) -> tuple[T, ...]:
    items = data.get(name) or ()
    if not isinstance(items, list | tuple):
        raise SnapshotFormatError(f"{name}: must be a list")
    found = (_part(f"{name}[{at}]", read, item) for at, item in enumerate(items))
    return tuple(one for one in found if one is not None)


def _operation(data: Data) -> OperationMetrics:
    updated = data.get("last_updated")
    return OperationMetrics(
        OperationKind(data["kind"]),
        read_text(data["name"]),
        read_text(data["device"]),
        tuple(_outcome(outcome) for outcome in data["outcomes"]),
        maybe(read_time, updated),
    )


def _outcome(data: Data) -> OutcomeMetrics:
    outcome = data["outcome"]
    return OutcomeMetrics(
        OK if outcome == OK else MetalError(outcome),
        histogram_from_dict(data["durations"]),
        nbytes=read_whole(data.get("nbytes", 0)),
        gpu_ns=read_whole(data.get("gpu_ns", 0)),
        gpu_count=read_whole(data.get("gpu_count", 0)),
        untimed=read_whole(data.get("untimed", 0)),
        exemplars=tuple(map(_exemplar, data.get("exemplars", ()))),
    )


def _exemplar(data: Data) -> Exemplar:
    return Exemplar(
        read_number(data["value_ms"]),
        read_time(data["timestamp"]),
        read_text(data["trace_id"]),
        read_text(data["span_id"]),
        maybe(read_text, data.get("correlation_id")),
    )


def _resource(data: Data) -> ResourceMetrics | None:
    kind = read_known(ResourceKind, data["kind"])
    if kind is None:
        return None
    return ResourceMetrics(
        kind,
        read_text(data["name"]),
        read_text(data["device"]),
        read_number(data["current"]),
        maybe(read_number, data.get("peak")),
        maybe(read_number, data.get("limit")),
    )


def _recent(data: Data) -> RecentActivity:
    return RecentActivity(
        read_number(data.get("seconds", 0.0)),
        read_whole(data.get("operations", 0)),
        {MetalError(error): read_whole(count) for error, count in data.get("errors", {}).items()},
        tuple(
            ActivityPoint(
                datetime.fromtimestamp(at, UTC),
                read_number(operations),
                read_number(errors),
                maybe(read_number, mean),
            )
            for at, operations, errors, mean in data.get("points", ())
        ),
    )


def _custom(data: Data) -> CustomMetric:
    kind = data["kind"]
    if kind not in {"counter", "gauge", "histogram"}:
        raise ValueError(f"{kind!r} is no kind of custom metric")
    return CustomMetric(
        read_text(data["name"]),
        kind,
        _pairs(data["labels"]),
        read_number(data["value"]),
        read_whole(data.get("count", 0)),
        tuple((read_number(bound), read_whole(count)) for bound, count in data.get("buckets", ())),
    )


def _event(data: Data) -> TelemetryEvent:
    return TelemetryEvent(
        read_whole(data["sequence"]),
        read_time(data["timestamp"]),
        read_text(data["name"]),
        dict(data.get("properties", {})),
        maybe(read_text, data.get("correlation_id")),
        maybe(read_text, data.get("trace_id")),
    )


def _system(data: Data) -> SystemInfo:
    return SystemInfo(
        host=read_text(data["host"]),
        pid=read_whole(data["pid"]),
        os=read_text(data["os"]),
        os_version=read_text(data["os_version"]),
        architecture=read_text(data["architecture"]),
        processors=maybe(read_whole, data.get("processors")),
        python=read_text(data["python"]),
        metalscope=read_text(data["metalscope"]),
        memory_total_bytes=maybe(read_whole, data.get("memory_total_bytes")),
        memory_available_bytes=maybe(read_whole, data.get("memory_available_bytes")),
        devices=tuple(_device(device) for device in data.get("devices", ())),
        resource=tuple(data.get("resource", {}).items()),
    )


def _device(data: Data) -> DeviceInfo:
    unified = data.get("unified_memory")
    return DeviceInfo(
        name=read_text(data["name"]),
        backend=read_text(data["backend"]),
        memory_bytes=maybe(read_whole, data.get("memory_bytes")),
        recommended_working_set_bytes=maybe(read_whole, data.get("recommended_working_set_bytes")),
        max_buffer_bytes=maybe(read_whole, data.get("max_buffer_bytes")),
        max_threads_per_threadgroup=maybe(read_whole, data.get("max_threads_per_threadgroup")),
        unified_memory=None if unified is None else bool(unified),
        properties=_pairs(data.get("properties", {})),
    )


def _internals(data: Data) -> InternalMetrics:
    return InternalMetrics(
        _counts(data.get("errors", {})),
        read_whole(data.get("overflowed", 0)),
        _counts(data.get("dropped", {})),
        tuple(map(_exporter, data.get("exporters", ()))),
        tuple(map(channel_from_dict, data.get("channels", ()))),
        tuple(map(sink_from_dict, data.get("sinks", ()))),
        _counts(data.get("log_records", {})),
        _counts(data.get("spans", {})),
    )


def _exporter(data: Data) -> ExporterStatus:
    success = data.get("last_success")
    return ExporterStatus(
        name=read_text(data["name"]),
        type=read_text(data.get("type", "")),
        state=BreakerState(data.get("state", BreakerState.CLOSED)),
        failures=_counts(data.get("failures", {})),
        dropped=_counts(data.get("dropped", {})),
        seconds=read_number(data.get("seconds", 0.0)),
        last_success=maybe(read_time, success),
        last_error=read_text(data.get("last_error", "")),
        **{count: read_whole(data.get(count, 0)) for count in _EXPORTER_COUNTS},
    )


def _counts(data: Data) -> dict[str, int]:
    return {read_text(what): read_whole(count) for what, count in data.items()}


def _pairs(data: Data) -> tuple[tuple[str, str], ...]:
    return tuple((read_text(name), read_text(value)) for name, value in data.items())
