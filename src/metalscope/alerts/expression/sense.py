"""Whether an expression makes sense: kinds, names and labels.

Each part is looked at as soon as it is read, with what is known of its own parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NoReturn

from metalscope.alert_report import MatcherOperator
from metalscope.alerts.expression.ast import (
    Aggregation,
    Binary,
    Call,
    Negation,
    Node,
    Number,
    Range,
    Selector,
    Span,
)
from metalscope.alerts.expression.catalogue import (
    BOUND,
    bounds_of,
    is_counter,
    labels_of,
    unknown_metric,
)
from metalscope.alerts.expression.errors import ExpressionError
from metalscope.alerts.expression.label_sets import LabelSet, labels_after, lacking
from metalscope.alerts.expression.words import (
    AGGREGATIONS,
    COMPARISONS,
    FUNCTIONS,
    SET_OPERATORS,
    Function,
    Kind,
)
from metalscope.spelling import nearest

__all__ = ["LONGEST_BACK", "Read", "Sense", "Word"]

Word = tuple[str, Span]
"""A label's name, and where it stands."""

LONGEST_BACK: Final = 31 * 86_400
"""How far an expression may look back, in s: samples are kept in memory."""

_TALLEST: Final = 100
"""Levels of the tree; long chains of operators are high trees."""

_COUNTING: Final = frozenset({"rate", "increase"})


@dataclass(frozen=True, slots=True)
class Read:
    """A part that was read. ``labels`` are those its series can have, ``None`` where not known."""

    node: Node
    kind: Kind
    labels: LabelSet = frozenset()
    height: int = 1
    is_parenthesised: bool = False


class Sense:
    """Looks at the parts of one text. All methods raise :class:`ExpressionError`."""

    def __init__(self, text: str) -> None:
        self._text = text

    def _wrong(self, what: str, span: Span) -> NoReturn:
        raise ExpressionError(what, self._text, span)

    def _above(self, node: Node, kind: Kind, labels: LabelSet, *parts: Read) -> Read:
        height = 1 + max((part.height for part in parts), default=0)
        if height > _TALLEST:
            self._wrong(f"more than {_TALLEST} operations build on each other here", node.span)
        return Read(node, kind, labels, height)

    # -- small parts -----------------------------------------------------------------------------

    def number(self, node: Number) -> Read:
        """A number."""
        return Read(node, Kind.SCALAR)

    def parenthesised(self, read: Read) -> Read:
        """Something in parentheses."""
        return replace(read, is_parenthesised=True)

    def signed(self, read: Read, sign: Span) -> None:
        """A sign before something."""
        if read.kind is Kind.RANGE:
            self._wrong("a range vector has no sign", sign)

    def negation(self, node: Negation, read: Read) -> Read:
        """A minus before something."""
        return self._above(node, read.kind, read.labels, read)

    # -- selectors -------------------------------------------------------------------------------

    def selector(self, node: Selector, name: Span, places: Sequence[Span]) -> Read:
        """A metric with matchers; ``places`` are where their labels stand."""
        unknown = unknown_metric(node.metric)
        if unknown:
            self._wrong(unknown, name)
        known = labels_of(node.metric)
        labels = None if known is None else frozenset(known)
        for matcher, place in zip(node.matchers, places, strict=True):
            if matcher.name.startswith("__"):
                self._wrong(f"{matcher.name} is no label here; name the metric itself", place)
            self._label((matcher.name, place), (labels,), node.metric)
            bounds = bounds_of(node.metric)
            if bounds and matcher.name == BOUND and matcher.operator is MatcherOperator.EQUAL:
                self._bound(matcher.value, bounds, place)
        return Read(node, Kind.VECTOR, labels)

    def _bound(self, value: str, bounds: Sequence[str], place: Span) -> None:
        if value in bounds:
            return
        try:
            meant = next((one for one in bounds if float(one) == float(value)), None)
        except ValueError:
            meant = None
        hint = f'write "{meant}"' if meant else f"there are {', '.join(bounds)}"
        self._wrong(f'no bucket has le="{value}"; {hint}', place)

    def looks_back(self, seconds: float, span: Span) -> None:
        """A range or an offset."""
        if seconds > LONGEST_BACK:
            self._wrong("this is further back than samples are ever kept, 31d", span)

    def offset(self, node: Selector, read: Read) -> Read:
        """A selector with its offset."""
        return replace(read, node=node)

    def range(self, node: Range, read: Read) -> Read:
        """A range of a selector."""
        return self._above(node, Kind.RANGE, read.labels, read)

    # -- calls -----------------------------------------------------------------------------------

    def unknown_function(self, name: str, span: Span, *, known_elsewhere: bool) -> NoReturn:
        """A name that is no function's."""
        if known_elsewhere:
            self._wrong(f"{name} is not part of this language", span)
        meant = nearest(name, (*FUNCTIONS, *AGGREGATIONS))
        hint = f"; did you mean {meant}?" if meant else ""
        self._wrong(f"there is no function {name}{hint}", span)

    def call(self, node: Call, arguments: Sequence[Read], name: Span) -> Read:
        """A call of a known function."""
        function = FUNCTIONS[node.function]
        most = len(function.takes)
        if not most - function.optional <= len(arguments) <= most:
            self._wrong(f"{node.function} takes {_takes(function)}", node.span)
        for argument, wanted in zip(arguments, function.takes, strict=False):
            self._kind(argument, wanted, node.function)
        self._counts(node, name)
        vectors = [one for one in arguments if one.kind is not Kind.SCALAR]
        labels = vectors[0].labels if vectors else frozenset()
        if node.function == "histogram_quantile" and labels is not None:
            if BOUND not in labels:
                self._wrong(
                    "histogram_quantile takes the buckets of a histogram, with their label le",
                    arguments[1].node.span,
                )
            labels = labels - {BOUND}
        if function.gives is Kind.SCALAR:
            labels = frozenset()
        return self._above(node, function.gives, labels, *arguments)

    def _counts(self, node: Call, name: Span) -> None:
        for argument in node.arguments:
            if isinstance(argument, Range):
                metric = argument.selector.metric
                counter = is_counter(metric)
                if node.function in _COUNTING and counter is False:
                    self._wrong(
                        f"{metric} is a gauge, which has no {node.function}; see delta", name
                    )
                if node.function == "delta" and counter:
                    self._wrong(f"{metric} is a counter, which has no delta; see increase", name)

    def _kind(self, read: Read, wanted: Kind, where: str) -> None:
        if read.kind is wanted:
            return
        hint = {
            (Kind.RANGE, Kind.VECTOR): "; put a range such as [5m] after the metric",
            (Kind.VECTOR, Kind.RANGE): "; use a function such as avg_over_time",
        }.get((wanted, read.kind), "")
        self._wrong(
            f"{where} takes {_article(wanted)} here, not {_article(read.kind)}{hint}",
            read.node.span,
        )

    # -- groups ----------------------------------------------------------------------------------

    def aggregation(
        self, node: Aggregation, arguments: Sequence[Read], words: Sequence[Word]
    ) -> Read:
        """An aggregation with as many arguments as it takes."""
        operand = arguments[-1]
        self._kind(operand, Kind.VECTOR, node.operator)
        for parameter in arguments[:-1]:
            self._kind(parameter, Kind.SCALAR, node.operator)
        for word in words:
            self._label(word, (operand.labels,), "what is aggregated")
        given = frozenset(node.grouping)
        labels = operand.labels
        if node.operator not in {"topk", "bottomk"}:
            if not node.without:
                labels = given
            elif labels is not None:
                labels = labels - given
        return self._above(node, Kind.VECTOR, labels, *arguments)

    def _label(
        self, word: Word, sides: Sequence[LabelSet], whose: str, *, each: bool = False
    ) -> None:
        """See that a label is there: on each side, or on any."""
        name, span = word
        lacks = lacking(name, sides, each=each)
        if lacks:
            self._wrong(f"{whose} {lacks}" if lacks.startswith("has") else lacks, span)

    # -- operators -------------------------------------------------------------------------------

    def binary(
        self, node: Binary, left: Read, right: Read, sign: Span, words: Sequence[Word]
    ) -> Read:
        """Two sides of an operator; ``words`` are the labels of on or ignoring, then of group."""
        for side in (left, right):
            if side.kind is Kind.RANGE:
                self._wrong(
                    "an operator takes no range vector; use a function such as avg_over_time",
                    side.node.span,
                )
        if node.returns_bool and node.operator not in COMPARISONS:
            self._wrong("bool stands only after a comparison", sign)
        scalars = (left.kind is Kind.SCALAR) + (right.kind is Kind.SCALAR)
        if scalars:
            return self._with_scalar(node, left, right, sign, both=scalars == 2)
        self._matching(node, left, right, sign, words)
        return self._above(
            node, Kind.VECTOR, labels_after(node, left.labels, right.labels), left, right
        )

    def _with_scalar(
        self, node: Binary, left: Read, right: Read, sign: Span, *, both: bool
    ) -> Read:
        if node.operator in SET_OPERATORS:
            self._wrong(f"{node.operator} takes instant vectors on both sides, no scalar", sign)
        if node.matching is not None:
            self._wrong("only two instant vectors are matched by labels", sign)
        if not both:
            vector = right if left.kind is Kind.SCALAR else left
            return self._above(node, Kind.VECTOR, vector.labels, left, right)
        if node.operator in COMPARISONS and not node.returns_bool:
            self._wrong(f"two scalars are compared with {node.operator} bool", sign)
        return self._above(node, Kind.SCALAR, frozenset(), left, right)

    def _matching(
        self, node: Binary, left: Read, right: Read, sign: Span, words: Sequence[Word]
    ) -> None:
        matching = node.matching
        if matching is None:
            return
        if matching.group and node.operator in SET_OPERATORS:
            self._wrong(f"{node.operator} takes no group_{matching.group}", sign)
        count = len(matching.labels)
        sides = (left.labels, right.labels)
        for word in words[:count]:
            self._label(word, sides, "a side", each=matching.on)
        one = right if matching.group == "left" else left
        for word in words[count:]:
            if matching.on and word[0] in matching.labels:
                self._wrong(f"{word[0]} is in on already", word[1])
            self._label(word, (one.labels,), "that side")


def _article(kind: Kind) -> str:
    return f"an {kind}" if kind is Kind.VECTOR else f"a {kind}"


def _takes(function: Function) -> str:
    if not function.takes:
        return "nothing"
    least = len(function.takes) - function.optional
    words = [
        _article(kind) if place < least else f"if you like {_article(kind)}"
        for place, kind in enumerate(function.takes)
    ]
    return " and ".join(words)
