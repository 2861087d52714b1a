"""An expression of metalscope's, which looks at one process, as PromQL that looks at many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

from metalscope import semconv
from metalscope.alert_report import MatcherOperator
from metalscope.alerts.expression.ast import (
    Aggregation,
    Binary,
    Call,
    Matching,
    Negation,
    Node,
    Number,
    Range,
    Selector,
)
from metalscope.alerts.expression.trees import NOWHERE, rewrite, walk
from metalscope.alerts.expression.words import COMPARISONS
from metalscope.alerts.prometheus.increases import Increases

__all__ = ["Translation"]

_TURNED: Final = {">": "<", "<": ">", ">=": "<=", "<=": ">=", "==": "==", "!=": "!="}
_SCALARS: Final = frozenset({"scalar", "time"})


class Translation:
    """Writes expressions anew so that each process is looked at by itself.

    Args:
        targets: the labels that tell one process from another, such as ``job`` and ``instance``.
        increases: what takes the place of ``increase`` and ``rate``.
    """

    def __init__(self, targets: Sequence[str], increases: Increases) -> None:
        self._targets = tuple(targets)
        self._increases = increases

    def of(self, node: Node) -> Node:
        """The expression for many processes.

        Raises:
            ValueError: it has no form that keeps them apart.
        """
        whole = rewrite(node, self._changed)
        if any(isinstance(one, Call) and one.function == "scalar" for one in walk(whole)):
            raise ValueError(
                "scalar() can be exported beside an operator with a vector, and not as it is here"
            )
        return whole

    def _changed(self, node: Node) -> Node:
        match node:
            case Aggregation(without=False):
                return replace(node, grouping=self._with_targets(node.grouping))
            case Binary():
                return self._binary(node)
            case Negation(Call("scalar", (vector,))):
                return _scalar(Negation(vector, NOWHERE))
            case Call():
                return self._call(node)
            case _:
                return node

    def _call(self, node: Call) -> Node:
        match node:
            case Call("absent", (argument,)):
                changed = self._absent(argument)
            case Call("delta", (Range() as window,)):
                changed = _delta(node, window)
            case Call("vector", (Call("scalar", (vector,)),)):
                changed = self._of_targets("max", vector)
            case Call("vector", (number,)):
                zero = Binary("*", Number(0, NOWHERE), self._each_process(), None, False, NOWHERE)
                changed = Binary("+", zero, number, None, False, NOWHERE)
            case _:
                changed = self._increases.recorded(node)
        return changed

    def _binary(self, node: Binary) -> Node:
        left, right = _vector_in(node.left), _vector_in(node.right)
        same = Matching(self._targets, on=True)
        if left is None and right is None:
            return self._on_targets(node)
        if left is not None and right is not None:
            return _scalar(replace(node, left=left, right=right, matching=same))
        number, vector = (node.right, left) if left is not None else (node.left, right)
        assert vector is not None  # noqa: S101 - for the type checker
        whole = replace(node, left=left or node.left, right=right or node.right)
        if _is_scalar(number):
            return _scalar(whole)
        many: Literal["left", "right"] = "right" if left is not None else "left"
        if left is not None and node.operator in COMPARISONS and not node.returns_bool:
            # The value that a comparison lets through is the left one: that of the vector.
            operator = _TURNED[node.operator]
            whole, many = replace(whole, operator=operator, left=node.right, right=left), "left"
        return replace(whole, matching=replace(same, group=many))

    def _on_targets(self, node: Binary) -> Node:
        if node.matching is None or not node.matching.on:
            return node
        labels = self._with_targets(node.matching.labels)
        return replace(node, matching=replace(node.matching, labels=labels))

    def _absent(self, argument: Node) -> Node:
        """1 for each process that has it not, with the labels that ``absent`` gives."""
        matching = Matching(self._targets, on=True)
        each = self._each_process()
        lacking: Node = Binary("unless", each, argument, matching, False, NOWHERE)
        if isinstance(argument, Selector):
            named = [one.name for one in argument.matchers]
            for matcher in argument.matchers:
                if matcher.operator is MatcherOperator.EQUAL and named.count(matcher.name) == 1:
                    texts = (matcher.name, matcher.value.replace("$", "$$"), "", "")
                    lacking = Call("label_replace", (lacking, *map(_text, texts)), NOWHERE)
        return lacking

    def _each_process(self) -> Node:
        return self._of_targets("group", Selector(semconv.START_TIME.name, (), 0.0, NOWHERE))

    def _of_targets(self, operator: str, operand: Node) -> Node:
        return Aggregation(operator, operand, None, self._targets, False, NOWHERE)

    def _with_targets(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        return (*labels, *(one for one in self._targets if one not in labels))


def _delta(node: Call, window: Range) -> Node:
    """The difference as it is: Prometheus's own extends it to the edges of the window."""
    now = window.selector
    then = replace(now, offset=now.offset + window.seconds)
    exact = Binary("-", now, then, None, False, NOWHERE)
    return Binary("or", exact, node, None, False, NOWHERE)


def _scalar(vector: Node) -> Node:
    return Call("scalar", (vector,), NOWHERE)


def _vector_in(node: Node) -> Node | None:
    match node:
        case Call("scalar", (vector,)):
            return vector
        case _:
            return None


def _is_scalar(node: Node) -> bool:
    match node:
        case Number():
            return True
        case Call(function):
            return function in _SCALARS
        case Negation(operand):
            return _is_scalar(operand)
        case Binary(_, left, right):
            return _is_scalar(left) and _is_scalar(right)
        case _:
            return False


def _text(text: str) -> Node:
    """A text as an argument. There is no node for it: the language itself has no such functions."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return Selector(f'"{escaped}"', (), 0.0, NOWHERE)
