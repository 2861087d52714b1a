"""What a report says of health: a score, patterns of errors, what has become worse, what is coming.

Pure functions of a snapshot; the statuses and anomalies in it are drawn by
:mod:`metalscope.health`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

from metalscope.export_status import BreakerState
from metalscope.health_report import Anomaly, AnomalyKind, PredictionKind
from metalscope.operation import ErrorSeverity, MetalError
from metalscope.snapshot import (
    HealthReport,
    HealthStatus,
    MetalTelemetrySnapshot,
    OperationMetrics,
    Prediction,
)

__all__ = ["Deduction", "HealthAnalysis", "analyse_health"]

_STATUS: Final = {HealthStatus.DEGRADED: 15, HealthStatus.CRITICAL: 40}
_ANOMALY: Final = {
    ErrorSeverity.LOW: 1,
    ErrorSeverity.MEDIUM: 3,
    ErrorSeverity.HIGH: 6,
    ErrorSeverity.CRITICAL: 10,
}
OPEN_BREAKER: Final = 5
"""A breaker is open because a component is unwell, which has cost more than this already."""

PATTERN_AT_LEAST: Final = 5
"""Fewer failures than this are no pattern."""

_MOST: Final = 0.8
"""A share from which on one source is said to stand for the whole."""

_BURST: Final = 10.0
"""A moment with that many times the mean failures is said to be a burst."""


@dataclass(frozen=True, slots=True)
class Deduction:
    """What a score of 100 is lowered by, in points, and why."""

    points: int
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {"points": self.points, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class HealthAnalysis:
    """The report's section on health.

    ``score`` is 100 less the deductions, at least 0; ``None`` where nothing is known. Points: 40
    for a critical and 15 for a degraded component, 1, 3, 6 or 10 for an anomaly by its severity,
    5 for an open breaker. ``degradations`` are the anomalies of speed, ``pressure`` those of
    memory, heat and other resources. ``predicted`` is what is coming.
    """

    score: int | None
    deductions: tuple[Deduction, ...]
    error_patterns: tuple[str, ...]
    degradations: tuple[Anomaly, ...]
    pressure: tuple[Anomaly, ...]
    predicted: tuple[Prediction, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "score": self.score,
            "deductions": [one.to_dict() for one in self.deductions],
            "error_patterns": list(self.error_patterns),
            "degradations": [one.to_dict() for one in self.degradations],
            "pressure": [one.to_dict() for one in self.pressure],
            "predicted": [one.to_dict() for one in self.predicted],
        }


_SPEED: Final = {AnomalyKind.LEVEL_SHIFT, AnomalyKind.DRIFT, AnomalyKind.SPIKE}
_SHORTAGE: Final = {AnomalyKind.PRESSURE, AnomalyKind.LEAK, AnomalyKind.THROTTLING}


def analyse_health(snapshot: MetalTelemetrySnapshot) -> HealthAnalysis:
    """Draw the section from a snapshot."""
    health = snapshot.health
    deductions = tuple(_deductions(health))
    known = health.status is not HealthStatus.UNKNOWN
    return HealthAnalysis(
        score=max(0, 100 - sum(one.points for one in deductions)) if known else None,
        deductions=deductions,
        error_patterns=tuple(_patterns(snapshot)),
        degradations=tuple(one for one in health.anomalies if one.kind in _SPEED),
        pressure=tuple(one for one in health.anomalies if one.kind in _SHORTAGE),
        # Load is no issue; it is said with the load.
        predicted=tuple(one for one in health.predictions if one.kind != PredictionKind.LOAD),
    )


def _deductions(health: HealthReport) -> Iterator[Deduction]:
    for part in health.components:
        if part.status in _STATUS:
            yield Deduction(_STATUS[part.status], f"{part.component} is {part.status}")
    for anomaly in health.anomalies:
        yield Deduction(_ANOMALY[anomaly.severity], f"{anomaly.kind}: {anomaly.subject}")
    for breaker in health.breakers:
        if breaker.state is BreakerState.OPEN:
            yield Deduction(OPEN_BREAKER, f"the breaker {breaker.name} is open")


def _patterns(snapshot: MetalTelemetrySnapshot) -> Iterator[str]:
    yield from _from_one_source(snapshot.operations)
    yield from _always_failing(snapshot.operations)
    yield from _bursts([point.errors_per_second for point in snapshot.recent.points])


def _from_one_source(operations: Sequence[OperationMetrics]) -> Iterator[str]:
    counts: dict[tuple[MetalError, str], int] = {}
    for operation in operations:
        for error, count in operation.errors.items():
            counts[error, f"{operation.kind} {operation.name}"] = count
    total = sum(counts.values())
    if total < PATTERN_AT_LEAST or len(counts) < 2:
        return
    (error, source), most = max(counts.items(), key=lambda item: item[1])
    if most >= _MOST * total:
        yield f"{most} of {total} failures are {error} of {source} ({most / total:.0%})."


def _always_failing(operations: Iterable[OperationMetrics]) -> Iterator[str]:
    for operation in operations:
        if operation.executions >= PATTERN_AT_LEAST and not operation.successes:
            yield (
                f"{operation.kind} {operation.name} has never succeeded in "
                f"{operation.executions} tries."
            )


def _bursts(failures: Sequence[float]) -> Iterator[str]:
    mean = fmean(failures) if failures else 0.0
    if not mean:
        return
    burst = max(failures)
    failing = sum(1 for rate in failures if rate)
    if burst >= _BURST * mean:
        yield (
            f"Failures come in bursts: {burst:.1f} a second at most, {mean:.2f} in the mean, and "
            f"in {failing} of {len(failures)} ticks at all."
        )
