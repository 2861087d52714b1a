"""The words of the language: functions with what they take, aggregations, operators."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from metalscope.alerts.expression.ast import (
    Binary,
    Call,
    Negation,
    Node,
    Number,
    Range,
)

__all__ = [
    "AGGREGATIONS",
    "COMPARISONS",
    "FUNCTIONS",
    "KEYWORDS",
    "NOT_HERE",
    "PARAMETRIC",
    "PRECEDENCE",
    "RIGHT_ASSOCIATIVE",
    "SET_OPERATORS",
    "Function",
    "Kind",
    "kind_of",
]


class Kind(StrEnum):
    """What an expression gives. The words are those of PromQL's errors."""

    SCALAR = "scalar"
    VECTOR = "instant vector"
    RANGE = "range vector"


@dataclass(frozen=True, slots=True)
class Function:
    """What a function takes and gives. The last ``optional`` of its ``takes`` may be left out."""

    takes: tuple[Kind, ...]
    gives: Kind = Kind.VECTOR
    optional: int = 0


_OVER_RANGE: Final = Function((Kind.RANGE,))
_OF_VECTOR: Final = Function((Kind.VECTOR,))

FUNCTIONS: Final[dict[str, Function]] = {
    **dict.fromkeys(
        (
            "rate", "increase", "delta", "changes", "resets", "avg_over_time", "min_over_time",
            "max_over_time", "sum_over_time", "count_over_time", "last_over_time",
            "stddev_over_time", "present_over_time",
        ),
        _OVER_RANGE,
    ),
    **dict.fromkeys(
        ("abs", "ceil", "floor", "sqrt", "exp", "ln", "log2", "log10", "absent"), _OF_VECTOR
    ),
    "quantile_over_time": Function((Kind.SCALAR, Kind.RANGE)),
    "histogram_quantile": Function((Kind.SCALAR, Kind.VECTOR)),
    "round": Function((Kind.VECTOR, Kind.SCALAR), optional=1),
    "clamp": Function((Kind.VECTOR, Kind.SCALAR, Kind.SCALAR)),
    "clamp_min": Function((Kind.VECTOR, Kind.SCALAR)),
    "clamp_max": Function((Kind.VECTOR, Kind.SCALAR)),
    "scalar": Function((Kind.VECTOR,), Kind.SCALAR),
    "vector": Function((Kind.SCALAR,)),
    "time": Function((), Kind.SCALAR),
}  # fmt: skip
"""All functions by name."""

PARAMETRIC: Final = frozenset({"topk", "bottomk", "quantile"})
"""Aggregations that take a number first."""

AGGREGATIONS: Final = PARAMETRIC | {"sum", "avg", "min", "max", "count", "group", "stddev"}

SET_OPERATORS: Final = frozenset({"and", "or", "unless"})

COMPARISONS: Final = frozenset({"==", "!=", ">", "<", ">=", "<="})

PRECEDENCE: Final = {
    "or": 1,
    "and": 2, "unless": 2,
    "==": 3, "!=": 3, ">": 3, "<": 3, ">=": 3, "<=": 3,
    "+": 4, "-": 4,
    "*": 5, "/": 5, "%": 5,
    "^": 6,
}  # fmt: skip
"""How strongly a binary operator binds (Prometheus documentation, "Operator precedence")."""

RIGHT_ASSOCIATIVE: Final = frozenset({"^"})

KEYWORDS: Final = (
    AGGREGATIONS
    | SET_OPERATORS
    | {"offset", "by", "without", "on", "ignoring", "group_left", "group_right", "bool"}
    | {"atan2", "stdvar", "count_values", "start", "end"}
)
"""Words that PromQL knows whatever their case; none can name a metric here."""

NOT_HERE: Final = frozenset({
    "absent_over_time", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cos", "cosh",
    "count_values", "day_of_month", "day_of_week", "day_of_year", "days_in_month", "deg", "deriv",
    "histogram_count", "histogram_fraction", "histogram_sum", "holt_winters", "hour", "idelta",
    "irate", "label_join", "label_replace", "minute", "month", "pi", "predict_linear", "rad", "sgn",
    "sin", "sinh", "sort", "sort_desc", "stdvar", "stdvar_over_time", "tan", "tanh", "timestamp",
    "year",
})  # fmt: skip
"""What PromQL has and this language has not, so that an error can say so."""


def kind_of(node: Node) -> Kind:
    """What a tree that makes sense gives."""
    match node:
        case Number():
            return Kind.SCALAR
        case Range():
            return Kind.RANGE
        case Call(function):
            return FUNCTIONS[function].gives
        case Negation(operand):
            return kind_of(operand)
        case Binary(_, left, right):
            scalar = kind_of(left) is Kind.SCALAR and kind_of(right) is Kind.SCALAR
            return Kind.SCALAR if scalar else Kind.VECTOR
        case _:
            return Kind.VECTOR
