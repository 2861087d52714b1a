"""Thresholds that are harder to leave than to enter, heat, pressure, and reasons in numbers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalscope.health.rules import (
    MOST_REASONS,
    Finding,
    HealthThresholds,
    assess,
    components_of,
    findings_of,
    levels_of,
)
from metalscope.health_report import BADNESS, HealthStatus
from metalscope.operation import Component, MetalError
from metalscope.readings import MemoryPressure, ResourceKind, ResourceMetrics, ThermalState
from metalscope.snapshot import RecentActivity

THRESHOLDS = HealthThresholds(error_rate=0.1, errors=5)
HEALTHY, DEGRADED, CRITICAL, UNKNOWN = (
    HealthStatus.HEALTHY,
    HealthStatus.DEGRADED,
    HealthStatus.CRITICAL,
    HealthStatus.UNKNOWN,
)
NOTHING = RecentActivity()


def lately(operations, **errors):
    return RecentActivity(60.0, operations, {MetalError(e): n for e, n in errors.items()})


def memory(percent, name="pool"):
    return ResourceMetrics(ResourceKind.MEMORY, name, "gpu:0", percent, limit=100.0)


def level(kind, value):
    return ResourceMetrics(kind, "system", "", value)


def of(report, component):
    return next(one for one in report.components if one.component == component)


def through(looks):
    """The findings of the last of several looks, each beginning where the one before ended."""
    levels, found = {}, []
    for recent, resources in looks:
        found = list(findings_of(recent, resources, THRESHOLDS, levels))
        levels = levels_of(found)
    return found


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (ThermalState.NOMINAL, HEALTHY),
        (ThermalState.FAIR, HEALTHY),
        (ThermalState.SERIOUS, DEGRADED),
        (ThermalState.CRITICAL, CRITICAL),
    ],
)
def test_heat_is_held_against_the_device_and_said_also_where_there_is_none(state, status):
    device = of(
        assess(NOTHING, [level(ResourceKind.THERMAL_STATE, state)], THRESHOLDS), Component.DEVICE
    )
    assert (device.status, device.reasons) == (status, (f"thermal state {state.name.lower()}",))


@pytest.mark.parametrize(
    ("pressure", "status"),
    [
        (MemoryPressure.LOW, HEALTHY),
        (MemoryPressure.MEDIUM, HEALTHY),
        (MemoryPressure.HIGH, DEGRADED),
        (MemoryPressure.CRITICAL, CRITICAL),
    ],
)
def test_memory_pressure_is_held_against_memory(pressure, status):
    found = of(
        assess(NOTHING, [level(ResourceKind.MEMORY_PRESSURE, pressure)], THRESHOLDS),
        Component.MEMORY,
    )
    assert found.status is status
    assert found.reasons == (f"memory pressure {pressure.name.lower()}",)


@pytest.mark.parametrize("kind", [ResourceKind.THERMAL_STATE, ResourceKind.MEMORY_PRESSURE])
@pytest.mark.parametrize("value", [-1, 4, 1.5, math.nan, math.inf])
def test_a_level_there_is_not_says_nothing(kind, value):
    assert assess(NOTHING, [level(kind, value)], THRESHOLDS).status is UNKNOWN


@pytest.mark.parametrize("percent", [math.nan, math.inf, -math.inf])
def test_a_share_that_is_no_number_says_nothing(percent):
    assert assess(NOTHING, [memory(percent)], THRESHOLDS).status is UNKNOWN


def test_memory_leaves_critical_only_five_points_below_and_says_so():
    (found,) = through([(NOTHING, [memory(91.0)]), (NOTHING, [memory(88.0)])])
    assert found.status is CRITICAL
    assert found.reason == ("pool memory 88.0 % in use, was above 90 % and is not yet below 85 %")
    (found,) = through([(NOTHING, [memory(91.0)]), (NOTHING, [memory(84.0)])])
    assert (found.status, found.reason) == (DEGRADED, "pool memory 84.0 % in use, above 70 %")


def test_one_pool_does_not_hold_another_in_its_status():
    found = through([(NOTHING, [memory(95, "a"), memory(10, "b")]),
                     (NOTHING, [memory(10, "a"), memory(89, "b")])])  # fmt: skip
    assert [one.status for one in found] == [HEALTHY, DEGRADED]


def test_a_reading_that_is_gone_is_forgotten():
    (found,) = through([(NOTHING, [memory(95)]), (NOTHING, []), (NOTHING, [memory(88)])])
    assert found.status is DEGRADED


@pytest.mark.parametrize(
    ("looks", "status"),
    [
        ([lately(100, compilation_error=11)], DEGRADED),
        ([lately(100, compilation_error=11), lately(100, compilation_error=6)], DEGRADED),
        ([lately(100, compilation_error=11), lately(100, compilation_error=2)], HEALTHY),
        ([lately(100, compilation_error=4)], HEALTHY),
        ([lately(1000, compilation_error=5), lately(1000, compilation_error=3)], DEGRADED),
        ([lately(100, out_of_memory=11)], CRITICAL),
        ([lately(100, out_of_memory=11), lately(100, out_of_memory=6)], CRITICAL),
        ([lately(100, out_of_memory=11), lately(100, out_of_memory=4)], DEGRADED),
        ([lately(100, device_lost=1), lately(100, device_lost=1)], CRITICAL),
    ],
)
def test_failing_is_left_at_half_of_what_it_was_entered_at(looks, status):
    (found,) = through([(recent, []) for recent in looks])
    assert found.status is status


def test_one_lost_device_counts_as_long_as_the_window_and_no_longer():
    assert through([(lately(9000, device_lost=1), [])])[0].status is CRITICAL
    assert through([(lately(9000, device_lost=1), []), (lately(9000), [])]) == []


@given(
    st.lists(
        st.tuples(
            st.integers(0, 200),
            st.dictionaries(st.sampled_from(list(MetalError)), st.integers(1, 50)),
            st.floats(0, 100),
        ),
        min_size=1,
    )
)
def test_what_was_before_never_makes_a_status_better(looks):
    levels = {}
    for succeeded, errors, percent in looks:
        operations = succeeded + sum(errors.values())
        recent, resources = RecentActivity(60.0, operations, errors), [memory(percent)]
        fresh = list(findings_of(recent, resources, THRESHOLDS))
        held = list(findings_of(recent, resources, THRESHOLDS, levels))
        assert [one.key for one in held] == [one.key for one in fresh]
        for one, other in zip(held, fresh, strict=True):
            assert BADNESS[one.status] >= BADNESS[other.status]
        levels = levels_of(held)
        again = list(findings_of(recent, resources, THRESHOLDS, levels))
        assert again == held, "what holds still stays as it is"


def test_the_worst_reason_comes_first_and_the_rest_are_counted():
    findings = [Finding(Component.KERNEL, HEALTHY, f"fine {n}") for n in range(MOST_REASONS + 5)]
    findings.append(Finding(Component.KERNEL, CRITICAL, "broken"))
    kernel = next(c for c in components_of(findings, NOTHING) if c.component is Component.KERNEL)
    assert kernel.status is CRITICAL
    assert kernel.reasons[0] == "broken"
    assert len(kernel.reasons) == MOST_REASONS + 1
    assert kernel.reasons[-1] == "and 6 more"


def test_what_cannot_be_known_leaves_a_component_that_works_healthy():
    findings = [Finding(Component.SYSTEM, UNKNOWN, "cannot be asked")]
    idle, busy = (
        next(c for c in components_of(findings, recent) if c.component is Component.SYSTEM)
        for recent in (NOTHING, lately(10))
    )
    assert (idle.status, busy.status) == (UNKNOWN, HEALTHY)
    assert idle.reasons == busy.reasons == ("cannot be asked",)
