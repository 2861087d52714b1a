"""What comes back every day and every week: how the hours stand to the usual level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Final

__all__ = ["DAY", "WEEK", "Profile", "Season", "profile_of", "seasons_of"]

DAY: Final = 86_400.0
WEEK: Final = 7 * DAY
_HOUR: Final = 3600.0
_LEAST_FACTOR: Final = 0.05
"""A factor below it says that nothing runs in that hour; nothing can be divided by it."""

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Season:
    """A period of ``period`` steps in slots of ``width`` steps; the series begins at ``first``.

    ``factor`` is whether an hour is the level times something, or the level plus something.
    """

    name: str
    period: int
    width: int
    first: int
    factor: bool = False

    @property
    def slots(self) -> int:
        """How many slots a period has."""
        return -(-self.period // self.width)

    def slot(self, index: int) -> int:
        """The slot in which the step ``index`` of the series lies."""
        return (index + self.first) % self.period // self.width


@dataclass(frozen=True, slots=True)
class Profile:
    """What a season adds to the level, or multiplies it by, in each of its slots."""

    season: Season
    slots: Sequence[float]

    def without(self, values: Values) -> list[float | None]:
        """The values from the series' begin on without the season."""
        at, slots = self.season.slot, self.slots
        if self.season.factor:
            return [None if v is None else v / slots[at(i)] for i, v in enumerate(values)]
        return [None if v is None else v - slots[at(i)] for i, v in enumerate(values)]

    def onto(self, levels: Sequence[float], begin: int) -> list[float]:
        """Levels from the step ``begin`` on with the season."""
        at, slots = self.season.slot, self.slots
        if self.season.factor:
            return [level * slots[at(i)] for i, level in enumerate(levels, begin)]
        return [level + slots[at(i)] for i, level in enumerate(levels, begin)]


def seasons_of(series_start: float, step: float, values: Values) -> list[Season]:
    """Day and week, as far as the values hold two periods and a day is whole steps.

    Slots are hours, or steps where those are longer. ``series_start`` is seconds since the epoch,
    which began at midnight UTC.
    """
    found = []
    width = max(1, round(_HOUR / step))
    positive = all(value is None or value >= 0 for value in values)
    for name, seconds in (("day", DAY), ("week", WEEK)):
        period = round(seconds / step)
        if period < 4 or abs(period * step - seconds) > 1e-6 * seconds:
            continue
        if len(values) >= 2 * period:
            first = round(series_start % seconds / step)
            found += [
                Season(name, period, width, first, factor)
                for factor in ((False, True) if positive else (False,))
            ]
    return found


def profile_of(values: Values, season: Season) -> Profile | None:
    """Of each slot the median distance from its period's level; ``None`` where too much is missing.

    Medians over the periods, so that one unusual day does not come back as a usual one. Periods
    are counted back from the last value, and each value is held against the level of the period it
    lies in, so that a slow change of level is no season. Hours that are missing change no level.
    """
    typical = _typical(values, season)
    if typical is None:
        return None
    distances: list[list[float]] = [[] for _ in typical]
    for begin in range(len(values) - season.period, -1, -season.period):
        known = [
            (season.slot(i), v)
            for i, v in enumerate(values[begin : begin + season.period], begin)
            if v is not None
        ]
        if len(known) < season.period / 2:
            continue
        usual = fmean([typical[slot] for slot, _ in known])
        level = fmean([value for _, value in known])
        if not season.factor:
            for slot, value in known:
                distances[slot].append(value - level + usual)
        elif level > 0 and usual > 0:
            for slot, value in known:
                distances[slot].append(value / level * usual)
    slots = [median(one) if one else typical[slot] for slot, one in enumerate(distances)]
    middle = fmean(slots)
    if not season.factor:
        return Profile(season, [one - middle for one in slots])
    if middle <= 0:
        return None
    return Profile(season, [max(_LEAST_FACTOR, one / middle) for one in slots])


def _typical(values: Values, season: Season) -> list[float] | None:
    """The median of each slot over the last whole periods; a missing one lies between the next."""
    found: list[list[float]] = [[] for _ in range(season.slots)]
    begin = len(values) % season.period if len(values) >= season.period else len(values)
    for index, value in enumerate(values[begin:], begin):
        if value is not None:
            found[season.slot(index)].append(value)
    present = [slot for slot, one in enumerate(found) if one]
    if len(present) < 0.75 * season.slots:
        return None
    slots = [median(one) if one else None for one in found]
    return [_between(slots, slot) if value is None else value for slot, value in enumerate(slots)]


def _between(slots: list[float | None], slot: int) -> float:
    """The middle of the nearest slots that are known, round the period."""
    round_it = [*slots[slot:], *slots[:slot]]
    after = next(value for value in round_it if value is not None)
    before = next(value for value in reversed(round_it) if value is not None)
    return (before + after) / 2
