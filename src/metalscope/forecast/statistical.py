"""The forecaster of the extra ``ml``: statsmodels' unobserved components."""

from __future__ import annotations

import warnings
from typing import Any, Final

from metalscope.errors import MissingExtraError
from metalscope.forecast.base import Forecast, Forecaster, Series
from metalscope.forecast.robust import usable_of
from metalscope.forecast.seasons import seasons_of

try:
    import numpy as np
    from statsmodels.tsa.statespace.structural import UnobservedComponents
except ImportError as error:
    raise MissingExtraError("the forecaster 'statsmodels'", "ml", cause=str(error)) from error

__all__ = ["StatisticalForecaster"]

MAX_VALUES: Final = 1000
"""So many of the last values are looked at: a fit takes time with each of them."""

MAX_ITERATIONS: Final = 50

HARMONICS: Final = {"day": 6, "week": 14}
"""Sines and cosines that make a season: the shape of a day, and days of the week that differ."""

LEAST_OF_LOGARITHMS: Final = 0.05
"""Of the median: with a value below it, a logarithm makes of next to nothing an outlier."""

Array = Any


class StatisticalForecaster(Forecaster):
    """Fourier seasons, then a level, a trend where one is likelier than none, and an echo.

    The seasons are a regression, the rest a structural model in state-space form (Harvey 1989,
    "Forecasting, Structural Time Series Models and the Kalman Filter"), fitted by
    ``statsmodels.tsa.statespace.structural.UnobservedComponents``: forecasting by decomposition, as
    in Hyndman & Athanasopoulos, "Forecasting: Principles and Practice", 3rd ed., 5.7. The filter
    takes gaps as they are, and its variance makes the interval; AIC decides on the trend. Where
    there are seasons and no value is near 0, logarithms are forecast.
    """

    def forecast(self, series: Series, steps: int, *, confidence: float = 0.9) -> Forecast | None:
        """See :meth:`Forecaster.forecast <metalscope.forecast.base.Forecaster.forecast>`.

        ``None`` where :class:`~metalscope.forecast.robust.RobustForecaster` says nothing either.
        """
        past, start = usable_of(series, steps, confidence, most=MAX_VALUES)
        if past is None:
            return None
        values = np.array([np.nan if value is None else value for value in past])
        seasons = {one.name: one.period for one in seasons_of(start, series.step, past)}
        least = LEAST_OF_LOGARITHMS * np.nanmedian(values)
        logarithmic = bool(seasons) and bool(np.nanmin(values) > least > 0)
        shown = np.log(values) if logarithmic else values
        season = _season(shown, steps, seasons)
        rest = shown - season[: len(shown)]
        middle, scale = float(np.nanmean(rest)), float(np.nanstd(rest)) or 1.0
        ahead = _likeliest((rest - middle) / scale).get_forecast(steps)
        come = season[len(shown) :] + middle
        mean = ahead.predicted_mean * scale + come
        bounds = np.asarray(ahead.conf_int(alpha=1 - confidence)) * scale + come[:, None]
        if logarithmic:
            mean, bounds = np.exp(mean), np.exp(bounds)
        floor = 0.0 if np.nanmin(values) >= 0 else -np.inf
        return Forecast(
            start=series.start + series.step * len(series.values),
            step=series.step,
            values=tuple(np.maximum(mean, floor).tolist()),
            lower=tuple(np.maximum(bounds[:, 0], floor).tolist()),
            upper=tuple(np.maximum(bounds[:, 1], floor).tolist()),
            confidence=confidence,
        )


def _season(values: Array, steps: int, seasons: dict[str, int]) -> Array:
    """The seasons of the past and of the steps to come, by least squares beside a slow curve."""
    count = len(values) + steps
    at = np.arange(count)
    waves = {
        harmonic / period
        for name, period in seasons.items()
        for harmonic in range(1, min(HARMONICS[name], (period - 1) // 2) + 1)
    }
    if not waves:
        return np.zeros(count)
    angles = 2 * np.pi * np.outer(at, sorted(waves))
    regular = np.hstack([np.cos(angles), np.sin(angles)])
    slow = (at / len(values))[:, None] ** np.arange(4)
    known = np.flatnonzero(~np.isnan(values))
    design = np.hstack([regular, slow])[known]
    found, *_ = np.linalg.lstsq(design, values[known], rcond=None)
    return regular @ found[: regular.shape[1]]


def _likeliest(values: Array) -> Any:
    fits = []
    for level in ("local level", "local linear trend"):
        model = UnobservedComponents(values, level=level, autoregressive=1)
        with warnings.catch_warnings():
            # A fit that stopped early is still one, and its warnings are nobody's to read.
            warnings.simplefilter("ignore")
            fits.append(model.fit(disp=False, maxiter=MAX_ITERATIONS))
    return min(fits, key=lambda fit: float(fit.aic))
