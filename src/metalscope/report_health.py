"""The report's tables on health."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from metalscope.amounts import ABSENT
from metalscope.durations import format_duration
from metalscope.health_analysis import HealthAnalysis
from metalscope.snapshot import HealthReport, ObjectiveStatus, Prediction

__all__ = [
    "ANOMALIES_HEAD",
    "BREAKERS_HEAD",
    "COMPONENTS_HEAD",
    "OBJECTIVES_HEAD",
    "PREDICTIONS_HEAD",
    "anomaly_rows",
    "breaker_rows",
    "component_rows",
    "health_lines",
    "objective_rows",
    "prediction_rows",
]

Row = tuple[str, ...]

COMPONENTS_HEAD: Final = ("component", "status", "why")
ANOMALIES_HEAD: Final = ("anomaly", "severity", "since", "what", "cause")
BREAKERS_HEAD: Final = ("breaker", "state", "calls", "refused", "opened")
OBJECTIVES_HEAD: Final = ("objective", "target", "attained", "budget left", "burn rates")
PREDICTIONS_HEAD: Final = ("prediction", "when", "within", "what", "evidence")


def component_rows(health: HealthReport) -> tuple[Row, ...]:
    """Each component with its reasons."""
    return tuple(
        (c.component.value, c.status.value, "; ".join(c.reasons) or ABSENT)
        for c in health.components
    )


def health_lines(analysis: HealthAnalysis) -> Iterator[str]:
    """The score with what it was lowered by, and the patterns of errors."""
    if analysis.score is not None:
        why = ", ".join(f"{one.reason} -{one.points}" for one in analysis.deductions)
        yield f"Score {analysis.score} of 100{f' ({why})' if why else ''}."
    yield from analysis.error_patterns


def anomaly_rows(health: HealthReport) -> tuple[Row, ...]:
    """What goes on now."""
    return tuple(
        (
            str(one.kind).replace("_", " "),
            one.severity.value,
            _moment(one.since),
            one.reason,
            one.cause or ABSENT,
        )
        for one in health.anomalies
    )


def breaker_rows(health: HealthReport) -> tuple[Row, ...]:
    """Each circuit breaker with its counts."""
    return tuple(
        (one.name, one.state.value, str(one.calls), str(one.rejected), str(one.opened))
        for one in health.breakers
    )


def objective_rows(health: HealthReport) -> tuple[Row, ...]:
    """Each objective with what is left of its budget."""
    return tuple(
        (
            one.name,
            f"{one.target:.4%}",
            _share(one.attained),
            _share(one.budget_left),
            _burn_rates(one),
        )
        for one in health.objectives
    )


def prediction_rows(health: HealthReport) -> tuple[Row, ...]:
    """What is to be expected, with its interval and what it rests on."""
    return tuple(
        (
            str(one.kind).replace("_", " "),
            _moment(one.at),
            _interval(one),
            one.message,
            "; ".join(one.evidence) or ABSENT,
        )
        for one in health.predictions
    )


def _burn_rates(objective: ObjectiveStatus) -> str:
    rates = (
        f"{one.rate:.2g} over {_length(one.seconds)}"
        for one in objective.burn_rates
        if one.rate is not None
    )
    return ", ".join(rates) or ABSENT


def _interval(prediction: Prediction) -> str:
    if prediction.earliest is None:
        return ABSENT
    latest = _moment(prediction.latest) if prediction.latest else "later than looked at"
    return f"{_moment(prediction.earliest)} to {latest}"


def _length(seconds: float) -> str:
    return format_duration(timedelta(seconds=seconds))


def _moment(moment: datetime | None) -> str:
    return ABSENT if moment is None else moment.isoformat(sep=" ", timespec="seconds")


def _share(share: float | None) -> str:
    return ABSENT if share is None else f"{share:.2%}"
