"""What the window of recent operations and the latest readings say of each component.

The figures are those of the options; the severities and components of errors are those of
:class:`~metalscope.operation.MetalError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from types import MappingProxyType
from typing import Final

from metalscope.health.hysteresis import Level
from metalscope.health_report import BADNESS, worst
from metalscope.operation import Component, ErrorSeverity, MetalError
from metalscope.snapshot import (
    ComponentHealth,
    HealthReport,
    HealthStatus,
    MemoryPressure,
    RecentActivity,
    ResourceKind,
    ResourceMetrics,
    ThermalState,
)

__all__ = [
    "Finding",
    "HealthThresholds",
    "assess",
    "components_of",
    "findings_of",
    "levels_of",
    "overall",
]

EXIT_POINTS: Final = 5.0
"""Percentage points below a threshold at which a share is out of what it entered above it.

More than what a pool that frees and takes the same buffers moves by from tick to tick, and a
quarter of the way from one threshold of memory to the other, so that the two never touch.
"""

MEMORY: Final = Level(degraded=70.0, critical=90.0, exit_below=EXIT_POINTS)
"""Percent of memory in use. The original system's own figures."""

MIN_OPERATIONS_FOR_A_RATE: Final = 10
"""A share of fewer operations than this says nothing."""

ERRORS_EXIT: Final = 0.5
"""By this factor the thresholds of errors are lower for what has passed them.

Where the original system's alerts on errors resolve.
"""

MOST_REASONS: Final = 20
"""Reasons a component gives at most, the worst first; the rest are counted in a last one."""

_THERMAL: Final = {
    ThermalState.SERIOUS: HealthStatus.DEGRADED,
    ThermalState.CRITICAL: HealthStatus.CRITICAL,
}
# Apple of "serious": "the system has a high thermal state" and programs should use less of the
# CPU and GPU (developer.apple.com, ProcessInfo.ThermalState).
_PRESSURE: Final = {
    MemoryPressure.HIGH: HealthStatus.DEGRADED,
    MemoryPressure.CRITICAL: HealthStatus.CRITICAL,
}

_THERMAL_STATES: Final = frozenset(ThermalState)
_PRESSURE_LEVELS: Final = frozenset(MemoryPressure)

Levels = Mapping[str, HealthStatus]
"""The status each threshold was last found to give, by the key of its finding."""

_NO_LEVELS: Final[Levels] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class HealthThresholds:
    """``error_rate``: share of failed operations, 0..1; ``errors``: a number of like failures."""

    error_rate: float = 0.1
    errors: int = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing said of a component, and the status it alone would give it.

    ``key`` names what a threshold was put to, so that leaving it can be harder than entering it.
    """

    component: Component
    status: HealthStatus
    reason: str
    key: str = ""


def assess(
    recent: RecentActivity, resources: Iterable[ResourceMetrics], thresholds: HealthThresholds
) -> HealthReport:
    """Draw the status of every component from the recent window and the latest readings.

    A component of which nothing is known, because nothing ran and no sensor speaks of it, is
    ``unknown``. Overall: the worst status any component has; ``unknown`` where all are.
    """
    components = components_of(findings_of(recent, resources, thresholds), recent)
    return HealthReport(overall(components), components)


def findings_of(
    recent: RecentActivity,
    resources: Iterable[ResourceMetrics],
    thresholds: HealthThresholds,
    before: Levels = _NO_LEVELS,
) -> Iterator[Finding]:
    """What the window and the readings say; ``before`` is what :func:`levels_of` gave last."""
    for error, count in recent.errors.items():
        yield _error_finding(error, count, recent, thresholds, before)
    for resource in resources:
        if resource.kind in (ResourceKind.MEMORY, ResourceKind.HOST_MEMORY):
            yield from _memory_findings(resource, before)
        elif resource.kind is ResourceKind.THERMAL_STATE:
            yield from _thermal_findings(resource)
        elif resource.kind is ResourceKind.MEMORY_PRESSURE:
            yield from _pressure_findings(resource)


def levels_of(findings: Iterable[Finding]) -> Levels:
    """What the thresholds gave, for the next call of :func:`findings_of`."""
    return MappingProxyType({one.key: one.status for one in findings if one.key})


def components_of(
    findings: Iterable[Finding], recent: RecentActivity
) -> tuple[ComponentHealth, ...]:
    """Every component with the worst status found of it and all reasons, the worst first."""
    found: dict[Component, list[Finding]] = {component: [] for component in Component}
    for finding in findings:
        found[finding.component].append(finding)
    return tuple(_component(component, found[component], recent) for component in Component)


def overall(components: Iterable[ComponentHealth]) -> HealthStatus:
    """The worst status any of them has; ``unknown`` where all are."""
    return worst(component.status for component in components)


def _component(
    component: Component, found: list[Finding], recent: RecentActivity
) -> ComponentHealth:
    if not found and not recent.operations:
        return ComponentHealth(component, HealthStatus.UNKNOWN, ("no operation in the window",))
    status = worst(one.status for one in found)
    if status is HealthStatus.UNKNOWN and recent.operations:
        status = HealthStatus.HEALTHY
    found.sort(key=lambda one: -BADNESS[one.status])
    reasons = [one.reason for one in found[:MOST_REASONS]]
    if len(found) > MOST_REASONS:
        reasons.append(f"and {len(found) - MOST_REASONS} more")
    return ComponentHealth(component, status, tuple(reasons))


def _error_finding(
    error: MetalError,
    count: int,
    recent: RecentActivity,
    thresholds: HealthThresholds,
    before: Levels,
) -> Finding:
    key = f"error:{error.value}"
    share = count / recent.operations if recent.operations else 1.0
    reason = (
        f"{count} {error.value} in {recent.operations} operations over the last "
        f"{recent.seconds:.0f} s ({share:.1%})"
    )
    severity = error.severity
    if severity is ErrorSeverity.CRITICAL:
        return Finding(error.component, HealthStatus.CRITICAL, reason, key)
    many, few = (
        (HealthStatus.CRITICAL, HealthStatus.DEGRADED)
        if severity is ErrorSeverity.HIGH
        else (HealthStatus.DEGRADED, HealthStatus.HEALTHY)
    )
    factor = ERRORS_EXIT if before.get(key) is many else 1.0
    known = recent.operations >= MIN_OPERATIONS_FOR_A_RATE
    frequent = known and share > thresholds.error_rate * factor
    # A high one counts by itself, so a number of them alone makes it no worse.
    repeated = severity is not ErrorSeverity.HIGH and count >= thresholds.errors * factor
    status = many if frequent or repeated else few
    return Finding(error.component, status, reason, key)


def _memory_findings(resource: ResourceMetrics, before: Levels) -> Iterator[Finding]:
    percent = resource.utilization_percent
    if percent is None or not isfinite(percent):
        return
    key = f"{resource.kind.value}:{resource.name}:{resource.device}"
    status = MEMORY.status(percent, before.get(key, HealthStatus.UNKNOWN))
    reason = f"{resource.name} memory {percent:.1f} % in use"
    if status is not HealthStatus.HEALTHY:
        entry = MEMORY.entry(status)
        reason += (
            f", above {entry:.0f} %"
            if percent > entry
            else f", was above {entry:.0f} % and is not yet below {entry - EXIT_POINTS:.0f} %"
        )
    yield Finding(Component.MEMORY, status, reason, key)


def _thermal_findings(resource: ResourceMetrics) -> Iterator[Finding]:
    # A level there is not says nothing.
    if resource.current in _THERMAL_STATES:
        state = ThermalState(int(resource.current))
        status = _THERMAL.get(state, HealthStatus.HEALTHY)
        yield Finding(Component.DEVICE, status, f"thermal state {state.name.lower()}")


def _pressure_findings(resource: ResourceMetrics) -> Iterator[Finding]:
    if resource.current in _PRESSURE_LEVELS:
        level = MemoryPressure(int(resource.current))
        status = _PRESSURE.get(level, HealthStatus.HEALTHY)
        yield Finding(Component.MEMORY, status, f"memory pressure {level.name.lower()}")
