"""The rules here and the exported ones in Prometheus raise the same alerts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from prometheus_rules import BEGIN, Case, Firing, firing_in_prometheus, own, plain

from metalscope.alert_options import AlertsOptions
from metalscope.alert_report import AlertState
from metalscope.alerts.builtin import builtin_inhibitions, rules_of
from metalscope.alerts.engine import AlertEngine
from metalscope.alerts.expression.samples import Samples
from metalscope.alerts.prometheus import rules_text
from metalscope.alerts.rule import AlertRule
from metalscope.export_status import BreakerState
from metalscope.health_report import AnomalyKind, PredictionKind
from metalscope.histogram import DurationHistogram
from metalscope.operation import OK, Component, ErrorSeverity, MetalError, OperationKind
from metalscope.snapshot import (
    Anomaly,
    BreakerStatus,
    ComponentHealth,
    CustomMetric,
    HealthReport,
    HealthStatus,
    MetalTelemetrySnapshot,
    ObjectiveStatus,
    OperationMetrics,
    OutcomeMetrics,
    Prediction,
    ResourceKind,
    ResourceMetrics,
)

SAMPLED = timedelta(seconds=15)
EVALUATED = timedelta(minutes=1)
MINUTES = 24
COUNT = int(timedelta(minutes=MINUTES) / SAMPLED)
PROCESSES = 8


OPTIONS = AlertsOptions(
    # An alert that comes and goes is held here as one that goes on; Prometheus has no such thing.
    flapping_threshold=1000,
    high_gpu_utilization_window=timedelta(minutes=3),
    rules=(
        own("Jobs", "increase(jobs_total[3m]) > 2", keep_firing_for=timedelta(minutes=2)),
        own("Rate", 'rate(metal_operations_total{kind="execute"}[4m]) > 0.05'),
        own(
            "NoGpu", 'absent(metal_gpu_utilization_percent{device="m1"})',
            **{"for": timedelta(minutes=1)},
        ),
        own(
            "Many", "sum(metal_errors_total) > 12",
            severities={"critical": "sum(metal_errors_total) > 20"},
        ),
        own(
            "Without", "sum without (type, device) (metal_errors_total) >= 4", labels={"team": "x"}
        ),
        own("Scalar", "depth > scalar(ceiling)"),
        own("Vector", "vector(1) unless on () depth"),
        # Of equal ones Prometheus takes any.
        own("Top", "sum by (kind) (topk(100, metal_errors_total)) > 5"),
        # Where a gauge was not there all the time, Prometheus extends its difference.
        own(
            "Delta", "delta(depth[2m]) > 2 and depth and depth offset 2m",
            keep_firing_while="depth > 3",
        ),
        own("Median", "quantile_over_time(0.5, depth[3m]) > 4"),
        own("Changes", "changes(depth[3m]) - on () group_left () resets(jobs_total[3m]) > 1"),
        own("Offset", "increase(jobs_total[2m] offset 1m) > 1 or depth offset 2m > 6"),
        own(
            "P90",
            "histogram_quantile(0.9, sum by (le) "
            "(increase(metal_operation_duration_ms_bucket[5m]))) > 100",
        ),
        own(
            "Share",
            "sum by (name) (increase(metal_errors_total[5m]))"
            " / on (name) group_left () sum by (name) (increase(metal_operations_total[5m])) > 0.5",
        ),
    ),
)  # fmt: skip
RULES = [AlertRule.of(one) for one in rules_of(OPTIONS)]
WANTED = {name for rule in RULES for one in rule.expressions for name in one.metrics}

Steps = list[float | None]


def steps(*values: float | None) -> st.SearchStrategy[Steps]:
    """A value for a while, and then another."""
    part = st.tuples(st.sampled_from(values), st.integers(1, 32))
    return st.lists(part, min_size=1, max_size=6).map(
        lambda parts: ([v for v, length in parts for _ in range(length)] + [parts[-1][0]] * COUNT)[
            :COUNT
        ]
    )


def counts(*amounts: int) -> st.SearchStrategy[Steps]:
    """A counter that begins at its first count, which may never come."""
    moves = st.lists(st.tuples(st.integers(0, COUNT - 1), st.sampled_from(amounts)), max_size=8)

    def course(found: list[tuple[int, int]]) -> Steps:
        added = [0] * COUNT
        for place, amount in found:
            added[place] += amount
        return [total or None for total in accumulate(added)]

    return moves.map(course)


@dataclass(frozen=True)
class Courses:
    """How everything goes, each as a value a sample."""

    failures: Mapping[tuple[OperationKind, str, MetalError], Steps]
    fast: Steps
    slow: Steps
    gpu: Steps
    memory: Steps
    host: Steps
    thermal: Steps
    pressure: Steps
    restarts: Steps
    critical: Mapping[Component, Steps]
    anomalies: Mapping[AnomalyKind, Steps]
    breaker: Steps
    risk: Steps
    burning: Steps
    ahead: Steps
    jobs: Steps
    depth: Steps
    ceiling: Steps = field(default_factory=list)


flag = steps(None, 1)
courses = st.builds(
    Courses,
    failures=st.dictionaries(
        st.tuples(
            st.sampled_from([OperationKind.ALLOCATE, OperationKind.EXECUTE]),
            st.sampled_from(["matmul", "add"]),
            st.sampled_from(
                [
                    MetalError.OUT_OF_MEMORY,
                    MetalError.TIMEOUT,
                    MetalError.DEVICE_LOST,
                    MetalError.DEVICE_UNAVAILABLE,
                    MetalError.INTERNAL_ERROR,
                ]
            ),
        ),
        counts(1, 2, 3, 5, 11),
        max_size=4,
    ),
    fast=counts(1, 20),
    slow=counts(1, 5, 10),
    gpu=steps(None, 0, 50, 80, 92, 99),
    memory=steps(None, 20, 66, 70, 87, 92, 97),
    host=steps(None, 20, 70, 87, 97),
    thermal=steps(None, 0, 2, 3),
    pressure=steps(None, 0, 2, 3),
    restarts=counts(1),
    critical=st.dictionaries(
        st.sampled_from([Component.DEVICE, Component.MEMORY]), flag, max_size=2
    ),
    anomalies=st.dictionaries(
        st.sampled_from(
            [
                AnomalyKind.LEAK,
                AnomalyKind.DRIFT,
                AnomalyKind.LEVEL_SHIFT,
                AnomalyKind.ERROR_RATE,
                AnomalyKind.THROTTLING,
                AnomalyKind.BREAKER,
            ]
        ),
        flag,
        max_size=3,
    ),
    breaker=steps(None, 0, 1, 2),
    risk=steps(None, 0.1, 0.45, 0.6, 0.9),
    burning=steps(None, 0, 1, 2, 3),
    ahead=steps(None, 600, 7200, 200_000),
    jobs=counts(1, 2, 3),
    depth=steps(None, 0, 1, 3.5, 5, 8),
    ceiling=steps(None, 2, 6),
)


def snapshot_of(courses: Courses, place: int) -> MetalTelemetrySnapshot:
    now = BEGIN + place * SAMPLED

    def reading(kind: ResourceKind, name: str, steps: Steps, device: str = "m1", limit=None):  # type: ignore[no-untyped-def]
        value = steps[place]
        return [] if value is None else [ResourceMetrics(kind, name, device, value, limit=limit)]

    def gauge(name: str, steps: Steps) -> list[CustomMetric]:
        value = steps[place]
        return [] if value is None else [CustomMetric(name, "gauge", (), value)]

    found: dict[tuple[OperationKind, str], list[OutcomeMetrics]] = {}
    for (kind, name, error), counted in courses.failures.items():
        if counted[place]:
            durations = DurationHistogram.from_durations([1_000_000] * int(counted[place] or 0))
            found.setdefault((kind, name), []).append(OutcomeMetrics(error, durations))
    ok = [2_000_000] * int(courses.fast[place] or 0) + [700_000_000] * int(courses.slow[place] or 0)
    if ok:
        outcome = OutcomeMetrics(OK, DurationHistogram.from_durations(ok))
        found.setdefault((OperationKind.EXECUTE, "matmul"), []).append(outcome)
    jobs = courses.jobs[place]
    breaker, risk = courses.breaker[place], courses.risk[place]
    burning, ahead = courses.burning[place], courses.ahead[place]
    predictions = []
    if ahead is not None:
        at = now + timedelta(seconds=ahead)
        predictions.append(Prediction(PredictionKind.MEMORY_EXHAUSTED, "mlx", "", at=at))
    if risk is not None:
        predictions.append(Prediction(PredictionKind.FAILURE_RISK, "device", "", value=risk))
    return MetalTelemetrySnapshot(
        timestamp=now,
        started_at=BEGIN,
        operations=tuple(
            OperationMetrics(kind, name, "m1", tuple(outcomes))
            for (kind, name), outcomes in found.items()
        ),
        resources=(
            *reading(ResourceKind.GPU_UTILIZATION, "gpu", courses.gpu),
            *reading(ResourceKind.MEMORY, "mlx", courses.memory, limit=100),
            *reading(ResourceKind.HOST_MEMORY, "used", courses.host, "", limit=100),
            *reading(ResourceKind.THERMAL_STATE, "system", courses.thermal, ""),
            *reading(ResourceKind.MEMORY_PRESSURE, "system", courses.pressure, ""),
            *reading(ResourceKind.RECOVERIES, "gpu", [7 + (one or 0) for one in courses.restarts]),
        ),
        health=HealthReport(
            components=tuple(
                ComponentHealth(one, HealthStatus.CRITICAL if on[place] else HealthStatus.HEALTHY)
                for one, on in courses.critical.items()
            ),
            anomalies=tuple(
                Anomaly(kind, Component.KERNEL, "matmul", ErrorSeverity.LOW, now, "")
                for kind, on in courses.anomalies.items()
                if on[place]
            ),
            breakers=()
            if breaker is None
            else (BreakerStatus("gpu", list(BreakerState)[int(breaker)]),),
            objectives=(
                ObjectiveStatus(
                    "quick", 0.9, 60.0, 60.0, 1, 1,
                    burning=None if burning is None else list(ErrorSeverity)[int(burning)],
                ),
            ),
            predictions=tuple(predictions),
        ),
        custom=(
            *([CustomMetric("jobs", "counter", (), jobs)] if jobs else []),
            *gauge("depth", courses.depth),
            *gauge("ceiling", courses.ceiling),
        ),
    )  # fmt: skip


def firing_here(case: Case) -> list[Firing]:
    samples = Samples(one for rule in RULES for one in rule.expressions)
    errors: list[str] = []
    engine = AlertEngine(
        RULES,
        OPTIONS,
        inhibitions=builtin_inhibitions(),
        on_error=lambda room, error: errors.append(f"{room}: {error}"),
    )
    found: list[Firing] = []
    for snapshot in case.snapshots:
        samples.take(snapshot)
        if (snapshot.timestamp - BEGIN) % EVALUATED:
            continue
        engine.evaluate(snapshot.timestamp, samples, snapshot)
        found.append(
            {
                (one.rule, plain(one.all_labels)): one.severity
                for one in engine.active
                if one.state is AlertState.FIRING
            }
        )
    assert not errors
    return found


def disagreements(here: list[Firing], there: list[Firing]) -> list[str]:
    return [
        f"minute {turn}: {name} {dict(labels)} is {ours.get((name, labels))} in metalscope and "
        f"{theirs.get((name, labels))} in Prometheus"
        for turn, (ours, theirs) in enumerate(zip(here, there, strict=True))
        for name, labels in sorted({*ours, *theirs})
        if ours.get((name, labels)) != theirs.get((name, labels))
    ]


@pytest.mark.timeout(110)
@settings(
    max_examples=2,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    # A smaller case is no easier to understand than one minute of this one, and takes long to find.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(st.lists(courses, min_size=PROCESSES, max_size=PROCESSES))
def test_prometheus_raises_what_metalscope_raises_at_every_evaluation(
    found: list[Courses],
) -> None:
    cases = [Case([snapshot_of(one, place) for place in range(COUNT)], SAMPLED) for one in found]
    with TemporaryDirectory() as directory:
        there = firing_in_prometheus(
            rules_text(OPTIONS), cases, WANTED, interval=EVALUATED, directory=Path(directory)
        )
    for case, course, theirs in zip(cases, found, there, strict=True):
        wrong = disagreements(firing_here(case), theirs)
        assert not wrong, "\n".join([*wrong, repr(course)])
