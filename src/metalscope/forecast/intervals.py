"""How wide a forecast's interval must be, from how wrong the same method was before.

Split conformal prediction (Vovk, Gammerman & Shafer 2005, "Algorithmic Learning in a Random World";
Lei et al. 2018, doi:10.1080/01621459.2017.1307116) over the errors of rolling-origin forecasts
(Hyndman & Athanasopoulos, "Forecasting: Principles and Practice", 3rd ed., 5.10), by horizon
(Stankeviciute, Alaa & van der Schaar, NeurIPS 2021, "Conformal Time-Series Forecasting"). Errors of
a series are not exchangeable as the theorem wants them, so coverage is measured, not promised.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from typing import Final

__all__ = ["MIN_ERRORS", "conformal_quantile", "widths"]

MIN_ERRORS: Final = 10
"""So many errors at least make an interval."""

POOLED: Final = 40
"""Neighbouring horizons are drawn together until they have so many errors."""


def conformal_quantile(errors: Sequence[float], confidence: float) -> float:
    """The smallest width that held ``confidence`` of the errors, counted as one more than they are.

    That one more is the forecast to come; where it would be the largest, the largest error it is.
    """
    ordered = sorted(errors)
    rank = ceil((len(ordered) + 1) * confidence)
    return ordered[min(rank, len(ordered)) - 1]


def widths(
    errors: Sequence[Sequence[float]], steps: int, confidence: float, *, trending: bool
) -> list[float] | None:
    """Half the interval's width at each of ``steps`` horizons.

    Past the horizons that could be tried, width grows as the root of the horizon, as that of a sum
    of independent changes does, and for a trend with the horizon, as an error of slope does.

    Args:
        errors: absolute errors at each horizon that could be tried, shortest first.
        steps: how many horizons are asked for.
        confidence: of the interval, 0..1.
        trending: whether the method has a trend.

    Returns:
        ``None`` where there are too few errors.
    """
    if sum(map(len, errors)) < MIN_ERRORS:
        return None
    tried = [
        conformal_quantile(_around(errors, h), confidence) for h in range(min(steps, len(errors)))
    ]
    last = len(tried)
    growth = (lambda ratio: ratio) if trending else sqrt
    far = max(tried[-max(1, last // 4) :])
    return tried + [far * growth((h + 1) / last) for h in range(last, steps)]


def _around(errors: Sequence[Sequence[float]], horizon: int) -> list[float]:
    found = list(errors[horizon])
    reach = 1
    while len(found) < POOLED and reach < len(errors):
        for neighbour in (horizon - reach, horizon + reach):
            if 0 <= neighbour < len(errors):
                found += errors[neighbour]
        reach += 1
    return found
