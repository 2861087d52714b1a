"""A timeline played as the snapshots a manager would have handed round, with real histograms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from incidents.timeline import MEMORY_LIMIT, TOP_CLOCK_HZ, Breaker, Timeline, Work
from metalscope.export_status import BreakerState
from metalscope.health_report import BreakerStatus, HealthReport
from metalscope.histogram import EDGES_NS, DurationHistogram
from metalscope.operation import NS_PER_MS, OK, MetalError
from metalscope.snapshot import (
    MetalTelemetrySnapshot,
    OperationMetrics,
    OutcomeMetrics,
    RecentActivity,
    ResourceKind,
    ResourceMetrics,
)

START = datetime(2025, 3, 3, tzinfo=UTC)
DEVICE = "gpu:0"
RECENT_SECONDS = 900.0
TAIL_SHARE = 0.005
HICCUP_FACTOR = 10.0
_EDGES = np.array(EDGES_NS)
_CHUNK = 2048
_HUGE = np.iinfo(np.int64).max


def play(timeline: Timeline) -> Iterator[MetalTelemetrySnapshot]:
    """One snapshot a tick; each holds counts since the start, as the recorder's do."""
    series = [_Series(work) for work in timeline.work]
    recent = _Recent(int(RECENT_SECONDS / timeline.tick))
    breakers = [_BreakerPlayer(breaker) for breaker in timeline.breakers]
    for begin in range(0, timeline.ticks, _CHUNK):
        end = min(begin + _CHUNK, timeline.ticks)
        for one in series:
            one.load(timeline, begin, end)
        for tick in range(begin, end):
            now = START + timedelta(seconds=(tick + 1) * timeline.tick)
            operations = tuple([metrics for s in series if (metrics := s.at(tick, now))])
            health = HealthReport(breakers=tuple(b.at(tick, now) for b in breakers))
            yield MetalTelemetrySnapshot(
                timestamp=now,
                started_at=START,
                operations=operations,
                resources=_resources(timeline, tick),
                health=health,
                recent=recent.at(timeline.tick, series),
            )


@dataclass
class _Outcome:
    """Counts since the start of one operation's calls that ended alike."""

    outcome: str
    cells: dict[int, int] = field(default_factory=dict)
    total: int = 0
    least: int | None = None
    most: int | None = None
    metrics: OutcomeMetrics | None = None

    def add(self, cells: list[int], total: int, least: int, most: int) -> None:
        before = self.cells
        known = len(before)
        for cell in cells:
            before[cell] = before.get(cell, 0) + 1
        if len(before) > known:
            self.cells = dict(sorted(before.items()))
        self.total += total
        self.least = least if self.least is None else min(least, self.least)
        self.most = most if self.most is None else max(most, self.most)
        self.metrics = OutcomeMetrics(
            self.outcome,
            DurationHistogram(tuple(self.cells.items()), self.total, self.least, self.most),
        )


class _Series:
    """One operation, drawn for a stretch of ticks at a time."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._ok = _Outcome(OK)
        self._failed = _Outcome(work.error.value)
        self._metrics: OperationMetrics | None = None
        self.count = 0
        self.failed = 0
        self.error: MetalError = work.error

    def load(self, timeline: Timeline, begin: int, end: int) -> None:
        """Draw all that happens from one tick to another."""
        work, rng = self._work, timeline.rng
        stretch = slice(begin, end)
        more = timeline.failures[work.name][stretch]
        counts = rng.poisson(timeline.rates[work.name][stretch] * timeline.tick) + more
        total = int(counts.sum())
        logs = rng.normal(np.log(work.median_ms * NS_PER_MS), work.sigma, total)
        durations = np.exp(logs) * np.repeat(timeline.levels[work.name][stretch], counts)
        tail = rng.random(total) < TAIL_SHARE
        durations[tail] *= np.minimum(50.0, 2.0 + 3.0 * rng.pareto(1.5, int(tail.sum())))
        stalled = rng.random(total) < np.repeat(timeline.hiccups[stretch], counts)
        durations[stalled] *= HICCUP_FACTOR
        self._durations = durations.astype(np.int64)
        self._cells = np.searchsorted(_EDGES, self._durations, side="left").tolist()
        failing = np.repeat(timeline.failing[work.name][stretch], counts)
        self._fails = rng.random(total) < failing
        offsets = np.concatenate(([0], np.cumsum(counts)))
        for tick in np.nonzero(more)[0].tolist():
            self._fails[offsets[tick] : offsets[tick] + more[tick]] = True
        # One more value, so that an empty last tick has something to begin at; what is found for
        # an empty tick is never read.
        starts = offsets[:-1]
        padded = np.append(self._durations, 0)
        self._sums = np.add.reduceat(padded, starts).tolist()
        self._least = np.minimum.reduceat(np.append(self._durations, _HUGE), starts).tolist()
        self._most = np.maximum.reduceat(padded, starts).tolist()
        self._any = np.logical_or.reduceat(np.append(self._fails, False), starts).tolist()
        self._offsets = offsets.tolist()
        self._begin = begin

    def at(self, tick: int, now: datetime) -> OperationMetrics | None:
        """The counts at the end of a tick; ``None`` before it ran at all."""
        index = tick - self._begin
        low, high = self._offsets[index], self._offsets[index + 1]
        if low == high:
            return self._metrics
        self.count += high - low
        if self._any[index]:
            self._add_both(low, high)
        else:
            least, most = self._least[index], self._most[index]
            self._ok.add(self._cells[low:high], self._sums[index], least, most)
        outcomes = tuple(o.metrics for o in (self._ok, self._failed) if o.metrics is not None)
        work = self._work
        self._metrics = OperationMetrics(work.kind, work.name, DEVICE, outcomes, now)
        return self._metrics

    def _add_both(self, low: int, high: int) -> None:
        durations, fails = self._durations[low:high], self._fails[low:high]
        self.failed += int(fails.sum())
        for outcome, mask in ((self._failed, fails), (self._ok, ~fails)):
            chosen = durations[mask]
            if len(chosen):
                cells = np.searchsorted(_EDGES, chosen, side="left").tolist()
                outcome.add(cells, int(chosen.sum()), int(chosen.min()), int(chosen.max()))


class _Recent:
    """Operations and failures of the last 15 minutes."""

    def __init__(self, ticks: int) -> None:
        self._ticks = max(2, ticks)
        self._totals: list[tuple[int, dict[MetalError, int]]] = [(0, {})]

    def at(self, tick: float, series: list[_Series]) -> RecentActivity:
        errors: dict[MetalError, int] = {}
        for one in series:
            if one.failed:
                errors[one.error] = errors.get(one.error, 0) + one.failed
        count = sum([one.count for one in series])
        self._totals.append((count, errors))
        if len(self._totals) > self._ticks + 1:
            self._totals.pop(0)
        before, failed = self._totals[0]
        grown = {e: n - failed.get(e, 0) for e, n in errors.items() if n > failed.get(e, 0)}
        return RecentActivity((len(self._totals) - 1) * tick, count - before, grown)


class _BreakerPlayer:
    """A breaker's status as its states pass."""

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._status = BreakerStatus(breaker.name)

    def at(self, tick: int, now: datetime) -> BreakerStatus:
        state, before = self._breaker.states[tick], self._status
        if state is not before.state:
            opened = before.opened + (state is BreakerState.OPEN)
            self._status = BreakerStatus(
                before.name, state, now, failures=5 * (state is BreakerState.OPEN), opened=opened
            )
        return self._status


def _resources(timeline: Timeline, tick: int) -> tuple[ResourceMetrics, ...]:
    memory = round(MEMORY_LIMIT * min(1.0, max(0.0, float(timeline.memory[tick]))))
    clock = TOP_CLOCK_HZ * float(timeline.clock[tick])
    return (
        ResourceMetrics(ResourceKind.MEMORY, "mlx_active", DEVICE, memory, None, MEMORY_LIMIT),
        ResourceMetrics(
            ResourceKind.GPU_UTILIZATION, "active", DEVICE, 100.0 * float(timeline.busy[tick])
        ),
        ResourceMetrics(ResourceKind.FREQUENCY, "gpu", DEVICE, clock, None, TOP_CLOCK_HZ),
        ResourceMetrics(ResourceKind.THERMAL_STATE, "system", "", int(timeline.thermal[tick])),
        ResourceMetrics(ResourceKind.MEMORY_PRESSURE, "system", "", int(timeline.pressure[tick])),
    )
