"""What a snapshot says of performance, errors, resources and trends; pure functions of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, Literal

from metalscope.histogram import DurationHistogram
from metalscope.operation import MetalError, OperationKind, PerformanceCategory
from metalscope.performance_score import PerformanceScore, ScoreThresholds, score_of
from metalscope.snapshot import (
    ActivityPoint,
    MetalTelemetrySnapshot,
    OperationMetrics,
    PerformanceCounters,
    ResourceKind,
    ResourceMetrics,
)

__all__ = [
    "ErrorAnalysis",
    "ErrorSource",
    "OperationSummary",
    "PerformanceAnalysis",
    "ReportThresholds",
    "Trend",
    "analyse_errors",
    "analyse_performance",
    "analyse_trends",
    "recommend",
]

TOP: Final = 10
MIN_POINTS_FOR_A_TREND: Final = 10
TREND_THRESHOLD: Final = 0.2
"""A change of the median by less than a fifth is called steady."""

Direction = Literal["rising", "falling", "steady", "unknown"]


@dataclass(frozen=True, slots=True)
class ReportThresholds:
    """From where on the report speaks up: ms, percent, percent, percent, share of failed."""

    slow_ms: float = 100.0
    gpu_percent: float = 85.0
    memory_percent: float = 80.0
    resource_percent: float = 85.0
    error_rate: float = 0.1


@dataclass(frozen=True, slots=True)
class OperationSummary:
    """One operation in the report; times in ms, ``share`` of all recorded time, 0..1."""

    kind: OperationKind
    name: str
    device: str
    executions: int
    errors: int
    total_ms: float
    share: float
    average_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {name: getattr(self, name) for name in self.__slots__} | {"kind": self.kind.value}


@dataclass(frozen=True, slots=True)
class PerformanceAnalysis:
    """``operations_per_second`` is over the whole run, the recent one over the window."""

    operations_per_second: float | None
    recent_operations_per_second: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    categories: dict[PerformanceCategory, int]
    busiest: tuple[OperationSummary, ...]
    slowest: tuple[OperationSummary, ...]
    score: PerformanceScore

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "operations_per_second": self.operations_per_second,
            "recent_operations_per_second": self.recent_operations_per_second,
            "p50_ms": self.p50_ms,
            "p95_ms": self.p95_ms,
            "p99_ms": self.p99_ms,
            "categories": {c.value: n for c, n in self.categories.items()},
            "busiest": [one.to_dict() for one in self.busiest],
            "slowest": [one.to_dict() for one in self.slowest],
            "score": self.score.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class ErrorSource:
    """Failures of one operation by one error."""

    error: MetalError
    kind: OperationKind
    name: str
    count: int
    of: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data; ``of`` is how many operations of that name there were."""
        return {
            "error": self.error.value,
            "component": self.error.component.value,
            "severity": self.error.severity.value,
            "kind": self.kind.value,
            "name": self.name,
            "count": self.count,
            "of": self.of,
        }


@dataclass(frozen=True, slots=True)
class ErrorAnalysis:
    """All failures: how many, of what type, and where they come from, most first."""

    total: int
    rate: float
    recent_rate: float | None
    by_type: dict[MetalError, int]
    sources: tuple[ErrorSource, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data; rates are 0..1."""
        return {
            "total": self.total,
            "rate": self.rate,
            "recent_rate": self.recent_rate,
            "by_type": {error.value: count for error, count in self.by_type.items()},
            "sources": [source.to_dict() for source in self.sources],
        }


@dataclass(frozen=True, slots=True)
class Trend:
    """The later half of the window against the earlier half, by their medians."""

    what: str
    unit: str
    direction: Direction
    earlier: float | None = None
    later: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {name: getattr(self, name) for name in self.__slots__}


def analyse_performance(
    snapshot: MetalTelemetrySnapshot, thresholds: ReportThresholds | None = None
) -> PerformanceAnalysis:
    """Throughput, latency, where the time goes, and how well all that is."""
    thresholds = thresholds or ReportThresholds()
    merged = DurationHistogram()
    for operation in snapshot.operations:
        merged = merged + operation.durations
    summaries = [_summary(operation, merged.sum_ns) for operation in snapshot.operations]
    uptime = snapshot.uptime_seconds
    return PerformanceAnalysis(
        operations_per_second=snapshot.total_operations / uptime if uptime > 0 else None,
        recent_operations_per_second=snapshot.recent.operations_per_second,
        p50_ms=merged.quantile_ms(0.5),
        p95_ms=merged.quantile_ms(0.95),
        p99_ms=merged.quantile_ms(0.99),
        categories=merged.categories(),
        busiest=tuple(sorted(summaries, key=lambda one: one.total_ms, reverse=True)[:TOP]),
        slowest=tuple(sorted(summaries, key=lambda one: one.p95_ms or 0.0, reverse=True)[:TOP]),
        score=score_of(
            snapshot,
            _latencies(snapshot.recent.points),
            ScoreThresholds(thresholds.error_rate, thresholds.memory_percent),
        ),
    )


def analyse_errors(snapshot: MetalTelemetrySnapshot) -> ErrorAnalysis:
    """Which errors, how often, from where."""
    sources = [
        ErrorSource(error, operation.kind, operation.name, count, operation.executions)
        for operation in snapshot.operations
        for error, count in operation.errors.items()
    ]
    sources.sort(key=lambda source: source.count, reverse=True)
    return ErrorAnalysis(
        total=snapshot.total_errors,
        rate=snapshot.error_rate,
        recent_rate=snapshot.recent.error_rate,
        by_type=dict(sorted(snapshot.errors.items(), key=lambda item: item[1], reverse=True)),
        sources=tuple(sources[:TOP]),
    )


def analyse_trends(points: Sequence[ActivityPoint]) -> tuple[Trend, ...]:
    """Throughput, failures and mean latency: the later half of the window against the earlier."""
    return (
        _trend("throughput", "operations/s", [point.operations_per_second for point in points]),
        _trend("failures", "errors/s", [point.errors_per_second for point in points]),
        _latency(points),
    )


def recommend(
    snapshot: MetalTelemetrySnapshot,
    performance: PerformanceAnalysis,
    errors: ErrorAnalysis,
    thresholds: ReportThresholds,
) -> tuple[str, ...]:
    """What to look at, most pressing first, each with the numbers it rests on."""
    return (
        *_about_errors(errors, thresholds),
        *_about_slowness(performance, thresholds),
        *_about_resources(snapshot.resources, thresholds),
        *_about_exhaustion(snapshot.counters),
        *_about_telemetry(snapshot),
    )


_ADVICE: Final[dict[MetalError, str]] = {
    MetalError.DEVICE_UNAVAILABLE: "check that the process can open the device",
    MetalError.DEVICE_LOST: "restart the process and look at the system log for GPU resets",
    MetalError.OUT_OF_MEMORY: "lower the batch or sequence length, or free caches earlier",
    MetalError.RESOURCE_LIMIT_EXCEEDED: "split buffers that pass the device's limits",
    MetalError.COMPILATION_ERROR: "read the compiler's text in the exception",
    MetalError.INVALID_OPERATION: "check the order of calls and the state of the device",
    MetalError.INVALID_ARGUMENT: "check shapes, sizes and types of the arguments",
    MetalError.TIMEOUT: "look for a kernel that does not end, or raise the time limit",
    MetalError.INTERNAL_ERROR: "read the exceptions; the driver gave no better word",
}


def _about_errors(errors: ErrorAnalysis, thresholds: ReportThresholds) -> Iterable[str]:
    if errors.recent_rate is not None and errors.recent_rate > thresholds.error_rate:
        yield (
            f"{errors.recent_rate:.1%} of recent operations failed, above "
            f"{thresholds.error_rate:.0%}: treat this as an incident."
        )
    for source in errors.sources[:5]:
        yield (
            f"{source.name} ({source.kind}) failed {source.count} of {source.of} times with "
            f"{source.error}: {_ADVICE[source.error]}."
        )


def _about_slowness(
    performance: PerformanceAnalysis, thresholds: ReportThresholds
) -> Iterable[str]:
    for one in performance.slowest:
        if one.p95_ms is not None and one.p95_ms > thresholds.slow_ms:
            yield (
                f"{one.name} ({one.kind}) takes {one.p95_ms:.1f} ms at p95, above "
                f"{thresholds.slow_ms:g} ms, and {one.share:.0%} of all recorded time."
            )


def _about_resources(
    resources: Iterable[ResourceMetrics], thresholds: ReportThresholds
) -> Iterable[str]:
    limits = {
        ResourceKind.MEMORY: thresholds.memory_percent,
        ResourceKind.HOST_MEMORY: thresholds.memory_percent,
        ResourceKind.GPU_UTILIZATION: thresholds.gpu_percent,
        ResourceKind.CPU_UTILIZATION: thresholds.resource_percent,
    }
    for resource in resources:
        limit, percent = limits.get(resource.kind), resource.utilization_percent
        if limit is not None and percent is not None and percent > limit:
            yield (
                f"{resource.kind.replace('_', ' ')} {resource.name} is at {percent:.0f} %, "
                f"above {limit:.0f} %."
            )


def _about_exhaustion(counters: PerformanceCounters | None) -> Iterable[str]:
    for one in counters.readings if counters is not None else ():
        if one.near_exhaustion_samples:
            yield (
                f"{one.kind.replace('_', ' ')} {one.name} was near exhaustion in "
                f"{one.near_exhaustion_samples} of {one.samples} samples."
            )


def _about_telemetry(snapshot: MetalTelemetrySnapshot) -> Iterable[str]:
    internals = snapshot.internals
    if internals.overflowed:
        yield (
            f"{internals.overflowed} recordings fell to 'other' because there were too many "
            "names: use fewer distinct names, or raise max_operation_names or max_custom_series."
        )
    for room, count in internals.errors.items():
        yield f"metalscope itself failed {count} times in {room}: see its log."


def _summary(operation: OperationMetrics, all_ns: int) -> OperationSummary:
    durations = operation.durations
    return OperationSummary(
        kind=operation.kind,
        name=operation.name,
        device=operation.device,
        executions=operation.executions,
        errors=operation.error_count,
        total_ms=durations.total_ms,
        share=durations.sum_ns / all_ns if all_ns else 0.0,
        average_ms=durations.average_ms,
        p50_ms=durations.quantile_ms(0.5),
        p95_ms=durations.quantile_ms(0.95),
        p99_ms=durations.quantile_ms(0.99),
        max_ms=durations.max_ms,
    )


def _latency(points: Sequence[ActivityPoint]) -> Trend:
    return _trend("mean latency", "ms", [p.mean_ms for p in points if p.mean_ms is not None])


def _latencies(points: Sequence[ActivityPoint]) -> tuple[float, float] | None:
    trend = _latency(points)
    if trend.earlier is None or trend.later is None:
        return None
    return trend.earlier, trend.later


def _trend(what: str, unit: str, values: Sequence[float]) -> Trend:
    if len(values) < MIN_POINTS_FOR_A_TREND:
        return Trend(what, unit, "unknown")
    half = len(values) // 2
    earlier, later = median(values[:half]), median(values[half:])
    scale = max(earlier, later)
    change = (later - earlier) / scale if scale else 0.0
    direction: Direction = "steady"
    if change > TREND_THRESHOLD:
        direction = "rising"
    elif change < -TREND_THRESHOLD:
        direction = "falling"
    return Trend(what, unit, direction, earlier, later)
