"""The simple methods among which the robust forecaster chooses: a level, a trend, a season."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, pi, sqrt
from statistics import median
from typing import Final

from metalscope.forecast.seasons import Season, profile_of
from metalscope.forecast.trend import slope_of
from metalscope.robust_statistics import NORMAL_MAD

__all__ = ["Method", "methods_for", "project"]

DAMPING: Final = 0.9
"""What is left of a damped trend a step on, at steps a tenth of the trend's past long."""

_LEVELS: Final = (1, 5, 15, 50)
"""At most so many values' median is the level; 1 is the naive forecast."""

_TRENDS: Final = ("none", "damped", "linear")
TREND_PAST: Final = 240
"""Most values a slope is drawn from, so that a trend that ended long ago is forgotten."""

MIN_TREND_PAST: Final = 8

MIN_AGREEING: Final = 3
AGREEMENT: Final = 2.5
"""Deviations within which medians over more and more values must agree."""

_MEDIAN_VARIANCE: Final = pi / 2
"""Of a median of many normal values, in variances of their mean."""

_DEVIATION_OF_STEPS: Final = NORMAL_MAD / sqrt(2)
"""From the median step between neighbours to the standard deviation of normal noise."""


@dataclass(frozen=True, slots=True)
class Method:
    """The median of the last ``level`` values, moved along ``trend``, plus a ``season``."""

    level: int
    trend: str = "none"
    season: Season | None = None


def methods_for(seasons: Sequence[Season]) -> tuple[Method, ...]:
    """All methods for a series with these seasons, the simplest first."""
    return tuple(
        Method(level, trend, season)
        for season in (None, *seasons)
        for trend in _TRENDS
        for level in _LEVELS
    )


def project(
    past: Sequence[float | None], methods: Sequence[Method], steps: int
) -> Iterator[tuple[Method, list[float]]]:
    """Each method with its next ``steps`` values after ``past``, where it knows enough.

    Methods with the same season and trend share what they have in common.
    """
    seasons = dict.fromkeys(method.season for method in methods)
    for season in seasons:
        profile = None if season is None else profile_of(past, season)
        if season is not None and profile is None:
            continue
        rest = list(past) if profile is None else profile.without(past)
        slope = slope_of(rest[-TREND_PAST:]) if len(rest) >= MIN_TREND_PAST else None
        for method in methods:
            if method.season == season and (method.trend == "none" or slope is not None):
                levels = _levels(rest, method, slope or 0.0, steps)
                yield method, levels if profile is None else profile.onto(levels, len(past))


def _levels(rest: Sequence[float | None], method: Method, slope: float, steps: int) -> list[float]:
    """The next values without a season."""
    if method.trend == "none":
        return [_level(rest, 0.0, method.level)] * steps
    level = _level(rest, slope, method.level)
    if method.trend == "linear":
        return [level + slope * h for h in range(1, steps + 1)]
    keep = DAMPING ** (10.0 / min(len(rest), TREND_PAST))
    return [level + slope * keep * (1 - keep**h) / (1 - keep) for h in range(1, steps + 1)]


def _level(rest: Sequence[float | None], slope: float, most: int) -> float:
    """The median of the last values, at most ``most``, moved along the slope to the end.

    Fewer where the level changed meanwhile: the number grows as long as the medians agree within
    their error (intersection of confidence intervals; Katkovnik 1999, doi:10.1109/78.782208).
    """
    latest: list[float] = []
    end = len(rest) - 1
    for index in range(end, -1, -1):
        value = rest[index]
        if value is not None:
            latest.append(value + slope * (end - index))
            if len(latest) == most:
                break
    if most < MIN_AGREEING:
        return median(latest)
    noise = median([abs(a - b) for a, b in pairwise(latest)] or [0.0]) * _DEVIATION_OF_STEPS
    low, high = -inf, inf
    level, size = latest[0], MIN_AGREEING
    while True:
        middle = median(latest[:size])
        error = AGREEMENT * noise * sqrt(_MEDIAN_VARIANCE / min(size, len(latest)))
        low, high = max(low, middle - error), min(high, middle + error)
        if low > high:
            return level
        level = middle
        if size >= len(latest):
            return level
        size *= 2
