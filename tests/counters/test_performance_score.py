"""How well it goes, in one figure: each part, what it costs, and that absence costs nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from counter_bench import level, memory
from hypothesis import given
from hypothesis import strategies as st

from metalscope.analysis import ReportThresholds, analyse_performance
from metalscope.counter_statistics import PerformanceCounters, WorkStatistics
from metalscope.histogram import DurationHistogram
from metalscope.operation import MetalError, OperationKind
from metalscope.performance_score import PerformanceScore
from metalscope.readings import MemoryPressure, ResourceKind, ResourceMetrics, ThermalState
from metalscope.report import MetalProductionReport
from metalscope.snapshot import (
    ActivityPoint,
    MetalTelemetrySnapshot,
    OperationMetrics,
    OutcomeMetrics,
    RecentActivity,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def snapshot(
    *resources: ResourceMetrics,
    recent: RecentActivity | None = None,
    counters: PerformanceCounters | None = None,
    operations: tuple[OperationMetrics, ...] = (),
) -> MetalTelemetrySnapshot:
    return MetalTelemetrySnapshot(
        timestamp=NOW,
        started_at=NOW - timedelta(hours=1),
        operations=operations,
        resources=resources,
        recent=recent or RecentActivity(),
        counters=counters,
    )


def score(one: MetalTelemetrySnapshot, **thresholds: float) -> PerformanceScore:
    return analyse_performance(one, ReportThresholds(**thresholds)).score


def part(one: MetalTelemetrySnapshot, name: str, **thresholds: float) -> float | None:
    return next(part.score for part in score(one, **thresholds).parts if part.name == name)


def failing(failed: int, of: int) -> RecentActivity:
    return RecentActivity(900.0, of, {MetalError.TIMEOUT: failed})


def timed(slow: int, of: int) -> PerformanceCounters:
    nothing = WorkStatistics(slow_above_ms=50)
    kernels = WorkStatistics(slow_above_ms=100, count=of, timed=of, slow=slow)
    return PerformanceCounters(NOW, 10.0, nothing, kernels)


def latency(*means: float) -> RecentActivity:
    return RecentActivity(900.0, points=tuple(ActivityPoint(NOW, 1.0, 0.0, m) for m in means))


def test_where_nothing_is_known_there_is_no_score():
    nothing = score(snapshot())
    assert nothing.overall is None
    assert [part.score for part in nothing.parts] == [None] * 5
    assert "performance  —" in MetalProductionReport.of(snapshot()).to_text()


def test_an_idle_machine_in_good_order_loses_nothing():
    idle = snapshot(
        ResourceMetrics(ResourceKind.GPU_UTILIZATION, "gpu", "", 0.0),
        memory(10),
        level(ResourceKind.THERMAL_STATE, ThermalState.NOMINAL),
    )
    assert score(idle).overall == 100


def test_a_busy_gpu_loses_nothing_by_being_busy():
    busy = snapshot(ResourceMetrics(ResourceKind.GPU_UTILIZATION, "gpu", "", 100.0), memory(10))
    assert score(busy).overall == 100


@pytest.mark.parametrize(
    ("failed", "expected"), [(0, 100), (10, 90), (50, 50), (100, 0), (1000, 0)]
)
def test_a_percent_of_failures_costs_ten_points_by_default(failed, expected):
    assert part(snapshot(recent=failing(failed, 1000)), "success") == pytest.approx(expected)


def test_the_share_of_failures_that_leaves_nothing_is_the_options():
    one = snapshot(recent=failing(10, 100))
    assert part(one, "success", error_rate=0.2) == pytest.approx(50)
    assert part(one, "success", error_rate=0.0) == 0
    assert part(snapshot(recent=failing(0, 100)), "success", error_rate=0.0) == 100


def test_a_few_operations_say_nothing_of_success_lately_but_all_together_may():
    assert part(snapshot(recent=failing(9, 9)), "success") is None
    fine = OutcomeMetrics("ok", DurationHistogram.from_durations([1] * 99))
    bad = OutcomeMetrics("timeout", DurationHistogram.from_durations([1]))
    all_of_it = OperationMetrics(OperationKind.EXECUTE, "k", "", (fine, bad))
    one = snapshot(recent=failing(1, 1), operations=(all_of_it,))
    assert part(one, "success") == pytest.approx(90)


def test_slow_work_costs_half_at_most():
    assert part(snapshot(counters=timed(0, 100)), "speed") == 100
    assert part(snapshot(counters=timed(20, 100)), "speed") == 90
    assert part(snapshot(counters=timed(100, 100)), "speed") == 50
    assert part(snapshot(counters=timed(9, 9)), "speed") is None


def test_latency_is_held_against_its_own_past():
    assert part(snapshot(recent=latency(*[10.0] * 20)), "steadiness") == 100
    assert part(snapshot(recent=latency(*[10.0] * 10, *[12.0] * 10)), "steadiness") == 100
    assert part(snapshot(recent=latency(*[10.0] * 10, *[20.0] * 10)), "steadiness") == 62.5
    assert part(snapshot(recent=latency(*[20.0] * 10, *[10.0] * 10)), "steadiness") == 100
    assert part(snapshot(recent=latency(10.0, 20.0)), "steadiness") is None


def test_memory_costs_from_its_threshold_on_and_the_worst_of_it_counts():
    assert part(snapshot(memory(80)), "headroom") == 100
    assert part(snapshot(memory(90)), "headroom") == 75
    assert part(snapshot(memory(100), memory(5)), "headroom") == 50
    assert part(snapshot(memory(400)), "headroom") == 50
    assert part(snapshot(memory(90)), "headroom", memory_percent=90) == 100
    pressed = level(ResourceKind.MEMORY_PRESSURE, MemoryPressure.HIGH)
    assert part(snapshot(memory(5), pressed), "headroom") == 75
    assert part(snapshot(memory(5, limit=None)), "headroom") is None


def test_heat_costs_by_what_the_system_says_of_it():
    states = [level(ResourceKind.THERMAL_STATE, state) for state in ThermalState]
    assert [part(snapshot(state), "cooling") for state in states] == [100, 95, 75, 50]
    assert part(snapshot(level(ResourceKind.THERMAL_STATE, 7)), "cooling") is None


def test_the_whole_is_the_product_so_nothing_good_hides_what_is_bad():
    one = snapshot(memory(90), recent=failing(50, 1000), counters=timed(20, 100))
    assert score(one).overall == pytest.approx(100 * 0.75 * 0.5 * 0.9)
    assert score(snapshot(memory(1), recent=failing(500, 1000))).overall == 0


def test_the_report_says_the_score_its_parts_and_what_is_unknown():
    one = snapshot(memory(90), recent=failing(50, 1000))
    text = MetalProductionReport.of(one).to_text()
    assert "38 of 100 (success 50, headroom 75; unknown: speed, steadiness, cooling)" in text
    data = MetalProductionReport.of(one).to_dict()["performance"]["score"]
    assert data["overall"] == pytest.approx(37.5)
    assert data["parts"][0] == {
        "name": "success",
        "score": 50.0,
        "why": "50 of 1000 recent operations failed",
    }


@given(
    share=st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)),
    means=st.lists(st.floats(0, 1e9), max_size=40),
    thresholds=st.fixed_dictionaries(
        {"error_rate": st.floats(0, 1), "memory_percent": st.floats(0, 100)}
    ),
    used=st.floats(0, 1e12),
    heat=st.integers(-1, 5),
)
def test_every_part_and_the_whole_lie_between_0_and_100(share, means, thresholds, used, heat):
    points = tuple(ActivityPoint(NOW, 1.0, 0.0, mean) for mean in means)
    recent = RecentActivity(900.0, share[1], {MetalError.TIMEOUT: share[0]}, points)
    one = snapshot(memory(used), level(ResourceKind.THERMAL_STATE, heat), recent=recent)
    rated = score(one, **thresholds)
    for value in (rated.overall, *(part.score for part in rated.parts)):
        assert value is None or 0 <= value <= 100
