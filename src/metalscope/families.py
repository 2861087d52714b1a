"""The snapshot as metric families: names from the catalogue, values by label.

This is the one place that says which part of a snapshot is which metric; a text writer or a
collector only gives it a form. What the snapshot does not know has no value here, never a 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import groupby
from typing import Final

from metalscope import semconv
from metalscope.export_status import BreakerState, ExporterStatus
from metalscope.families_of_alerts import ALERT_VALUES
from metalscope.families_of_health import HEALTH_VALUES
from metalscope.families_of_logs import LOG_VALUES
from metalscope.histogram import DurationHistogram
from metalscope.operation import OK
from metalscope.semconv import Metric
from metalscope.snapshot import (
    CustomMetric,
    DeviceInfo,
    Exemplar,
    MemoryPressure,
    MetalTelemetrySnapshot,
    ResourceKind,
    ResourceMetrics,
    ThermalState,
)

__all__ = ["Distribution", "Family", "LabelValues", "custom_families", "families", "family"]

LabelValues = tuple[str, ...]
"""Values of a metric's labels, in the metric's order."""

NS_PER_SECOND: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Distribution:
    """One series of a histogram.

    ``buckets`` are cumulative ``(upper bound, count)`` pairs without ``+Inf``. ``sum`` is ``None``
    where negative values were recorded, as it would then be no counter. ``durations`` is what a
    histogram of durations was drawn from: its exponential buckets are asked of it. ``exemplars``
    are single values with the trace they belong to, in the histogram's unit.
    """

    buckets: Sequence[tuple[float, int]]
    count: int
    sum: float | None
    durations: DurationHistogram | None = None
    exemplars: Sequence[Exemplar] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with its series: ``distributions`` of a histogram, ``values`` of all else.

    A family may have no series; no two series of a family have the same label values.
    """

    metric: Metric
    values: Sequence[tuple[LabelValues, float]] = ()
    distributions: Sequence[tuple[LabelValues, Distribution]] = ()


def family(metric: Metric, snapshot: MetalTelemetrySnapshot) -> Family:
    """The family of one metric of :data:`~metalscope.semconv.BUILT_IN`."""
    if metric is semconv.OPERATION_DURATION:
        return Family(metric, distributions=list(_durations(snapshot)))
    # A dict, as two sensors may read the same pool: the later reading stands.
    return Family(metric, values=list(dict(_VALUES[metric](snapshot)).items()))


def families(snapshot: MetalTelemetrySnapshot) -> Iterator[Family]:
    """Yield the families of :data:`~metalscope.semconv.BUILT_IN`, then the custom metrics."""
    for metric in semconv.BUILT_IN:
        yield family(metric, snapshot)
    yield from custom_families(snapshot.custom)


Values = Iterator[tuple[LabelValues, float]]
Source = Callable[[MetalTelemetrySnapshot], Values]


def _durations(snapshot: MetalTelemetrySnapshot) -> Iterator[tuple[LabelValues, Distribution]]:
    for operation in snapshot.operations:
        for outcome in operation.outcomes:
            durations = outcome.durations
            yield (
                (operation.kind, operation.name, operation.device, outcome.outcome),
                Distribution(
                    durations.classic(),
                    durations.count,
                    durations.total_ms,
                    durations,
                    outcome.exemplars,
                ),
            )


def _operations(snapshot: MetalTelemetrySnapshot) -> Values:
    for operation in snapshot.operations:
        for outcome in operation.outcomes:
            labels = (operation.kind, operation.name, operation.device, outcome.outcome)
            yield labels, outcome.count


def _errors(snapshot: MetalTelemetrySnapshot) -> Values:
    for labels, count in _operations(snapshot):
        if labels[-1] != OK:
            yield labels, count


def _operation_bytes(snapshot: MetalTelemetrySnapshot) -> Values:
    for operation in snapshot.operations:
        if operation.nbytes:
            yield (operation.kind, operation.name, operation.device), operation.nbytes


def _operation_gpu_time(snapshot: MetalTelemetrySnapshot) -> Values:
    for operation in snapshot.operations:
        if any(outcome.gpu_count for outcome in operation.outcomes):
            gpu_ns = sum(outcome.gpu_ns for outcome in operation.outcomes)
            labels = (operation.kind, operation.name, operation.device)
            yield labels, gpu_ns / NS_PER_SECOND


def _operations_by_category(snapshot: MetalTelemetrySnapshot) -> Values:
    for operation in snapshot.operations:
        for category, count in operation.categories.items():
            yield (operation.kind, operation.name, operation.device, category), count


def _readings(snapshot: MetalTelemetrySnapshot, kind: ResourceKind) -> Iterator[ResourceMetrics]:
    return (reading for reading in snapshot.resources if reading.kind is kind)


def _memory(pick: Callable[[ResourceMetrics], float | None]) -> Source:
    def values(snapshot: MetalTelemetrySnapshot) -> Values:
        for reading in snapshot.resources:
            if reading.kind not in (ResourceKind.MEMORY, ResourceKind.GPU_MEMORY):
                continue
            value = pick(reading)
            if value is not None:
                yield (reading.device, reading.name), value

    return values


def _host_memory(pick: Callable[[ResourceMetrics], float | None]) -> Source:
    def values(snapshot: MetalTelemetrySnapshot) -> Values:
        for reading in _readings(snapshot, ResourceKind.HOST_MEMORY):
            value = pick(reading)
            if value is not None:
                yield (reading.name,), value

    return values


def _current(kind: ResourceKind, labels: Callable[[ResourceMetrics], LabelValues]) -> Source:
    return lambda snapshot: (
        (labels(reading), reading.current) for reading in _readings(snapshot, kind)
    )


def _total(kind: ResourceKind, labels: Callable[[ResourceMetrics], LabelValues]) -> Source:
    # What is negative or no number is no count, and would make a reader refuse the whole text.
    return lambda snapshot: (
        (labels(reading), reading.current)
        for reading in _readings(snapshot, kind)
        if reading.current >= 0
    )


def _limit(kind: ResourceKind, labels: Callable[[ResourceMetrics], LabelValues]) -> Source:
    return lambda snapshot: (
        (labels(reading), reading.limit)
        for reading in _readings(snapshot, kind)
        if reading.limit is not None
    )


def _level(kind: ResourceKind, levels: type[IntEnum]) -> Source:
    """One series a level, of which one is 1: a state set."""

    def values(snapshot: MetalTelemetrySnapshot) -> Values:
        for reading in _readings(snapshot, kind):
            for level in levels:
                yield (level.name.lower(),), int(reading.current == level)

    return values


def _device_and_name(reading: ResourceMetrics) -> LabelValues:
    return reading.device, reading.name


def _name(reading: ResourceMetrics) -> LabelValues:
    return (reading.name,)


def _host_cpu_utilization(snapshot: MetalTelemetrySnapshot) -> Values:
    for reading in _readings(snapshot, ResourceKind.CPU_UTILIZATION):
        yield (reading.name,), reading.current / 100.0


def _devices(snapshot: MetalTelemetrySnapshot) -> tuple[DeviceInfo, ...]:
    return snapshot.system.devices if snapshot.system else ()


def _device_info(snapshot: MetalTelemetrySnapshot) -> Values:
    unified = {True: "true", False: "false", None: ""}
    for device in _devices(snapshot):
        yield (device.name, device.backend, unified[device.unified_memory]), 1


def _device_fact(pick: Callable[[DeviceInfo], int | None]) -> Source:
    def values(snapshot: MetalTelemetrySnapshot) -> Values:
        for device in _devices(snapshot):
            value = pick(device)
            if value is not None:
                yield (device.name, device.backend), value

    return values


def _build_info(snapshot: MetalTelemetrySnapshot) -> Values:
    system = snapshot.system
    if system:
        yield (system.metalscope, system.python, system.os, system.architecture), 1


def _start_time(snapshot: MetalTelemetrySnapshot) -> Values:
    yield (), snapshot.started_at.timestamp()


def _retired_operations(snapshot: MetalTelemetrySnapshot) -> Values:
    yield (), snapshot.retired_operations


def _retired_errors(snapshot: MetalTelemetrySnapshot) -> Values:
    yield (), snapshot.retired_errors


def _internal_errors(snapshot: MetalTelemetrySnapshot) -> Values:
    for room, count in sorted(snapshot.internals.errors.items()):
        yield (room,), count


def _series_overflow(snapshot: MetalTelemetrySnapshot) -> Values:
    yield (), snapshot.internals.overflowed


def _dropped(snapshot: MetalTelemetrySnapshot) -> Values:
    for queue, count in sorted(snapshot.internals.dropped.items()):
        yield (queue,), count


def _each_exporter(pick: Callable[[ExporterStatus], float]) -> Source:
    def values(snapshot: MetalTelemetrySnapshot) -> Values:
        for one in snapshot.internals.exporters:
            yield (one.name,), pick(one)

    return values


def _by_reason(pick: Callable[[ExporterStatus], Mapping[str, int]]) -> Source:
    def values(snapshot: MetalTelemetrySnapshot) -> Values:
        for one in snapshot.internals.exporters:
            for reason, count in sorted(pick(one).items()):
                yield (one.name, reason), count

    return values


def _last_success(snapshot: MetalTelemetrySnapshot) -> Values:
    for one in snapshot.internals.exporters:
        if one.last_success is not None:
            yield (one.name,), one.last_success.timestamp()


def _exporter_state(snapshot: MetalTelemetrySnapshot) -> Values:
    for one in snapshot.internals.exporters:
        for state in BreakerState:
            yield (one.name, one.type, state.value), int(one.state is state)


_VALUES: Final[dict[Metric, Source]] = {
    semconv.OPERATIONS: _operations,
    semconv.ERRORS: _errors,
    semconv.MEMORY_USAGE: _memory(lambda reading: reading.current),
    semconv.GPU_UTILIZATION: _current(ResourceKind.GPU_UTILIZATION, _device_and_name),
    semconv.OPERATION_BYTES: _operation_bytes,
    semconv.OPERATION_GPU_TIME: _operation_gpu_time,
    semconv.OPERATIONS_BY_CATEGORY: _operations_by_category,
    semconv.MEMORY_PEAK: _memory(lambda reading: reading.peak),
    semconv.MEMORY_LIMIT: _memory(lambda reading: reading.limit),
    semconv.HOST_MEMORY_USAGE: _host_memory(lambda reading: reading.current),
    semconv.HOST_MEMORY_LIMIT: _host_memory(lambda reading: reading.limit),
    semconv.HOST_CPU_UTILIZATION: _host_cpu_utilization,
    semconv.GPU_FREQUENCY: _current(ResourceKind.FREQUENCY, _device_and_name),
    semconv.GPU_FREQUENCY_LIMIT: _limit(ResourceKind.FREQUENCY, _device_and_name),
    semconv.MEMORY_BANDWIDTH: _current(ResourceKind.BANDWIDTH, _device_and_name),
    semconv.MEMORY_BANDWIDTH_LIMIT: _limit(ResourceKind.BANDWIDTH, _device_and_name),
    semconv.POWER: _current(ResourceKind.POWER, _device_and_name),
    semconv.ENERGY: _total(ResourceKind.ENERGY, _device_and_name),
    semconv.TEMPERATURE: _current(ResourceKind.TEMPERATURE, _device_and_name),
    semconv.FAN_SPEED: _current(ResourceKind.FAN_SPEED, _name),
    semconv.FAN_SPEED_LIMIT: _limit(ResourceKind.FAN_SPEED, _name),
    semconv.THERMAL_STATE: _level(ResourceKind.THERMAL_STATE, ThermalState),
    semconv.MEMORY_PRESSURE: _level(ResourceKind.MEMORY_PRESSURE, MemoryPressure),
    semconv.LOW_POWER_MODE: _current(ResourceKind.LOW_POWER_MODE, lambda _reading: ()),
    semconv.GPU_RECOVERIES: _total(ResourceKind.RECOVERIES, lambda one: (one.device,)),
    **HEALTH_VALUES,
    **ALERT_VALUES,
    **LOG_VALUES,
    semconv.DEVICE_INFO: _device_info,
    semconv.DEVICE_MEMORY: _device_fact(lambda device: device.memory_bytes),
    semconv.DEVICE_WORKING_SET: _device_fact(lambda device: device.recommended_working_set_bytes),
    semconv.DEVICE_MAX_BUFFER: _device_fact(lambda device: device.max_buffer_bytes),
    semconv.BUILD_INFO: _build_info,
    semconv.START_TIME: _start_time,
    semconv.RETIRED_OPERATIONS: _retired_operations,
    semconv.RETIRED_ERRORS: _retired_errors,
    semconv.INTERNAL_ERRORS: _internal_errors,
    semconv.SERIES_OVERFLOW: _series_overflow,
    semconv.DROPPED: _dropped,
    semconv.EXPORT_QUEUED: _each_exporter(lambda one: one.queued),
    semconv.EXPORT_DELIVERED: _each_exporter(lambda one: one.delivered),
    semconv.EXPORT_DROPPED: _by_reason(lambda one: one.dropped),
    semconv.EXPORT_POINTS: _each_exporter(lambda one: one.points),
    semconv.EXPORT_REJECTED_POINTS: _each_exporter(lambda one: one.rejected_points),
    semconv.EXPORT_FAILURES: _by_reason(lambda one: one.failures),
    semconv.EXPORT_TIME: _each_exporter(lambda one: one.seconds),
    semconv.EXPORT_WAITING: _each_exporter(lambda one: one.waiting),
    semconv.EXPORT_WAITING_BYTES: _each_exporter(lambda one: one.waiting_bytes),
    semconv.EXPORT_LAST_SUCCESS: _last_success,
    semconv.EXPORTER_STATE: _exporter_state,
}


def custom_families(custom: Iterable[CustomMetric]) -> Iterator[Family]:
    """One family a name. That names and labels are fit to expose is seen to at recording."""
    for name, members in groupby(custom, key=lambda metric: metric.name):
        series = list(members)
        first = series[0]
        metric = Metric(
            name=f"{name.removesuffix('_total')}_total" if first.kind == "counter" else name,
            type=first.kind,
            help="Recorded by the application.",
            labels=tuple(label for label, _ in first.labels),
        )
        if first.kind == "histogram":
            yield Family(metric, distributions=[(_values_of(s), _distribution(s)) for s in series])
        else:
            yield Family(metric, values=[(_values_of(s), s.value) for s in series])


def _values_of(metric: CustomMetric) -> LabelValues:
    return tuple(value for _, value in metric.labels)


def _distribution(metric: CustomMetric) -> Distribution:
    total = metric.value if metric.value >= 0 else None
    return Distribution(metric.buckets, metric.count, total)
