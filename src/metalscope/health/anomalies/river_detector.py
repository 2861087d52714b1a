"""The anomaly detector ``river``: online learning by river, one model a series."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from metalscope.health.anomalies.episode import Episode, Now
from metalscope.health.anomalies.river_base import Finding, Watcher, river
from metalscope.health.anomalies.river_operations import DurationWatcher, FailureWatcher
from metalscope.health.anomalies.river_readings import (
    BreakerWatcher,
    ClockWatcher,
    HeatWatcher,
    MemoryWatcher,
    PressureWatcher,
)
from metalscope.health.anomalies.signals import Signal, SignalKind, Signals
from metalscope.health.detector import AnomalyDetector
from metalscope.health_report import Anomaly

if TYPE_CHECKING:
    from metalscope.health_options import HealthMonitorOptions
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["MOST_SERIES", "RiverDetector"]

MOST_SERIES: Final = 1000
"""Series that are learned; more are passed over."""

EVERY_SECONDS: Final = 10.0
"""Ticks closer than this are taken together; the watchers' windows count values of this step."""

_FORGOTTEN_AFTER: Final = 86_400.0


@dataclass(slots=True)
class _Series:
    watcher: Watcher
    seen: float


@dataclass(slots=True)
class _Open:
    episode: Episode
    anomaly: Anomaly


class RiverDetector(AnomalyDetector):
    """Looks at durations, failures, memory, heat, the clock and breakers by river's methods.

    Ticks closer than ten seconds are taken together. Memory: some 40 KB an operation.

    Raises:
        MissingExtraError: river is not installed; the extra ``ml`` brings it.
    """

    name = "river"

    def __init__(self, options: HealthMonitorOptions) -> None:
        library = river()
        window = options.anomaly_detection_window.total_seconds()
        self._watchers: dict[SignalKind, Callable[[], Watcher]] = {
            SignalKind.TYPICAL_DURATION: partial(DurationWatcher, library),
            SignalKind.FAILURES: partial(FailureWatcher, library),
            SignalKind.MEMORY: partial(MemoryWatcher, library),
            SignalKind.PRESSURE: PressureWatcher,
            SignalKind.THERMAL_STATE: HeatWatcher,
            SignalKind.FREQUENCY: partial(ClockWatcher, library),
            SignalKind.BREAKER: partial(BreakerWatcher, window),
        }
        self._previous: MetalTelemetrySnapshot | None = None
        self._elapsed = 0.0
        self._series: dict[tuple[SignalKind, str], _Series] = {}
        self._open: dict[tuple[str, str], _Open] = {}
        self._swept = 0.0

    def observe(self, snapshot: MetalTelemetrySnapshot) -> Sequence[Anomaly]:
        """Every anomaly that goes on now."""
        previous = self._previous
        if previous is not None:
            since = (snapshot.timestamp - previous.timestamp).total_seconds()
            if 0 <= since < EVERY_SECONDS - 0.5:
                return self._ongoing()
        self._previous = snapshot
        signals = Signals.of(previous, snapshot)
        self._elapsed += signals.seconds
        now = Now(self._elapsed, snapshot.timestamp)
        busy = {s.detail: s.value for s in signals if s.kind is SignalKind.UTILIZATION}
        for signal in signals:
            watcher = self._watcher_of(signal)
            if watcher is None:
                continue
            if isinstance(watcher, ClockWatcher):
                watcher.busy = busy.get(signal.detail)
            watcher.elapsed = self._elapsed
            for finding in watcher.look(signal):
                self._see(signal, finding, now)
        for one in self._open.values():
            one.episode.rest(now)
        self._sweep()
        return self._ongoing()

    def _ongoing(self) -> tuple[Anomaly, ...]:
        return tuple([one.anomaly for one in self._open.values() if one.episode.goes_on])

    def _watcher_of(self, signal: Signal) -> Watcher | None:
        key = signal.series_key
        series = self._series.get(key)
        if series is None:
            make = self._watchers.get(signal.kind)
            if make is None or len(self._series) >= MOST_SERIES:
                return None
            series = self._series[key] = _Series(make(), self._elapsed)
        series.seen = self._elapsed
        return series.watcher

    def _see(self, signal: Signal, finding: Finding, now: Now) -> None:
        key = (finding.kind.value, signal.subject)
        before = self._open.get(key)
        episode = before.episode if before is not None else Episode()
        episode.see(now)
        self._open[key] = _Open(
            episode,
            Anomaly(
                finding.kind,
                signal.component,
                signal.subject,
                finding.severity,
                episode.since or now.wall,
                finding.reason,
                finding.cause,
                finding.value,
                finding.expected,
                finding.unit,
                self.name,
            ),
        )

    def _sweep(self) -> None:
        """Once an hour, forget series that were not seen for a day, and what ended in them."""
        if self._elapsed - self._swept < 3600.0:
            return
        self._swept = self._elapsed
        gone = self._elapsed - _FORGOTTEN_AFTER
        self._series = {key: one for key, one in self._series.items() if one.seen >= gone}
        self._open = {
            key: one
            for key, one in self._open.items()
            if one.episode.goes_on or one.episode.last_seen >= gone
        }
