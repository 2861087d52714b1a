"""What the performance counters say, as it stands in a snapshot; see docs/counters.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from metalscope.moments import rfc3339
from metalscope.operation import NS_PER_MS, Component, MetalError, OperationKind
from metalscope.readings import ReadingUnit, ResourceKind

__all__ = [
    "BandStatistics",
    "ErrorStatistics",
    "NamedWork",
    "PerformanceCounters",
    "RateStatistics",
    "ReadingStatistics",
    "SizeCategory",
    "UtilizationBand",
    "WorkStatistics",
]


class UtilizationBand(StrEnum):
    """How much of something that can be used up is used.

    ``idle`` < 20 % ≤ ``low`` < 50 % ≤ ``moderate`` ≤ the option's threshold < ``high`` ≤ 95 % <
    ``saturated``.
    """

    IDLE = "idle"
    LOW = "low"
    MODERATE = "moderate"
    HIGH = "high"
    SATURATED = "saturated"


class SizeCategory(StrEnum):
    """How large one allocation was.

    ``tiny`` < 4 KiB ≤ ``small`` < 1 MiB ≤ ``medium`` < 64 MiB ≤ ``large`` < 1 GiB ≤ ``huge``.
    """

    TINY = "tiny"
    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"
    HUGE = "huge"


@dataclass(frozen=True, slots=True)
class RateStatistics:
    """Growth per second over the windows between samples.

    ``current`` is that of the last window, ``None`` where it could not be measured. ``mean`` is
    all measured growth by all measured time. All are ``None`` before the first window ended.
    """

    current: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    windows: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "current": self.current,
            "min": self.minimum,
            "max": self.maximum,
            "mean": self.mean,
            "windows": self.windows,
        }


@dataclass(frozen=True, slots=True)
class BandStatistics:
    """Into which band, or at which level, a reading fell.

    ``samples`` says how many samples each band had, ``entered`` how often a sample was in another
    band than the one before it: the events of that level.
    """

    current: str | None
    samples: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    entered: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "current": self.current,
            "samples": dict(self.samples),
            "entered": dict(self.entered),
        }


@dataclass(frozen=True, slots=True)
class ReadingStatistics:
    """One reading of a sensor since the start, in the unit of its kind.

    ``current``, ``utilization_percent`` and ``near_exhaustion`` are ``None`` where the last sample
    did not have it. ``peak`` is the highest value seen or told of by the source. ``growth`` and
    ``rate`` are those of kinds that only ever grow, ``None`` of all others.
    """

    kind: ResourceKind
    name: str
    device: str
    current: float | None
    minimum: float
    maximum: float
    mean: float
    samples: int
    peak: float
    limit: float | None = None
    utilization_percent: float | None = None
    band: BandStatistics | None = None
    near_exhaustion: bool | None = None
    near_exhaustion_samples: int = 0
    growth: float | None = None
    rate: RateStatistics | None = None

    @property
    def unit(self) -> ReadingUnit:
        """The unit of the values; that of ``rate`` is this one per second."""
        return self.kind.unit

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "kind": self.kind.value,
            "name": self.name,
            "device": self.device,
            "unit": self.unit,
            "current": self.current,
            "min": self.minimum,
            "max": self.maximum,
            "mean": self.mean,
            "samples": self.samples,
            "peak": self.peak,
            "limit": self.limit,
            "utilization_percent": self.utilization_percent,
            "band": self.band.to_dict() if self.band else None,
            "near_exhaustion": self.near_exhaustion,
            "near_exhaustion_samples": self.near_exhaustion_samples,
            "growth": self.growth,
            "rate_per_second": self.rate.to_dict() if self.rate else None,
        }


@dataclass(frozen=True, slots=True)
class NamedWork:
    """Operations of one kind, name and device since the start.

    ``slow`` of the ``timed`` ones took longer than the kind's threshold. ``per_second`` is over
    the last window.
    """

    name: str
    device: str
    count: int
    failures: int
    slow: int
    nbytes: int
    timed: int
    total_ns: int
    min_ns: int | None
    max_ns: int | None
    per_second: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data; durations in ns and in ms."""
        return {
            "name": self.name,
            "device": self.device,
            "count": self.count,
            "failures": self.failures,
            "slow": self.slow,
            "nbytes": self.nbytes,
            **_durations(self),
            "per_second": self.per_second,
        }


@dataclass(frozen=True, slots=True)
class WorkStatistics:
    """All operations of one kind since the start, those past their retention included.

    Counts are those of the snapshot's moment, not of the last sample. ``slow`` of the ``timed``
    ones took longer than ``slow_above_ms``, which is the option's threshold or, where durations
    cannot be told apart there, the next that can. ``gpu_ns`` is summed over the ``gpu_count``
    operations for which the device gave it. ``by_name`` has the ones with most time, first.
    ``by_size`` is ``None`` where nobody told sizes; it counts those that were told.
    """

    slow_above_ms: float
    count: int = 0
    failures: int = 0
    slow: int = 0
    nbytes: int = 0
    timed: int = 0
    total_ns: int = 0
    min_ns: int | None = None
    max_ns: int | None = None
    gpu_ns: int = 0
    gpu_count: int = 0
    rate: RateStatistics = RateStatistics()
    bytes_rate: RateStatistics = RateStatistics()
    by_name: tuple[NamedWork, ...] = ()
    by_size: Mapping[SizeCategory, int] | None = None

    @property
    def failure_rate(self) -> float | None:
        """Failures by all, 0..1; ``None`` where there was none of the kind."""
        return self.failures / self.count if self.count else None

    @property
    def slow_rate(self) -> float | None:
        """Slow ones by all that were timed, 0..1; ``None`` where none was."""
        return self.slow / self.timed if self.timed else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data; durations in ns and in ms."""
        sizes = self.by_size
        return {
            "count": self.count,
            "failures": self.failures,
            "failure_rate": self.failure_rate,
            "slow": self.slow,
            "slow_rate": self.slow_rate,
            "slow_above_ms": self.slow_above_ms,
            "nbytes": self.nbytes,
            **_durations(self),
            "gpu_ns": self.gpu_ns,
            "gpu_count": self.gpu_count,
            "gpu_ms": self.gpu_ns / NS_PER_MS if self.gpu_count else None,
            "per_second": self.rate.to_dict(),
            "bytes_per_second": self.bytes_rate.to_dict(),
            "by_name": [one.to_dict() for one in self.by_name],
            "by_size": None if sizes is None else {size.value: n for size, n in sizes.items()},
        }


@dataclass(frozen=True, slots=True)
class ErrorStatistics:
    """Failed operations since the start, those past their retention included."""

    total: int = 0
    of: int = 0
    by_type: Mapping[MetalError, int] = field(default_factory=lambda: MappingProxyType({}))
    by_kind: Mapping[OperationKind, int] = field(default_factory=lambda: MappingProxyType({}))
    rate: RateStatistics = RateStatistics()

    @property
    def by_component(self) -> dict[Component, int]:
        """Failures by the component they are held against."""
        counts: dict[Component, int] = {}
        for error, count in self.by_type.items():
            counts[error.component] = counts.get(error.component, 0) + count
        return counts

    @property
    def share(self) -> float | None:
        """Failed by all operations, 0..1; ``None`` where nothing ran."""
        return self.total / self.of if self.of else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data; ``of`` is how many operations there were."""
        return {
            "total": self.total,
            "of": self.of,
            "share": self.share,
            "by_type": {error.value: n for error, n in self.by_type.items()},
            "by_component": {component.value: n for component, n in self.by_component.items()},
            "by_kind": {kind.value: n for kind, n in self.by_kind.items()},
            "per_second": self.rate.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class PerformanceCounters:
    """Statistics since ``since`` over the operations and the sensors' readings.

    ``samples`` were taken, the last at ``sampled_at``. ``measured_seconds`` is the time that rates
    cover, ``gaps`` how many windows were too long to be part of it. ``refused`` counts readings
    that no sensor can mean (not finite, out of the kind's range, twice in one sample),
    ``untracked`` those past the cap on distinct ones.
    """

    since: datetime
    interval_seconds: float
    allocations: WorkStatistics
    kernels: WorkStatistics
    errors: ErrorStatistics = field(default_factory=ErrorStatistics)
    readings: tuple[ReadingStatistics, ...] = ()
    sampled_at: datetime | None = None
    samples: int = 0
    measured_seconds: float = 0.0
    gaps: int = 0
    refused: int = 0
    untracked: int = 0

    def of(self, kind: ResourceKind) -> tuple[ReadingStatistics, ...]:
        """The statistics of all readings of one kind."""
        return tuple(one for one in self.readings if one.kind is kind)

    @property
    def memory_pressure(self) -> BandStatistics | None:
        """Memory pressure by level; ``None`` where no sensor ever told it."""
        return next((one.band for one in self.of(ResourceKind.MEMORY_PRESSURE)), None)

    @property
    def thermal_state(self) -> BandStatistics | None:
        """The system's thermal state by name; ``None`` where no sensor ever told it."""
        return next((one.band for one in self.of(ResourceKind.THERMAL_STATE)), None)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data; described in docs/counters.md."""
        return {
            "since": rfc3339(self.since),
            "sampled_at": rfc3339(self.sampled_at) if self.sampled_at else None,
            "interval_seconds": self.interval_seconds,
            "samples": self.samples,
            "measured_seconds": self.measured_seconds,
            "gaps": self.gaps,
            "refused": self.refused,
            "untracked": self.untracked,
            "allocations": self.allocations.to_dict(),
            "kernels": self.kernels.to_dict(),
            "errors": self.errors.to_dict(),
            "readings": [one.to_dict() for one in self.readings],
        }


def _durations(work: NamedWork | WorkStatistics) -> dict[str, float | None]:
    """In whole ns, from which the object can be made again, and in ms for those who read."""
    return {
        "timed": work.timed,
        "total_ns": work.total_ns,
        "min_ns": work.min_ns,
        "max_ns": work.max_ns,
        "total_ms": work.total_ns / NS_PER_MS,
        "min_ms": None if work.min_ns is None else work.min_ns / NS_PER_MS,
        "max_ms": None if work.max_ns is None else work.max_ns / NS_PER_MS,
        "mean_ms": work.total_ns / work.timed / NS_PER_MS if work.timed else None,
    }
