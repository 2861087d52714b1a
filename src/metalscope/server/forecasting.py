"""One line of the past and what is forecast of it, as the page draws both."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from metalscope.errors import ConfigurationError, MissingExtraError
from metalscope.forecast.base import Forecast, Forecaster, Series
from metalscope.server.asked import seconds_of, wrong

if TYPE_CHECKING:
    from metalscope.page.source import Lines, PageSource, TimeRange, Wanted

__all__ = ["forecast_of", "horizon_of"]

MOST_AHEAD: Final = 2000
"""Steps to come."""

USUAL_HORIZON: Final = timedelta(hours=1)

TOO_LITTLE: Final = "too little of the past is known to look so far ahead"
NOTHING: Final = "there is nothing of this in the past"


def horizon_of(given: str | None, step: timedelta) -> timedelta:
    """How far ahead is to be looked, as a parameter says: by itself an hour, or all there may be.

    Raises:
        RefusedError: 400, it is no length of time, or of too many steps.
    """
    most = MOST_AHEAD * step
    if given is None:
        return min(USUAL_HORIZON, most)
    horizon = seconds_of("horizon", given)
    if horizon > most:
        expected = f"at most {MOST_AHEAD} steps, which are {most.total_seconds():g} seconds"
        raise wrong("horizon", expected, horizon.total_seconds())
    return horizon


def forecast_of(
    source: PageSource,
    wanted: Wanted,
    within: TimeRange,
    horizon: timedelta,
    forecaster: Callable[[], Forecaster],
) -> dict[str, Any]:
    """The highest of the lines that are wanted, and its forecast, or why there is none.

    Raises:
        SourceError, ValueError: as the source's methods do.
    """
    lines = source.lines(wanted, within)
    if not lines.lines:
        return _told(lines, None, NOTHING)
    series = Series(lines.start, lines.step, lines.lines[0].values)
    steps = max(1, min(MOST_AHEAD, ceil(horizon.total_seconds() / lines.step)))
    try:
        forecast = forecaster().forecast(series, steps)
    except (ConfigurationError, MissingExtraError) as error:
        return _told(lines, None, str(error))
    return _told(lines, forecast, TOO_LITTLE if forecast is None else "")


def _told(lines: Lines, forecast: Forecast | None, why: str) -> dict[str, Any]:
    line = lines.lines[0] if lines.lines else None
    return {
        "past": {
            "start": lines.start,
            "step": lines.step,
            "values": [] if line is None else list(line.values),
        },
        "unit": "" if line is None else line.unit,
        "ceiling": None if line is None else line.ceiling,
        "forecast": None if forecast is None else _drawn(forecast),
        "why": why,
    }


def _drawn(forecast: Forecast) -> dict[str, Any]:
    return {
        "start": forecast.start,
        "step": forecast.step,
        "values": list(forecast.values),
        "lower": list(forecast.lower),
        "upper": list(forecast.upper),
        "confidence": forecast.confidence,
    }
