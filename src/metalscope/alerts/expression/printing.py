"""An expression as text: PromQL in one form, whatever way it was written."""

from __future__ import annotations

import math
from typing import Final

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
from metalscope.alerts.expression.words import PRECEDENCE, RIGHT_ASSOCIATIVE

__all__ = ["duration_text", "selector_text", "to_text"]

_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))
_SIGN: Final = PRECEDENCE["*"]


def to_text(node: Node) -> str:
    """The expression; read again it gives an equal tree, places apart."""
    match node:
        case Number(value):
            text = _number(value)
        case Selector():
            text = selector_text(node) + _offset(node)
        case Range(selector, seconds):
            text = f"{selector_text(selector)}[{duration_text(seconds)}]{_offset(selector)}"
        case Call(function, arguments):
            text = f"{function}({', '.join(map(to_text, arguments))})"
        case Aggregation():
            text = _aggregation(node)
        case Negation(operand):
            text = f"-{_within(operand, _SIGN + 1)}"
        case Binary():
            text = _binary(node)
    return text


def selector_text(node: Selector) -> str:
    """A selector without its offset."""
    matchers = ",".join(map(str, node.matchers))
    return f"{node.metric}{{{matchers}}}" if matchers else node.metric


def duration_text(seconds: float) -> str:
    """A duration in s as PromQL writes it, ``1h30m``; to the millisecond."""
    left = round(seconds * 1000)
    text = ""
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def _offset(node: Selector) -> str:
    return f" offset {duration_text(node.offset)}" if node.offset else ""


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    # 5 and not 5.0, as people write it.
    is_whole = value == int(value) and abs(value) < 1e15 and repr(value) != "-0.0"
    return str(int(value)) if is_whole else repr(value)


def _aggregation(node: Aggregation) -> str:
    grouping = ""
    if node.grouping or node.without:
        word = "without" if node.without else "by"
        grouping = f" {word} ({', '.join(node.grouping)}) "
    parameter = f"{to_text(node.parameter)}, " if node.parameter is not None else ""
    return f"{node.operator}{grouping}({parameter}{to_text(node.operand)})"


def _binary(node: Binary) -> str:
    binds = PRECEDENCE[node.operator]
    right_first = node.operator in RIGHT_ASSOCIATIVE
    left = _within(node.left, binds + right_first)
    right = _within(node.right, binds + (not right_first))
    words = [node.operator]
    if node.returns_bool:
        words.append("bool")
    if node.matching is not None:
        words.append(_matching(node.matching))
    return f"{left} {' '.join(words)} {right}"


def _matching(matching: Matching) -> str:
    text = f"{'on' if matching.on else 'ignoring'} ({', '.join(matching.labels)})"
    if matching.group:
        text += f" group_{matching.group} ({', '.join(matching.include)})"
    return text


def _within(node: Node, least: int) -> str:
    """The text of a part, in parentheses where it binds more weakly than it must."""
    text = to_text(node)
    if isinstance(node, Binary):
        binds = PRECEDENCE[node.operator]
    elif isinstance(node, Negation) or (isinstance(node, Number) and text.startswith("-")):
        binds = _SIGN
    else:
        return text
    return text if binds >= least else f"({text})"
