"""A snapshot as the series that a Prometheus would have after scraping it.

Names, labels and the text of bounds are those of a scrape with ``honor_labels: false``, so that it
makes no difference to a query which way the values came.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from metalscope.export.native_histogram import NativeBuckets, native_buckets
from metalscope.export.prometheus import number
from metalscope.families import Distribution, Family
from metalscope.moments import EPOCH
from metalscope.semconv import Metric
from metalscope.snapshot import Exemplar

__all__ = [
    "STALE",
    "Series",
    "milliseconds",
    "scraped_labels",
    "series_of",
    "with_target_labels",
]

STALE: Final[float] = struct.unpack("<d", (0x7FF0000000000002).to_bytes(8, "little"))[0]
"""The NaN that says that a series has ended (remote write specification, "Stale Markers")."""


@dataclass(frozen=True, slots=True)
class Series:
    """One series with its value at the time of the snapshot.

    ``labels`` are sorted, with ``__name__``, without those that have no value. ``native`` stands
    in place of ``value`` where it is a native histogram; ``count`` and ``sum`` are then its own.
    """

    metric: Metric
    labels: tuple[tuple[str, str], ...]
    value: float = 0.0
    native: NativeBuckets | None = None
    count: int = 0
    sum: float = 0.0
    exemplars: tuple[Exemplar, ...] = ()


def series_of(
    families: Iterable[Family], target: Mapping[str, str], *, native: bool
) -> Iterator[Series]:
    """The series of these families, each with the ``target``'s labels.

    Args:
        families: what to send.
        target: ``job``, ``instance`` and the like, as the scrape's target would have them.
        native: durations as native histograms, in place of classic buckets. Histograms of the
            application's own have only their classic buckets.
    """
    for family in families:
        metric = family.metric
        for values, value in family.values:
            own = dict(zip(metric.labels, values, strict=True))
            yield Series(metric, _identified(metric.name, own, target), float(value))
        for values, distribution in family.distributions:
            own = dict(zip(metric.labels, values, strict=True))
            if native and distribution.durations is not None:
                yield _native(metric, own, target, distribution)
            else:
                yield from _classic(metric, own, target, distribution)


def scraped_labels(own: Mapping[str, str], target: Mapping[str, str]) -> dict[str, str]:
    """The labels of a scraped series: the target's, and its own under ``exported_`` where both
    have one of a name (Prometheus configuration, ``honor_labels``). Those without a value go.
    """
    labels = {name: value for name, value in target.items() if value}
    for name, value in own.items():
        if value:
            labels[_free_name(name, labels, own) if name in target else name] = value
    return labels


def with_target_labels(family: Family, target: Mapping[str, str]) -> Family:
    """The family with its own labels moved out of the way of the ``target``'s."""
    metric = family.metric
    labels = tuple(
        _free_name(name, target, metric.labels) if name in target else name
        for name in metric.labels
    )
    return replace(family, metric=replace(metric, labels=labels))


def milliseconds(moment: datetime) -> int:
    """Milliseconds since 1970, as Prometheus counts time."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def _free_name(name: str, *taken: Iterable[str]) -> str:
    while any(name in names for names in taken):
        name = f"exported_{name}"
    return name


def _identified(
    name: str, own: Mapping[str, str], target: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    labels = scraped_labels(own, target) | {"__name__": name}
    return tuple(sorted((label, _sendable(value)) for label, value in labels.items()))


def _sendable(value: str) -> str:
    # As in the text: a lone surrogate must not cost the whole request.
    return value.encode("utf-8", "replace").decode()


def _native(
    metric: Metric, own: Mapping[str, str], target: Mapping[str, str], distribution: Distribution
) -> Series:
    durations = distribution.durations
    assert durations is not None  # noqa: S101 - asked by the caller
    return Series(
        metric,
        _identified(metric.name, own, target),
        native=native_buckets(durations),
        count=durations.count,
        sum=durations.total_ms,
        exemplars=_by_time(distribution.exemplars),
    )


def _classic(
    metric: Metric, own: Mapping[str, str], target: Mapping[str, str], distribution: Distribution
) -> Iterator[Series]:
    bounds = [bound for bound, _ in distribution.buckets]
    exemplars: dict[int, list[Exemplar]] = {}
    for exemplar in _by_time(distribution.exemplars):
        exemplars.setdefault(bisect_left(bounds, exemplar.value_ms), []).append(exemplar)
    buckets = [*distribution.buckets, (float("inf"), distribution.count)]
    for place, (bound, count) in enumerate(buckets):
        labels = _identified(f"{metric.name}_bucket", {**own, "le": number(bound)}, target)
        yield Series(metric, labels, float(count), exemplars=tuple(exemplars.get(place, ())))
    if distribution.sum is not None:  # the text has neither, then
        count_labels = _identified(f"{metric.name}_count", own, target)
        yield Series(metric, count_labels, float(distribution.count))
        yield Series(metric, _identified(f"{metric.name}_sum", own, target), distribution.sum)


def _by_time(exemplars: Iterable[Exemplar]) -> tuple[Exemplar, ...]:
    return tuple(sorted(exemplars, key=lambda one: one.timestamp))
