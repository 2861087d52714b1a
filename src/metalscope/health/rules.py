"""Component status from what happened lately and from how full memory is.

The figures are those of the options; the severities and components of errors are those of
:class:`~metalscope.operation.MetalError`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from metalscope.operation import Component, ErrorSeverity, MetalError
from metalscope.snapshot import (
    ComponentHealth,
    HealthReport,
    HealthStatus,
    RecentActivity,
    ResourceKind,
    ResourceMetrics,
)

__all__ = ["HealthThresholds", "assess"]

MEMORY_DEGRADED_PERCENT: Final = 70.0
MEMORY_CRITICAL_PERCENT: Final = 90.0
MIN_OPERATIONS_FOR_A_RATE: Final = 10
"""A share of fewer operations than this says nothing."""

_ORDER: Final = (HealthStatus.CRITICAL, HealthStatus.DEGRADED, HealthStatus.HEALTHY)


@dataclass(frozen=True, slots=True)
class HealthThresholds:
    """``error_rate``: share of failed operations, 0..1; ``errors``: a number of like failures."""

    error_rate: float = 0.1
    errors: int = 5


Finding = tuple[HealthStatus, str]


def assess(
    recent: RecentActivity, resources: Iterable[ResourceMetrics], thresholds: HealthThresholds
) -> HealthReport:
    """Draw the status of every component from the recent window and the latest readings.

    A component of which nothing is known, because nothing ran and no sensor speaks of it, is
    ``unknown``. Overall: the worst status any component has; ``unknown`` where all are.
    """
    findings: dict[Component, list[Finding]] = {component: [] for component in Component}
    for error, count in recent.errors.items():
        findings[error.component].append(_error_finding(error, count, recent, thresholds))
    for resource in resources:
        findings[Component.MEMORY].extend(_memory_findings(resource))
    components = tuple(
        _component(component, found, recent) for component, found in findings.items()
    )
    statuses = {component.status for component in components}
    overall = next((status for status in _ORDER if status in statuses), HealthStatus.UNKNOWN)
    return HealthReport(overall, components)


def _component(
    component: Component, found: list[Finding], recent: RecentActivity
) -> ComponentHealth:
    if not found and not recent.operations:
        return ComponentHealth(component, HealthStatus.UNKNOWN, ("no operation in the window",))
    status = next((s for s in _ORDER if any(s is f for f, _ in found)), HealthStatus.HEALTHY)
    return ComponentHealth(component, status, tuple(reason for _, reason in found))


def _error_finding(
    error: MetalError, count: int, recent: RecentActivity, thresholds: HealthThresholds
) -> Finding:
    share = count / recent.operations if recent.operations else 1.0
    reason = (
        f"{count} {error.value} in {recent.operations} operations over the last "
        f"{recent.seconds:.0f} s ({share:.1%})"
    )
    if error.severity is ErrorSeverity.CRITICAL:
        return HealthStatus.CRITICAL, reason
    frequent = recent.operations >= MIN_OPERATIONS_FOR_A_RATE and share > thresholds.error_rate
    if error.severity is ErrorSeverity.HIGH:
        return (HealthStatus.CRITICAL if frequent else HealthStatus.DEGRADED), reason
    if frequent or count >= thresholds.errors:
        return HealthStatus.DEGRADED, reason
    return HealthStatus.HEALTHY, reason


def _memory_findings(resource: ResourceMetrics) -> Iterable[Finding]:
    if resource.kind not in (ResourceKind.MEMORY, ResourceKind.HOST_MEMORY):
        return
    percent = resource.utilization_percent
    if percent is None:
        return
    where = f"{resource.name} memory"
    if percent > MEMORY_CRITICAL_PERCENT:
        yield (
            HealthStatus.CRITICAL,
            f"{where} {percent:.1f} % in use, above {MEMORY_CRITICAL_PERCENT:.0f} %",
        )
    elif percent > MEMORY_DEGRADED_PERCENT:
        yield (
            HealthStatus.DEGRADED,
            f"{where} {percent:.1f} % in use, above {MEMORY_DEGRADED_PERCENT:.0f} %",
        )
    else:
        yield HealthStatus.HEALTHY, f"{where} {percent:.1f} % in use"
