"""Counters over a real recorder, with time and readings in the test's hand."""

from __future__ import annotations

from datetime import UTC, datetime

from metalscope.counter_statistics import PerformanceCounters, ReadingStatistics
from metalscope.counters import MetalPerformanceCounters
from metalscope.options import MetalTelemetryOptions
from metalscope.readings import ResourceKind, ResourceMetrics
from metalscope.recorder import Recorder
from metalscope.series import SeriesBook

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Bench:
    """Counters over a real recorder, with a clock and sensors in the test's hand."""

    def __init__(self, options: MetalTelemetryOptions) -> None:
        self.seconds = 1000.0
        self.readings: list[ResourceMetrics] = []
        self.times_read = 0
        self.failures: list[BaseException] = []
        self.recorder = Recorder(
            max_series=1000, on_error=lambda _room, error: self.failures.append(error)
        )
        self._book = SeriesBook()
        self.counters = MetalPerformanceCounters(
            options,
            collect=lambda: self._book.update(self.recorder.collect(), NOW),
            read_sensors=self._read,
            clock_ns=lambda: round(self.seconds * 1e9),
        )

    def _read(self) -> list[ResourceMetrics]:
        self.times_read += 1
        return self.readings

    def record(self, kind: str, name: str = "one", times: int = 1, **more: object) -> None:
        for _ in range(times):
            self.recorder.record(kind, name, **{"duration_ns": 1000, **more})

    def retire(self, name: str) -> None:
        """Let go of a series, as the manager does with one past its retention."""
        gone = [one for one in self.recorder.collect() if one.name == name]
        self._book.retire(self.recorder.evict(gone))

    def after(self, seconds: float, *readings: ResourceMetrics) -> PerformanceCounters | None:
        """Let time pass, tick once with these readings, and say what is known then."""
        self.seconds += seconds
        self.readings = list(readings)
        self.counters.tick()
        return self.now()

    def now(self) -> PerformanceCounters | None:
        assert self.failures == []
        return self.counters.read()


def memory(current: float, limit: float | None = 100.0, peak: float | None = None):
    return ResourceMetrics(ResourceKind.MEMORY, "pool", "gpu:0", current, peak, limit)


def gpu(percent: float) -> ResourceMetrics:
    return ResourceMetrics(ResourceKind.GPU_UTILIZATION, "gpu", "gpu:0", percent)


def energy(joules: float) -> ResourceMetrics:
    return ResourceMetrics(ResourceKind.ENERGY, "gpu", "", joules)


def level(kind: ResourceKind, value: float) -> ResourceMetrics:
    return ResourceMetrics(kind, "system", "", value)


def only(counters: PerformanceCounters, kind: ResourceKind) -> ReadingStatistics:
    (one,) = counters.of(kind)
    return one
