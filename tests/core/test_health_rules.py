from __future__ import annotations

import pytest

from metalscope.health.rules import HealthThresholds, assess
from metalscope.operation import Component, MetalError
from metalscope.snapshot import HealthStatus, RecentActivity, ResourceKind, ResourceMetrics

THRESHOLDS = HealthThresholds(error_rate=0.1, errors=5)


def lately(operations: int, **errors: int) -> RecentActivity:
    return RecentActivity(60.0, operations, {MetalError(e): n for e, n in errors.items()})


def status_of(report, component: Component) -> HealthStatus:
    return next(c.status for c in report.components if c.component is component)


def test_nothing_known_is_unknown_not_healthy():
    report = assess(lately(0), [], THRESHOLDS)
    assert report.status is HealthStatus.UNKNOWN
    assert {c.status for c in report.components} == {HealthStatus.UNKNOWN}


def test_work_without_failures_is_healthy():
    assert assess(lately(100), [], THRESHOLDS).status is HealthStatus.HEALTHY


@pytest.mark.parametrize(
    ("recent", "component", "status"),
    [
        (lately(1000, device_lost=1), Component.DEVICE, HealthStatus.CRITICAL),
        (lately(1000, out_of_memory=1), Component.MEMORY, HealthStatus.DEGRADED),
        (lately(1000, out_of_memory=200), Component.MEMORY, HealthStatus.CRITICAL),
        (lately(1000, invalid_argument=1), Component.KERNEL, HealthStatus.HEALTHY),
        (lately(1000, invalid_argument=5), Component.KERNEL, HealthStatus.DEGRADED),
        (lately(20, compilation_error=3), Component.COMPILER, HealthStatus.DEGRADED),
        (lately(1, internal_error=1), Component.SYSTEM, HealthStatus.HEALTHY),
    ],
)
def test_errors_count_against_their_component(recent, component, status):
    report = assess(recent, [], THRESHOLDS)
    assert status_of(report, component) is status
    assert report.status is status
    reasons = next(c.reasons for c in report.components if c.component is component)
    (error,) = recent.errors
    assert f"{recent.errors[error]} {error.value} in {recent.operations} operations" in reasons[0]


@pytest.mark.parametrize(
    ("used", "status"),
    [(70.0, HealthStatus.HEALTHY), (70.1, HealthStatus.DEGRADED), (90.1, HealthStatus.CRITICAL)],
)
def test_full_memory_is_said_with_its_number(used, status):
    pool = ResourceMetrics(ResourceKind.MEMORY, "pool", "gpu:0", used, limit=100.0)
    report = assess(lately(10), [pool], THRESHOLDS)
    assert status_of(report, Component.MEMORY) is status
    assert f"pool memory {used:.1f} % in use" in str(report.components[0].reasons)


def test_memory_without_a_limit_says_nothing():
    pool = ResourceMetrics(ResourceKind.MEMORY, "pool", "gpu:0", 5.0)
    assert assess(lately(0), [pool], THRESHOLDS).status is HealthStatus.UNKNOWN


def test_what_is_past_the_window_is_forgotten():
    assert assess(lately(50), [], THRESHOLDS).status is HealthStatus.HEALTHY
