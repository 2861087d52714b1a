"""An expression ready to be evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from metalscope.alert_report import Labels
from metalscope.alerts.expression.ast import Node
from metalscope.alerts.expression.errors import ExpressionError
from metalscope.alerts.expression.evaluating import vector_of
from metalscope.alerts.expression.moment import Moment, milliseconds
from metalscope.alerts.expression.parsing import parse
from metalscope.alerts.expression.wanted import wanted
from metalscope.alerts.expression.words import Kind, kind_of

if TYPE_CHECKING:
    from metalscope.alerts.expression.samples import Samples

__all__ = ["Expression", "check", "compile_expression"]


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression that gives an instant vector.

    ``metrics`` are the names of the series it looks at, sorted. ``longest`` is how far back it
    looks, in s; 0 where it is about the latest values only.
    """

    text: str
    node: Node
    metrics: tuple[str, ...]
    longest: float
    _vector: Callable[[Moment], Mapping[Labels, float]] = field(repr=False, compare=False)

    def evaluate(self, samples: Samples, at: float) -> Mapping[Labels, float]:
        """The values it gives, by labels, without the metric's name.

        ``at`` is a moment in s since the epoch, that of the latest sampling or one after it.

        Raises :class:`~metalscope.alerts.expression.EvaluationError` where there is no result for
        the series there are, as where two sides do not fit.
        """
        ms = milliseconds(at)
        # A copy, as others may be given the same.
        return dict(self._vector(Moment(samples, ms, samples.known_at(ms))))


def check(text: str) -> None:
    """See that an expression of a rule can be read and makes sense.

    Raises :class:`~metalscope.alerts.expression.ExpressionError`, a ``ValueError``, if not.
    """
    _parsed(text)


def compile_expression(text: str) -> Expression:
    """An expression of a rule.

    Raises :class:`~metalscope.alerts.expression.ExpressionError`, a ``ValueError``, where it
    cannot be read or makes no sense.
    """
    node = _parsed(text)
    needs = wanted((node,))
    return Expression(
        text,
        node,
        tuple(sorted(needs)),
        max((need.seconds for need in needs.values()), default=0.0),
        vector_of(node),
    )


def _parsed(text: str) -> Node:
    node = parse(text)
    kind = kind_of(node)
    if kind is not Kind.VECTOR:
        hint = (
            "; use a function such as avg_over_time"
            if kind is Kind.RANGE
            else "; vector(…) makes one of a number"
        )
        raise ExpressionError(
            f"a rule's expression must be an instant vector, not a {kind}{hint}", text, node.span
        )
    return node
