"""What an expression measures, in a few words, such as ``errors in 5m``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from metalscope import semconv
from metalscope.alerts.expression.ast import (
    Aggregation,
    Binary,
    Call,
    Node,
    Number,
    Range,
    Selector,
)
from metalscope.durations import format_duration

__all__ = ["in_words"]

_OVER_TIME: Final = {
    "avg_over_time": "mean {} over {}",
    "max_over_time": "greatest {} in {}",
    "min_over_time": "least {} in {}",
    "sum_over_time": "sum of {} over {}",
    "count_over_time": "samples of {} in {}",
    "last_over_time": "{} in {}",
    "increase": "{} in {}",
    "rate": "{} a second over {}",
}
_GROUPED: Final = frozenset({"sum", "max", "min"})
"""Of those it is clear from the alert's labels what they are of."""

_UNITS: Final = {one.name: one.unit or "" for one in semconv.BUILT_IN}
_PREFIX: Final = re.compile(r"^metal(scope)?_")


def in_words(node: Node) -> str | None:
    """What is measured; ``None`` where a few words would not do."""
    words: str | None = None
    match node:
        case Selector():
            words = _name(node.metric)
        case Call(function, (Range() as window,)) if function in _OVER_TIME:
            length = format_duration(timedelta(seconds=window.seconds))
            words = _OVER_TIME[function].format(_name(window.selector.metric), length)
        case Aggregation(operator, operand) if operator in _GROUPED:
            words = in_words(operand)
        case Binary(">" | ">=" | "<" | "<=" | "==" | "!=" | "and", left):
            words = in_words(left)
        # A share in percent is told by its unit.
        case Binary("*", Number(100), right):
            words = in_words(right)
        case Binary("/", left, right) if (one := in_words(left)) and (other := in_words(right)):
            words = f"{one} / {other}"
        case Binary("-", left, Call("time")) if one := in_words(left):
            words = f"{one} from now"
    return words


def _name(metric: str) -> str:
    """``metal_gpu_utilization_percent`` as ``gpu utilization``."""
    unit = _UNITS.get(metric, "")
    name = metric.removesuffix("_total").removesuffix(f"_{unit}" if unit else "")
    return _PREFIX.sub("", name).replace("_", " ")
