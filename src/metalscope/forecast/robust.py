"""The forecaster that needs nothing but Python: simple methods, chosen by how they did before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite
from statistics import fmean
from typing import Final

from metalscope.forecast.base import Forecast, Forecaster, Series
from metalscope.forecast.intervals import widths
from metalscope.forecast.methods import Method, methods_for, project
from metalscope.forecast.seasons import seasons_of

__all__ = ["MAX_VALUES", "MIN_VALUES", "RobustForecaster", "usable_of"]

MIN_VALUES: Final = 24
"""Fewer known values than this say too little."""

MAX_VALUES: Final = 2000
"""Only so many of the last values are looked at."""

FARTHEST: Final = 4
"""No forecast goes further than this many times as far as the past goes back."""

ORIGINS: Final = 24
"""Moments of the past from which the forecast is made again, to see how wrong it was."""

COMBINED: Final = 3
"""So many of the methods that did best are averaged: a mean of good forecasts is seldom worse than
the best of them (Bates & Granger 1969, doi:10.1057/jors.1969.103; M4 competition, Makridakis et
al. 2020, doi:10.1016/j.ijforecast.2019.04.014)."""

MUCH_WORSE: Final = 1.1
"""Methods that were wrong by more than this factor of the best are not averaged with it."""

TREND_HANDICAP: Final = 1.1
"""A trend must have been so much better: over a short past a walk without one seems to have it."""

WILD: Final = 3.0
"""An error this many times what nine in ten of the naive forecast's keep below counts no more: a
value that nothing could foresee must not choose the method."""


@dataclass(slots=True)
class _Trial:
    """What one method said from each origin, by origin: its values and what came."""

    made: dict[int, list[float]] = field(default_factory=dict)
    loss: float = 0.0


class RobustForecaster(Forecaster):
    """Medians, a Theil-Sen trend and the hours of the day and week, as far as they proved true.

    Every method is tried from moments in the past. Those that were least wrong make the forecast,
    and how wrong they were makes the interval. One without negative values in its past has none in
    its future.
    """

    def forecast(self, series: Series, steps: int, *, confidence: float = 0.9) -> Forecast | None:
        """See :meth:`Forecaster.forecast <metalscope.forecast.base.Forecaster.forecast>`.

        ``None`` where fewer than 24 values are known, less than half of the last values are, or
        more steps are asked for than four times those of the past.

        Raises:
            ValueError: ``steps`` is below 1 or ``confidence`` not between 0 and 1.
        """
        past, start = usable_of(series, steps, confidence, most=MAX_VALUES)
        if past is None:
            return None
        seasons = seasons_of(start, series.step, past)
        horizon = min(steps, max(1, len(past) // 3))
        longest = max((season.period for season in seasons), default=0)
        # A season that is drawn from one period only proves less than it can with more.
        first = min(2 * longest, max(longest, len(past) - longest))
        origins = _origins(len(past), horizon, max(first, len(past) // 3))
        chosen = _best(_tried(past, methods_for(seasons), origins, horizon), len(origins))
        errors: list[list[float]] = [[] for _ in range(horizon)]
        for h, error in _wrong(past, _together(list(chosen.values()))):
            errors[h].append(error)
        trending = any(method.trend == "linear" for method in chosen)
        half = widths(errors, steps, confidence, trending=trending)
        if half is None:
            return None
        made = [values for _, values in project(past, list(chosen), steps)]
        values = [fmean(at) for at in zip(*made, strict=True)]
        floor = 0.0 if all(v is None or v >= 0 for v in past) else float("-inf")
        return Forecast(
            start=series.start + series.step * len(series.values),
            step=series.step,
            values=tuple(max(floor, value) for value in values),
            lower=tuple(max(floor, v - w) for v, w in zip(values, half, strict=True)),
            upper=tuple(max(floor, v + w) for v, w in zip(values, half, strict=True)),
            confidence=confidence,
        )


def usable_of(
    series: Series, steps: int, confidence: float, *, most: int
) -> tuple[list[float | None] | None, float]:
    """The last values, ``most`` at most, and the moment of the first of them.

    What is no finite number is a gap. ``None`` where they say too little for so many steps.

    Raises:
        ValueError: ``steps`` is below 1 or ``confidence`` not between 0 and 1.
    """
    if steps < 1 or not 0.0 < confidence < 1.0:
        raise ValueError("steps must be 1 or more, and confidence between 0 and 1")
    values = [None if v is None or not isfinite(v) else float(v) for v in series.values]
    first = max(0, len(values) - most)
    while first < len(values) and values[first] is None:
        first += 1
    past = values[first:]
    known = sum(value is not None for value in past)
    if known < max(MIN_VALUES, len(past) / 2) or steps > FARTHEST * len(past):
        return None, 0.0
    return past, series.start + series.step * first


def _origins(count: int, horizon: int, first: int) -> list[int]:
    """Evenly spaced moments, as lengths of the past known then; the last sees one value to come."""
    last = count - 1
    first = min(first, max(1, last - horizon))
    number = min(ORIGINS, last - first + 1)
    return sorted({first + round(k * (last - first) / max(1, number - 1)) for k in range(number)})


def _tried(
    past: Sequence[float | None], methods: Sequence[Method], origins: Sequence[int], horizon: int
) -> dict[Method, _Trial]:
    trials: dict[Method, _Trial] = {}
    for origin in origins:
        steps = min(horizon, len(past) - origin)
        for method, values in project(past[:origin], methods, steps):
            trials.setdefault(method, _Trial()).made[origin] = values
    simplest = sorted(error for _, error in _wrong(past, trials[methods[0]].made))
    cap = WILD * simplest[int(0.9 * len(simplest))] if simplest else 0.0
    for method, trial in trials.items():
        errors = [min(error, cap) for _, error in _wrong(past, trial.made)]
        handicap = 1.0 if method.trend == "none" else TREND_HANDICAP
        trial.loss = handicap * fmean(errors) if errors else float("inf")
    return trials


def _wrong(
    past: Sequence[float | None], made: dict[int, list[float]]
) -> Iterator[tuple[int, float]]:
    """The horizon, counted from 0, and the absolute error of all that is known to be wrong."""
    for origin, values in made.items():
        for h, value in enumerate(values):
            came = past[origin + h]
            if came is not None:
                yield h, abs(came - value)


def _best(trials: dict[Method, _Trial], origins: int) -> dict[Method, _Trial]:
    """The few methods that were least wrong, none much worse than the best; simple ones first."""
    tried = {m: t for m, t in trials.items() if len(t.made) == origins}
    ranked = sorted(tried, key=lambda method: tried[method].loss)[:COMBINED]
    limit = tried[ranked[0]].loss * MUCH_WORSE
    return {method: tried[method] for method in ranked if tried[method].loss <= limit}


def _together(trials: Sequence[_Trial]) -> dict[int, list[float]]:
    """What the mean of the methods said, by origin."""
    return {
        origin: [fmean(at) for at in zip(*(t.made[origin] for t in trials), strict=True)]
        for origin in trials[0].made
    }
