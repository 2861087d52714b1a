"""What a rule measures and from where on it raises an alert, in words, read off its expressions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from metalscope import semconv
from metalscope.alerts.engine.naming import in_words
from metalscope.alerts.engine.text import filled, format_of, plain_number
from metalscope.alerts.expression.ast import (
    Aggregation,
    Binary,
    Call,
    Negation,
    Node,
    Number,
    Range,
    Selector,
)

if TYPE_CHECKING:
    from metalscope.alerts.rule import AlertRule
    from metalscope.operation import ErrorSeverity

__all__ = ["Measured", "measured_by"]

_WORDS: Final = {
    ">": "above {}",
    ">=": "at {} or more",
    "<": "below {}",
    "<=": "at {} or less",
    "==": "at {}",
    "!=": "at anything but {}",
}
_TURNED: Final = {">": "<", ">=": "<=", "<": ">", "<=": ">=", "==": "==", "!=": "!="}
_SAME_UNIT: Final = frozenset(
    {
        "avg_over_time", "min_over_time", "max_over_time", "sum_over_time", "last_over_time",
        "quantile_over_time", "delta", "abs", "avg", "min", "max", "sum", "topk", "bottomk",
        "quantile",
    }
)  # fmt: skip
LONGEST_TEXT: Final = 80
_UNITS: Final = {"percent": "percent", "ratio": "ratio", "bytes": "bytes", "duration": "s"}
"""The unit that a format of the value speaks of."""

_METRIC_UNITS: Final = {one.name: one.unit or "" for one in semconv.BUILT_IN}


@dataclass(frozen=True, slots=True)
class Measured:
    """``text`` is the measured side of the rule's comparison, in words where a few will do.

    ``raised`` is from where on, in words; empty where it is no comparison with a number, and
    ``text`` then is about all of the expression.
    """

    text: str
    raised: str
    unit: str
    is_flag: bool = False
    """Whether it is all or nothing: above 0, so that 1 says no more than that it is so."""

    @property
    def in_words(self) -> str:
        """Both, on one line."""
        return f"{self.text} ({self.raised})" if self.raised else self.text


@lru_cache(maxsize=256)
def measured_by(rule: AlertRule, severity: ErrorSeverity) -> Measured:
    """What a rule measures, with the threshold of its alerts and that of this severity."""
    base = rule.levels[-1]
    text, node = base.expression.text, base.expression.node
    form = format_of(rule.title) or format_of(rule.description)
    comparison = _comparison(node)
    if comparison is None:
        return Measured(in_words(node) or _short(text), "", _UNITS.get(form, ""))
    operator, side, limit = comparison
    words = in_words(side) or _short(text[side.span.start : side.span.end])
    unit = _UNITS.get(form) or _unit(side)
    if (operator, limit) == (">", 0):
        return Measured(words, "", unit, is_flag=True)
    base_threshold = _threshold(operator, limit, form)
    raised = f"raised {base_threshold}"
    for level in rule.levels[:-1]:
        graver = _comparison(level.expression.node)
        if level.severity is severity and graver is not None:
            threshold = _threshold(graver[0], graver[2], form)
            raised += f", {severity.value} {threshold}" if threshold != base_threshold else ""
    return Measured(words, raised, unit)


def _threshold(operator: str, limit: float, form: str) -> str:
    written = filled(f"{{value:{form}}}", {}, limit) if form else plain_number(limit)
    return _WORDS[operator].format(written)


def _comparison(node: Node) -> tuple[str, Node, float] | None:
    """The operator, the measured side and the number; of ``a > 1 and b``, those of ``a > 1``."""
    if not isinstance(node, Binary):
        return None
    if node.operator not in _WORDS:
        return _comparison(node.left) if node.operator in {"and", "or", "unless"} else None
    left, right = _number(node.left), _number(node.right)
    if right is not None and left is None:
        return node.operator, node.left, right
    if left is not None and right is None:
        return _TURNED[node.operator], node.right, left
    return None


def _number(node: Node) -> float | None:
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Negation) and isinstance(node.operand, Number):
        return -node.operand.value
    return None


def _unit(node: Node) -> str:
    match node:
        case Selector():
            return _METRIC_UNITS.get(node.metric, "")
        case Range():
            return _unit(node.selector)
        case Aggregation():
            return _unit(node.operand) if node.operator in _SAME_UNIT else ""
        case Call():
            if node.function == "histogram_quantile":
                return _metric_unit(node)
            vectors = [one for one in node.arguments if not isinstance(one, Number)]
            same = node.function in _SAME_UNIT and len(vectors) == 1
            return _unit(vectors[0]) if same else ""
        case _:
            return ""


def _metric_unit(node: Node) -> str:
    """The unit of a histogram, from the selector of its buckets within."""
    match node:
        case Selector():
            return _METRIC_UNITS.get(node.metric.removesuffix("_bucket"), "")
        case Range():
            return _metric_unit(node.selector)
        case Aggregation():
            return _metric_unit(node.operand)
        case Call():
            return next(filter(None, map(_metric_unit, node.arguments)), "")
        case _:
            return ""


def _short(text: str) -> str:
    """An expression itself; one that is too long to be read at a glance is but a value."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_TEXT else "value"
