"""MetalTelemetrySnapshot: the one thing that crosses from collecting to consuming.

Everything here is frozen and made of plain values, so a snapshot can be handed to any number of
consumers on any thread. ``to_dict()`` gives JSON-able data under :data:`SCHEMA_VERSION`; keys are
only ever added within one version.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from metalscope.alert_report import Alert, ChannelStatus
from metalscope.counter_statistics import PerformanceCounters
from metalscope.export_status import ExporterStatus
from metalscope.health_report import (
    Anomaly,
    BreakerStatus,
    BurnRate,
    ComponentHealth,
    HealthEvent,
    HealthReport,
    HealthStatus,
    ObjectiveStatus,
    Prediction,
)
from metalscope.histogram import DurationHistogram
from metalscope.histogram_json import DURATION_EDGES, histogram_to_dict
from metalscope.moments import rfc3339, rfc3339_or_none
from metalscope.notable import NotableOperation
from metalscope.operation import (
    NS_PER_MS,
    OK,
    MetalError,
    OperationKind,
    PerformanceCategory,
)
from metalscope.readings import (
    DeviceInfo,
    MemoryPressure,
    ResourceKind,
    ResourceMetrics,
    ThermalState,
)
from metalscope.sink_status import SinkStatus

__all__ = [
    "EXEMPLAR_CHARACTERS",
    "SCHEMA_VERSION",
    "ActivityPoint",
    "Alert",
    "Anomaly",
    "BreakerStatus",
    "BurnRate",
    "ChannelStatus",
    "ComponentHealth",
    "CustomMetric",
    "DeviceInfo",
    "Exemplar",
    "ExporterStatus",
    "HealthEvent",
    "HealthReport",
    "HealthStatus",
    "InternalMetrics",
    "MemoryPressure",
    "MetalTelemetrySnapshot",
    "NotableOperation",
    "ObjectiveStatus",
    "OperationMetrics",
    "OutcomeMetrics",
    "PerformanceCounters",
    "Prediction",
    "RecentActivity",
    "ResourceKind",
    "ResourceMetrics",
    "SinkStatus",
    "SystemInfo",
    "TelemetryEvent",
    "ThermalState",
    "errors_of",
]

EXEMPLAR_CHARACTERS: Final = 128
"""Characters that names and values of an exemplar's labels may have in all (OpenMetrics 1.0,
"Exemplars")."""

SCHEMA_VERSION: Final = 1

Labels = tuple[tuple[str, str], ...]
"""Label names with their values, sorted by name."""


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One duration, and the trace in which it was measured.

    ``value_ms`` is in ms. ``trace_id`` and ``span_id`` are lower-case hex, 32 and 16 digits, as in
    W3C Trace Context. ``correlation_id`` is that of the work it belonged to, if there was one.
    """

    value_ms: float
    timestamp: datetime
    trace_id: str
    span_id: str
    correlation_id: str | None = None

    @property
    def labels(self) -> dict[str, str]:
        """Its ids as labels, the correlation id where all are no longer than Prometheus allows."""
        labels = {"trace_id": self.trace_id, "span_id": self.span_id}
        if self.correlation_id:
            more = labels | {"correlation_id": self.correlation_id}
            if sum(map(len, (*more, *more.values()))) <= EXEMPLAR_CHARACTERS:
                return more
        return labels

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "value_ms": self.value_ms,
            "timestamp": rfc3339(self.timestamp),
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "correlation_id": self.correlation_id,
        }


@dataclass(frozen=True, slots=True)
class OutcomeMetrics:
    """The operations of one series that ended the same way.

    ``outcome`` is ``"ok"`` or a :class:`MetalError`. ``nbytes`` is the bytes they moved or
    allocated. ``gpu_ns`` is device time in ns, summed over the ``gpu_count`` operations for which
    the device itself gave one. ``untimed`` is how many sampling left out of ``durations``.
    ``exemplars`` are a few of them, each in a trace.
    """

    outcome: str
    durations: DurationHistogram
    nbytes: int = 0
    gpu_ns: int = 0
    gpu_count: int = 0
    untimed: int = 0
    exemplars: tuple[Exemplar, ...] = ()

    @property
    def count(self) -> int:
        """How many operations ended this way."""
        return self.durations.count + self.untimed

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data with nothing left out; the cells are those of ``duration_edges``."""
        data = {
            "outcome": str(self.outcome),
            "durations": histogram_to_dict(self.durations),
            "nbytes": self.nbytes,
            "gpu_ns": self.gpu_ns,
            "gpu_count": self.gpu_count,
            "untimed": self.untimed,
        }
        if self.exemplars:
            data["exemplars"] = [exemplar.to_dict() for exemplar in self.exemplars]
        return data


@dataclass(frozen=True)
class OperationMetrics:
    """All operations of one kind and name on one device, since the start or the last reset."""

    kind: OperationKind
    name: str
    device: str
    outcomes: tuple[OutcomeMetrics, ...]
    last_updated: datetime | None = None

    @cached_property
    def durations(self) -> DurationHistogram:
        """Durations of all that were timed, whatever their outcome."""
        merged = DurationHistogram()
        for outcome in self.outcomes:
            merged = merged + outcome.durations
        return merged

    @property
    def executions(self) -> int:
        """How many operations there were."""
        return sum(o.count for o in self.outcomes)

    @property
    def successes(self) -> int:
        """How many of them did not fail."""
        return sum(o.count for o in self.outcomes if o.outcome == OK)

    @property
    def errors(self) -> Mapping[MetalError, int]:
        """How many failed, by error."""
        return {MetalError(o.outcome): o.count for o in self.outcomes if o.outcome != OK}

    @property
    def error_count(self) -> int:
        """How many failed."""
        return self.executions - self.successes

    @property
    def success_rate(self) -> float | None:
        """Successes by executions, 0..1; ``None`` where nothing was executed."""
        return self.successes / self.executions if self.executions else None

    @property
    def nbytes(self) -> int:
        """Bytes moved or allocated."""
        return sum(o.nbytes for o in self.outcomes)

    @property
    def gpu_ms(self) -> float | None:
        """Device time in ms, summed where the device gave one; ``None`` where it never did."""
        counted = sum(o.gpu_count for o in self.outcomes)
        return sum(o.gpu_ns for o in self.outcomes) / NS_PER_MS if counted else None

    @property
    def categories(self) -> dict[PerformanceCategory, int]:
        """Exact counts of fast, normal, slow and very slow among those that were timed."""
        return self.durations.categories()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data; durations in ms."""
        durations = self.durations
        return {
            "kind": self.kind.value,
            "name": self.name,
            "device": self.device,
            "executions": self.executions,
            "successes": self.successes,
            "errors": {error.value: count for error, count in self.errors.items()},
            "success_rate": self.success_rate,
            "total_ms": durations.total_ms,
            "min_ms": durations.min_ms,
            "max_ms": durations.max_ms,
            "average_ms": durations.average_ms,
            "p50_ms": durations.quantile_ms(0.5),
            "p95_ms": durations.quantile_ms(0.95),
            "p99_ms": durations.quantile_ms(0.99),
            "nbytes": self.nbytes,
            "gpu_ms": self.gpu_ms,
            "categories": {c.value: count for c, count in self.categories.items()},
            "histogram": {
                "unit": "ms",
                "cumulative": [[bound, count] for bound, count in durations.classic()],
                "count": durations.count,
            },
            "outcomes": [outcome.to_dict() for outcome in self.outcomes],
            "last_updated": rfc3339_or_none(self.last_updated),
        }


@dataclass(frozen=True, slots=True)
class CustomMetric:
    """One series of a metric the application records itself.

    ``value`` is the running total of a counter, the last value of a gauge, and the sum of a
    histogram, whose ``buckets`` are cumulative ``(upper bound, count)`` pairs without ``+Inf`` and
    whose ``count`` is the number of values recorded.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: Labels
    value: float
    count: int = 0
    buckets: tuple[tuple[float, int], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        data: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "labels": dict(self.labels),
            "value": self.value,
        }
        if self.kind == "histogram":
            data["count"] = self.count
            data["buckets"] = [[bound, count] for bound, count in self.buckets]
        return data


@dataclass(frozen=True, slots=True)
class TelemetryEvent:
    """Something that happened at one moment, with its properties.

    ``correlation_id`` and ``trace_id`` are those of the work it happened in, if there was one.
    """

    sequence: int
    timestamp: datetime
    name: str
    properties: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    correlation_id: str | None = None
    trace_id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "sequence": self.sequence,
            "timestamp": rfc3339(self.timestamp),
            "name": self.name,
            "properties": dict(self.properties),
            "correlation_id": self.correlation_id,
            "trace_id": self.trace_id,
        }


class ActivityPoint(NamedTuple):
    """One collection against the one before; ``mean_ms`` is ``None`` where nothing ran between."""

    timestamp: datetime
    operations_per_second: float
    errors_per_second: float
    mean_ms: float | None

    def to_list(self) -> list[float | None]:
        """JSON-able data: seconds since the epoch, operations/s, errors/s, mean ms."""
        seconds = round(self.timestamp.timestamp(), 6)
        return [seconds, self.operations_per_second, self.errors_per_second, self.mean_ms]


@dataclass(frozen=True, slots=True)
class RecentActivity:
    """What happened in the last ``seconds``; ``points`` are oldest first."""

    seconds: float = 0.0
    operations: int = 0
    errors: Mapping[MetalError, int] = field(default_factory=lambda: MappingProxyType({}))
    points: tuple[ActivityPoint, ...] = ()

    @property
    def operations_per_second(self) -> float | None:
        """Throughput over the window; ``None`` before there is one."""
        return self.operations / self.seconds if self.seconds > 0 else None

    @property
    def error_rate(self) -> float | None:
        """Failed by executed in the window, 0..1; ``None`` where nothing ran."""
        return sum(self.errors.values()) / self.operations if self.operations else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "seconds": self.seconds,
            "operations": self.operations,
            "errors": {error.value: count for error, count in self.errors.items()},
            "operations_per_second": self.operations_per_second,
            "error_rate": self.error_rate,
            "points": [point.to_list() for point in self.points],
        }


@dataclass(frozen=True, slots=True)
class SystemInfo:
    """The host and the process. Absent facts are ``None``.

    ``resource`` is the same by the names of OpenTelemetry's resource conventions, for exporters.
    """

    host: str
    pid: int
    os: str
    os_version: str
    architecture: str
    processors: int | None
    python: str
    metalscope: str
    memory_total_bytes: int | None = None
    memory_available_bytes: int | None = None
    devices: tuple[DeviceInfo, ...] = ()
    resource: tuple[tuple[str, str | int], ...] = field(default=(), repr=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "host": self.host,
            "pid": self.pid,
            "os": self.os,
            "os_version": self.os_version,
            "architecture": self.architecture,
            "processors": self.processors,
            "python": self.python,
            "metalscope": self.metalscope,
            "memory_total_bytes": self.memory_total_bytes,
            "memory_available_bytes": self.memory_available_bytes,
            "devices": [device.to_dict() for device in self.devices],
            # The id is not for an untrusted network (machine-id(5)); this data is served on one.
            "resource": {key: value for key, value in self.resource if key != "host.id"},
        }


@dataclass(frozen=True, slots=True)
class InternalMetrics:
    """What metalscope says of itself.

    ``errors`` counts what went wrong inside, by room. ``overflowed`` counts recordings whose name
    fell to the ``other`` series because the cap was reached. ``dropped`` counts what a full queue
    let go, by queue. ``exporters`` is how each exporter is doing, ``channels`` how each channel
    that alerts are told on, ``sinks`` how each place that logs and spans go to. ``log_records``
    counts what was logged, by severity, ``spans`` what became a span, by why it did.
    """

    errors: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    overflowed: int = 0
    dropped: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    exporters: tuple[ExporterStatus, ...] = ()
    channels: tuple[ChannelStatus, ...] = ()
    sinks: tuple[SinkStatus, ...] = ()
    log_records: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    spans: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "errors": dict(self.errors),
            "overflowed": self.overflowed,
            "dropped": dict(self.dropped),
            "exporters": [exporter.to_dict() for exporter in self.exporters],
            "channels": [channel.to_dict() for channel in self.channels],
            "sinks": [sink.to_dict() for sink in self.sinks],
            "log_records": dict(self.log_records),
            "spans": dict(self.spans),
        }


@dataclass(frozen=True)
class MetalTelemetrySnapshot:
    """All that is known at one moment.

    ``alerts`` are those that are pending or fire, as of the last evaluation of the rules;
    ``notable`` the latest operations that failed or were slow, oldest first, where logs or traces
    look for them.
    """

    timestamp: datetime
    started_at: datetime
    operations: tuple[OperationMetrics, ...] = ()
    resources: tuple[ResourceMetrics, ...] = ()
    health: HealthReport = field(default_factory=HealthReport)
    alerts: tuple[Alert, ...] = ()
    recent: RecentActivity = field(default_factory=RecentActivity)
    custom: tuple[CustomMetric, ...] = ()
    events: tuple[TelemetryEvent, ...] = ()
    notable: tuple[NotableOperation, ...] = ()
    system: SystemInfo | None = None
    internals: InternalMetrics = field(default_factory=InternalMetrics)
    retired_operations: int = 0
    retired_errors: int = 0
    counters: PerformanceCounters | None = None
    schema_version: int = SCHEMA_VERSION

    @property
    def uptime_seconds(self) -> float:
        """Seconds since telemetry started."""
        return (self.timestamp - self.started_at).total_seconds()

    @cached_property
    def total_operations(self) -> int:
        """Operations since the start, those of series past their retention included."""
        return self.retired_operations + sum(o.executions for o in self.operations)

    @cached_property
    def total_errors(self) -> int:
        """Failed operations since the start, those past their retention included."""
        return self.retired_errors + sum(o.error_count for o in self.operations)

    @property
    def error_rate(self) -> float:
        """Failed by all operations, 0..1; 0 where nothing ran."""
        return self.total_errors / self.total_operations if self.total_operations else 0.0

    @property
    def health_status(self) -> HealthStatus:
        """The overall status."""
        return self.health.status

    @cached_property
    def errors(self) -> Mapping[MetalError, int]:
        """Failed operations by error, over the series present."""
        return MappingProxyType(errors_of(self.operations))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data under :data:`SCHEMA_VERSION`; described in docs/snapshot.md."""
        return {
            "schema_version": self.schema_version,
            "timestamp": rfc3339(self.timestamp),
            "started_at": rfc3339(self.started_at),
            "uptime_seconds": self.uptime_seconds,
            "total_operations": self.total_operations,
            "total_errors": self.total_errors,
            "retired_operations": self.retired_operations,
            "retired_errors": self.retired_errors,
            "error_rate": self.error_rate,
            "errors": {error.value: count for error, count in self.errors.items()},
            "health_status": self.health_status.value,
            "health": self.health.to_dict(),
            "alerts": [alert.to_dict() for alert in self.alerts],
            "recent": self.recent.to_dict(),
            "duration_edges": DURATION_EDGES,
            "operations": [operation.to_dict() for operation in self.operations],
            "resources": [resource.to_dict() for resource in self.resources],
            "counters": self.counters.to_dict() if self.counters else None,
            "custom": [metric.to_dict() for metric in self.custom],
            "events": [event.to_dict() for event in self.events],
            "notable": [operation.to_dict() for operation in self.notable],
            "system": self.system.to_dict() if self.system else None,
            "internals": self.internals.to_dict(),
        }

    def to_json(self, *, indent: int | None = None) -> str:
        """``to_dict()`` as strict JSON text: no NaN, no Infinity."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)


def errors_of(operations: Iterable[OperationMetrics]) -> dict[MetalError, int]:
    """Failed operations by error."""
    totals: dict[MetalError, int] = {}
    for operation in operations:
        for error, count in operation.errors.items():
            totals[error] = totals.get(error, 0) + count
    return totals
