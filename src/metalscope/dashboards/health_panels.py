"""Panels of health: statuses, anomalies, circuit breakers, predictions."""

from __future__ import annotations

from metalscope import semconv
from metalscope.dashboards.levels import BREAKERS, HEALTH
from metalscope.dashboards.model import Panel, Query
from metalscope.dashboards.promql import age, coded, highest, increase, per_second

__all__ = ["health_panels"]


def health_panels() -> tuple[Panel, ...]:
    """What health has found."""
    return (
        Panel(
            title="Health by component",
            about="The worst status of each component over all that is chosen.",
            kind="timeline",
            queries=(
                Query(
                    expr=coded(semconv.HEALTH_STATUS, "status", HEALTH.codes, "component"),
                    legend="{{component}}",
                ),
            ),
            values=HEALTH.values,
            runbook="MetalUnhealthy",
        ),
        Panel(
            title="Anomalies",
            about="What goes on now that is not as it was.",
            queries=(
                Query(
                    expr=f"{highest(semconv.ANOMALY, 'kind', 'component', 'subject')} > 0",
                    legend="{{kind}} in {{subject}}",
                ),
            ),
            low=0,
        ),
        Panel(
            title="Circuit breakers",
            about="Those of the application.",
            kind="timeline",
            queries=(
                Query(
                    expr=coded(semconv.BREAKER_STATE, "state", BREAKERS.codes, "breaker"),
                    legend="{{breaker}}",
                ),
            ),
            values=BREAKERS.values,
            width=8,
            runbook="MetalBreakerOpen",
        ),
        Panel(
            title="Calls of breakers",
            about="Calls let through and refused, a second, and how often a breaker has opened "
            "within the time shown.",
            queries=(
                Query(expr=per_second(semconv.BREAKER_CALLS, "breaker"), legend="{{breaker}}"),
                Query(
                    expr=per_second(semconv.BREAKER_REJECTED, "breaker"),
                    legend="{{breaker}} refused",
                ),
                Query(
                    expr=increase(semconv.BREAKER_OPENED, "breaker"), legend="{{breaker}} opened"
                ),
            ),
            low=0,
            width=8,
            runbook="MetalBreakerFlaps",
        ),
        Panel(
            title="What is predicted",
            about="The time left until something runs out, and the probability that a component "
            "fails within the horizon.",
            kind="table",
            queries=(
                Query(
                    expr=f"-({age(semconv.PREDICTED_TIME, 'instance', 'prediction', 'subject')})",
                    legend="Time left",
                    instant=True,
                ),
                Query(
                    expr=highest(semconv.FAILURE_RISK, "instance", "subject"),
                    legend="Risk of failing",
                    instant=True,
                ),
            ),
            columns={"instance": "Instance", "prediction": "Prediction", "subject": "Subject"},
            units={"Time left": "s", "Risk of failing": "percentunit"},
            width=8,
            runbook="MetalMemoryExhaustionPredicted",
        ),
    )
