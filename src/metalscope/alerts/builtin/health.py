"""Built-in rules about what health has found: statuses, anomalies, breakers, risks, objectives."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from metalscope.alerts.builtin.making import made
from metalscope.operation import Component, ErrorSeverity
from metalscope.semconv import OVERALL

if TYPE_CHECKING:
    from metalscope.alert_options import AlertRuleOptions

__all__ = ["health_rules"]


def health_rules() -> Iterator[AlertRuleOptions]:
    """The rules about health; its thresholds are those of ``health_monitor``."""
    yield _unhealthy()
    yield _error_rate()
    yield _breaker()
    yield _breaker_flaps()
    yield _risk()
    yield _budget()


def _unhealthy() -> AlertRuleOptions:
    def critical(component: str) -> str:
        status = f'metal_health_status{{status="critical", component{component}}}'
        return f"max by (component) ({status}) > 0"

    return made(
        "MetalUnhealthy",
        {
            ErrorSeverity.HIGH: critical(f'!="{OVERALL}"'),
            ErrorSeverity.CRITICAL: critical(f'="{Component.DEVICE}"'),
        },
        hold=timedelta(minutes=2),
        keep_for=timedelta(minutes=2),
        summary="The health of {component} is critical",
        description="The component {component} is in a critical state, and no other alert says "
        "why; the health report has the reasons.",
        actions=("Read the reasons: metalscope health.",),
    )


def _error_rate() -> AlertRuleOptions:
    found = 'max by (component, subject) (metal_anomaly_active{kind="error_rate"})'
    return made(
        "MetalErrorRateAnomaly",
        {ErrorSeverity.MEDIUM: f"{found} > 0"},
        # By then the rules that count failures, and are graver, have spoken if they will.
        hold=timedelta(minutes=2),
        # A breaker before it is said to flap for as long.
        keep_for=timedelta(minutes=15),
        summary="{subject} fails more often than it did",
        description="A larger share of {subject} fails than before; the health report has the "
        "numbers.",
        actions=(
            "See with which error they fail, and what changed when it began.",
            "Compare inputs that fail with those that do not.",
        ),
    )


def _breaker() -> AlertRuleOptions:
    def state(states: str) -> str:
        return f"max by (breaker) (metal_circuit_breaker_state{{state{states}}}) > 0"

    return made(
        "MetalBreakerOpen",
        {ErrorSeverity.MEDIUM: state('="open"')},
        # Longer than it waits before its first trial, so that one that recovers by itself is none.
        hold=timedelta(minutes=5),
        # While it tries whether calls succeed again it is not over.
        keep_while=state('=~"open|half_open"'),
        keep_for=timedelta(minutes=5),
        summary="The circuit breaker {breaker} is open",
        description="Calls under the circuit breaker {breaker} failed so often that they are "
        "refused.",
        actions=(
            "Look at the breaker's last error in the health report.",
            "Mend what it guards; the breaker then closes by itself.",
        ),
    )


def _breaker_flaps() -> AlertRuleOptions:
    found = 'max by (component, subject) (metal_anomaly_active{kind="breaker"})'
    return made(
        "MetalBreakerFlaps",
        {ErrorSeverity.MEDIUM: f"{found} > 0"},
        hold=timedelta(minutes=1),
        summary="The circuit breaker {subject} opens again and again",
        description="{subject} lets calls through, fails and opens, over and over.",
        actions=(
            "Look at the breaker's last error in the health report.",
            "Mend what it guards, or have it wait longer before a trial.",
        ),
    )


def _risk() -> AlertRuleOptions:
    risk = "max by (subject) (metal_failure_risk_ratio)"
    return made(
        "MetalFailureRisk",
        {ErrorSeverity.LOW: f"{risk} > 0.5", ErrorSeverity.MEDIUM: f"{risk} > 0.8"},
        hold=timedelta(minutes=10),
        keep_while=f"{risk} >= 0.4",
        summary="{subject} fails with a probability of {value:ratio}",
        description="By how often it has failed before, {subject} fails within the prediction "
        "horizon with a probability of {value:ratio}.",
        actions=("Read the prediction's evidence in the health report.",),
    )


def _budget() -> AlertRuleOptions:
    def burning(severities: str) -> str:
        return f"max by (objective) (metal_objective_burning{severities}) > 0"

    return made(
        "MetalBudgetBurn",
        {
            ErrorSeverity.LOW: burning(""),
            ErrorSeverity.MEDIUM: burning('{severity=~"medium|high|critical"}'),
            ErrorSeverity.HIGH: burning('{severity=~"high|critical"}'),
            ErrorSeverity.CRITICAL: burning('{severity="critical"}'),
        },
        keep_for=timedelta(minutes=5),
        summary="The error budget of {objective} burns too fast",
        description="Operations of the objective {objective} fail or are slow so often, over a "
        "long and a short window, that its error budget is spent before its time.",
        actions=(
            "See which operations go badly: they fail, or take longer than was promised.",
            "Take back the last change, if it began with one.",
        ),
    )
