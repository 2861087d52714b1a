"""The default detector: robust statistics over a few numbers a series, and no other package.

Each principle has a module of its own; here they are fed, and what they find is told of once.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from metalscope.health.anomalies import words
from metalscope.health.anomalies.breakers import Breaker
from metalscope.health.anomalies.devices import Devices
from metalscope.health.anomalies.episode import HOLD, Now
from metalscope.health.anomalies.failures import Failures
from metalscope.health.anomalies.latency import Latency
from metalscope.health.anomalies.leak import Leak
from metalscope.health.anomalies.load import Load
from metalscope.health.anomalies.pressure import Pressure, weight_of_level, weight_of_use
from metalscope.health.anomalies.signals import Signal, SignalKind, Signals
from metalscope.health.anomalies.watched import MAX_OPERATIONS, Watched
from metalscope.health.detector import AnomalyDetector
from metalscope.operation import Component
from metalscope.robust_statistics import median

if TYPE_CHECKING:
    from metalscope.health_options import HealthMonitorOptions
    from metalscope.health_report import Anomaly
    from metalscope.snapshot import MetalTelemetrySnapshot

T = TypeVar("T")

__all__ = ["BIN_SECONDS", "MAX_OPERATIONS", "MAX_OTHERS", "RobustDetector"]

BIN_SECONDS: Final = 10.0
"""Ticks are added up until they are about as long, and looked at together."""

MAX_OTHERS: Final = 64
"""Pools of memory, and circuit breakers, watched."""

_ALMOST: Final = 0.9
_LEAST_SLOWER: Final = 1.12
_NAMED: Final = 3
_PATIENCE_IN_TIMEOUTS: Final = 2.5


class RobustDetector(AnomalyDetector):
    """Finds changes of duration, failures, leaks, pressure, throttling and breakers' patterns.

    What it looks for and why is described in docs/anomalies.md. It keeps the last snapshot, and
    for each of at most :data:`MAX_OPERATIONS` operations some kilobytes.
    """

    def __init__(self, options: HealthMonitorOptions) -> None:
        self._window = options.anomaly_detection_window.total_seconds()
        self._interval = options.anomaly_detection_interval.total_seconds()
        timeout = options.circuit_breaker_timeout.total_seconds()
        self._patience = max(_PATIENCE_IN_TIMEOUTS * timeout, self._window / 3)
        self._previous: MetalTelemetrySnapshot | None = None
        self._elapsed = 0.0
        self._bin_began = 0.0
        self._searched = 0.0
        self._watched = Watched()
        self._hidden: dict[str, float] = {}
        self._told: set[str] = set()
        self._failures = Failures(options.anomaly_error_rate_threshold)
        self._leaks: dict[str, Leak] = {}
        self._pressures: dict[str, Pressure] = {}
        self._breakers: dict[str, tuple[Component, Breaker]] = {}
        self._devices = Devices()
        self._load = Load()

    def observe(self, snapshot: MetalTelemetrySnapshot) -> Sequence[Anomaly]:
        """Take one tick's snapshot; return every anomaly that goes on now."""
        signals = Signals.of(self._previous, snapshot)
        self._previous = snapshot
        self._elapsed += signals.seconds
        now = Now(self._elapsed, snapshot.timestamp)
        for signal in signals:
            self._take(now, signals.seconds, signal)
        if now.elapsed - self._bin_began >= _ALMOST * BIN_SECONDS:
            self._close(now, now.elapsed - self._bin_began)
            self._bin_began = now.elapsed
        return tuple(self._all_found(now))

    def _take(self, now: Now, seconds: float, signal: Signal) -> None:
        subject, kind = signal.subject, signal.kind
        if kind in _OF_AN_OPERATION:
            if kind is SignalKind.OPERATIONS:
                self._load.add(signal.value)
            latency = self._watched.admit(subject, signal.component)
            if latency is not None:
                self._take_operation(now, seconds, signal, latency)
            elif kind is SignalKind.DURATION:
                self._watched.decline(signal)
        elif kind is SignalKind.ERRORS or kind is SignalKind.TOTAL_FAILURES:
            self._failures.add(signal)
        elif kind is SignalKind.MEMORY:
            self._take_memory(now, seconds, signal)
        elif kind is SignalKind.PRESSURE:
            pressure = _known(self._pressures, subject, self._new_pressure)
            if pressure is not None:
                pressure.add(now, seconds, signal.value, weight_of_level(signal.value))
        elif kind is SignalKind.BREAKER:
            self._take_breaker(now, signal)
        else:
            self._devices.add(signal)

    def _take_operation(self, now: Now, seconds: float, signal: Signal, latency: Latency) -> None:
        if signal.kind is SignalKind.FAILURES:
            self._failures.add(signal)
        elif signal.kind is SignalKind.DURATION:
            latency.add_mean(signal.value, signal.weight)
        elif signal.kind is SignalKind.TYPICAL_DURATION and not self._load.is_settling(now):
            latency.add_typical(now, seconds, signal.value, signal.weight)

    def _take_memory(self, now: Now, seconds: float, signal: Signal) -> None:
        of_the_host = not signal.detail and signal.limit is not None
        leak = _known(self._leaks, signal.subject, lambda: Leak(of_the_host=of_the_host))
        if leak is not None:
            leak.add(now, signal.value, signal.limit)
        if signal.limit:
            pressure = _known(self._pressures, signal.subject, self._new_pressure)
            if pressure is not None:
                percent = 100 * signal.value / signal.limit
                pressure.add(now, seconds, percent, weight_of_use(percent))

    def _take_breaker(self, now: Now, signal: Signal) -> None:
        known = _known(
            self._breakers,
            signal.subject,
            lambda: (signal.component, Breaker(self._window, self._patience)),
        )
        if known is not None:
            known[1].add(
                now,
                is_open=signal.value > 0,
                opened=signal.weight,
                last_error=signal.detail,
            )

    def _new_pressure(self) -> Pressure:
        return Pressure(self._window)

    def _close(self, now: Now, seconds: float) -> None:
        load = self._load.close(now, seconds)
        settling = self._load.is_settling(now)
        active = [one for one in self._watched if one.is_active]
        for latency in self._watched:
            latency.close(now, seconds, load, settling=settling)
        if self._devices:
            slower = 1.0 if settling else _half_slower(active)
            self._devices.close(now, seconds, slower=slower, ran=bool(active))
        self._failures.close(now, seconds)
        for forgotten in self._watched.exchange(now):
            self._failures.forget(forgotten)
            self._hidden.pop(forgotten, None)
        if now.elapsed - self._searched >= self._interval:
            self._searched = now.elapsed
            for latency in self._watched:
                latency.search(now, self._load.past)
            for leak in self._leaks.values():
                leak.search(now, self._load.past)

    def _all_found(self, now: Now) -> Iterator[Anomaly]:
        yield from self._slower(now)
        yield from self._failures.found(now)
        for subject, leak in self._leaks.items():
            leaking = leak.found()
            if leaking is not None:
                yield words.leaking(subject, leaking)
        for subject, pressure in self._pressures.items():
            pressed = pressure.found()
            if pressed is not None and (pressure.was_low or subject not in self._leaks):
                yield words.pressed(subject, pressed, percent=subject in self._leaks)
        for subject, (component, breaker) in self._breakers.items():
            breaking = breaker.found(now)
            if breaking is not None:
                yield words.breaking(subject, component, breaking, breaker.last_error)
        for device, throttled in self._devices.found():
            yield words.throttled(device, throttled, self._most_slowed())

    def _most_slowed(self) -> list[tuple[str, float]]:
        slowed = [(one.subject, one.typical.ratio_now) for one in self._watched]
        slowed.sort(key=lambda named: -named[1])
        return [one for one in slowed[:_NAMED] if one[1] >= _LEAST_SLOWER]

    def _slower(self, now: Now) -> Iterator[Anomaly]:
        """What takes longer, but for what a slowed GPU explains and nothing said before it did."""
        found = [(one, slower) for one in self._watched if one.goes_on for slower in one.found()]
        together = _together([slower.since.timestamp() for _, slower in found])
        told: set[str] = set()
        for latency, slower in found:
            subject, cause = latency.subject, ""
            if self._devices.explains(slower.ratio):
                self._hidden[subject] = now.elapsed
                cause = "throttling"
            hidden = self._hidden.get(subject)
            if hidden is not None and subject not in self._told:
                if latency.last_sign <= hidden + HOLD:
                    continue
                del self._hidden[subject]
            told.add(subject)
            others = together(slower.since.timestamp())
            if not cause and others >= max(_MANY, len(self._watched) / 2):
                cause = f"{others} of {len(self._watched)} operations became slower together"
            yield words.slower(subject, latency.component, slower, cause)
        self._told = told


_OF_AN_OPERATION: Final = frozenset(
    (
        SignalKind.OPERATIONS,
        SignalKind.FAILURES,
        SignalKind.DURATION,
        SignalKind.TYPICAL_DURATION,
    )
)
_MANY: Final = 3
_TOGETHER_SECONDS: Final = 60.0


def _half_slower(active: list[Latency]) -> float:
    """How many times their usual time half of the operations take."""
    ratios = [one.typical.ratio_now for one in active if one.typical.baseline.ready]
    return median(ratios) if ratios else 1.0


def _together(moments: list[float]) -> Callable[[float], int]:
    ordered = sorted(moments)

    def count(moment: float) -> int:
        low = bisect_left(ordered, moment - _TOGETHER_SECONDS)
        return bisect_right(ordered, moment + _TOGETHER_SECONDS) - low

    return count


def _known(known: dict[str, T], subject: str, new: Callable[[], T]) -> T | None:
    found = known.get(subject)
    if found is None and len(known) < MAX_OTHERS:
        found = known[subject] = new()
    return found
