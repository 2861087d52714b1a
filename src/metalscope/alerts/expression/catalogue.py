"""Which series there are by what names, and which labels they have."""

from __future__ import annotations

from functools import cache
from typing import Final

from metalscope import semconv
from metalscope.histogram import CLASSIC_BOUNDS_MS
from metalscope.semconv import Metric
from metalscope.spelling import nearest

__all__ = ["BOUND", "bounds_of", "catalogued", "is_counter", "labels_of", "unknown_metric"]

BOUND: Final = "le"
"""The label of a bucket's upper bound."""

_OWN: Final = ("metal_", "metalscope_")
"""No metric of the application begins like this (:mod:`metalscope.custom`)."""


@cache
def catalogued() -> dict[str, Metric]:
    """The metric of each name that series of the catalogue have."""
    found: dict[str, Metric] = {}
    for metric in semconv.BUILT_IN:
        if metric.type == "histogram":
            found |= {f"{metric.name}{end}": metric for end in ("_bucket", "_count", "_sum")}
        else:
            found[metric.name] = metric
    return found


def unknown_metric(name: str) -> str | None:
    """What is wrong with a name of series; ``None`` where nothing is.

    Names without the prefixes of the catalogue are the application's own, and not known before it
    records them.
    """
    if not name.startswith(_OWN) or name in catalogued():
        return None
    if f"{name}_bucket" in catalogued():
        return f"{name} is a histogram; its series are {name}_bucket, {name}_sum and {name}_count"
    meant = nearest(name, catalogued())
    hint = f"; did you mean {meant}?" if meant else ", and none is named like it"
    return f"there is no metric {name}{hint}"


def labels_of(name: str) -> tuple[str, ...] | None:
    """The labels of series by their name; ``None`` of the application's own, not known before."""
    metric = catalogued().get(name)
    if metric is None:
        return None
    return (*metric.labels, BOUND) if name == f"{metric.name}_bucket" else metric.labels


def is_counter(name: str) -> bool | None:
    """Whether series of a name only ever rise; ``None`` of the application's own."""
    metric = catalogued().get(name)
    return None if metric is None else metric.type in {"counter", "histogram"}


def bounds_of(name: str) -> tuple[str, ...] | None:
    """The bounds that buckets of a name have, as ``le`` writes them; ``None`` where not known."""
    if name != f"{semconv.OPERATION_DURATION.name}_bucket":
        return None
    return (*(repr(bound) for bound in CLASSIC_BOUNDS_MS), "+Inf")
