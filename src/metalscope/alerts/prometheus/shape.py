"""What can be said of an expression without a value: its labels, and what follows from it."""

from __future__ import annotations

from typing import Final

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
from metalscope.alerts.expression.catalogue import BOUND, labels_of
from metalscope.alerts.expression.trees import without_places

__all__ = ["implies", "labels_given"]

_LARGER: Final = {">": 1, ">=": 1, "<": -1, "<=": -1}


def labels_given(node: Node) -> frozenset[str] | None:
    """The labels that its series can have; ``None`` where a metric of the application's own says.

    Those an expression aggregates away, or does not match on, are not among them.
    """
    labels: frozenset[str] | None = frozenset()
    match node:
        case Selector(metric):
            known = labels_of(metric)
            labels = None if known is None else frozenset(known)
        case Range(selector):
            labels = labels_given(selector)
        case Call():
            labels = _labels_of_call(node)
        case Aggregation():
            labels = _labels_of_groups(node)
        case Negation(operand):
            labels = labels_given(operand)
        case Binary():
            labels = _labels_of_both(node)
        case _:
            pass
    return labels


def _labels_of_call(node: Call) -> frozenset[str] | None:
    if node.function in {"scalar", "vector", "time"}:
        return frozenset()
    vectors = [one for one in node.arguments if not isinstance(one, Number)]
    labels = labels_given(vectors[0]) if vectors else frozenset()
    if node.function == "histogram_quantile" and labels is not None:
        return labels - {BOUND}
    return labels


def _labels_of_groups(node: Aggregation) -> frozenset[str] | None:
    labels = labels_given(node.operand)
    if node.operator in {"topk", "bottomk"}:
        return labels
    if not node.without:
        return frozenset(node.grouping)
    return None if labels is None else labels - frozenset(node.grouping)


def _labels_of_both(node: Binary) -> frozenset[str] | None:
    left, right = labels_given(node.left), labels_given(node.right)
    if isinstance(node.left, Number):
        return right
    if node.operator == "or":
        return None if left is None or right is None else left | right
    matching = node.matching
    if matching is None or node.operator in {"and", "unless"}:
        return left
    if matching.group:
        many = left if matching.group == "left" else right
        return None if many is None else many | frozenset(matching.include)
    if matching.on:
        return frozenset(matching.labels)
    return None if left is None else left - frozenset(matching.labels)


def implies(one: Node, other: Node) -> bool:
    """Whether it is plain that wherever ``one`` gives a series ``other`` gives it too."""
    if without_places(one) == without_places(other) or _is_stricter(one, other):
        return True
    return _part_implies(one, other) or _implies_part(one, other)


def _part_implies(one: Node, other: Node) -> bool:
    """Of two sets put together, what each or one of them is decides."""
    if not isinstance(one, Binary):
        return False
    if one.operator == "or":
        return one.matching is None and implies(one.left, other) and implies(one.right, other)
    if one.operator == "and" and one.matching is None and implies(one.right, other):
        return True
    return one.operator in {"and", "unless"} and implies(one.left, other)


def _implies_part(one: Node, other: Node) -> bool:
    if not isinstance(other, Binary) or other.matching is not None:
        return False
    if other.operator == "and":
        return implies(one, other.left) and implies(one, other.right)
    return other.operator == "or" and (implies(one, other.left) or implies(one, other.right))


def _is_stricter(one: Node, other: Node) -> bool:
    """Both compare the same thing with numbers, and ``one`` lets less through."""
    if not (isinstance(one, Binary) and isinstance(other, Binary)):
        return False
    way = _LARGER.get(one.operator)
    if way is None or way != _LARGER.get(other.operator) or one.returns_bool or other.returns_bool:
        return False
    if not (isinstance(one.right, Number) and isinstance(other.right, Number)):
        return False
    if without_places(one.left) != without_places(other.left):
        return False
    further = way * (one.right.value - other.right.value)
    lets_equal = other.operator.endswith("=") or not one.operator.endswith("=")
    return further > 0 or (further == 0 and lets_equal)
