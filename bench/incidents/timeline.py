"""What a program does at each tick of a simulated day, before it is played as snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from metalscope.export_status import BreakerState
from metalscope.operation import MetalError, OperationKind

Values = np.ndarray

MEMORY_LIMIT = 16 * 1024**3
"""Bytes the simulated device may use."""
TOP_CLOCK_HZ = 1.4e9
GRACE_SECONDS = 300.0
"""How long after its end an incident may still be found."""


@dataclass(frozen=True, slots=True)
class Work:
    """One operation: how often it runs, how long it takes, how often it fails.

    Durations are log-normal around ``median_ms`` with ``sigma`` of the logarithm; one in 200 lies
    in a tail that follows a Pareto law.
    """

    kind: OperationKind
    name: str
    per_second: float
    median_ms: float
    sigma: float
    failing: float = 0.001
    error: MetalError = MetalError.INVALID_OPERATION


@dataclass(frozen=True, slots=True)
class Incident:
    """What a detector should find: from ``start`` to ``end``, in seconds of the stream.

    An anomaly of any of ``kinds`` counts; the first is the right word for it. ``subject`` must be
    part of the anomaly's subject.
    """

    start: float
    end: float
    kinds: tuple[str, ...]
    subject: str = ""
    what: str = ""
    grace: float = GRACE_SECONDS


@dataclass(slots=True)
class Breaker:
    """The states of a circuit breaker, one a tick."""

    name: str
    states: list[BreakerState]


@dataclass(slots=True)
class Timeline:
    """Arrays with one value a tick, which a shape changes, and the incidents it put in.

    ``rates`` are operations a second, ``levels`` factors on durations, ``failing`` shares of
    failures and ``failures`` numbers of failures besides, each by the name of the work. ``hiccups``
    is the share of all operations that take ten times as long for one tick, as in a pause for
    garbage collection. ``memory`` is a share of the limit, ``clock`` one of the top clock.
    """

    work: Sequence[Work]
    tick: float
    ticks: int
    rng: np.random.Generator
    rates: dict[str, Values] = field(init=False)
    levels: dict[str, Values] = field(init=False)
    failing: dict[str, Values] = field(init=False)
    failures: dict[str, Values] = field(init=False)
    hiccups: Values = field(init=False)
    memory: Values = field(init=False)
    busy: Values = field(init=False)
    clock: Values = field(init=False)
    thermal: Values = field(init=False)
    pressure: Values = field(init=False)
    breakers: list[Breaker] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)

    def __post_init__(self) -> None:
        count = self.ticks
        self.rates = {w.name: w.per_second * np.exp(self.wander(0.08, 300)) for w in self.work}
        self.levels = {w.name: np.exp(self.wander(self._calm(), 120)) for w in self.work}
        self.failing = {w.name: np.full(count, w.failing) for w in self.work}
        self.failures = {w.name: np.zeros(count, dtype=np.int64) for w in self.work}
        self.hiccups = np.zeros(count)
        self.memory = 0.35 + self.wander(0.008, 60)
        self.busy = np.clip(0.55 + self.wander(0.06, 60), 0.0, 1.0)
        self.clock = np.clip(0.95 + self.wander(0.01, 30), 0.0, 1.0)
        self.thermal = np.zeros(count, dtype=np.int64)
        self.pressure = np.zeros(count, dtype=np.int64)

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.tick * self.ticks

    @property
    def times(self) -> Values:
        """Seconds from the start to the end of each tick."""
        return self.tick * np.arange(1, self.ticks + 1)

    def during(self, start: float, end: float) -> slice:
        """The ticks that lie in a time, in seconds of the stream; one at least."""
        first = int(start / self.tick)
        return slice(first, max(first + 1, int(end / self.tick)))

    def wander(self, deviation: float, seconds: float) -> Values:
        """Noise that forgets: a first-order autoregression with this time constant."""
        keep = float(np.exp(-self.tick / seconds))
        steps = self.rng.normal(0.0, deviation * np.sqrt(1 - keep**2), self.ticks)
        value = float(self.rng.normal(0.0, deviation))
        found = np.empty(self.ticks)
        for index, step in enumerate(steps.tolist()):
            value = keep * value + step
            found[index] = value
        return found

    def _calm(self) -> float:
        return float(self.rng.uniform(0.02, 0.06))
