"""What a reading's value means: which band, which level, whether it can be at all."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from math import isfinite
from typing import Any, Final

from metalscope.counter_statistics import UtilizationBand
from metalscope.counters.statistics import LARGEST
from metalscope.readings import MemoryPressure, ResourceKind, ResourceMetrics, ThermalState

__all__ = ["Thresholds", "Value"]

IDLE_BELOW: Final = 20.0
"""Percent under which a GPU is called underused; the reference rules begin to complain there."""
LOW_BELOW: Final = 50.0
"""Percent under which more of it is free than is used."""
SATURATED_ABOVE: Final = 95.0
"""Percent above which an alert on utilisation has its highest severity."""
NEAR_EXHAUSTION_ABOVE: Final = 90.0
"""Percent of a limit above which it is near exhaustion, where no option names a higher one."""

_MEMORY: Final = (ResourceKind.MEMORY, ResourceKind.HOST_MEMORY)
_BANDED: Final = (
    *_MEMORY,
    ResourceKind.GPU_UTILIZATION,
    ResourceKind.CPU_UTILIZATION,
    ResourceKind.BANDWIDTH,
)
_MAY_BE_NEGATIVE: Final = (ResourceKind.TEMPERATURE,)


class _Switch(IntEnum):
    OFF = 0
    ON = 1


_LEVELS: Final[dict[ResourceKind, type[IntEnum]]] = {
    ResourceKind.MEMORY_PRESSURE: MemoryPressure,
    ResourceKind.THERMAL_STATE: ThermalState,
    ResourceKind.LOW_POWER_MODE: _Switch,
}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Above how many percent utilisation is high: of the GPU, of memory, of anything else."""

    gpu: float = 85.0
    memory: float = 80.0
    resource: float = 85.0

    def high(self, kind: ResourceKind) -> float:
        """The threshold of a kind of reading."""
        if kind is ResourceKind.GPU_UTILIZATION:
            return self.gpu
        return self.memory if kind in _MEMORY else self.resource


@dataclass(frozen=True, slots=True)
class Value:
    """A reading that can be what its sensor says. ``word`` is its band or level, if it has any."""

    current: float
    peak: float | None
    limit: float | None
    utilization_percent: float | None
    word: str | None
    near_exhaustion: bool | None

    @classmethod
    def of(cls, reading: ResourceMetrics, thresholds: Thresholds) -> Value | None:
        """Take a reading; ``None`` where its value is no number or its kind cannot have it."""
        kind = reading.kind
        current = _number(reading.current, kind)
        if current is None:
            return None
        levels = _LEVELS.get(kind)
        if levels is not None:
            if current not in {level.value for level in levels}:
                return None
            return cls(current, None, None, None, levels(int(current)).name.lower(), None)
        limit = _number(reading.limit, kind)
        if limit is not None and limit <= 0:
            limit = None
        percent = _utilization(current, limit, kind)
        high = thresholds.high(kind)
        banded = percent is not None and kind in _BANDED
        runs_out = banded and limit is not None
        return cls(
            current=current,
            peak=_number(reading.peak, kind),
            limit=limit,
            utilization_percent=percent,
            word=_band(percent, high).value if percent is not None and banded else None,
            # An operator who lets memory fill to 95 % is not told at 90 %.
            near_exhaustion=(
                percent > max(NEAR_EXHAUSTION_ABOVE, high)
                if percent is not None and runs_out
                else None
            ),
        )


def _band(percent: float, high: float) -> UtilizationBand:
    if percent > max(SATURATED_ABOVE, high):
        return UtilizationBand.SATURATED
    if percent > high:
        return UtilizationBand.HIGH
    if percent < IDLE_BELOW:
        return UtilizationBand.IDLE
    return UtilizationBand.LOW if percent < LOW_BELOW else UtilizationBand.MODERATE


def _utilization(current: float, limit: float | None, kind: ResourceKind) -> float | None:
    if kind.unit == "percent":
        return current
    percent = 100.0 * (current / limit) if limit is not None else None
    return percent if percent is not None and isfinite(percent) else None


def _number(value: Any, kind: ResourceKind) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if not abs(number) <= LARGEST or (number < 0 and kind not in _MAY_BE_NEGATIVE):
        return None
    return number
