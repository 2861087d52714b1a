"""Health as data: to JSON and back, into the report, into metrics."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from health_samples import BREAKER, FULL, LEAK, NOW, OBJECTIVE
from metalscope.families import families
from metalscope.health_analysis import analyse_health
from metalscope.histogram import DurationHistogram
from metalscope.operation import MetalError, OperationKind
from metalscope.report import MetalProductionReport
from metalscope.snapshot import (
    ActivityPoint,
    HealthReport,
    MetalTelemetrySnapshot,
    ObjectiveStatus,
    OperationMetrics,
    OutcomeMetrics,
    RecentActivity,
)
from metalscope.snapshot_json import SnapshotFormatError, snapshot_from_dict

SNAPSHOT = MetalTelemetrySnapshot(NOW, NOW - timedelta(minutes=10), health=FULL)


def read_back(data: dict[str, object]) -> MetalTelemetrySnapshot:
    return snapshot_from_dict(json.loads(json.dumps(data, allow_nan=False)))


def operation(name: str, **counts: int) -> OperationMetrics:
    outcomes = tuple(
        OutcomeMetrics(word, DurationHistogram.from_durations([1_000_000] * count))
        for word, count in counts.items()
    )
    return OperationMetrics(OperationKind.EXECUTE, name, "gpu:0", outcomes, NOW)


def test_health_comes_back_from_json_equal_in_every_part():
    assert read_back(SNAPSHOT.to_dict()).health == FULL


def test_health_written_before_these_parts_were_there_can_be_read():
    data = SNAPSHOT.to_dict()
    data["health"] = {key: data["health"][key] for key in ("status", "components")}
    assert read_back(data).health == HealthReport(FULL.status, FULL.components)


def test_parts_of_a_newer_version_without_a_word_here_are_left_out():
    data = SNAPSHOT.to_dict()
    data["health"]["anomalies"][0]["component"] = "neural engine"
    data["health"]["events"][0]["kind"] = "omen"
    health = read_back(data).health
    assert (health.anomalies, health.events) == ((), ())
    assert health.breakers == FULL.breakers


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("breakers", "calls", "many"),
        ("objectives", "good", 1.5),
        ("predictions", "at", "soon"),
        ("anomalies", "since", "2026-01-01T12:00:00"),
    ],
)
def test_what_is_no_such_value_is_refused_with_its_place(part, key, value):
    data = SNAPSHOT.to_dict()
    data["health"][part][0][key] = value
    with pytest.raises(SnapshotFormatError, match="health: "):
        read_back(data)


def test_an_error_budget_is_counted_as_in_the_sre_workbook():
    # 99 % of 1000: 10 may fail, 20 did.
    assert OBJECTIVE.attained == 0.98
    assert OBJECTIVE.budget_left == pytest.approx(-1.0)
    # 10 of 100 failed where 1 may.
    assert OBJECTIVE.burn_rates[0].rate == pytest.approx(10.0)
    assert OBJECTIVE.burn_rates[1].rate is None


def test_an_objective_without_operations_says_nothing():
    empty = ObjectiveStatus("quick", 0.99, 60.0, 0.0, 0, 0)
    assert (empty.attained, empty.budget_left) == (None, None)


def test_the_metrics_have_every_part_of_health():
    found = {
        (family.metric.name, labels): value
        for family in families(SNAPSHOT)
        for labels, value in family.values
    }
    assert found["metal_anomaly_active", ("leak", "memory", "mlx")] == 1
    assert found["metal_circuit_breaker_state", ("kernel", "open")] == 1
    assert found["metal_circuit_breaker_state", ("kernel", "closed")] == 0
    assert found["metal_circuit_breaker_rejected_calls_total", ("kernel",)] == 7
    assert found["metal_objective_burn_rate_ratio", ("quick", "5m")] == pytest.approx(10.0)
    assert ("metal_objective_burn_rate_ratio", ("quick", "1m")) not in found
    at = (NOW + timedelta(hours=2)).timestamp()
    assert found["metal_predicted_timestamp_seconds", ("memory_exhausted", "mlx")] == at


def test_the_report_shows_what_stands_behind_the_status():
    report = MetalProductionReport.of(SNAPSHOT)
    text = report.to_text()
    for part in (
        "grows by 3.0 MiB a minute",
        "kernel   open   40     7        2",
        "99.0000%  98.00%    -100.00%",
        "10 over 5m",
        "mlx memory is full in about 2 h",
        "grew for 9 of 9 minutes",
        "2026-01-01 13:00:00+00:00 to later than looked at",
    ):
        assert part in text
    assert report.to_dict()["health"]["predicted"][0]["subject"] == "mlx"


def test_in_markdown_a_table_after_lines_begins_after_an_empty_line():
    lines = MetalProductionReport.of(SNAPSHOT).to_markdown().splitlines()
    head = lines.index("| component | status | why |")
    assert lines[head - 1] == ""
    assert lines[head - 2].startswith("Score ")


def test_the_score_says_what_it_was_lowered_by():
    analysis = analyse_health(SNAPSHOT)
    # 40 critical, 15 degraded, 6 a high anomaly, 5 an open breaker.
    assert analysis.score == 100 - 40 - 15 - 6 - 5
    assert sum(one.points for one in analysis.deductions) == 66
    assert analysis.pressure == (LEAK,)
    assert [one.subject for one in analysis.predicted] == ["mlx"]


def test_the_score_never_falls_below_zero_and_is_absent_where_nothing_is_known():
    ruin = replace(FULL, breakers=(BREAKER,) * 30)
    assert analyse_health(replace(SNAPSHOT, health=ruin)).score == 0
    assert analyse_health(replace(SNAPSHOT, health=HealthReport())).score is None


def test_errors_of_one_source_are_named_as_such():
    operations = (
        operation("good", ok=100, timeout=1),
        operation("bad", ok=10, invalid_argument=19),
    )
    assert MetalError.INVALID_ARGUMENT in operations[1].errors
    (pattern,) = analyse_health(replace(SNAPSHOT, operations=operations)).error_patterns
    assert pattern == "19 of 20 failures are invalid_argument of execute bad (95%)."


def test_an_operation_that_never_succeeded_is_named():
    operations = (operation("hopeless", timeout=6), operation("good", ok=9, timeout=4))
    (pattern,) = analyse_health(replace(SNAPSHOT, operations=operations)).error_patterns
    assert pattern == "execute hopeless has never succeeded in 6 tries."


def test_few_failures_are_no_pattern():
    operations = (operation("good", ok=100, timeout=3), operation("other", ok=5))
    assert analyse_health(replace(SNAPSHOT, operations=operations)).error_patterns == ()


def test_failures_in_bursts_are_named_and_steady_ones_are_not():
    def patterns(rates: list[float]) -> tuple[str, ...]:
        points = tuple(ActivityPoint(NOW, 100.0, rate, 1.0) for rate in rates)
        return analyse_health(
            replace(SNAPSHOT, recent=RecentActivity(60.0, 100, {}, points))
        ).error_patterns

    assert patterns([0.0] * 59 + [30.0]) == (
        "Failures come in bursts: 30.0 a second at most, 0.50 in the mean, and in 1 of 60 ticks "
        "at all.",
    )
    assert patterns([0.5] * 60) == ()
