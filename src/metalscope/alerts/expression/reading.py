"""The numbers of a snapshot that expressions look at, under the names Prometheus gives them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from metalscope.alerts.expression.catalogue import BOUND, catalogued
from metalscope.alerts.expression.wanted import Wanted
from metalscope.families import Family, custom_families, family
from metalscope.semconv import Metric
from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["Reading", "Readings"]

Reading = tuple[str, tuple[str, ...], Iterable[tuple[tuple[str, ...], float]]]
"""A name of series, the names of their labels, and the values of those with the value."""

_BUCKET, _SUM, _COUNT = "_bucket", "_sum", "_count"
_INFINITE: Final = "+Inf"


class Readings:
    """Reads what is wanted out of snapshots, and nothing else."""

    def __init__(self, wanted: Mapping[str, Wanted]) -> None:
        self._wanted = wanted
        metrics = {catalogued()[name]: None for name in wanted if name in catalogued()}
        self._metrics: tuple[Metric, ...] = tuple(metrics)
        own = [name for name in wanted if name not in catalogued()]
        # A custom counter is recorded with or without _total.
        ends = (_BUCKET, _SUM, _COUNT, "_total", "")
        self._custom = frozenset(name.removesuffix(end) for name in own for end in ends) | {*own}

    def of(self, snapshot: MetalTelemetrySnapshot) -> Iterator[Reading]:
        """Yield what there is of each name."""
        for metric in self._metrics:
            yield from self._family(family(metric, snapshot))
        if self._custom:
            meant = [one for one in snapshot.custom if one.name in self._custom]
            for one in custom_families(meant):
                yield from self._family(one)

    def _family(self, found: Family) -> Iterator[Reading]:
        metric = found.metric
        if metric.type != "histogram":
            if metric.name in self._wanted:
                yield metric.name, metric.labels, found.values
            return
        buckets, count, total = (metric.name + end for end in (_BUCKET, _COUNT, _SUM))
        if buckets in self._wanted:
            yield buckets, (*metric.labels, BOUND), self._buckets(found, buckets)
        if count in self._wanted:
            yield count, metric.labels, [(v, one.count) for v, one in found.distributions]
        if total in self._wanted:
            yield (
                total,
                metric.labels,
                [(v, one.sum) for v, one in found.distributions if one.sum is not None],
            )

    def _buckets(self, found: Family, name: str) -> Iterator[tuple[tuple[str, ...], float]]:
        needs = self._wanted[name]
        shape: object = None
        picked: list[tuple[int, str]] = []
        for values, one in found.distributions:
            buckets = one.buckets
            # The bounds of one metric are the same in all its series, but for a change of version.
            of_this = (len(buckets), buckets[0][0], buckets[-1][0]) if buckets else 0
            if of_this != shape:
                shape, picked = of_this, _picked(buckets, needs)
            for place, text in picked:
                yield (*values, text), buckets[place][1]
            if needs.needs_bound(_INFINITE):
                yield (*values, _INFINITE), one.count


def _picked(buckets: Sequence[tuple[float, int]], needs: Wanted) -> list[tuple[int, str]]:
    """The places of the buckets somebody looks at, with their bounds as ``le`` writes them."""
    texts = [repr(float(bound)) for bound, _ in buckets]
    return [(place, text) for place, text in enumerate(texts) if needs.needs_bound(text)]
