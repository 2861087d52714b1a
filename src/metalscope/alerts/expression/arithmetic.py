"""Numbers as Go counts with them: nothing raises, infinities and NaN are results."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Final

__all__ = [
    "ARITHMETIC", "COMPARE", "MATHS", "bucket_quantile", "clamp", "deviation", "greatest", "least",
    "mean", "quantile", "round_to", "total",
]  # fmt: skip

_NAN: Final = math.nan
_INF: Final = math.inf


def _divide(left: float, right: float) -> float:
    if right:
        return left / right
    if not left or left != left:  # noqa: PLR0124
        return _NAN
    return math.copysign(_INF, left) * math.copysign(1.0, right)


def _modulo(left: float, right: float) -> float:
    try:
        return math.fmod(left, right)
    except ValueError:
        return _NAN


def _power(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return -_INF if base < 0 and exponent % 2 == 1 else _INF
    except ValueError:
        # A root of a negative number, or a negative power of 0 (Go, math.Pow).
        if base:
            return _NAN
        return math.copysign(_INF, base) if exponent % 2 == 1 else _INF


ARITHMETIC: Final[dict[str, Callable[[float, float], float]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
    "%": _modulo,
    "^": _power,
}

COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


def _whole(function: Callable[[float], int]) -> Callable[[float], float]:
    return lambda value: float(function(value)) if math.isfinite(value) else value


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return _INF


def _log(function: Callable[[float], float]) -> Callable[[float], float]:
    def log(value: float) -> float:
        if value > 0:
            return function(value)
        return -_INF if value == 0 else _NAN

    return log


_floor: Final = _whole(math.floor)

MATHS: Final[dict[str, Callable[[float], float]]] = {
    "abs": abs,
    "ceil": _whole(math.ceil),
    "floor": _floor,
    "sqrt": lambda value: math.sqrt(value) if value >= 0 else _NAN,
    "exp": _exp,
    "ln": _log(math.log),
    "log2": _log(math.log2),
    "log10": _log(math.log10),
}


def round_to(value: float, nearest: float = 1.0) -> float:
    """The multiple of ``nearest`` closest to a value, the greater of two."""
    inverse = _divide(1.0, nearest)
    return _divide(_floor(value * inverse + 0.5), inverse)


def greatest(left: float, right: float) -> float:
    """The greater one; NaN where one is, unless the other is +Inf (Go, math.Max)."""
    if _INF in (left, right):
        return _INF
    return left + right if left != left or right != right else max(left, right)  # noqa: PLR0124


def least(left: float, right: float) -> float:
    """The smaller one; NaN where one is, unless the other is -Inf (Go, math.Min)."""
    if -_INF in (left, right):
        return -_INF
    return left + right if left != left or right != right else min(left, right)  # noqa: PLR0124


def clamp(value: float, low: float, high: float) -> float:
    """The value, held between two others."""
    return greatest(low, least(high, value))


def total(values: Sequence[float]) -> float:
    """The sum, without the loss of adding one by one where it can be had."""
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):
        return sum(values)


def mean(values: Sequence[float]) -> float:
    """The mean of at least one value; it does not overflow where the sum would."""
    found = total(values) / len(values)
    if math.isfinite(found) or not all(map(math.isfinite, values)):
        return found
    count = len(values)
    return math.fsum(value / count for value in values)


def deviation(values: Sequence[float]) -> float:
    """The standard deviation of all there is, of at least one value."""
    middle = mean(values)
    return math.sqrt(mean([(value - middle) * (value - middle) for value in values]))


def quantile(q: float, values: Sequence[float]) -> float:
    """The ``q`` quantile, between two values in proportion (Prometheus, promql/quantile.go)."""
    if not values or q != q:  # noqa: PLR0124
        return _NAN
    if not 0 <= q <= 1:
        return -_INF if q < 0 else _INF
    ranked = sorted(values, key=_nan_first)
    rank = q * (len(ranked) - 1)
    lower = math.floor(rank)
    upper = min(len(ranked) - 1, lower + 1)
    weight = rank - lower
    return ranked[lower] * (1 - weight) + ranked[upper] * weight


def _nan_first(value: float) -> tuple[bool, float]:
    return (False, 0.0) if value != value else (True, value)  # noqa: PLR0124


def bucket_quantile(q: float, buckets: Sequence[tuple[float, float]]) -> float:
    """The ``q`` quantile of cumulative ``(upper bound, count)`` pairs, as Prometheus has it.

    Within a bucket it goes in proportion; the lowest begins at 0 where its bound is above. NaN
    where the last bucket is not +Inf or nothing was counted (promql/quantile.go).
    """
    if q != q:  # noqa: PLR0124
        return _NAN
    if not 0 <= q <= 1:
        return -_INF if q < 0 else _INF
    merged: dict[float, float] = {}
    for bound, count in sorted(buckets):
        merged[bound] = merged.get(bound, 0.0) + count
    bounds, counts = list(merged), list(merged.values())
    for place in range(1, len(counts)):
        # Counts that fall from one bucket to the next are those of different moments.
        counts[place] = max(counts[place], counts[place - 1])
    if bounds[-1] != _INF or len(bounds) < 2 or not counts[-1]:
        return _NAN
    rank = q * counts[-1]
    place = next((p for p, count in enumerate(counts[:-1]) if count >= rank), len(bounds) - 1)
    if place == len(bounds) - 1:
        return bounds[-2]
    if not place and bounds[0] <= 0:
        return bounds[0]
    begin, before = (bounds[place - 1], counts[place - 1]) if place else (0.0, 0.0)
    return begin + (bounds[place] - begin) * _divide(rank - before, counts[place] - before)
