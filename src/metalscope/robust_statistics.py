"""Statistics that no single value can sway. Of the ``statistics`` module only what is needed here:
that one loads fractions, decimals and random numbers, and a program may need none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Final

__all__ = ["NORMAL_MAD", "median", "theil_sen"]

NORMAL_MAD: Final = 1.4826
"""1 / Φ⁻¹(3/4): makes the median absolute deviation of a normal distribution its sigma."""


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two middle ones; of at least one value."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def theil_sen(moments: Sequence[float], values: Sequence[float]) -> float:
    """The median slope over all pairs: per unit of ``moments``, which only grow.

    Up to 29 % of the points may be anything (P. K. Sen, JASA 63, 1968,
    doi:10.1080/01621459.1968.10480934).
    """
    pairs = list(zip(moments, values, strict=True))
    return median([(v - u) / (t - s) for (s, u), (t, v) in combinations(pairs, 2)])
