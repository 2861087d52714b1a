"""How the ``river`` detector watches what is read: memory, heat, the clock, circuit breakers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from metalscope.health.anomalies.river_base import Finding, River, Watcher
from metalscope.health_report import AnomalyKind
from metalscope.operation import ErrorSeverity
from metalscope.readings import MemoryPressure, ThermalState

if TYPE_CHECKING:
    from metalscope.health.anomalies.signals import Signal

__all__ = ["BreakerWatcher", "ClockWatcher", "HeatWatcher", "MemoryWatcher", "PressureWatcher"]


class _Trend:
    """Whether the last ``length`` values rise steadily, by their correlation with time.

    A single step, as when a model is loaded, correlates by 0.87 at most, and is most of what there
    is of growth.
    """

    def __init__(self, library: River, *, length: int, correlation: float) -> None:
        self.length = length
        self._least = correlation
        self._values: deque[float] = deque(maxlen=length)
        self._correlation = library.utils.Rolling(library.stats.PearsonCorr, window_size=length)
        self._number = 0

    @property
    def with_time(self) -> float:
        """The correlation, -1 to 1."""
        return float(self._correlation.get())

    @property
    def first(self) -> float:
        """The oldest value."""
        return self._values[0]

    def add(self, value: float) -> None:
        self._number += 1
        self._values.append(value)
        self._correlation.update(float(self._number), value)

    def steady_growth(self) -> float | None:
        """From the first to the last value; ``None`` where it is not steady, or not yet known."""
        values = list(self._values)
        if len(values) < self.length or self.with_time < self._least:
            return None
        growth = values[-1] - values[0]
        largest = max(b - a for a, b in pairwise(values))
        return growth if largest <= growth / 2 and values[-1] >= max(values) else None


class MemoryWatcher(Watcher):
    """A pool of memory: whether the floor under it rises steadily, and whether it is full."""

    FLOOR_SECONDS: Final = 300.0
    LEAST_GROWTH: Final = 0.02
    """An hour, of the limit; without a limit, five times it of the level itself."""
    FULL_PERCENT: Final = 90.0
    FULL_SECONDS: Final = 60.0

    def __init__(self, library: River) -> None:
        self._floor = float("inf")
        self._floor_since = 0.0
        # An hour and ten minutes of floors, and an hour and a half of the lowest of forty minutes:
        # the first is soon sure where nothing is let go, the second sees through a collector.
        self._plain = _Trend(library, length=14, correlation=0.93)
        self._lowest = library.stats.RollingMin(8)
        self._under_a_collector = _Trend(library, length=18, correlation=0.9)
        self._leaking: Finding | None = None
        self._full_since: float | None = None

    def look(self, signal: Signal) -> Iterator[Finding]:
        """Take the next value."""
        self._floor = min(self._floor, signal.value)
        if self.elapsed - self._floor_since >= self.FLOOR_SECONDS:
            self._lowest.update(self._floor)
            self._plain.add(self._floor)
            self._under_a_collector.add(float(self._lowest.get()))
            self._floor, self._floor_since = float("inf"), self.elapsed
            found = self._leak(signal, self._plain)
            self._leaking = found or self._leak(signal, self._under_a_collector)
        if self._leaking is not None:
            yield self._leaking
        if signal.limit:
            yield from self._pressure(signal, 100.0 * signal.value / signal.limit)

    def _leak(self, signal: Signal, trend: _Trend) -> Finding | None:
        growth, first = trend.steady_growth(), trend.first
        share, of = (1.0, signal.limit) if signal.limit else (5.0, first)
        minutes = (trend.length - 1) * self.FLOOR_SECONDS / 60.0
        if growth is None or growth < share * self.LEAST_GROWTH * of * minutes / 60.0:
            return None
        return Finding(
            AnomalyKind.LEAK,
            ErrorSeverity.HIGH,
            f"the floor of {signal.subject} rose by {growth / 2**20:.0f} MiB in {minutes:.0f} min, "
            f"steadily (correlation with time {trend.with_time:.2f})",
            first + growth,
            first,
            signal.unit,
        )

    def _pressure(self, signal: Signal, percent: float) -> Iterator[Finding]:
        if percent <= self.FULL_PERCENT:
            self._full_since = None
            return
        self._full_since = self.elapsed if self._full_since is None else self._full_since
        if self.elapsed - self._full_since >= self.FULL_SECONDS:
            yield Finding(
                AnomalyKind.PRESSURE,
                ErrorSeverity.HIGH,
                f"{signal.subject} is {percent:.1f} % full, for "
                f"{self.elapsed - self._full_since:.0f} s above {self.FULL_PERCENT:.0f} %",
                percent,
                self.FULL_PERCENT,
                "percent",
            )


class PressureWatcher(Watcher):
    """The system's own word for how short memory is."""

    LEAST_SECONDS: Final = 60.0

    def __init__(self) -> None:
        self._since: float | None = None

    def look(self, signal: Signal) -> Iterator[Finding]:
        """Take the next value."""
        if signal.value < MemoryPressure.HIGH:
            self._since = None
            return
        self._since = self.elapsed if self._since is None else self._since
        lasted = self.elapsed - self._since
        if lasted >= self.LEAST_SECONDS:
            level = MemoryPressure(int(signal.value)).name.lower()
            yield Finding(
                AnomalyKind.PRESSURE,
                ErrorSeverity.HIGH,
                f"the system's memory pressure is {level}, for {lasted:.0f} s",
                signal.value,
                float(MemoryPressure.LOW),
                "level",
            )


class HeatWatcher(Watcher):
    """The system's own word for heat."""

    def look(self, signal: Signal) -> Iterator[Finding]:
        """Take the next value."""
        if signal.value >= ThermalState.SERIOUS:
            state = ThermalState(int(signal.value)).name.lower()
            yield Finding(
                AnomalyKind.THROTTLING,
                ErrorSeverity.HIGH,
                f"the thermal state is {state}: the system slows the GPU",
                signal.value,
                float(ThermalState.NOMINAL),
                "level",
                "heat",
            )


class ClockWatcher(Watcher):
    """The GPU's mean clock while busy, against its median of the last hour.

    A GPU with little to do clocks down by itself, so ``busy`` must say that it has much to do.
    """

    WARM_UP: Final = 60
    SHARE: Final = 0.8
    TICKS: Final = 3
    BUSY_PERCENT: Final = 50.0

    def __init__(self, library: River) -> None:
        self._median = library.stats.RollingQuantile(0.5, 360)
        self._seen = 0
        self._low = 0
        self.busy: float | None = None
        """How busy the GPU is, percent, where it is known."""

    def look(self, signal: Signal) -> Iterator[Finding]:
        """Take the next value."""
        if self.busy is None or self.busy < self.BUSY_PERCENT:
            self._low = 0
            return
        usual = float(self._median.get() or 0.0) if self._seen else 0.0
        if self._seen >= self.WARM_UP and signal.value < self.SHARE * usual:
            self._low += 1
            if self._low >= self.TICKS:
                yield Finding(
                    AnomalyKind.THROTTLING,
                    ErrorSeverity.MEDIUM,
                    f"the GPU runs at {signal.value / 1e6:.0f} MHz while {self.busy:.0f} % busy; "
                    f"its median was {usual / 1e6:.0f} MHz",
                    signal.value,
                    usual,
                    signal.unit,
                    "a lower clock",
                )
            return
        self._low = 0
        self._seen += 1
        self._median.update(signal.value)


class BreakerWatcher(Watcher):
    """A circuit breaker: whether it opens again and again, or does not close."""

    OPENED: Final = 3
    OPEN_SECONDS: Final = 600.0

    def __init__(self, window_seconds: float) -> None:
        self._window = window_seconds
        self._openings: deque[float] = deque(maxlen=64)
        self._open_since: float | None = None

    def look(self, signal: Signal) -> Iterator[Finding]:
        """Take the next value."""
        for _ in range(min(int(signal.weight), 64)):
            self._openings.append(self.elapsed)
        while self._openings and self.elapsed - self._openings[0] > self._window:
            self._openings.popleft()
        self._open_since = (self._open_since or self.elapsed) if signal.value else None
        opened = len(self._openings)
        lasted = 0.0 if self._open_since is None else self.elapsed - self._open_since
        if opened >= self.OPENED or lasted >= self.OPEN_SECONDS:
            minutes = self._window / 60.0
            yield Finding(
                AnomalyKind.BREAKER,
                ErrorSeverity.HIGH,
                f"the breaker {signal.subject} opened {opened} times in {minutes:.0f} min and is "
                f"{f'open for {lasted:.0f} s' if self._open_since is not None else 'closed'}",
                float(opened),
                0.0,
                "count",
                signal.detail,
            )
