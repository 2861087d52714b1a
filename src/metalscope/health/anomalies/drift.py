"""Operations that take longer little by little, too slowly for a cumulative sum to see.

A day of durations at one value in five minutes, searched over 2, 6 and 24 hours with the tests of
:mod:`~metalscope.health.anomalies.trend`.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, isnan, log, nan
from typing import Final

from metalscope.health.anomalies.episode import ACCEPTED_AFTER, Episode, Now
from metalscope.health.anomalies.shift import EFFECT, Slower
from metalscope.health.anomalies.trend import mann_kendall
from metalscope.health_report import AnomalyKind
from metalscope.robust_statistics import median, theil_sen

__all__ = ["LOAD_ELASTICITY", "SLOT", "Drift", "Past", "allowed_for"]

SLOT: Final = 300.0
"""Seconds that one value of the long past covers."""

SLOTS: Final = 288
POINTS: Final = 24
SPANS: Final = (1, 3, 12)
"""Slots to a point, so that 24 points are 2, 6 and 24 hours."""

LEAST_POINTS: Final = 18
LEAST_Z: Final = 4.0
"""Of Mann and Kendall's test: 1 in 30,000 where there is no trend. Successive points are not quite
independent, and every operation is searched 288 times a day, so the effect has to be there too."""

LOAD_ELASTICITY: Final = 0.3
"""How a duration may follow the load: a load times 4 explains a duration times 1.5."""

_EVENLY: Final = 0.2
_STEP: Final = 0.6
_FLAT: Final = 0.05


def allowed_for(load: float) -> float:
    """How much higher the log of a duration may be where the log of the load is ``load`` higher."""
    return LOAD_ELASTICITY * max(0.0, min(load, log(16.0)))


class Past:
    """A day of one series, at one value a :data:`SLOT`; nothing where there was none."""

    __slots__ = ("_count", "_slot", "_sum", "_values")

    def __init__(self) -> None:
        self._values = array("f", [nan] * SLOTS)
        self._slot = -1
        self._sum = 0.0
        self._count = 0

    def add(self, elapsed: float, value: float) -> None:
        """Take one value; those of one slot become their mean."""
        slot = int(elapsed // SLOT)
        if slot != self._slot:
            if self._slot >= 0:
                for empty in range(max(self._slot, slot - SLOTS) + 1, slot + 1):
                    self._values[empty % SLOTS] = nan
            self._slot, self._sum, self._count = slot, 0.0, 0
        self._sum += value
        self._count += 1
        self._values[slot % SLOTS] = self._sum / self._count

    def clear(self) -> None:
        """Forget all of it."""
        self._values = array("f", [nan] * SLOTS)
        self._slot = -1

    def points(self, elapsed: float, width: int, count: int) -> list[float | None]:
        """The last ``count`` points of ``width`` slots each up to now, oldest first."""
        last = int(elapsed // SLOT) - 1
        found: list[float | None] = []
        for point in range(count - 1, -1, -1):
            end = last - point * width
            held = [self._at(slot) for slot in range(end - width + 1, end + 1)]
            known = [value for value in held if value is not None]
            found.append(sum(known) / len(known) if known else None)
        return found

    def _at(self, slot: int) -> float | None:
        if slot < 0 or slot > self._slot or slot <= self._slot - SLOTS:
            return None
        value = self._values[slot % SLOTS]
        return None if isnan(value) else value


@dataclass(frozen=True, slots=True)
class _Rise:
    began: float
    before: float
    height: float


class Drift:
    """One operation's long past, and the drift if there is one."""

    __slots__ = ("_calls", "_durations", "_rise", "episode", "level")

    def __init__(self) -> None:
        self.episode = Episode()
        self.level = 0.0
        self._durations = Past()
        self._calls = Past()
        self._rise = _Rise(0.0, 0.0, 0.0)

    def add(self, now: Now, value: float, calls: float, recent: Sequence[float]) -> None:
        """Take one bin: the log of the duration, its calls, and the last bins' values."""
        self._durations.add(now.elapsed, value)
        self._calls.add(now.elapsed, calls)
        if not self.episode.goes_on:
            return
        level = median(recent)
        if level - self._rise.before > self._rise.height / 2:
            self.level = level
            self.episode.see(now)

    def rest(self, now: Now, at_least: float) -> None:
        """Let it end where durations have been as before for a while."""
        if self.episode.rest(now, at_least):
            self.clear()

    def clear(self) -> None:
        """Forget the past: a new level has become usual."""
        self._durations.clear()
        self._calls.clear()

    def end(self, now: Now) -> None:
        """It has become usual, or something else explains it."""
        if self.episode.goes_on:
            self.episode.end(now)
        self.clear()

    def found(self) -> Slower | None:
        """The drift that goes on now."""
        since = self.episode.since
        if since is None:
            return None
        return Slower(AnomalyKind.DRIFT, since, exp(self.level), exp(self._rise.before))

    def search(self, now: Now, load: Past) -> None:
        """Look at the last 2, 6 and 24 hours; ``load`` is that of all operations, as a log."""
        if self.episode.goes_on:
            self._accept(now)
            return
        for width in SPANS:
            rise = self._searched(now, width, load)
            if rise is not None:
                self._rise = rise
                self.level = rise.before + rise.height
                self.episode.see(now, rise.began)
                return

    def _searched(self, now: Now, width: int, load: Past) -> _Rise | None:
        points = self._durations.points(now.elapsed, width, POINTS)
        moments = [float(i) for i, value in enumerate(points) if value is not None]
        values = [value for value in points if value is not None]
        if len(values) < LEAST_POINTS:
            return None
        quarter, third = len(values) // 4, len(values) // 3
        first, last = median(values[:quarter]), median(values[-quarter:])
        rise = last - first
        if rise < EFFECT:
            return None
        loads = [log(x) if x else None for x in self._calls.points(now.elapsed, width, POINTS)]
        grown = max(_grown(loads), _grown(load.points(now.elapsed, width, POINTS)))
        least = EFFECT + allowed_for(grown)
        slope = theil_sen(moments, values) * (moments[-1] - moments[0])
        if min(rise, slope) < least or mann_kendall(values) < LEAST_Z:
            return None
        middle = median(values[third:-third])
        evenly = min(middle - median(values[:third]), median(values[-third:]) - middle)
        steepest = max(b - a for a, b in pairwise(values))
        if evenly < _EVENLY * rise or steepest > _STEP * rise:
            return None
        low = max(i for i, value in zip(moments, values, strict=True) if value - first < rise / 5)
        began = now.elapsed - (POINTS - low) * width * SLOT
        return _Rise(max(0.0, began), first, rise)

    def _accept(self, now: Now) -> None:
        if now.elapsed - self.episode.opened < ACCEPTED_AFTER:
            return
        hour = [value for value in self._durations.points(now.elapsed, 1, 12) if value is not None]
        half = len(hour) // 2
        if half >= 2 and median(hour[half:]) - median(hour[:half]) < _FLAT:
            self.end(now)


def _grown(loads: list[float | None]) -> float:
    quarter = len(loads) // 4
    first = [value for value in loads[:quarter] if value is not None]
    last = [value for value in loads[-quarter:] if value is not None]
    return median(last) - median(first) if first and last else 0.0
