"""Whether values only go one way: a test that no single value can sway.

Mann and Kendall (H. B. Mann, Econometrica 13, 1945; M. G. Kendall, "Rank Correlation Methods",
1948).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import sqrt

__all__ = ["mann_kendall"]


def mann_kendall(values: Sequence[float]) -> float:
    """The test's Z: normal with variance 1 where there is no trend, positive where values grow.

    Z = (S ∓ 1) / √(n (n - 1) (2n + 5) / 18), S being how many pairs go up less those that go down.
    """
    n = len(values)
    if n < 3:
        return 0.0
    s = sum((b > a) - (b < a) for a, b in combinations(values, 2))
    if not s:
        return 0.0
    return (s - 1 if s > 0 else s + 1) / sqrt(n * (n - 1) * (2 * n + 5) / 18)
