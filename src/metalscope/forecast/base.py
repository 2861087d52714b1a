"""The one interface of what forecasts a series."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Forecast", "Forecaster", "Series"]


@dataclass(frozen=True, slots=True)
class Series:
    """Values at even steps of ``step`` seconds, oldest first, the first at ``start`` seconds since
    the epoch. ``None`` where nothing is known.
    """

    start: float
    step: float
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Forecast:
    """The values to come, one a step after the series' last, with an interval each.

    A value lies within ``lower`` and ``upper`` with a probability of ``confidence``, 0..1.
    """

    start: float
    step: float
    values: Sequence[float]
    lower: Sequence[float]
    upper: Sequence[float]
    confidence: float


class Forecaster(ABC):
    """Forecasts one series at a time; keeps nothing between two calls, so any thread may call."""

    @abstractmethod
    def forecast(self, series: Series, steps: int, *, confidence: float = 0.9) -> Forecast | None:
        """What the next ``steps`` values are; ``None`` where the series says too little.

        Args:
            series: the past; at most some thousand values.
            steps: how far ahead, in steps of the series.
            confidence: of the interval, 0..1.
        """
