"""Which labels the series of a part of an expression can have."""

from __future__ import annotations

from collections.abc import Sequence

from metalscope.alerts.expression.ast import Binary
from metalscope.alerts.expression.words import SET_OPERATORS
from metalscope.spelling import nearest

__all__ = ["LabelSet", "labels_after", "lacking"]

LabelSet = frozenset[str] | None
"""Names of labels; ``None`` where they are not known, as of the application's own metrics."""


def lacking(name: str, sides: Sequence[LabelSet], *, each: bool) -> str:
    """What is wrong with a label that a side has not, or with ``each`` unset no side has.

    Empty where nothing is.
    """
    if name.startswith("__"):
        return f"{name} is no label here"
    without = [side for side in sides if side is not None and name not in side]
    if not without or (not each and len(without) < len(sides)):
        return ""
    has = sorted(without[0])
    hint = f"it has {', '.join(has)}" if has else "it has none"
    if name in {"job", "instance"}:
        hint += "; job and instance are put on by Prometheus, not in this process"
    elif meant := nearest(name, has):
        hint += f"; did you mean {meant}?"
    return f"has no label {name}: {hint}"


def labels_after(node: Binary, left: LabelSet, right: LabelSet) -> LabelSet:
    """The labels of what an operator gives of two vectors."""
    matching = node.matching
    if node.operator == "or":
        return None if left is None or right is None else left | right
    if node.operator in SET_OPERATORS or matching is None:
        return left
    if matching.group:
        many = left if matching.group == "left" else right
        return None if many is None else many | frozenset(matching.include)
    given = frozenset(matching.labels)
    if matching.on:
        return given
    return None if left is None else left - given
