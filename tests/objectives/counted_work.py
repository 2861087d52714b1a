"""Snapshots of work that is counted by hand, minute by minute."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from metalscope.health_options import ObjectiveOptions
from metalscope.histogram import DurationHistogram
from metalscope.objectives import ObjectiveTracker
from metalscope.operation import OK, OperationKind
from metalscope.snapshot import MetalTelemetrySnapshot, OperationMetrics, OutcomeMetrics

START = datetime(2026, 1, 1, tzinfo=UTC)


def operation(
    name: str = "matmul",
    *,
    ok: int = 0,
    failed: int = 0,
    untimed: int = 0,
    took_ms: float = 1.0,
    kind: str = "execute",
) -> OperationMetrics:
    """One operation with running counts; those that went well took ``took_ms``."""
    timed = DurationHistogram.from_durations([round(took_ms * 1e6)] * ok)
    outcomes = [OutcomeMetrics(OK, timed, untimed=untimed)]
    if failed:
        outcomes.append(OutcomeMetrics("timeout", DurationHistogram(), untimed=failed))
    return OperationMetrics(OperationKind(kind), name, "m1", tuple(outcomes))


def snapshot(seconds: float, *operations: OperationMetrics) -> MetalTelemetrySnapshot:
    return MetalTelemetrySnapshot(START + timedelta(seconds=seconds), START, operations)


class Shift:
    """A tracker whose snapshots come from a plain count of what ran."""

    def __init__(self, **options: object) -> None:
        options = {"name": "works", "target": 0.999} | options
        self.tracker = ObjectiveTracker([ObjectiveOptions(**options)])
        self.seconds = 0.0
        self.ok = 0
        self.failed = 0

    def work(self, ok: int, failed: int = 0, *, seconds: float = 60.0) -> None:
        self.seconds += seconds
        self.ok += ok
        self.failed += failed
        self.tracker.observe(snapshot(self.seconds, operation(untimed=self.ok, failed=self.failed)))

    @property
    def status(self):
        (status,) = self.tracker.statuses()
        return status

    @property
    def rates(self) -> Mapping[float, float | None]:
        return {one.seconds: one.rate for one in self.status.burn_rates}
