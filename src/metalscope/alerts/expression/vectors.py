"""Instant vectors: put together into groups, and matched with each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Final

from metalscope.alert_report import Labels
from metalscope.alerts.expression.arithmetic import deviation, mean, quantile
from metalscope.alerts.expression.ast import Aggregation, Binary, Matching
from metalscope.alerts.expression.errors import EvaluationError
from metalscope.alerts.expression.moment import Vector

__all__ = ["aggregate", "match", "picker", "rank", "select_set", "unique"]

Picker = Callable[[Labels], Labels]


def picker(names: Iterable[str], *, without: bool) -> Picker:
    """What makes of labels those named, or those not named."""
    named = frozenset(names)
    if not named:
        return (lambda labels: labels) if without else (lambda _labels: ())
    if without:
        return lambda labels: tuple([pair for pair in labels if pair[0] not in named])
    return lambda labels: tuple([pair for pair in labels if pair[0] in named])


def unique(pairs: Iterable[tuple[Labels, float]]) -> Vector:
    """A vector of these.

    Raises :class:`EvaluationError` where two have the same labels.
    """
    found: Vector = {}
    for labels, value in pairs:
        if labels in found:
            raise EvaluationError(f"two results have the same labels, {_said(labels)}")
        found[labels] = value
    return found


# -- groups --------------------------------------------------------------------------------------


def _greatest(values: Sequence[float]) -> float:
    numbers = [value for value in values if value == value]  # noqa: PLR0124
    return max(numbers) if numbers else values[0]


def _least(values: Sequence[float]) -> float:
    numbers = [value for value in values if value == value]  # noqa: PLR0124
    return min(numbers) if numbers else values[0]


_AGGREGATE: Final[dict[str, Callable[[Sequence[float]], float]]] = {
    "sum": sum,
    "avg": mean,
    "min": _least,
    "max": _greatest,
    "count": len,
    "group": lambda _values: 1.0,
    "stddev": deviation,
}


def _groups(vector: Vector, pick: Picker) -> dict[Labels, list[float]]:
    groups: dict[Labels, list[float]] = {}
    for labels, value in vector.items():
        group = pick(labels)
        if group in groups:
            groups[group].append(value)
        else:
            groups[group] = [value]
    return groups


def aggregate(node: Aggregation) -> Callable[[Vector, float], Vector]:
    """What one value is made of each group by; the number is the aggregation's parameter."""
    pick = picker(node.grouping, without=node.without)
    if node.operator == "quantile":
        return lambda vector, parameter: {
            group: quantile(parameter, values) for group, values in _groups(vector, pick).items()
        }
    make = _AGGREGATE[node.operator]
    return lambda vector, _parameter: {
        group: float(make(values)) for group, values in _groups(vector, pick).items()
    }


def rank(node: Aggregation) -> Callable[[Vector, float], Vector]:
    """``topk`` and ``bottomk``; of equal values those whose labels come first."""
    pick = picker(node.grouping, without=node.without)
    sign = -1.0 if node.operator == "topk" else 1.0

    def order(pair: tuple[Labels, float]) -> tuple[bool, float, Labels]:
        labels, value = pair
        # NaN is last whichever way.
        return (True, 0.0, labels) if value != value else (False, sign * value, labels)  # noqa: PLR0124

    def ranked(vector: Vector, parameter: float) -> Vector:
        try:
            count = int(parameter)
        except (ValueError, OverflowError):
            raise EvaluationError(f"{node.operator} takes a number, not {parameter}") from None
        groups: dict[Labels, list[tuple[Labels, float]]] = {}
        for labels, value in vector.items():
            groups.setdefault(pick(labels), []).append((labels, value))
        return {
            labels: value
            for members in groups.values()
            for labels, value in sorted(members, key=order)[: max(0, count)]
        }

    return ranked


# -- two sides -----------------------------------------------------------------------------------


def _signature(matching: Matching | None) -> Picker:
    if matching is None:
        return picker((), without=True)
    return picker(matching.labels, without=not matching.on)


def select_set(node: Binary) -> Callable[[Vector, Vector], Vector]:
    """``and``, ``or`` and ``unless``."""
    signature = _signature(node.matching)

    def both(left: Vector, right: Vector) -> Vector:
        there = set(map(signature, right))
        return {labels: value for labels, value in left.items() if signature(labels) in there}

    def either(left: Vector, right: Vector) -> Vector:
        there = set(map(signature, left))
        more = {labels: v for labels, v in right.items() if signature(labels) not in there}
        return left | more

    def only(left: Vector, right: Vector) -> Vector:
        there = set(map(signature, right))
        return {labels: value for labels, value in left.items() if signature(labels) not in there}

    return {"and": both, "or": either, "unless": only}[node.operator]


def match(
    node: Binary, calculate: Callable[[float, float], float | None]
) -> Callable[[Vector, Vector], Vector]:
    """Arithmetic and comparisons of two vectors. ``None`` leaves an element out."""
    matching = node.matching
    signature = _signature(matching)
    group = matching.group if matching is not None else ""
    include = matching.include if matching is not None else ()

    def matched(left: Vector, right: Vector) -> Vector:
        if not left or not right:
            return {}
        many, one = (right, left) if group == "right" else (left, right)
        ones = _by_signature(one, signature, "left" if group == "right" else "right")
        pairs: list[tuple[Labels, float]] = []
        seen: set[Labels] = set()
        for labels, value in many.items():
            sign = signature(labels)
            found = ones.get(sign)
            if found is None:
                continue
            other, other_value = found
            result = (
                calculate(other_value, value) if group == "right" else calculate(value, other_value)
            )
            if result is None:
                continue
            if group:
                pairs.append((_included(labels, other, include), result))
                continue
            if sign in seen:
                raise EvaluationError(
                    f"several series on the left side of {node.operator} have {_said(sign)}; say "
                    "group_left where that is meant"
                )
            seen.add(sign)
            pairs.append((sign, result))
        return unique(pairs)

    return matched


def _by_signature(
    vector: Vector, signature: Picker, side: str
) -> Mapping[Labels, tuple[Labels, float]]:
    found: dict[Labels, tuple[Labels, float]] = {}
    for labels, value in vector.items():
        sign = signature(labels)
        if sign in found:
            raise EvaluationError(
                f"several series on the {side} side of an operator have {_said(sign)}; they must "
                "be told apart by on(…) or be put together by an aggregation"
            )
        found[sign] = labels, value
    return found


def _included(labels: Labels, one: Labels, include: Sequence[str]) -> Labels:
    """Labels of the many's element, with those named as the one's has them."""
    if not include:
        return labels
    kept = [pair for pair in labels if pair[0] not in include]
    taken = [pair for pair in one if pair[0] in include]
    return tuple(sorted(kept + taken, key=itemgetter(0)))


def _said(labels: Labels) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels) + "}"
