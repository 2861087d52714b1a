"""Adding snapshots up: counts of all processes, readings of those that live."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from metalscope.exemplars import newest_by_bucket
from metalscope.export_status import added_statuses
from metalscope.sink_status import added_sinks
from metalscope.snapshot import (
    CustomMetric,
    InternalMetrics,
    MetalTelemetrySnapshot,
    OperationMetrics,
    OutcomeMetrics,
    ResourceKind,
    ResourceMetrics,
)

__all__ = ["counts_of", "readings_of"]

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

# Counted since each process opened its sensor: the one that counts longest knows most.
_GROWING: Final = (ResourceKind.ENERGY, ResourceKind.RECOVERIES)


def counts_of(snapshots: Sequence[MetalTelemetrySnapshot]) -> MetalTelemetrySnapshot:
    """One snapshot with what all of them counted, and nothing that is only true of a moment.

    ``snapshots`` must not be empty.
    """
    return MetalTelemetrySnapshot(
        timestamp=max(one.timestamp for one in snapshots),
        started_at=min(one.started_at for one in snapshots),
        operations=_operations(snapshots),
        custom=_counters(snapshots),
        internals=InternalMetrics(
            errors=_added(one.internals.errors for one in snapshots),
            overflowed=sum(one.internals.overflowed for one in snapshots),
            dropped=_added(one.internals.dropped for one in snapshots),
            exporters=added_statuses(
                status for one in snapshots for status in one.internals.exporters
            ),
            sinks=added_sinks(sink for one in snapshots for sink in one.internals.sinks),
            log_records=_added(one.internals.log_records for one in snapshots),
            spans=_added(one.internals.spans for one in snapshots),
        ),
        retired_operations=sum(one.retired_operations for one in snapshots),
        retired_errors=sum(one.retired_errors for one in snapshots),
    )


def readings_of(
    living: Sequence[MetalTelemetrySnapshot],
) -> tuple[tuple[ResourceMetrics, ...], tuple[CustomMetric, ...]]:
    """Resources, and custom gauges, of the processes that live.

    What a process holds is added up, what it reads of the host is taken from the newest. Gauges
    are the processes' own, told apart by a label ``pid``.
    """
    newest_first = sorted(living, key=lambda one: one.timestamp, reverse=True)
    readings = [resource for one in newest_first for resource in one.resources]
    grouped = _grouped(readings, lambda one: (one.kind, one.name, one.device))
    gauges = tuple(
        replace(metric, labels=_with_pid(metric, one))
        for one in living
        for metric in one.custom
        if metric.kind == "gauge"
    )
    return tuple(_together(group) for group in grouped.values()), gauges


def _operations(snapshots: Iterable[MetalTelemetrySnapshot]) -> tuple[OperationMetrics, ...]:
    operations = [operation for one in snapshots for operation in one.operations]
    grouped = _grouped(operations, lambda one: (one.kind, one.name, one.device))
    merged = (
        replace(
            group[0],
            outcomes=_outcomes(group),
            last_updated=max((o.last_updated for o in group if o.last_updated), default=None),
        )
        for group in grouped.values()
    )
    return tuple(sorted(merged, key=lambda one: (one.kind, one.name, one.device)))


def _outcomes(operations: Iterable[OperationMetrics]) -> tuple[OutcomeMetrics, ...]:
    merged: dict[str, OutcomeMetrics] = {}
    for one in (outcome for operation in operations for outcome in operation.outcomes):
        before = merged.get(one.outcome, OutcomeMetrics(one.outcome, type(one.durations)()))
        merged[one.outcome] = OutcomeMetrics(
            one.outcome,
            before.durations + one.durations,
            before.nbytes + one.nbytes,
            before.gpu_ns + one.gpu_ns,
            before.gpu_count + one.gpu_count,
            before.untimed + one.untimed,
            tuple(newest_by_bucket((*before.exemplars, *one.exemplars)).values()),
        )
    return tuple(merged[outcome] for outcome in sorted(merged))


def _counters(snapshots: Iterable[MetalTelemetrySnapshot]) -> tuple[CustomMetric, ...]:
    counted = [m for one in snapshots for m in one.custom if m.kind != "gauge"]
    grouped = _grouped(counted, lambda one: (one.name, one.kind, one.labels))
    return tuple(
        replace(
            group[0],
            value=sum(one.value for one in group),
            count=sum(one.count for one in group),
            buckets=tuple(
                (bound, sum(one.buckets[position][1] for one in group))
                for position, (bound, _) in enumerate(group[0].buckets)
            ),
        )
        for group in grouped.values()
    )


def _together(group: Sequence[ResourceMetrics]) -> ResourceMetrics:
    first = group[0]
    if first.kind in _GROWING:
        return max(group, key=lambda one: one.current)
    # Every process reads the same figure of the host; to add those up would be nonsense.
    if first.is_of_the_host or len(group) == 1:
        return first
    # Peaks of several processes need not have been at one time: their sum would be invented.
    return replace(first, current=sum(one.current for one in group), peak=None)


def _with_pid(
    metric: CustomMetric, snapshot: MetalTelemetrySnapshot
) -> tuple[tuple[str, str], ...]:
    labels = dict(metric.labels)
    labels.setdefault("pid", str(snapshot.system.pid) if snapshot.system is not None else "")
    return tuple(sorted(labels.items()))


def _added(mappings: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for mapping in mappings:
        total.update(mapping)
    return dict(total)


def _grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups
