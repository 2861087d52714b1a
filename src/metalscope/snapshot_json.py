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
from metalscope.operation import OK, Component, MetalError, OperationKind
from metalscope.snapshot import (
    SCHEMA_VERSION,
    ActivityPoint,
    ComponentHealth,
    CustomMetric,
    DeviceInfo,
    Exemplar,
    HealthReport,
    HealthStatus,
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
from metalscope.snapshot_json_counters import counters_from_dict

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
        timestamp=_part("timestamp", _time, data.get("timestamp")),
        started_at=_part("started_at", _time, data.get("started_at")),
        operations=_parts(data, "operations", _operation),
        resources=_parts(data, "resources", _resource),
        health=_part("health", _health, data.get("health") or {}),
        recent=_part("recent", _recent, data.get("recent") or {}),
        custom=_parts(data, "custom", _custom),
        events=_parts(data, "events", _event),
        system=_part("system", _system, data["system"]) if data.get("system") else None,
        internals=_part("internals", _internals, data.get("internals") or {}),
        retired_operations=_part("retired_operations", _whole, data.get("retired_operations", 0)),
        retired_errors=_part("retired_errors", _whole, data.get("retired_errors", 0)),
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
        _text(data["name"]),
        _text(data["device"]),
        tuple(_outcome(outcome) for outcome in data["outcomes"]),
        None if updated is None else _time(updated),
    )


def _outcome(data: Data) -> OutcomeMetrics:
    outcome = data["outcome"]
    return OutcomeMetrics(
        OK if outcome == OK else MetalError(outcome),
        histogram_from_dict(data["durations"]),
        nbytes=_whole(data.get("nbytes", 0)),
        gpu_ns=_whole(data.get("gpu_ns", 0)),
        gpu_count=_whole(data.get("gpu_count", 0)),
        untimed=_whole(data.get("untimed", 0)),
        exemplars=tuple(map(_exemplar, data.get("exemplars", ()))),
    )


def _exemplar(data: Data) -> Exemplar:
    return Exemplar(
        _number(data["value_ms"]),
        _time(data["timestamp"]),
        _text(data["trace_id"]),
        _text(data["span_id"]),
    )


def _resource(data: Data) -> ResourceMetrics | None:
    kind = _known(ResourceKind, data["kind"])
    if kind is None:
        return None
    return ResourceMetrics(
        kind,
        _text(data["name"]),
        _text(data["device"]),
        _number(data["current"]),
        _maybe_number(data.get("peak")),
        _maybe_number(data.get("limit")),
    )


def _health(data: Data) -> HealthReport:
    components = (
        ComponentHealth(
            component,
            _known(HealthStatus, one["status"]) or HealthStatus.UNKNOWN,
            tuple(map(_text, one.get("reasons", ()))),
        )
        for one in data.get("components", ())
        if (component := _known(Component, one["component"])) is not None
    )
    status = _known(HealthStatus, data.get("status")) or HealthStatus.UNKNOWN
    return HealthReport(status, tuple(components))


def _recent(data: Data) -> RecentActivity:
    return RecentActivity(
        _number(data.get("seconds", 0.0)),
        _whole(data.get("operations", 0)),
        {MetalError(error): _whole(count) for error, count in data.get("errors", {}).items()},
        tuple(
            ActivityPoint(
                datetime.fromtimestamp(at, UTC),
                _number(operations),
                _number(errors),
                None if mean is None else _number(mean),
            )
            for at, operations, errors, mean in data.get("points", ())
        ),
    )


def _custom(data: Data) -> CustomMetric:
    kind = data["kind"]
    if kind not in {"counter", "gauge", "histogram"}:
        raise ValueError(f"{kind!r} is no kind of custom metric")
    return CustomMetric(
        _text(data["name"]),
        kind,
        _pairs(data["labels"]),
        _number(data["value"]),
        _whole(data.get("count", 0)),
        tuple((_number(bound), _whole(count)) for bound, count in data.get("buckets", ())),
    )


def _event(data: Data) -> TelemetryEvent:
    return TelemetryEvent(
        _whole(data["sequence"]),
        _time(data["timestamp"]),
        _text(data["name"]),
        dict(data.get("properties", {})),
    )


def _system(data: Data) -> SystemInfo:
    return SystemInfo(
        host=_text(data["host"]),
        pid=_whole(data["pid"]),
        os=_text(data["os"]),
        os_version=_text(data["os_version"]),
        architecture=_text(data["architecture"]),
        processors=_maybe_whole(data.get("processors")),
        python=_text(data["python"]),
        metalscope=_text(data["metalscope"]),
        memory_total_bytes=_maybe_whole(data.get("memory_total_bytes")),
        memory_available_bytes=_maybe_whole(data.get("memory_available_bytes")),
        devices=tuple(_device(device) for device in data.get("devices", ())),
        resource=tuple(data.get("resource", {}).items()),
    )


def _device(data: Data) -> DeviceInfo:
    unified = data.get("unified_memory")
    return DeviceInfo(
        name=_text(data["name"]),
        backend=_text(data["backend"]),
        memory_bytes=_maybe_whole(data.get("memory_bytes")),
        recommended_working_set_bytes=_maybe_whole(data.get("recommended_working_set_bytes")),
        max_buffer_bytes=_maybe_whole(data.get("max_buffer_bytes")),
        max_threads_per_threadgroup=_maybe_whole(data.get("max_threads_per_threadgroup")),
        unified_memory=None if unified is None else bool(unified),
        properties=_pairs(data.get("properties", {})),
    )


def _internals(data: Data) -> InternalMetrics:
    return InternalMetrics(
        {_text(room): _whole(count) for room, count in data.get("errors", {}).items()},
        _whole(data.get("overflowed", 0)),
        {_text(queue): _whole(count) for queue, count in data.get("dropped", {}).items()},
        tuple(map(_exporter, data.get("exporters", ()))),
    )


def _exporter(data: Data) -> ExporterStatus:
    success = data.get("last_success")
    return ExporterStatus(
        name=_text(data["name"]),
        type=_text(data.get("type", "")),
        state=BreakerState(data.get("state", BreakerState.CLOSED)),
        failures={_text(why): _whole(count) for why, count in data.get("failures", {}).items()},
        dropped={_text(why): _whole(count) for why, count in data.get("dropped", {}).items()},
        seconds=_number(data.get("seconds", 0.0)),
        last_success=None if success is None else _time(success),
        last_error=_text(data.get("last_error", "")),
        **{count: _whole(data.get(count, 0)) for count in _EXPORTER_COUNTS},
    )


def _known(words: type[E], value: Any) -> E | None:
    try:
        return words(value)
    except ValueError:
        return None


def _pairs(data: Data) -> tuple[tuple[str, str], ...]:
    return tuple((_text(name), _text(value)) for name, value in data.items())


def _time(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone")
    return moment.astimezone(UTC)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{value!r} is not a whole number")
    return value


def _maybe_whole(value: Any) -> int | None:
    return None if value is None else _whole(value)


def _number(value: Any) -> float:
    # Strict JSON has no NaN and no Infinity; recordings spell them as text.
    if isinstance(value, str) and value in {"NaN", "Infinity", "-Infinity"}:
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return value


def _maybe_number(value: Any) -> float | None:
    return None if value is None else _number(value)
