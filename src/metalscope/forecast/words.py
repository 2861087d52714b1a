"""Predictions of memory and of risk, in words and numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from metalscope.forecast.base import Series
from metalscope.forecast.exhaustion import Passage
from metalscope.forecast.risk import Risk
from metalscope.forecast.trend import slope_of
from metalscope.health_report import Prediction, PredictionKind
from metalscope.operation import Component
from metalscope.readings import ResourceKind, ResourceMetrics, ThermalState

if TYPE_CHECKING:
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["memory_exhausted", "risk_of"]

MIN_OPERATIONS: Final = 10
RISING: Final = 2.0
"""An error rate this many times that since the start is told as rising."""


def memory_exhausted(
    reading: ResourceMetrics, limit: float, passage: Passage, series: Series, now: datetime
) -> Prediction:
    """That a memory reaches its limit."""
    at, earliest = _moment(passage.at), _moment(passage.earliest)
    latest = None if passage.latest is None else _moment(passage.latest)
    until = "possibly never" if latest is None else f"{_span(latest, now)}"
    slope = slope_of(series.values)
    hours = len(series.values) * series.step / 3600
    grown = "" if slope is None else f", growing by {_size(slope / series.step * 3600)} an hour"
    return Prediction(
        PredictionKind.MEMORY_EXHAUSTED,
        subject=":".join(
            part for part in (reading.kind.value, reading.name, reading.device) if part
        ),
        message=(
            f"{reading.name} memory reaches its limit of {_size(limit)} in {_span(at, now)} "
            f"({_span(earliest, now)} to {until})"
        ),
        component=Component.MEMORY,
        at=at,
        earliest=earliest,
        latest=latest,
        confidence=passage.confidence,
        value=limit,
        unit=reading.unit,
        evidence=(
            f"{_size(reading.current)} of {_size(limit)} in use{grown}",
            f"drawn from the last {hours:.1f} h, by {series.step:.0f} s",
        ),
    )


def risk_of(
    component: Component,
    risk: Risk | None,
    *,
    counted: Sequence[str],
    snapshot: MetalTelemetrySnapshot,
    exhausted: Sequence[Prediction],
    until: datetime,
) -> Prediction | None:
    """That a component is likely to fail until then; ``None`` where nothing was counted.

    ``risk`` is of what failed before. Memory that is predicted to run out adds what its interval
    says of it: the chance that it is full by then. Both are taken as independent, so each only
    adds. What else stands beside them is told, and is no part of the number.
    """
    full = max((_chance_full(one, until) for one in exhausted), default=0.0)
    if risk is None and not full:
        return None
    before = Risk(0.0, 0.0, 0.0, 0.9) if risk is None else risk
    probability, lower, upper = (
        1 - (1 - one) * (1 - full) for one in (before.probability, before.lower, before.upper)
    )
    hours = (until - snapshot.timestamp).total_seconds() / 3600
    return Prediction(
        PredictionKind.FAILURE_RISK,
        subject=component.value,
        message=(
            f"{component.value} fails within {hours:.0f} h with a probability of {probability:.0%}"
            f" ({lower:.0%} to {upper:.0%})"
        ),
        component=component,
        confidence=before.confidence if risk is not None else None,
        value=probability,
        lower=lower,
        upper=upper,
        unit="probability",
        evidence=(*counted, *(one.message for one in exhausted), *_beside(component, snapshot)),
    )


def _chance_full(prediction: Prediction, until: datetime) -> float:
    """What the interval says for sure of the chance that the limit is reached by then."""
    tail = (1 - (prediction.confidence or 0.0)) / 2
    if prediction.latest is not None and prediction.latest <= until:
        return 1 - tail
    if prediction.at is not None and prediction.at <= until:
        return 0.5
    return tail if prediction.earliest is not None and prediction.earliest <= until else 0.0


def _beside(component: Component, snapshot: MetalTelemetrySnapshot) -> Iterator[str]:
    if component is Component.DEVICE:
        for reading in snapshot.resources:
            hot = reading.kind is ResourceKind.THERMAL_STATE
            if hot and reading.current >= ThermalState.SERIOUS:
                yield f"thermal state is {ThermalState(int(reading.current)).name.lower()}"
    recent, whole = snapshot.recent.error_rate, snapshot.error_rate
    if (
        recent is not None
        and snapshot.recent.operations >= MIN_OPERATIONS
        and recent > RISING * whole
        and any(error.component is component for error in snapshot.recent.errors)
    ):
        yield f"error rate has risen: {recent:.1%} lately, {whole:.1%} since the start"


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _span(moment: datetime, now: datetime) -> str:
    seconds = max(0.0, (moment - now).total_seconds())
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86_400:.1f} days"


def _size(nbytes: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(nbytes) >= size:
            return f"{nbytes / size:.1f} {unit}"
    return f"{nbytes:.0f} B"
