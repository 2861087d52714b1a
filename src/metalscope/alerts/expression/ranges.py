"""Functions of range vectors.

Their semantics are those of Prometheus 2.42 (promql/functions.go), but for what counters counted,
which is exact here, and ``delta``, which takes the samples as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Final

from metalscope.alerts.expression.arithmetic import deviation, mean, quantile, total
from metalscope.alerts.expression.ast import Range
from metalscope.alerts.expression.moment import Moment, Scalars, Vector, Vectors, milliseconds
from metalscope.alerts.expression.printing import selector_text
from metalscope.alerts.expression.wanted import COUNTING

__all__ = ["over_range"]

OverTime = Callable[[Sequence[float]], float]


def _changes(values: Sequence[float]) -> float:
    return sum(1.0 for before, after in pairwise(values) if after != before)


def _resets(values: Sequence[float]) -> float:
    return sum(1.0 for before, after in pairwise(values) if after < before)


_OVER_TIME: Final[dict[str, OverTime]] = {
    "avg_over_time": mean,
    "min_over_time": min,
    "max_over_time": max,
    "sum_over_time": total,
    "count_over_time": len,
    "last_over_time": lambda values: values[-1],
    "stddev_over_time": deviation,
    "present_over_time": lambda _values: 1.0,
    "changes": _changes,
    "resets": _resets,
}


def over_range(name: str, node: Range, number: Scalars | None) -> Vectors:
    """A function of a range; ``number`` is what ``quantile_over_time`` takes beside it."""
    if name in COUNTING:
        return _counted(node, node.seconds if name == "rate" else 1.0)
    if name == "delta":
        return _over_time(node, lambda _moment: lambda values: values[-1] - values[0], fewest=2)
    if number is not None:
        q = number
        return _over_time(node, lambda moment: partial(quantile, q(moment)))
    function = _OVER_TIME[name]
    return _over_time(node, lambda _moment: function)


def _over_time(node: Range, make: Callable[[Moment], OverTime], *, fewest: int = 1) -> Vectors:
    """One number of each series' values in the range, of at least so many."""
    text = selector_text(node.selector)
    length, offset = milliseconds(node.seconds), milliseconds(node.selector.offset)

    def over_time(moment: Moment) -> Vector:
        end = moment.ms - offset
        samples = moment.samples
        _, low, high = samples.window(end - length, end)
        function = make(moment)
        found: Vector = {}
        for series in samples.select(text, node.selector):
            values = series.between(low, high)
            if len(values) >= fewest:
                found[series.labels] = float(function(values))
        return found

    return over_time


def _counted(node: Range, seconds: float) -> Vectors:
    """What counters counted in the range, for each of so many seconds."""
    text = selector_text(node.selector)
    length, offset = milliseconds(node.seconds), milliseconds(node.selector.offset)

    def counted(moment: Moment) -> Vector:
        end = moment.ms - offset
        begin = end - length
        samples = moment.samples
        before, low, high = samples.window(begin, end)
        found: Vector = {}
        for series in samples.select(text, node.selector):
            count = series.counted(before, low, high, begin)
            if count is not None:
                found[series.labels] = count / seconds
        return found

    return counted
