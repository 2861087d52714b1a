"""Snapshots of one process, one after the other, whose totals are known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from snapshots import full

from metalscope.export.view import MetricView
from metalscope.families import Family
from metalscope.histogram import DurationHistogram
from metalscope.operation import OK, MetalError, OperationKind
from metalscope.snapshot import (
    CustomMetric,
    MetalTelemetrySnapshot,
    OperationMetrics,
    OutcomeMetrics,
    TelemetryEvent,
)

START = datetime.now(UTC).replace(microsecond=250_000) - timedelta(minutes=20)
"""Recent, as Datadog takes nothing old."""

STEP = timedelta(seconds=10)


def durations_ns(step: int) -> list[int]:
    """What ran in that step: more each time, 3 µs to some 100 ms."""
    return [3_000 * 7 ** (n % 6) + n for n in range(step + 1)]


def grown(
    steps: int, *, started_at: datetime = START, pid: int = 1, events: int = 0
) -> MetalTelemetrySnapshot:
    """The snapshot after so many steps: all that ran until then, and two failures a step."""
    ran = [ns for step in range(steps) for ns in durations_ns(step)]
    failed = [50_000] * (2 * steps)
    operation = OperationMetrics(
        OperationKind.EXECUTE,
        "matmul",
        "m1",
        (
            OutcomeMetrics(OK, DurationHistogram.from_durations(ran), nbytes=4096 * len(ran)),
            OutcomeMetrics(MetalError.TIMEOUT, DurationHistogram.from_durations(failed)),
        ),
    )
    base = full()
    assert base.system is not None
    timestamp = started_at + STEP * steps
    return replace(
        base,
        timestamp=timestamp,
        started_at=started_at,
        operations=(operation,),
        custom=(
            CustomMetric("jobs", "counter", (("tenant", "a"),), 1.5 * steps),
            CustomMetric("depth", "gauge", (), -2.5 + steps),
            CustomMetric("sizes", "histogram", (), 4.0 * steps, 2 * steps, ((1.0, steps),)),
        ),
        system=replace(base.system, pid=pid),
        events=tuple(
            TelemetryEvent(n, timestamp, f"event {n}", {"n": n}) for n in range(1, events + 1)
        ),
    )


def totals(snapshot: MetalTelemetrySnapshot) -> dict[str, float]:
    """What the counters of a snapshot add up to over all series, by metric."""
    counters: list[Family] = [
        one for one in MetricView().families(snapshot) if one.metric.type == "counter"
    ]
    return {one.metric.name: sum(value for _, value in one.values) for one in counters}
