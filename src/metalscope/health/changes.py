"""What became different from one look at health to the next, as events to be told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from metalscope.export_status import BreakerState
from metalscope.health.events import Happening
from metalscope.health_report import (
    BADNESS,
    Anomaly,
    BreakerStatus,
    ComponentHealth,
    HealthEventKind,
    HealthStatus,
    ObjectiveStatus,
    Prediction,
    PredictionKind,
)
from metalscope.operation import Component, ErrorSeverity

__all__ = [
    "anomaly_changes",
    "breaker_change",
    "detector_off",
    "new_predictions",
    "objective_changes",
    "status_changes",
]

_SEVERITY: Final = {
    HealthStatus.CRITICAL: ErrorSeverity.CRITICAL,
    HealthStatus.DEGRADED: ErrorSeverity.MEDIUM,
}


def status_changes(
    before: Mapping[Component, HealthStatus], after: Iterable[ComponentHealth]
) -> Iterator[Happening]:
    """Components that got better or worse.

    That one becomes known, or is no longer known, is told only where it was or is unwell: a
    program that works now and then would tell of nothing else.
    """
    for one in after:
        was = before.get(one.component, HealthStatus.UNKNOWN)
        unwell = max(BADNESS[was], BADNESS[one.status]) > BADNESS[HealthStatus.HEALTHY]
        if was is one.status or not unwell:
            continue
        why = f": {one.reasons[0]}" if one.reasons else ""
        yield Happening(
            HealthEventKind.STATUS,
            _SEVERITY.get(one.status, ErrorSeverity.LOW),
            f"{one.component.value} is {one.status.value}, was {was.value}{why}",
            one.component,
            subject=one.status.value,
            properties={"status": one.status.value, "before": was.value},
        )


def anomaly_changes(before: Iterable[Anomaly], after: Iterable[Anomaly]) -> Iterator[Happening]:
    """Anomalies that began, got more severe, or are over."""
    known = {one.key: one for one in before}
    present = {one.key: one for one in after}
    for key, one in present.items():
        was = known.get(key)
        if was is None or one.severity.rank > was.severity.rank:
            yield _of_anomaly(HealthEventKind.ANOMALY, one, one.severity, one.reason)
    for key, one in known.items():
        if key not in present:
            over = f"{one.kind} of {one.subject} is over"
            yield _of_anomaly(HealthEventKind.ANOMALY_ENDED, one, ErrorSeverity.LOW, over)


def new_predictions(
    before: Iterable[Prediction], after: Iterable[Prediction]
) -> Iterator[Happening]:
    """Predictions of what was not predicted before."""
    known = {(str(one.kind), one.subject) for one in before}
    for one in after:
        if (str(one.kind), one.subject) in known:
            continue
        harmless = one.kind == PredictionKind.LOAD
        yield Happening(
            HealthEventKind.PREDICTION,
            ErrorSeverity.LOW if harmless else ErrorSeverity.MEDIUM,
            one.message,
            one.component,
            subject=f"{one.kind}:{one.subject}",
            properties={"kind": str(one.kind), "subject": one.subject},
        )


def objective_changes(
    before: Iterable[ObjectiveStatus], after: Iterable[ObjectiveStatus]
) -> Iterator[Happening]:
    """Objectives whose error budget began to burn too fast, burns faster, or no longer does."""
    known = {one.name: one.burning for one in before}
    for one in after:
        was = known.get(one.name)
        if one.burning is not None and (was is None or one.burning.rank > was.rank):
            rates = ", ".join(
                f"{burn.rate:.1f} over {burn.seconds:.0f} s"
                for burn in one.burn_rates
                if burn.rate is not None
            )
            yield _of_budget(one, one.burning, f"burns too fast: {rates}" if rates else "burns")
        elif one.burning is None and was is not None:
            yield _of_budget(one, ErrorSeverity.LOW, "no longer burns too fast")


def breaker_change(now: BreakerStatus) -> Happening:
    """What a circuit breaker that just changed its state tells."""
    is_device = now.component is Component.DEVICE
    if now.state is BreakerState.OPEN:
        severity = ErrorSeverity.CRITICAL if is_device else ErrorSeverity.HIGH
        last = f", the last with {now.last_error}" if now.last_error else ""
        text = f"is open: {now.failures} failures in a row{last}"
    elif now.state is BreakerState.HALF_OPEN:
        severity, text = ErrorSeverity.LOW, "lets a trial through"
    else:
        severity, text = ErrorSeverity.LOW, "is closed"
    return Happening(
        HealthEventKind.BREAKER,
        severity,
        f"circuit breaker {now.name!r} {text}",
        now.component,
        subject=f"{now.name}:{now.state.value}",
        properties={"breaker": now.name, "state": now.state.value},
    )


def detector_off(name: str, failures: int, error: BaseException) -> Happening:
    """That a detector failed so often that it is asked no more."""
    return Happening(
        HealthEventKind.DETECTOR,
        ErrorSeverity.MEDIUM,
        f"anomaly detector {name!r} is off: it failed {failures} times in a row, the last time "
        f"with {type(error).__name__}",
        Component.SYSTEM,
        subject=f"detector:{name}",
        properties={"detector": name},
    )


def _of_anomaly(
    kind: HealthEventKind, one: Anomaly, severity: ErrorSeverity, message: str
) -> Happening:
    return Happening(
        kind,
        severity,
        message,
        one.component,
        subject=":".join(one.key),
        properties={
            "kind": str(one.kind),
            "subject": one.subject,
            "detector": one.detector,
            "cause": one.cause,
        },
    )


def _of_budget(one: ObjectiveStatus, severity: ErrorSeverity, text: str) -> Happening:
    return Happening(
        HealthEventKind.BUDGET,
        severity,
        f"error budget of {one.name!r} {text}",
        subject=f"{one.name}:{severity.value}",
        properties={"objective": one.name, "burning": one.burning.value if one.burning else None},
    )
