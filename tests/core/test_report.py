from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from metalscope.analysis import ReportThresholds, analyse_trends
from metalscope.histogram import DurationHistogram
from metalscope.operation import OperationKind
from metalscope.report import MetalProductionReport
from metalscope.snapshot import (
    ActivityPoint,
    InternalMetrics,
    MetalTelemetrySnapshot,
    OperationMetrics,
    OutcomeMetrics,
    ResourceKind,
    ResourceMetrics,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def outcome(word: str, *durations_ms: float) -> OutcomeMetrics:
    return OutcomeMetrics(
        word, DurationHistogram.from_durations(int(ms * 1e6) for ms in durations_ms)
    )


def operation(name: str, *outcomes: OutcomeMetrics) -> OperationMetrics:
    return OperationMetrics(OperationKind.EXECUTE, name, "gpu:0", outcomes, NOW)


SNAPSHOT = MetalTelemetrySnapshot(
    timestamp=NOW,
    started_at=NOW - timedelta(seconds=10),
    operations=(
        operation("quick", outcome("ok", *[0.5] * 90)),
        operation("slow", outcome("ok", *[150] * 8), outcome("timeout", 400, 400)),
    ),
    resources=(
        ResourceMetrics(ResourceKind.MEMORY, "pool", "gpu:0", 95 * 2**20, limit=100 * 2**20),
    ),
    internals=InternalMetrics(errors={"sensor.x": 2}, overflowed=3),
)


def test_the_analysis_says_where_time_goes_and_what_fails():
    report = MetalProductionReport.of(SNAPSHOT)
    assert report.performance.operations_per_second == 10
    assert [one.name for one in report.performance.busiest] == ["slow", "quick"]
    assert report.performance.busiest[0].share > 0.97
    assert report.errors.total == 2
    assert report.errors.rate == 0.02
    (source,) = report.errors.sources
    assert (source.error, source.name, source.count, source.of) == ("timeout", "slow", 2, 10)


def test_recommendations_rest_on_numbers():
    text = "\n".join(MetalProductionReport.of(SNAPSHOT).recommendations)
    assert "slow (execute) failed 2 of 10 times with timeout" in text
    assert "400.0 ms at p95, above 100 ms" in text
    assert "memory pool is at 95 %, above 80 %" in text
    assert "3 recordings fell to 'other'" in text
    assert "metalscope itself failed 2 times in sensor.x" in text


def test_thresholds_decide_when_the_report_speaks_up():
    calm = ReportThresholds(slow_ms=1000, memory_percent=99)
    text = "\n".join(MetalProductionReport.of(SNAPSHOT, calm).recommendations)
    assert "p95" not in text
    assert "memory pool" not in text


def test_data_text_and_markdown_tell_the_same_numbers():
    report = MetalProductionReport.of(SNAPSHOT)
    data = json.loads(report.to_json())
    assert data["performance"]["busiest"][0]["name"] == "slow"
    assert data["snapshot"]["total_operations"] == 100
    for text in (report.to_text(), report.to_markdown()):
        for fact in ("100 (90 fast", "2 (2.00%)", "95.0 MiB", "timeout"):
            assert fact in text, fact
        assert text.endswith("\n")
    assert "| slow | execute | gpu:0 | 10 | 2 |" in report.to_markdown()


def test_a_hostile_kernel_name_stays_one_harmless_cell():
    evil = operation("a|b\n\x1b[31m<script>`", outcome("ok", 1))
    report = MetalProductionReport.of(MetalTelemetrySnapshot(NOW, NOW, operations=(evil,)))
    assert "\x1b" not in report.to_text()
    row = next(line for line in report.to_markdown().splitlines() if "script" in line)
    assert row.startswith("| a\\|b\ufffd\ufffd[31m&lt;script>\\` | execute |")


def test_an_empty_snapshot_gives_a_report_of_absences_not_of_zeros():
    report = MetalProductionReport.of(MetalTelemetrySnapshot(NOW, NOW))
    assert "No operation was recorded." in report.to_text()
    assert "p50 —, p95 —, p99 —" in report.to_text()
    assert report.recommendations == ()
    assert {trend.direction for trend in report.trends} == {"unknown"}


def points(values: list[float]) -> list[ActivityPoint]:
    return [ActivityPoint(NOW, value, 0.0, 1.0) for value in values]


def test_trends_compare_the_halves_of_the_window_by_their_medians():
    def throughput(values):
        return analyse_trends(points(values))[0].direction

    assert throughput([10.0] * 20) == "steady"
    assert throughput([10.0] * 10 + [20.0] * 10) == "rising"
    assert throughput([20.0] * 10 + [10.0] * 10) == "falling"
    assert throughput([10.0] * 10 + [10.0] * 9 + [900.0]) == "steady"
    assert throughput([1.0, 2.0]) == "unknown"
