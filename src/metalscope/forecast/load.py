"""How much work is to come, by the hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING, Final

from metalscope.forecast.base import Forecast, Forecaster
from metalscope.health_report import Prediction, PredictionKind

if TYPE_CHECKING:
    from metalscope.history import HistoryReader

__all__ = ["load_ahead", "peak_of"]

_HOUR: Final = timedelta(hours=1)
PAST: Final = timedelta(weeks=6)
"""So far back work is looked at; before that it was other work."""


def load_ahead(
    forecaster: Forecaster, history: HistoryReader, now: datetime, horizon: timedelta
) -> Forecast | None:
    """Operations a second in each hour from this one on; ``None`` where the past says too little.

    Raises :class:`~metalscope.history.HistoryError` where the history cannot be read.
    """
    from metalscope.history import SeriesKey  # noqa: PLC0415 - loads SQLite, where there is one

    span = history.span()
    hour = now.replace(minute=0, second=0, microsecond=0)
    if span is None or span[0] >= hour:
        return None
    since = max(span[0], hour - PAST)
    series = history.series(SeriesKey("operations"), since, hour, _HOUR)
    return forecaster.forecast(series, max(1, ceil(horizon / _HOUR)))


def peak_of(forecast: Forecast) -> Prediction:
    """The hour with most work."""
    index = max(range(len(forecast.values)), key=lambda h: forecast.values[h])
    at = datetime.fromtimestamp(forecast.start + index * forecast.step, UTC)
    value, lower, upper = (one[index] for one in (forecast.values, forecast.lower, forecast.upper))
    return Prediction(
        PredictionKind.LOAD,
        subject="operations",
        message=(
            f"most work of the next {len(forecast.values)} h is expected in the hour from "
            f"{at:%a %H:%M} UTC on: {value:.3g} operations/s ({lower:.3g} to {upper:.3g})"
        ),
        at=at,
        confidence=forecast.confidence,
        value=value,
        lower=lower,
        upper=upper,
        unit="operations/s",
    )
