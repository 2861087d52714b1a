"""A program's week in simulated time, with incidents, and what the alert rules made of it."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from time import process_time

from metalscope.alert_options import AlertsOptions
from metalscope.alert_report import Alert, AlertEvidence, AlertState
from metalscope.alerts.builtin import builtin_inhibitions, builtin_rules
from metalscope.alerts.engine import AlertEngine
from metalscope.alerts.expression.samples import Samples
from metalscope.alerts.memory_store import MemoryStore
from metalscope.alerts.rule import AlertRule
from metalscope.alerts.storing import Change, Kept, SampleRow
from metalscope.histogram import DurationHistogram
from metalscope.operation import OK, MetalError, OperationKind
from metalscope.readings import ResourceKind, ResourceMetrics
from metalscope.snapshot import MetalTelemetrySnapshot, OperationMetrics, OutcomeMetrics
from metalscope.snapshot_json_alerts import alert_from_dict

START = datetime(2026, 1, 1, tzinfo=UTC)
SAMPLING = 15
EVALUATION = 60
MINUTE = 60
HOUR = 3600
DAY = 86_400

RULES = {
    "memory": "MetalMemoryHigh",
    "memory that comes and goes": "MetalMemoryHigh",
    "kernel": "MetalKernelFailures",
    "allocation": "MetalAllocationFailures",
    "slow": "MetalSlowOperations",
    "gpu": "MetalGpuSaturated",
    "lost": "MetalDeviceLost",
}
"""The built-in rule that is to tell of each kind of incident."""


@dataclass(frozen=True, slots=True)
class Incident:
    """Something goes wrong from one second to another."""

    kind: str
    begin: int
    end: int
    grave: bool

    def is_told_by(self, alert: Alert) -> bool:
        """Whether an alert that is over was of its rule and fired while it lasted."""
        fired, over = (_second(at or alert.last_seen) for at in (alert.fired_at, alert.resolved_at))
        return alert.rule == RULES[self.kind] and fired < self.end and over > self.begin


def _second(at: datetime) -> float:
    return (at - START).total_seconds()


def incidents(days: float, seed: int) -> tuple[Incident, ...]:
    """Some of each kind a day, never two of a kind within an hour; the end is quiet."""
    rng = random.Random(seed)
    found = []
    for kind in RULES:
        second = rng.randint(HOUR, 5 * HOUR)
        while True:
            length = HOUR if kind == "memory that comes and goes" else rng.randint(900, 2700)
            if second + length > days * DAY - 3 * HOUR:
                break
            found.append(Incident(kind, second, second + length, rng.random() < 0.3))
            second += length + rng.randint(2 * HOUR, 12 * HOUR)
    return tuple(sorted(found, key=lambda one: one.begin))


@dataclass(slots=True)
class World:
    """A program that is sampled. Its counters begin anew when it is started again."""

    incidents: Sequence[Incident]
    rng: random.Random
    started: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    slow: DurationHistogram = field(default_factory=DurationHistogram)

    def restart(self, second: int) -> None:
        self.started, self.calls, self.slow = second, Counter(), DurationHistogram()

    def snapshot(self, second: int) -> MetalTelemetrySnapshot:
        """What it is like, ``SAMPLING`` seconds after the time before."""
        now = {one.kind: one for one in self.incidents if one.begin <= second < one.end}
        self.calls["ok"] += 10
        self.calls["timeout"] += 5 * ("kernel" in now)
        self.calls["out_of_memory"] += 5 * ("allocation" in now)
        lost = now.get("lost")
        self.calls["device_lost"] += lost is not None and second - lost.begin < SAMPLING
        if "slow" in now:
            self.slow += DurationHistogram.from_durations([250_000_000])
        return MetalTelemetrySnapshot(
            START + timedelta(seconds=second),
            START + timedelta(seconds=self.started),
            operations=tuple(self._operations()),
            resources=tuple(self._readings(now, second)),
        )

    def _operations(self) -> Iterator[OperationMetrics]:
        none = DurationHistogram()

        def outcome(name: str, count: int) -> OutcomeMetrics:
            return OutcomeMetrics(name, none, untimed=count)

        execute, allocate = OperationKind.EXECUTE, OperationKind.ALLOCATE
        ok = self.calls["ok"]
        errors = [
            outcome(error, self.calls[error])
            for error in (MetalError.TIMEOUT, MetalError.DEVICE_LOST)
            if self.calls[error]
        ]
        yield OperationMetrics(execute, "attention", "gpu", (outcome(OK, ok), *errors))
        yield OperationMetrics(execute, "matmul", "gpu", (OutcomeMetrics(OK, self.slow),))
        error = outcome(MetalError.OUT_OF_MEMORY, self.calls[MetalError.OUT_OF_MEMORY])
        failed = (error,) if error.count else ()
        yield OperationMetrics(allocate, "weights", "gpu", (outcome(OK, ok), *failed))

    def _readings(self, now: dict[str, Incident], second: int) -> Iterator[ResourceMetrics]:
        percent = 55.0
        if "memory" in now:
            percent = 97.0 if now["memory"].grave else 88.0
        coming = now.get("memory that comes and goes")
        if coming is not None and (second - coming.begin) % (10 * MINUTE) < 3 * MINUTE:
            percent = 92.0
        percent += self.rng.uniform(-1, 1)
        yield ResourceMetrics(
            ResourceKind.MEMORY, "mlx", "gpu", current=percent * 2**30, limit=100 * 2.0**30
        )
        busy = 98.0 if "gpu" in now else self.rng.uniform(10, 70)
        yield ResourceMetrics(ResourceKind.GPU_UTILIZATION, "device", "gpu", current=busy)


@dataclass(slots=True)
class Watched:
    """What became of a week. ``told`` is every alert that was to be kept, without its evidence."""

    told: list[Alert] = field(default_factory=list)
    kept: int = 0
    evaluations: int = 0
    evaluating: float = 0.0
    sampling: float = 0.0
    errors: list[str] = field(default_factory=list)

    def in_state(self, state: AlertState) -> dict[str, Alert]:
        """The alerts that were at some time in a state, by id."""
        return {one.id: one for one in self.told if one.state is state}

    @property
    def never_resolved(self) -> set[str]:
        """The ids of alerts that fired and of whose end nothing was said."""
        return self.in_state(AlertState.FIRING).keys() - self.in_state(AlertState.RESOLVED).keys()


class Watcher:
    """Samples and evaluates when each is due, as a manager does that is shown each tick."""

    def __init__(self) -> None:
        self._options = AlertsOptions()
        self._rules = [AlertRule.of(one) for one in builtin_rules(self._options)]
        self._store = MemoryStore()
        self._rows: list[SampleRow] = []
        self.watched = Watched()
        self._begin()

    def _begin(self) -> None:
        self.samples = Samples(one for rule in self._rules for one in rule.expressions)
        self.engine = AlertEngine(
            self._rules,
            self._options,
            inhibitions=builtin_inhibitions(),
            on_error=lambda _room, error: self.watched.errors.append(str(error)),
        )

    def restart(self) -> None:
        """Go on with what was kept, through JSON, as another process would."""
        kept = self._store.load()
        self._begin()
        self.samples.restore(self._rows)
        alerts = tuple(alert_from_dict(_json(one.to_dict())) for one in kept.alerts)
        self.engine.restore(Kept(alerts, documents=_json(kept.documents)))

    def sample(self, snapshot: MetalTelemetrySnapshot) -> None:
        begun = process_time()
        self._rows += self.samples.take(snapshot)
        self.watched.sampling += process_time() - begun
        if len(self._rows) > 100_000:
            earliest = self.samples.earliest_needed(snapshot.timestamp.timestamp())
            self._rows = [row for row in self._rows if row[1] >= earliest]

    def evaluate(self, snapshot: MetalTelemetrySnapshot) -> None:
        begun = process_time()
        found = self.engine.evaluate(snapshot.timestamp, self.samples, snapshot)
        self.watched.evaluating += process_time() - begun
        self._store.keep(Change(alerts=found.changed, documents=found.documents))
        # Evidence tells of counters, which begin anew with a process.
        nothing = AlertEvidence()
        self.watched.told += (replace(one, evidence=nothing) for one in found.changed)
        self.watched.evaluations += 1


def watch(
    days: float,
    *,
    seed: int = 1,
    restart_at: int | None = None,
    each: Callable[[int, Watcher], None] = lambda _second, _watcher: None,
) -> Watched:
    """Let days go by, second by second; ``each`` is called after every evaluation.

    The program is started again at ``restart_at``, where that is given: just after that second.
    """
    world = World(incidents(days, seed), random.Random(seed))
    watcher = Watcher()
    for second in range(1, round(days * DAY) + 1):
        if second % SAMPLING == 0:
            snapshot = world.snapshot(second)
            watcher.sample(snapshot)
            if second % EVALUATION == 0:
                watcher.evaluate(snapshot)
                each(second, watcher)
        if second == restart_at:
            watcher.restart()
            world.restart(second)
    return watcher.watched


def _json(data: object) -> object:
    return json.loads(json.dumps(data, allow_nan=False))
