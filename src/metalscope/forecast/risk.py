"""How likely a component is to fail, from how often it did: counted, discounted, never guessed.

Failures come in bursts, so hours are counted: an incident is a run of neighbouring hours with a
failure. Incidents are taken as a Poisson process whose rate changes slowly. What is known of the
rate is a Gamma distribution, its counts and hours discounted by age (a steady model with power
discounting: Smith 1979, doi:10.1111/j.2517-6161.1979.tb01096.x; West & Harrison 1997, "Bayesian
Forecasting and Dynamic Models"), begun from Jeffreys' prior, half an incident. With ``k`` incidents
in ``T`` hours, all discounted, none comes in ``h`` hours with the probability
``(T / (T + h)) ** (k + 1/2)``: one more incident, or a later one, never lowers the risk.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import NormalDist
from typing import Final

__all__ = ["HALF_LIFE_HOURS", "Risk", "failure_risk", "incidents_in"]

HALF_LIFE_HOURS: Final = 7 * 24.0
"""An incident of a week ago counts half of one now."""

PRIOR: Final = 0.5
FARTHEST: Final = 4
"""No risk is told for a time longer than so many times the past that is known."""


@dataclass(frozen=True, slots=True)
class Risk:
    """The probability, 0..1, of at least one incident; ``lower`` and ``upper`` are where it lies
    with the ``confidence``, as the rate is known from few incidents only.
    """

    probability: float
    lower: float
    upper: float
    confidence: float


def incidents_in(hours: Collection[int]) -> list[int]:
    """The first hour of each run of neighbouring hours."""
    present = set(hours)
    return sorted(hour for hour in present if hour - 1 not in present)


def failure_risk(
    ages: Collection[float], known: float, horizon: float, *, confidence: float = 0.9
) -> Risk | None:
    """The risk of at least one incident within ``horizon``; all times in hours.

    Args:
        ages: how long ago each incident was.
        known: how much of the past is known.
        horizon: how far ahead.
        confidence: of the bounds.

    Returns:
        ``None`` where there was no incident, or the past is shorter than a quarter of ``horizon``.
    """
    if not ages or known <= 0 or horizon > FARTHEST * known:
        return None
    count = sum(0.5 ** (age / HALF_LIFE_HOURS) for age in ages) + PRIOR
    hours = HALF_LIFE_HOURS / log(2) * (1 - 0.5 ** (known / HALF_LIFE_HOURS))
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    low, high = (_gamma_quantile(count, one) / hours for one in (-z, z))
    return Risk(
        probability=1 - (hours / (hours + horizon)) ** count,
        lower=1 - exp(-low * horizon),
        upper=1 - exp(-high * horizon),
        confidence=confidence,
    )


def _gamma_quantile(shape: float, z: float) -> float:
    """The quantile of a Gamma distribution of scale 1 at ``z`` normal deviations.

    Wilson & Hilferty 1931, doi:10.1073/pnas.17.12.684.
    """
    return shape * max(0.0, 1 - 1 / (9 * shape) + z / (3 * sqrt(shape))) ** 3
