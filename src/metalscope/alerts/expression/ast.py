"""What an expression is made of, once it is read. The words are those of PromQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from metalscope.alert_report import Matcher

__all__ = [
    "Aggregation",
    "Binary",
    "Call",
    "Matching",
    "Negation",
    "Node",
    "Number",
    "Range",
    "Selector",
    "Span",
]


@dataclass(frozen=True, slots=True)
class Span:
    """Where in the text something stands: offsets of characters, the end one past the last."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Number:
    """A number: a scalar."""

    value: float
    span: Span


@dataclass(frozen=True, slots=True)
class Selector:
    """The series of one metric that fulfil all matchers, as they were ``offset`` s ago."""

    metric: str
    matchers: tuple[Matcher, ...]
    offset: float
    span: Span


@dataclass(frozen=True, slots=True)
class Range:
    """All samples of the last ``seconds`` of a selector's series."""

    selector: Selector
    seconds: float
    span: Span


@dataclass(frozen=True, slots=True)
class Call:
    """A function of its arguments."""

    function: str
    arguments: tuple[Node, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Aggregation:
    """One series for each group of series; ``parameter`` is that of ``quantile`` and ``topk``.

    Groups are by the labels of ``grouping``, or where it is ``without`` by all others.
    """

    operator: str
    operand: Node
    parameter: Node | None
    grouping: tuple[str, ...]
    without: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Negation:
    """A minus sign before something."""

    operand: Node
    span: Span


@dataclass(frozen=True, slots=True)
class Matching:
    """Which series of two sides belong together: those with the same values of labels.

    ``on`` looks at ``labels`` only, else at all but those. ``group`` says on which side several
    may belong to one of the other; ``include`` names labels taken over from that one.
    """

    labels: tuple[str, ...]
    on: bool
    group: Literal["", "left", "right"] = ""
    include: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Binary:
    """Two sides of an operator: arithmetic, a comparison, or ``and``, ``or``, ``unless``."""

    operator: str
    left: Node
    right: Node
    matching: Matching | None
    returns_bool: bool
    span: Span


Node = Number | Selector | Range | Call | Aggregation | Negation | Binary
