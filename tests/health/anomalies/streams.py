"""A program that is made up, tick by tick: its snapshots, and what a detector says of them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from metalscope.export_status import BreakerState
from metalscope.health.anomalies.robust import RobustDetector
from metalscope.health.detector import AnomalyDetector
from metalscope.health_options import HealthMonitorOptions
from metalscope.health_report import Anomaly, BreakerStatus, HealthReport
from metalscope.histogram import EDGES_NS, DurationHistogram
from metalscope.operation import OK, MetalError, OperationKind
from metalscope.readings import ResourceKind, ResourceMetrics
from metalscope.snapshot import MetalTelemetrySnapshot, OperationMetrics, OutcomeMetrics

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MIB = 1024 * 1024
GIB = 1024 * MIB
MINUTE = 60.0
HOUR = 3600.0
DAY = 24 * HOUR


@dataclass
class Work:
    """One operation: what it usually takes, how often it runs, how often it fails."""

    ms: float = 4.6
    per_second: float = 5.0
    noise: float = 0.15
    failing: float = 0.0
    error: MetalError = MetalError.TIMEOUT
    kind: OperationKind = OperationKind.EXECUTE
    device: str = ""
    left: float = 0.0
    cells: dict[str, dict[int, int]] = field(default_factory=dict)
    sums: dict[str, int] = field(default_factory=dict)
    shown: OperationMetrics | None = None

    def run(self, name: str, seconds: float, random: Random) -> None:
        due = self.per_second * seconds + self.left
        calls, self.left = int(due), due % 1.0
        failed = sum(random.random() < self.failing for _ in range(calls)) if self.failing else 0
        self._count(self.error.value, failed, random)
        self._count(OK, calls - failed, random)
        if calls or self.shown is None:
            self.shown = OperationMetrics(
                self.kind,
                name,
                self.device,
                tuple(
                    OutcomeMetrics(
                        outcome,
                        DurationHistogram(
                            tuple(sorted(cells.items())), self.sums[outcome], 0, 10**9
                        ),
                    )
                    for outcome, cells in self.cells.items()
                ),
            )

    def _count(self, outcome: str, calls: int, random: Random) -> None:
        cells = self.cells.setdefault(outcome, {})
        self.sums.setdefault(outcome, 0)
        drawn = min(calls, 4)
        for each in range(drawn):
            count = calls // drawn + (each < calls % drawn)
            duration = round(self.ms * 1e6 * random.lognormvariate(0.0, self.noise))
            cell = bisect_left(EDGES_NS, duration)
            cells[cell] = cells.get(cell, 0) + count
            self.sums[outcome] += count * duration

    def reset(self) -> None:
        self.cells, self.sums = {}, {}


class Program:
    """Operations and readings that a test changes while time goes on."""

    def __init__(self, seed: int = 1) -> None:
        self.random = Random(seed)
        self.elapsed = 0.0
        self.operations: dict[str, Work] = {}
        self.readings: dict[tuple[ResourceKind, str, str], tuple[float, float | None]] = {}
        self.breakers: dict[str, BreakerStatus] = {}

    def read(
        self,
        kind: ResourceKind,
        name: str,
        value: float,
        *,
        device: str = "",
        limit: float | None = None,
    ) -> None:
        self.readings[kind, name, device] = value, limit

    def breaker(self, name: str, *, is_open: bool, opened: int) -> None:
        state = BreakerState.OPEN if is_open else BreakerState.CLOSED
        self.breakers[name] = BreakerStatus(name, state, opened=opened)

    def after(self, seconds: float) -> MetalTelemetrySnapshot:
        self.elapsed += seconds
        for name, work in self.operations.items():
            work.run(name, seconds, self.random)
        return MetalTelemetrySnapshot(
            timestamp=START + timedelta(seconds=self.elapsed),
            started_at=START,
            operations=tuple(w.shown for w in self.operations.values() if w.shown is not None),
            resources=tuple(
                ResourceMetrics(kind, name, device, value, limit=limit)
                for (kind, name, device), (value, limit) in self.readings.items()
            ),
            health=HealthReport(breakers=tuple(self.breakers.values())),
        )


@dataclass
class Told:
    """One anomaly from the first time it was returned to the last."""

    first: float
    anomaly: Anomaly
    last: float = 0.0
    latest: Anomaly | None = None
    over: bool = False


class Watch:
    """A detector that looks on, and all that it told."""

    def __init__(self, program: Program, detector: AnomalyDetector | None = None) -> None:
        self.program = program
        self.detector = detector or RobustDetector(HealthMonitorOptions.defaults())
        self.told: list[Told] = []
        self._open: dict[tuple[str, str, str], Told] = {}

    def run(
        self,
        seconds: float,
        tick: float = 10.0,
        *,
        each: Callable[[float], None] | None = None,
    ) -> list[Told]:
        """Let time go on; ``each`` is called before each tick with the seconds since the call.

        Returns what was told for the first time meanwhile.
        """
        before = len(self.told)
        for step in range(round(seconds / tick)):
            if each is not None:
                each(step * tick)
            self.look(tick)
        return self.told[before:]

    def look(self, seconds: float) -> None:
        """One tick."""
        found = self.detector.observe(self.program.after(seconds))
        now = self.program.elapsed
        keys = {anomaly.key: anomaly for anomaly in found}
        assert len(keys) == len(found), "the same anomaly twice"
        for key, told in list(self._open.items()):
            if key not in keys:
                told.over = True
                del self._open[key]
        for key, anomaly in keys.items():
            if key not in self._open:
                self._open[key] = Told(now, anomaly)
                self.told.append(self._open[key])
            told = self._open[key]
            assert told.anomaly.since == anomaly.since, "since changed"
            told.last, told.latest = now, anomaly

    @property
    def open(self) -> list[Anomaly]:
        return [told.latest for told in self._open.values() if told.latest is not None]


def kinds(told: list[Told]) -> list[str]:
    """What was told, in order, by kind."""
    return [str(one.anomaly.kind) for one in told]


def ordinary(seed: int = 1, operations: int = 4) -> Program:
    """A program with some operations of different length and noise."""
    program = Program(seed)
    for index, (name, ms) in enumerate(
        [("matmul", 4.6), ("softmax", 0.8), ("attention", 21.0), ("norm", 0.25)][:operations]
    ):
        program.operations[name] = Work(ms=ms, noise=0.1 + 0.1 * index)
    return program
