"""MetalPerformanceCounters: statistics over the operations and over what the sensors read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from time import monotonic_ns
from typing import TYPE_CHECKING, Final

from metalscope.counter_statistics import (
    ErrorStatistics,
    PerformanceCounters,
    WorkStatistics,
)
from metalscope.counters.bands import Thresholds
from metalscope.counters.readings import ReadingBook
from metalscope.counters.sizes import AllocationSizes
from metalscope.counters.statistics import Growth
from metalscope.counters.work import Group, SlowThreshold, Tally, WorkBook
from metalscope.operation import OperationKind
from metalscope.readings import ResourceMetrics
from metalscope.series import Retired
from metalscope.snapshot import OperationMetrics

if TYPE_CHECKING:
    from metalscope.options import MetalTelemetryOptions

__all__ = ["MetalPerformanceCounters"]

ON_TIME: Final = 0.95
"""A tick so near to the end of the interval takes the sample, rather than the one after it."""

GAP: Final = 3
"""A window longer than this many intervals is a gap: the machine slept or the process stood."""

Collect = Callable[[], tuple[Iterable[OperationMetrics], Retired]]
ReadSensors = Callable[[], Iterable[ResourceMetrics]]


class MetalPerformanceCounters:
    """Samples when the time has come, and says at any moment what it knows.

    It has no thread: the manager's tick calls :meth:`tick`, a report calls :meth:`ask`. All
    methods may be called from any thread.

    Args:
        options: intervals and thresholds; of its groups, ``performance_counters``.
        collect: gives the operations counted so far, and those no longer kept. A later call never
            gives less than one before.
        read_sensors: gives what all sensors read now.
        clock_ns: a monotonic clock in ns. Steps of the wall clock change nothing but timestamps.
    """

    def __init__(
        self,
        options: MetalTelemetryOptions,
        *,
        collect: Collect,
        read_sensors: ReadSensors,
        clock_ns: Callable[[], int] = monotonic_ns,
    ) -> None:
        own = options.performance_counters
        self._collect, self._read_sensors, self._clock_ns = collect, read_sensors, clock_ns
        self._continuous = own.enable_continuous_sampling
        self._interval_ns = int(own.sampling_interval.total_seconds() * 1e9)
        tick_ns = int(options.tick_interval.total_seconds() * 1e9)
        # Samples taken only when asked for have no rhythm a window could be too long for.
        self._longest_ns = GAP * max(self._interval_ns, tick_ns) if self._continuous else None
        self._slow = {
            OperationKind.ALLOCATE: SlowThreshold(own.slow_allocation_threshold_ms),
            OperationKind.EXECUTE: SlowThreshold(own.slow_kernel_threshold_ms),
        }
        self._lock = threading.RLock()
        self._readings = ReadingBook(
            Thresholds(
                gpu=options.high_gpu_utilization_threshold,
                memory=options.high_memory_utilization_threshold,
                resource=options.high_resource_utilization_threshold,
            )
        )
        self._known: PerformanceCounters | None = None
        self._work = WorkBook(self._slow)
        self._sizes = AllocationSizes()
        self.allocated = self._sizes.add
        """Count the size of one allocation, in bytes; exact from any thread."""
        self._since = datetime.now(UTC)
        self._sampled_at: datetime | None = None
        self._samples = self._gaps = 0
        now_ns = self._clock_ns()
        self._sampled_ns: int | None = None
        self._window_ns = now_ns
        self._growth = {measure: Growth(0, now_ns) for measure in _MEASURES}
        self._named: dict[Group, int] = {}
        self._named_rates: dict[Group, float] = {}

    def tick(self) -> None:
        """Take a sample if one is due and sampling is continuous."""
        if self._continuous:
            with self._lock:
                self._sample_if_due()

    def ask(self) -> None:
        """Bring what is known up to now, for one who looks: a report.

        Operations are counted anew; sensors are read, and a window ends, if a sample is due.
        """
        with self._lock:
            if not self._sample_if_due():
                self._known = self._sum_up(self._work.tally(*self._collect()))

    def _sample_if_due(self) -> bool:
        now_ns = self._clock_ns()
        if self._sampled_ns is not None and (
            0 <= now_ns - self._sampled_ns < ON_TIME * self._interval_ns
        ):
            return False
        self._sample(now_ns)
        return True

    def finish(self) -> None:
        """Take a last sample, so that a program shorter than an interval has one window too."""
        if self._continuous:
            with self._lock:
                self._sample(self._clock_ns())

    def read(self) -> PerformanceCounters | None:
        """What was known at the last sample, which costs nothing.

        Where there was none yet one is taken now; ``None`` where samples are only taken when asked
        for.
        """
        with self._lock:
            if self._known is None and self._continuous:
                self._sample(self._clock_ns())
            return self._known

    def _sum_up(self, tally: Tally) -> PerformanceCounters:
        return PerformanceCounters(
            since=self._since,
            interval_seconds=self._interval_ns / 1e9,
            allocations=self._statistics(tally, OperationKind.ALLOCATE),
            kernels=self._statistics(tally, OperationKind.EXECUTE),
            errors=ErrorStatistics(
                total=sum(tally.errors.values()),
                of=tally.operations,
                by_type=tally.errors,
                by_kind=tally.errors_by_kind,
                rate=self._growth["errors"].rate(),
            ),
            readings=self._readings.statistics(),
            sampled_at=self._sampled_at,
            samples=self._samples,
            measured_seconds=self._growth["kernels"].measured_seconds,
            gaps=self._gaps,
            refused=self._readings.refused,
            untracked=self._readings.untracked,
        )

    def _statistics(self, tally: Tally, kind: OperationKind) -> WorkStatistics:
        work = tally.of(kind)
        measure = _MEASURE_OF[kind]
        return WorkStatistics(
            slow_above_ms=self._slow[kind].ms,
            count=work.count,
            failures=work.failures,
            slow=work.slow,
            nbytes=work.nbytes,
            timed=work.timed,
            total_ns=work.total_ns,
            min_ns=work.min_ns,
            max_ns=work.max_ns,
            gpu_ns=work.gpu_ns,
            gpu_count=work.gpu_count,
            rate=self._growth[measure].rate(),
            bytes_rate=self._growth[f"{measure}_bytes"].rate(),
            by_name=tally.by_name(kind, self._named_rates),
            by_size=self._sizes.counts() if kind is OperationKind.ALLOCATE else None,
        )

    def _sample(self, now_ns: int) -> None:
        # Collected under the lock, so that no sample is older than the one before it.
        operations, retired = self._collect()
        window_ns = now_ns - self._window_ns
        # The first sample comes after one tick. A window that short says little of a rate, so it
        # goes on, unless the program ends and there would be none at all.
        only_one = self._samples > 0 and window_ns > 0 and not self._growth["kernels"].windows
        ends_window = window_ns < 0 or window_ns >= self._interval_ns / 2 or only_one
        self._readings.sample(
            self._read_sensors(), now_ns, ends_window=ends_window, longest_ns=self._longest_ns
        )
        tally = self._work.tally(operations, retired)
        for measure, total in _totals(tally).items():
            self._growth[measure].add(total)
        if ends_window:
            self._end_window(tally, now_ns, window_ns)
        self._samples += 1
        self._sampled_ns = now_ns
        self._sampled_at = datetime.now(UTC)
        self._known = self._sum_up(tally)

    def _end_window(self, tally: Tally, now_ns: int, window_ns: int) -> None:
        for growth in self._growth.values():
            growth.end_window(now_ns, longest_ns=self._longest_ns)
        named = {group: work.count for group, work in tally.named.items()}
        measured = window_ns > 0 and (self._longest_ns is None or window_ns <= self._longest_ns)
        self._gaps += not measured
        self._named_rates = (
            {group: _grown(n, self._named.get(group, 0)) * 1e9 / window_ns
             for group, n in named.items()}
            if measured
            else {}
        )  # fmt: skip
        self._named, self._window_ns = named, now_ns


_MEASURE_OF: Final = {OperationKind.ALLOCATE: "allocations", OperationKind.EXECUTE: "kernels"}
_MEASURES: Final = ("allocations", "allocations_bytes", "kernels", "kernels_bytes", "errors")


def _totals(tally: Tally) -> dict[str, int]:
    totals = {"errors": sum(tally.errors.values())}
    for kind, measure in _MEASURE_OF.items():
        work = tally.of(kind)
        totals[measure], totals[f"{measure}_bytes"] = work.count, work.nbytes
    return totals


def _grown(now: int, before: int) -> int:
    """A count that went back has begun again at zero."""
    return now - before if now >= before else now
