"""The health of a snapshot as values of metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

from metalscope import semconv
from metalscope.durations import format_duration
from metalscope.export_status import BreakerState
from metalscope.health_report import PredictionKind
from metalscope.operation import ErrorSeverity
from metalscope.semconv import Metric
from metalscope.snapshot import (
    BreakerStatus,
    HealthStatus,
    MetalTelemetrySnapshot,
    ObjectiveStatus,
)

__all__ = ["HEALTH_VALUES"]

Values = Iterator[tuple[tuple[str, ...], float]]
Source = Callable[[MetalTelemetrySnapshot], Values]


def _status(snapshot: MetalTelemetrySnapshot) -> Values:
    statuses = {semconv.OVERALL: snapshot.health.status}
    statuses |= {part.component.value: part.status for part in snapshot.health.components}
    for component, status in statuses.items():
        for possible in HealthStatus:
            yield (component, possible), int(status is possible)


def _anomalies(snapshot: MetalTelemetrySnapshot) -> Values:
    for one in snapshot.health.anomalies:
        yield (str(one.kind), one.component.value, one.subject), 1


def _breaker_state(snapshot: MetalTelemetrySnapshot) -> Values:
    for one in snapshot.health.breakers:
        for state in BreakerState:
            yield (one.name, state.value), int(one.state is state)


def _each_breaker(pick: Callable[[BreakerStatus], float]) -> Source:
    def values(snapshot: MetalTelemetrySnapshot) -> Values:
        for one in snapshot.health.breakers:
            yield (one.name,), pick(one)

    return values


def _each_objective(pick: Callable[[ObjectiveStatus], float | None]) -> Source:
    def values(snapshot: MetalTelemetrySnapshot) -> Values:
        for one in snapshot.health.objectives:
            value = pick(one)
            if value is not None:
                yield (one.name,), value

    return values


def _burn_rates(snapshot: MetalTelemetrySnapshot) -> Values:
    for one in snapshot.health.objectives:
        for burn in one.burn_rates:
            if burn.rate is not None:
                yield (one.name, format_duration(timedelta(seconds=burn.seconds))), burn.rate


def _burning(snapshot: MetalTelemetrySnapshot) -> Values:
    for one in snapshot.health.objectives:
        for severity in ErrorSeverity:
            yield (one.name, severity.value), int(one.burning is severity)


def _predicted_times(snapshot: MetalTelemetrySnapshot) -> Values:
    for one in snapshot.health.predictions:
        if one.at is not None:
            yield (str(one.kind), one.subject), one.at.timestamp()


def _failure_risk(snapshot: MetalTelemetrySnapshot) -> Values:
    for one in snapshot.health.predictions:
        if one.kind == PredictionKind.FAILURE_RISK and one.value is not None:
            yield (one.subject,), one.value


HEALTH_VALUES: Final[dict[Metric, Source]] = {
    semconv.HEALTH_STATUS: _status,
    semconv.ANOMALY: _anomalies,
    semconv.BREAKER_STATE: _breaker_state,
    semconv.BREAKER_OPENED: _each_breaker(lambda one: one.opened),
    semconv.BREAKER_CALLS: _each_breaker(lambda one: one.calls),
    semconv.BREAKER_REJECTED: _each_breaker(lambda one: one.rejected),
    semconv.OBJECTIVE_TARGET: _each_objective(lambda one: one.target),
    semconv.OBJECTIVE_ATTAINED: _each_objective(lambda one: one.attained),
    semconv.OBJECTIVE_BUDGET: _each_objective(lambda one: one.budget_left),
    semconv.OBJECTIVE_BURN_RATE: _burn_rates,
    semconv.OBJECTIVE_BURNING: _burning,
    semconv.PREDICTED_TIME: _predicted_times,
    semconv.FAILURE_RISK: _failure_risk,
}
