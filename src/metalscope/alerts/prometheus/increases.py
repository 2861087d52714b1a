"""Counting as metalscope counts, in Prometheus: what a counter rose by, as recording rules.

Prometheus's own ``increase`` does not see what a counter counted before its first sample, and
extends what it saw to the edges of the window, so that one failure is none and three are 3.2. Here
a counter that is new in a process that is known began at 0, and a whole count stays whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from metalscope import semconv
from metalscope.alert_report import Matcher
from metalscope.alerts.expression.ast import Binary, Call, Node, Number, Range, Selector
from metalscope.alerts.expression.catalogue import catalogued
from metalscope.alerts.expression.printing import duration_text, selector_text, to_text
from metalscope.alerts.expression.trees import NOWHERE, walk

__all__ = ["Increases", "Recording"]

COUNTING: Final = frozenset({"increase", "rate"})

FIRST_SCRAPE: Final = 60
"""A process is held to be new where it began so many s before the window at most: only its first
scrape can say that it runs."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording rule."""

    name: str
    expr: str


@dataclass(frozen=True, slots=True)
class _Key:
    metric: str
    seconds: float
    offset: float

    @classmethod
    def of(cls, counted: Range) -> _Key:
        selector = counted.selector
        return cls(selector.metric, counted.seconds, selector.offset)


class Increases:
    """The increases that expressions ask for, each recorded once for all rules.

    Args:
        nodes: the expressions.
        targets: the labels that tell one process from another.
    """

    def __init__(self, nodes: Iterable[Node], targets: Sequence[str]) -> None:
        self._targets = ", ".join(targets)
        self._level = f"{targets[-1]}:" if targets else ""
        self._matchers: dict[_Key, list[tuple[Matcher, ...]]] = {}
        for node in nodes:
            for part in walk(node):
                counted = _counted(part)
                if counted is not None:
                    matchers = self._matchers.setdefault(_Key.of(counted), [])
                    matchers.append(counted.selector.matchers)
        self._names = self._named()

    def recorded(self, call: Call) -> Node:
        """What takes the place of a call of ``increase`` or ``rate``; of all others, itself."""
        counted = _counted(call)
        if counted is None:
            return call
        name = self._names[_Key.of(counted)]
        selector = Selector(name, counted.selector.matchers, 0.0, NOWHERE)
        if call.function == "increase":
            return selector
        return Binary("/", selector, Number(counted.seconds, NOWHERE), None, False, NOWHERE)

    def recordings(self) -> Iterator[Recording]:
        """The recording rules, in the order in which they are first asked for."""
        for key, uses in self._matchers.items():
            # What all uses ask for is asked for once, and nothing else is recorded.
            shared = [one for one in uses[0] if all(one in use for use in uses)]
            selector = selector_text(Selector(key.metric, tuple(shared), 0.0, NOWHERE))
            yield Recording(self._names[key], self._expression(key, selector))

    def _named(self) -> dict[_Key, str]:
        names: dict[_Key, str] = {}
        for key in self._matchers:
            offset = f"_offset{duration_text(key.offset)}" if key.offset else ""
            end = f":increase{duration_text(key.seconds)}{offset}"
            stem = key.metric.removesuffix("_total")
            name = f"{self._level}{stem}{end}"
            taken = {other for used, other in names.items() if used.metric != key.metric}
            names[key] = f"{self._level}{key.metric}{end}" if name in taken else name
        return names

    def _expression(self, key: _Key, selector: str) -> str:
        back = key.seconds + key.offset
        now, then = _ago(selector, key.offset), _ago(selector, back)
        start = semconv.START_TIME.name
        began = _ago(start, key.offset)
        same = f"on ({self._targets})"
        lines = [
            f"({now} - {then} >= 0)",
            f"  unless {same} {began} > time() - {_seconds(back)}",
        ]
        metric = catalogued().get(key.metric)
        if metric is None or not metric.from_boot:
            lines += [
                f"or ({now} unless {then})",
                f"  and {same} ({_ago(start, back)} or {began} > time() - "
                f"{_seconds(back + FIRST_SCRAPE)})",
            ]
        window = duration_text(key.seconds)
        lines.append(f"or increase({_ago(f'{selector}[{window}]', key.offset)})")
        return "\n".join(lines)


def _counted(node: Node) -> Range | None:
    if isinstance(node, Call) and node.function in COUNTING:
        (argument,) = node.arguments
        return argument if isinstance(argument, Range) else None
    return None


def _ago(text: str, seconds: float) -> str:
    return f"{text} offset {duration_text(seconds)}" if seconds else text


def _seconds(seconds: float) -> str:
    return to_text(Number(round(seconds, 3), NOWHERE))
