"""When an expression is evaluated, and on what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metalscope.alert_report import Labels

if TYPE_CHECKING:
    from metalscope.alerts.expression.samples import Samples

__all__ = ["Moment", "Scalars", "Vector", "Vectors", "milliseconds"]

Vector = dict[Labels, float]
"""An instant vector: values by labels. The name of the metric is none of them."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When an expression is evaluated, and on what. ``ms`` is since the epoch.

    ``known`` is what was found for that moment before, by the text of what was asked: rules ask the
    same again and again."""

    samples: Samples
    ms: int
    known: dict[str, Vector]


Scalars = Callable[[Moment], float]
Vectors = Callable[[Moment], Vector]


def milliseconds(seconds: float) -> int:
    """Whole ms, in which all moments are counted."""
    return round(seconds * 1000)
