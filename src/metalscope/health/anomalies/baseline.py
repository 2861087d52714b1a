"""What is usual of one series: location and scale from a bounded, down-sampled past.

Median and median absolute deviation (Hampel, "The Influence Curve and Its Role in Robust
Estimation", JASA 69, 1974): up to half of the values may be anything.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Sequence
from math import sqrt
from typing import Final

from metalscope.robust_statistics import NORMAL_MAD, median

__all__ = ["LONGEST", "Baseline"]

LONGEST: Final = 64
"""Values kept; once there are as many, at most one a minute, so they cover an hour or more."""

SPACING: Final = 56.25
NORMAL_TENTH: Final = 1.2816
"""Φ⁻¹(0.9): sigma from median to upper decile, which sees a slow mode that is not the usual."""
READY: Final = 12
_STEADY: Final = 30
_FASTER: Final = 0.15
_LAG: Final = 6
_HOUR: Final = 360


class Baseline:
    """The past of one series of logarithms.

    ``location`` and ``scale`` are up to date after each :meth:`add`. ``weight`` is what a value
    usually weighs. ``correlation`` is that of successive values, 0 to 0.9.
    """

    __slots__ = (
        "_added",
        "_covariance",
        "_distances",
        "_last",
        "_ordered",
        "_values",
        "_variance",
        "_wander",
        "location",
        "scale",
        "weight",
    )  # fmt: skip

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=LONGEST)
        self._ordered: list[float] = []
        self._added = float("-inf")
        self._last: float | None = None
        self._variance = self._covariance = self._wander = 0.0
        self._distances: deque[float] = deque(maxlen=_LAG)
        self.location = self.scale = 0.0
        self.weight = 0.0

    def __len__(self) -> int:
        return len(self._values)

    @property
    def ready(self) -> bool:
        """Whether there is enough of a past to hold anything against: two minutes of it."""
        return len(self._values) >= READY

    @property
    def caution(self) -> float:
        """How much larger a change must be while the past is short: from 2 down to 1."""
        return 1.0 + max(0.0, (_STEADY - len(self._values)) / (_STEADY - READY))

    @property
    def correlation(self) -> float:
        """Of a value with the one before, 0 to 0.9."""
        if self._variance <= 0:
            return 0.0
        return min(0.9, max(0.0, self._covariance / self._variance))

    @property
    def location_error(self) -> float:
        """Standard error of the location: that of a median, √(π / 2) times that of a mean."""
        return 1.2533 * self.scale / sqrt(len(self._values)) if self._values else 0.0

    @property
    def wander(self) -> float:
        """Standard deviation of what changes slowly: from the covariance of values a minute apart,
        less what chance makes of it.
        """
        known = min(_HOUR, 6 * len(self._values))
        return sqrt(max(0.0, self._wander - self._variance / sqrt(known))) if known else 0.0

    def share_above(self, value: float) -> float:
        """Share of the past above ``value``, never quite 0 (Krichevsky and Trofimov, 1981)."""
        above = len(self._ordered) - bisect_right(self._ordered, value)
        return (above + 0.5) / (len(self._ordered) + 1)

    def add(self, elapsed: float, value: float, weight: float) -> None:
        """Take one value, at ``elapsed`` seconds; ``weight`` is the calls it is a mean of."""
        self._follow(value, weight)
        if len(self._values) < LONGEST or elapsed - self._added >= SPACING:
            self._values.append(value)
            self._added = elapsed
            if len(self._values) < LONGEST:
                self._forget_warming_up()
            self._estimate()

    def admit(self, elapsed: float, values: Collection[float]) -> None:
        """Take what was held back, whatever its spacing: leaving it out would lower the past."""
        if values:
            self._values.extend(values)
            self._added = elapsed
            self._estimate()

    def replace(self, values: Sequence[float]) -> None:
        """From now on ``values`` are the past."""
        self._values.clear()
        self._values.extend(values)
        self._last = None
        self._distances.clear()
        self._estimate()

    def _forget_warming_up(self) -> None:
        values = list(self._values)
        third = len(values) // 3
        if third >= READY // 3 and (median(values[-third:]) < median(values[:third]) - _FASTER):
            del values[: third // 2]
            self._values = deque(values, maxlen=LONGEST)

    def _follow(self, value: float, weight: float) -> None:
        step = 1.0 / (len(self._values) + 1 if len(self._values) < LONGEST else LONGEST)
        self.weight += step * (weight - self.weight)
        limit = 3 * self.scale
        distance = min(limit, max(-limit, value - self.location))
        self._variance += step * (distance * distance - self._variance)
        if self._last is not None:
            self._covariance += step * (distance * self._last - self._covariance)
        self._last = distance
        slowly = 1.0 / min(len(self._values) + 1 if len(self._values) < LONGEST else _HOUR, _HOUR)
        if len(self._distances) == _LAG:
            self._wander += slowly * (distance * self._distances[0] - self._wander)
        self._distances.append(distance)

    def _estimate(self) -> None:
        ordered = self._ordered = sorted(self._values)
        self.location = median(ordered)
        spread = NORMAL_MAD * median([abs(value - self.location) for value in ordered])
        tenth = ordered[int(0.9 * (len(ordered) - 1))] - self.location
        self.scale = max(spread, tenth / NORMAL_TENTH)
