"""A tree made into functions that evaluate it.

The semantics are those of Prometheus 2.42 (promql/engine.go, promql/functions.go).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from metalscope.alert_report import Labels, MatcherOperator
from metalscope.alerts.expression.arithmetic import (
    ARITHMETIC,
    COMPARE,
    MATHS,
    bucket_quantile,
    clamp,
    greatest,
    least,
    round_to,
)
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
from metalscope.alerts.expression.catalogue import BOUND
from metalscope.alerts.expression.moment import Moment, Scalars, Vector, Vectors, milliseconds
from metalscope.alerts.expression.printing import selector_text, to_text
from metalscope.alerts.expression.ranges import over_range
from metalscope.alerts.expression.vectors import aggregate, match, rank, select_set
from metalscope.alerts.expression.words import COMPARISONS, SET_OPERATORS, Kind, kind_of

__all__ = ["vector_of"]


# -- scalars -------------------------------------------------------------------------------------


def _scalar(node: Node) -> Scalars:
    match node:
        case Number(value):
            return lambda _moment: value
        case Negation(operand):
            inner = _scalar(operand)
            return lambda moment: -inner(moment)
        case Call("time"):
            return lambda moment: moment.ms / 1000
        case Call("scalar", (argument,)):
            vector = vector_of(argument)
            return lambda moment: _only(vector(moment))
        case Binary(operator, left, right):
            one, other = _scalar(left), _scalar(right)
            calculate = ARITHMETIC.get(operator) or COMPARE[operator]
            return lambda moment: float(calculate(one(moment), other(moment)))
        case _:
            raise TypeError(f"{type(node).__name__} is no scalar")


def _only(vector: Vector) -> float:
    return next(iter(vector.values())) if len(vector) == 1 else math.nan


# -- vectors -------------------------------------------------------------------------------------


def vector_of(node: Node) -> Vectors:
    """What evaluates an instant vector."""
    match node:
        case Selector():
            return _instant(node)
        case Negation(operand):
            inner = vector_of(operand)
            return lambda moment: {labels: -value for labels, value in inner(moment).items()}
        case Call():
            return _once(node, _call(node))
        case Aggregation():
            return _once(node, _aggregation(node))
        case Binary():
            return _binary(node)
        case _:
            raise TypeError(f"{type(node).__name__} is no instant vector")


def _once(node: Node, vectors: Vectors) -> Vectors:
    """The same, that looks whether it was found at this moment already."""
    text = to_text(node)

    def once(moment: Moment) -> Vector:
        found = moment.known.get(text)
        if found is None:
            found = moment.known[text] = vectors(moment)
        return found

    return once


def _instant(node: Selector) -> Vectors:
    text, offset = selector_text(node), milliseconds(node.offset)

    def instant(moment: Moment) -> Vector:
        samples = moment.samples
        sampling = samples.sampling_at(moment.ms - offset, back=bool(offset))
        if sampling is None:
            return {}
        found: Vector = {}
        for series in samples.select(text, node):
            value = series.at(sampling)
            if value == value:  # noqa: PLR0124 - NaN is where it was absent
                found[series.labels] = value
        return found

    return instant


def _aggregation(node: Aggregation) -> Vectors:
    operand = vector_of(node.operand)
    parameter = _scalar(node.parameter) if node.parameter is not None else None
    make = rank(node) if node.operator in {"topk", "bottomk"} else aggregate(node)
    if parameter is None:
        return lambda moment: make(operand(moment), 0.0)
    number = parameter
    return lambda moment: make(operand(moment), number(moment))


# -- functions -----------------------------------------------------------------------------------


_WITH_NUMBERS: Final[dict[str, Callable[..., float]]] = {
    "round": round_to,
    "clamp": clamp,
    "clamp_min": greatest,
    "clamp_max": least,
}


def _call(node: Call) -> Vectors:
    name, arguments = node.function, node.arguments
    last = arguments[-1] if arguments else None
    if isinstance(last, Range):
        number = _scalar(arguments[0]) if len(arguments) > 1 else None
        return over_range(name, last, number)
    if name in MATHS:
        return _each(MATHS[name], arguments[0])
    match name:
        case "vector":
            number = _scalar(arguments[0])
            return lambda moment: {(): number(moment)}
        case "absent":
            return _absent(arguments[0])
        case "histogram_quantile":
            return _histogram_quantile(_scalar(arguments[0]), vector_of(arguments[1]))
        case _:
            return _with_numbers(
                name, vector_of(arguments[0]), [_scalar(one) for one in arguments[1:]]
            )


def _each(function: Callable[[float], float], argument: Node) -> Vectors:
    inner = vector_of(argument)
    return lambda moment: {labels: function(value) for labels, value in inner(moment).items()}


def _with_numbers(name: str, inner: Vectors, numbers: Sequence[Scalars]) -> Vectors:
    """``round``, ``clamp``, ``clamp_min`` and ``clamp_max``."""
    function = _WITH_NUMBERS[name]

    def bounded(moment: Moment) -> Vector:
        vector = inner(moment)
        given = [number(moment) for number in numbers]
        if name == "clamp" and given[1] < given[0]:
            return {}
        return {labels: function(value, *given) for labels, value in vector.items()}

    return bounded


def _absent(argument: Node) -> Vectors:
    inner = vector_of(argument)
    labels = _asked(argument) if isinstance(argument, Selector) else ()
    return lambda moment: {} if inner(moment) else {labels: 1.0}


def _asked(node: Selector) -> Labels:
    """The labels that a series would have if it were there, as far as matchers say."""
    found: dict[str, str] = {}
    refused: set[str] = set()
    for matcher in node.matchers:
        if matcher.operator is MatcherOperator.EQUAL and matcher.name not in found:
            found[matcher.name] = matcher.value
            refused.discard(matcher.name)
        else:
            refused.add(matcher.name)
    return tuple(sorted((n, value) for n, value in found.items() if value and n not in refused))


def _histogram_quantile(q: Scalars, inner: Vectors) -> Vectors:
    def quantiles(moment: Moment) -> Vector:
        found: dict[Labels, list[tuple[float, float]]] = {}
        for labels, value in inner(moment).items():
            others = tuple([pair for pair in labels if pair[0] != BOUND])
            bound = _bound(dict(labels).get(BOUND, ""))
            if bound is not None:
                found.setdefault(others, []).append((bound, value))
        wanted = q(moment)
        return {labels: bucket_quantile(wanted, buckets) for labels, buckets in found.items()}

    return quantiles


def _bound(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


# -- operators -----------------------------------------------------------------------------------


def _binary(node: Binary) -> Vectors:
    if node.operator in SET_OPERATORS:
        return _of_two(select_set(node), node)
    if kind_of(node.left) is Kind.SCALAR:
        return _left_scalar(node)
    if kind_of(node.right) is Kind.SCALAR:
        return _right_scalar(node)
    return _of_two(match(node, _calculation(node)), node)


def _of_two(combine: Callable[[Vector, Vector], Vector], node: Binary) -> Vectors:
    left, right = vector_of(node.left), vector_of(node.right)
    return lambda moment: combine(left(moment), right(moment))


def _calculation(node: Binary) -> Callable[[float, float], float | None]:
    """What two values give; ``None`` of a comparison that does not hold."""
    if node.operator not in COMPARISONS:
        return ARITHMETIC[node.operator]
    holds = COMPARE[node.operator]
    if node.returns_bool:
        return lambda left, right: float(holds(left, right))
    return lambda left, right: left if holds(left, right) else None


def _right_scalar(node: Binary) -> Vectors:
    vector, scalar = vector_of(node.left), _scalar(node.right)
    if node.operator in COMPARISONS and not node.returns_bool:
        holds = COMPARE[node.operator]

        def kept(moment: Moment) -> Vector:
            number = scalar(moment)
            return {one: value for one, value in vector(moment).items() if holds(value, number)}

        return kept
    calculate = ARITHMETIC.get(node.operator) or COMPARE[node.operator]

    def calculated(moment: Moment) -> Vector:
        number = scalar(moment)
        return {one: float(calculate(value, number)) for one, value in vector(moment).items()}

    return calculated


def _left_scalar(node: Binary) -> Vectors:
    scalar, vector = _scalar(node.left), vector_of(node.right)
    if node.operator in COMPARISONS and not node.returns_bool:
        holds = COMPARE[node.operator]

        def kept(moment: Moment) -> Vector:
            number = scalar(moment)
            return {one: value for one, value in vector(moment).items() if holds(number, value)}

        return kept
    calculate = ARITHMETIC.get(node.operator) or COMPARE[node.operator]

    def calculated(moment: Moment) -> Vector:
        number = scalar(moment)
        return {one: float(calculate(number, value)) for one, value in vector(moment).items()}

    return calculated
