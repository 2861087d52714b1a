"""When something that grows reaches its limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from metalscope.forecast.base import Forecast, Forecaster, Series
from metalscope.forecast.robust import FARTHEST

__all__ = ["Passage", "exhaustion", "first_passage"]


@dataclass(frozen=True, slots=True)
class Passage:
    """When a limit is reached, s since the epoch, and in which time with the ``confidence``.

    ``latest`` is ``None`` where it may not be reached as far as was looked.
    """

    at: float
    earliest: float
    latest: float | None
    confidence: float


def exhaustion(
    forecaster: Forecaster,
    series: Series,
    limit: float,
    horizon: float,
    *,
    confidence: float = 0.9,
) -> Passage | None:
    """When the series reaches ``limit`` within ``horizon`` s, where it really grows.

    No further ahead is looked than four times as far as the past goes back. ``None`` where the
    limit is not reached, is reached already, or the growth may be chance.
    """
    now = _level(series.values)
    if now is None or now >= limit:
        return None
    steps = min(int(horizon / series.step), FARTHEST * _length(series.values))
    forecast = forecaster.forecast(series, steps, confidence=confidence) if steps > 0 else None
    return None if forecast is None else first_passage(forecast, now, limit)


def first_passage(forecast: Forecast, now: float, limit: float) -> Passage | None:
    """When a forecast from the level ``now`` on first reaches ``limit``.

    Its value says when, its upper bound how early and its lower bound how late. Growth counts as
    real where even the lower bound is above today's level by the time the limit is reached, so
    with half of 1 - ``confidence`` as the chance of being wrong.
    """
    at = _crossing(forecast, forecast.values, now, limit)
    earliest = _crossing(forecast, forecast.upper, now, limit)
    if at is None or earliest is None or forecast.lower[at[0]] <= now:
        return None
    latest = _crossing(forecast, forecast.lower, now, limit)
    return Passage(at[1], earliest[1], None if latest is None else latest[1], forecast.confidence)


def _crossing(
    forecast: Forecast, values: Sequence[float], now: float, limit: float
) -> tuple[int, float] | None:
    """The step, and the moment within it, at which ``values`` reach the limit."""
    before = now
    for h, value in enumerate(values):
        if value >= limit:
            within = (limit - before) / (value - before) if value > before else 0.0
            return h, forecast.start + forecast.step * (h - 1 + within)
        before = value
    return None


def _level(values: Sequence[float | None]) -> float | None:
    latest = [value for value in values[-10:] if value is not None][-5:]
    return median(latest) if latest else None


def _length(values: Sequence[float | None]) -> int:
    first = next((i for i, value in enumerate(values) if value is not None), len(values))
    return len(values) - first
