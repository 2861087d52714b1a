"""What health says: statuses, anomalies, circuit breakers, events, predictions, objectives.

These are parts of the snapshot: frozen, made of plain values, read by consumers of every kind. What
draws them is :mod:`metalscope.health`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Self

from metalscope.export_status import BreakerState
from metalscope.moments import rfc3339, rfc3339_or_none
from metalscope.operation import Component, ErrorSeverity

__all__ = [
    "BADNESS",
    "Anomaly",
    "AnomalyKind",
    "BreakerStatus",
    "BurnRate",
    "ComponentHealth",
    "HealthEvent",
    "HealthEventKind",
    "HealthReport",
    "HealthStatus",
    "ObjectiveStatus",
    "Prediction",
    "PredictionKind",
    "burn_rate",
    "worst",
]


class HealthStatus(StrEnum):
    """How a component, or the whole, is doing."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


BADNESS: Final[Mapping[HealthStatus, int]] = MappingProxyType(
    {
        HealthStatus.UNKNOWN: 0,
        HealthStatus.HEALTHY: 1,
        HealthStatus.DEGRADED: 2,
        HealthStatus.CRITICAL: 3,
    }
)
"""How bad a status is. Whatever is known outweighs that nothing is."""


def worst(statuses: Iterable[HealthStatus]) -> HealthStatus:
    """The worst of them; ``unknown`` of none."""
    return max(statuses, key=BADNESS.__getitem__, default=HealthStatus.UNKNOWN)


class AnomalyKind(StrEnum):
    """What metalscope's own detectors find; those of other packages have words of their own."""

    ERROR_RATE = "error_rate"
    """A larger share of operations fails than did."""
    LEVEL_SHIFT = "level_shift"
    """Operations of one name take longer than they did, from one moment on."""
    DRIFT = "drift"
    """Operations of one name take longer little by little."""
    SPIKE = "spike"
    """Operations of one name took much longer for a short while."""
    PRESSURE = "pressure"
    """A resource has been short for a while."""
    LEAK = "leak"
    """Memory that only grows."""
    THROTTLING = "throttling"
    """The GPU is slowed by heat or by a limit of power."""
    BREAKER = "breaker"
    """A circuit breaker opens again and again, or does not close."""


class HealthEventKind(StrEnum):
    """What a health event tells of."""

    STATUS = "status"
    """A component's status changed."""
    ANOMALY = "anomaly"
    """An anomaly began."""
    ANOMALY_ENDED = "anomaly_ended"
    """An anomaly is over."""
    BREAKER = "breaker"
    """A circuit breaker changed its state."""
    PREDICTION = "prediction"
    """Something is predicted that was not before."""
    DETECTOR = "detector"
    """An anomaly detector failed so often that it is asked no more."""
    BUDGET = "budget"
    """An objective's error budget began or ceased to burn too fast."""


class PredictionKind(StrEnum):
    """What is predicted."""

    MEMORY_EXHAUSTED = "memory_exhausted"
    """Memory reaches its limit."""
    BUDGET_SPENT = "budget_spent"
    """An objective's error budget is gone."""
    FAILURE_RISK = "failure_risk"
    """A component is likely to fail, with the evidence."""
    LOAD = "load"
    """Load to be expected."""


@dataclass(frozen=True, slots=True)
class ComponentHealth:
    """One component's status with its reasons in words and numbers."""

    component: Component
    status: HealthStatus
    reasons: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "component": self.component.value,
            "status": self.status.value,
            "reasons": list(self.reasons),
        }


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Something that is not as it was, from ``since`` until it is no longer in the report.

    ``subject`` names what it was found in: an operation, a pool of memory, a breaker. ``value`` is
    what is seen and ``expected`` what was before, both in ``unit``. ``reason`` says it in words and
    numbers; ``cause`` names the cause where the figures show one. ``detector`` is who found it.
    """

    kind: str
    component: Component
    subject: str
    severity: ErrorSeverity
    since: datetime
    reason: str
    cause: str = ""
    value: float | None = None
    expected: float | None = None
    unit: str = ""
    detector: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes two findings the same anomaly: detector, kind and subject."""
        return self.detector, self.kind, self.subject

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "kind": str(self.kind),
            "component": self.component.value,
            "subject": self.subject,
            "severity": self.severity.value,
            "since": rfc3339(self.since),
            "reason": self.reason,
            "cause": self.cause,
            "value": self.value,
            "expected": self.expected,
            "unit": self.unit,
            "detector": self.detector,
        }


@dataclass(frozen=True, slots=True)
class BreakerStatus:
    """One circuit breaker and its counts since the start.

    ``failures`` is how many calls in a row failed just now. ``opened`` counts how often it opened,
    ``rejected`` the calls it refused. ``retry_at`` is when an open one allows a trial.
    ``last_error`` is the type of what failed last, never its text.
    """

    name: str
    state: BreakerState = BreakerState.CLOSED
    since: datetime | None = None
    component: Component | None = None
    failures: int = 0
    calls: int = 0
    opened: int = 0
    rejected: int = 0
    retry_at: datetime | None = None
    last_error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "name": self.name,
            "state": self.state.value,
            "since": rfc3339_or_none(self.since),
            "component": self.component.value if self.component else None,
            "failures": self.failures,
            "calls": self.calls,
            "opened": self.opened,
            "rejected": self.rejected,
            "retry_at": rfc3339_or_none(self.retry_at),
            "last_error": self.last_error,
        }


@dataclass(frozen=True, slots=True)
class HealthEvent:
    """Something that happened to health at one moment. ``sequence`` only ever grows."""

    sequence: int
    timestamp: datetime
    kind: HealthEventKind
    severity: ErrorSeverity
    message: str
    component: Component | None = None
    properties: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "sequence": self.sequence,
            "timestamp": rfc3339(self.timestamp),
            "kind": self.kind.value,
            "severity": self.severity.value,
            "message": self.message,
            "component": self.component.value if self.component else None,
            "properties": dict(self.properties),
        }


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is to be expected, with an interval, or a risk with its evidence.

    ``at`` is when, within ``earliest`` and ``latest`` with a probability of ``confidence`` (0..1);
    ``None`` for ``latest`` means possibly never, within the horizon looked at. ``value`` is what is
    then reached, in ``unit``; of a risk, its probability (0..1) within the horizon.
    """

    kind: str
    subject: str
    message: str
    component: Component | None = None
    at: datetime | None = None
    earliest: datetime | None = None
    latest: datetime | None = None
    confidence: float | None = None
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    unit: str = ""
    evidence: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "kind": str(self.kind),
            "subject": self.subject,
            "message": self.message,
            "component": self.component.value if self.component else None,
            "at": rfc3339_or_none(self.at),
            "earliest": rfc3339_or_none(self.earliest),
            "latest": rfc3339_or_none(self.latest),
            "confidence": self.confidence,
            "value": self.value,
            "lower": self.lower,
            "upper": self.upper,
            "unit": self.unit,
            "evidence": list(self.evidence),
        }


@dataclass(frozen=True, slots=True)
class BurnRate:
    """How fast an error budget goes over a window of ``seconds``; 1 spends it in its own window.

    ``rate`` is ``None`` where nothing ran in the window; ``good`` of ``total`` went well in it.
    """

    seconds: float
    rate: float | None
    good: int = 0
    total: int = 0

    @classmethod
    def of(cls, seconds: float, good: int, total: int, target: float) -> Self:
        """The rate over a window in which ``good`` of ``total`` went well."""
        return cls(seconds, burn_rate(total - good, total, target), good, total)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "seconds": self.seconds,
            "rate": self.rate,
            "good": self.good,
            "total": self.total,
        }


@dataclass(frozen=True, slots=True)
class ObjectiveStatus:
    """A service level objective: what was promised, what was kept, how fast the rest goes.

    ``target`` is the share promised, 0..1, over ``window_seconds``, of which ``covered_seconds``
    are known. ``good`` of ``total`` kept it. ``burning`` is how urgent the burn rates are, ``None``
    where they are not.
    """

    name: str
    target: float
    window_seconds: float
    covered_seconds: float
    good: int
    total: int
    burn_rates: tuple[BurnRate, ...] = ()
    burning: ErrorSeverity | None = None

    @property
    def attained(self) -> float | None:
        """The share kept, 0..1; ``None`` where nothing ran."""
        return self.good / self.total if self.total else None

    @property
    def budget_left(self) -> float | None:
        """The share of the error budget left; below 0 where it is overdrawn, ``None`` without data.

        1 - failed / (allowed share × total), as in the SRE workbook, chapter 5.
        """
        allowed = _allowed_share(self.target) * self.total
        return 1.0 - (self.total - self.good) / allowed if allowed > 0 else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "name": self.name,
            "target": self.target,
            "window_seconds": self.window_seconds,
            "covered_seconds": self.covered_seconds,
            "good": self.good,
            "total": self.total,
            "attained": self.attained,
            "budget_left": self.budget_left,
            "burn_rates": [one.to_dict() for one in self.burn_rates],
            "burning": self.burning.value if self.burning else None,
        }


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The overall status, the components it was drawn from, and what stands behind them.

    ``anomalies`` are those that go on now. ``events`` are the latest, oldest first.
    """

    status: HealthStatus = HealthStatus.UNKNOWN
    components: tuple[ComponentHealth, ...] = ()
    anomalies: tuple[Anomaly, ...] = ()
    breakers: tuple[BreakerStatus, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    objectives: tuple[ObjectiveStatus, ...] = ()
    events: tuple[HealthEvent, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "status": self.status.value,
            "components": [component.to_dict() for component in self.components],
            "anomalies": [anomaly.to_dict() for anomaly in self.anomalies],
            "breakers": [breaker.to_dict() for breaker in self.breakers],
            "predictions": [prediction.to_dict() for prediction in self.predictions],
            "objectives": [objective.to_dict() for objective in self.objectives],
            "events": [event.to_dict() for event in self.events],
        }


def burn_rate(bad: int, total: int, target: float) -> float | None:
    """The share that went badly by the share allowed; ``None`` where nothing ran.

    As in the SRE workbook, chapter 5.
    """
    return bad / total / _allowed_share(target) if total else None


def _allowed_share(target: float) -> float:
    """The share that may go badly, 0..1, as it is written: 0.01 for a target of 0.99."""
    # Of two numbers with few digits; the difference as it is stored has seventeen.
    return round(1.0 - target, 12)
