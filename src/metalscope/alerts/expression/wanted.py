"""Which series a set of expressions looks at, and how far back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from metalscope.alert_report import Matcher
from metalscope.alerts.expression.ast import Call, Node, Range, Selector
from metalscope.alerts.expression.catalogue import BOUND
from metalscope.alerts.expression.trees import walk

__all__ = ["COUNTING", "LOOKBACK", "Wanted", "wanted"]

LOOKBACK: Final = 300.0
"""How old a sample may be that an offset finds, in s (Prometheus' query.lookback-delta)."""

COUNTING: Final = frozenset({"rate", "increase"})
"""Functions of what a counter counted."""


@dataclass(slots=True)
class Wanted:
    """What is asked of the series of one name.

    ``seconds`` is the furthest back that is looked, 0 where only the latest value is. ``counted``
    says that running totals are needed. ``bounds`` are what each reader asks of the label ``le``.
    """

    seconds: float = 0.0
    counted: bool = False
    bounds: set[tuple[Matcher, ...]] = field(default_factory=set)
    _needed: dict[str, bool] = field(default_factory=dict)

    def needs_bound(self, text: str) -> bool:
        """Whether anyone looks at the buckets of a bound, as ``le`` writes it."""
        needed = self._needed.get(text)
        if needed is None:
            labels = {BOUND: text}
            needed = any(all(one.matches(labels) for one in asked) for asked in self.bounds)
            self._needed[text] = needed
        return needed


def wanted(nodes: Iterable[Node]) -> dict[str, Wanted]:
    """What trees look at, by the name of the series."""
    found: dict[str, Wanted] = {}
    for tree in nodes:
        ranges = 0.0
        for node in walk(tree):
            if isinstance(node, Call) and node.function in COUNTING:
                (operand,) = node.arguments
                if isinstance(operand, Range):
                    found.setdefault(operand.selector.metric, Wanted()).counted = True
            elif isinstance(node, Range):
                # Its selector follows, and is looked at with this much more.
                ranges = node.seconds
            elif isinstance(node, Selector):
                one = found.setdefault(node.metric, Wanted())
                back = ranges or (LOOKBACK if node.offset else 0.0)
                one.seconds = max(one.seconds, back + node.offset)
                one.bounds.add(tuple(m for m in node.matchers if m.name == BOUND))
                ranges = 0.0
    return found
