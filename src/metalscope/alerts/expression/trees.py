"""Going through the tree of an expression, and making another of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from metalscope.alerts.expression.ast import (
    Aggregation,
    Binary,
    Call,
    Negation,
    Node,
    Range,
    Selector,
    Span,
)

__all__ = ["NOWHERE", "rewrite", "walk", "without_places"]

NOWHERE: Final = Span(0, 0)
"""The place of what was not read from a text."""


def walk(node: Node) -> Iterator[Node]:
    """Yield the node and all within it, outer ones first."""
    yield node
    for part in _parts(node):
        yield from walk(part)


def _parts(node: Node) -> tuple[Node, ...]:
    match node:
        case Range(selector):
            return (selector,)
        case Call(_, arguments):
            return arguments
        case Aggregation(_, operand, parameter):
            return (operand,) if parameter is None else (parameter, operand)
        case Negation(operand):
            return (operand,)
        case Binary(_, left, right):
            return left, right
        case _:
            return ()


def rewrite(node: Node, change: Callable[[Node], Node]) -> Node:
    """Make a tree of this one: ``change`` is given each node after the nodes within it.

    Raises ``TypeError`` where a range's selector is changed into something else.
    """
    match node:
        case Range(selector):
            changed = rewrite(selector, change)
            if not isinstance(changed, Selector):
                raise TypeError(f"a range is of a selector, not of {type(changed).__name__}")
            node = replace(node, selector=changed)
        case Call(_, arguments):
            node = replace(node, arguments=tuple(rewrite(one, change) for one in arguments))
        case Aggregation(_, operand, parameter):
            node = replace(
                node,
                operand=rewrite(operand, change),
                parameter=None if parameter is None else rewrite(parameter, change),
            )
        case Negation(operand):
            node = replace(node, operand=rewrite(operand, change))
        case Binary(_, left, right):
            node = replace(node, left=rewrite(left, change), right=rewrite(right, change))
        case _:
            pass
    return change(node)


def without_places(node: Node) -> Node:
    """The same tree with all spans empty: equal to any other that says the same."""
    return rewrite(node, lambda one: replace(one, span=NOWHERE))
