"""What counters and histograms gained since what the peer has of them.

For protocols in which a count is the number of things that happened in an interval: Datadog,
StatsD. A snapshot holds totals; sent as counts they would be added up again at every export.

Kept for each series is its total in the last snapshot in which it arrived, so that a snapshot of
which only a part arrived counts no series twice and leaves none out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite, sqrt
from typing import TYPE_CHECKING, Final, Literal

from metalscope.export.prometheus import number
from metalscope.histogram import EDGES_NS, DurationHistogram
from metalscope.operation import NS_PER_MS

if TYPE_CHECKING:
    from metalscope.export.view import MetricView
    from metalscope.families import Family
    from metalscope.semconv import Unit
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["Change", "Changes", "DurationChange", "Sample", "middles_ms", "quantile_ms", "samples"]

Labels = tuple[tuple[str, str], ...]
Key = tuple[str, Labels]
State = float | DurationHistogram

PROCESSES: Final = 8
"""Of how many processes it is kept what arrived: a spool may hold snapshots of several."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One number of a snapshot: a running ``total``, or the value of this moment.

    Names and labels are those of the Prometheus text formats: a histogram is ``_bucket`` with a
    cumulative ``le``, ``_count`` and ``_sum``.
    """

    name: str
    labels: Labels
    value: float
    total: bool
    unit: Unit = ""

    @property
    def key(self) -> Key:
        """Which series it is of."""
        return self.name, self.labels


@dataclass(frozen=True, slots=True)
class Change:
    """One number to send: a ``count`` of what happened in ``seconds``, or a ``gauge``.

    ``covers`` are the totals the peer has once it has this.
    """

    name: str
    labels: Labels
    value: float
    kind: Literal["count", "gauge"]
    unit: Unit = ""
    seconds: float = 0.0
    covers: tuple[tuple[Key, State], ...] = ()


@dataclass(frozen=True, slots=True)
class DurationChange:
    """The durations one series of a histogram gained; never none."""

    name: str
    labels: Labels
    durations: DurationHistogram
    covers: tuple[tuple[Key, State], ...] = ()


@dataclass(frozen=True, slots=True)
class _ChangesOfOne:
    changes: list[Change] = field(default_factory=list)
    durations: list[DurationChange] = field(default_factory=list)
    # What is known from here on and is not sent: where a total began before the process.
    unsent: list[tuple[Key, State]] = field(default_factory=list)
    keys: set[Key] = field(default_factory=set)


@dataclass(slots=True)
class _Arrived:
    """What the peer has of one process."""

    whole: datetime | None = None
    states: dict[Key, tuple[State, datetime]] = field(default_factory=dict)


class Changes:
    """Turns the snapshots one exporter sends into what changed.

    Call :meth:`changes` (and :meth:`durations`) for a snapshot, :meth:`arrived` for each part the
    peer took, and :meth:`complete` after the last. Until then the same snapshot gives the same
    changes in the same order.
    """

    def __init__(self, view: MetricView) -> None:
        self._view = view
        self._processes: OrderedDict[tuple[datetime, int | None], _Arrived] = OrderedDict()
        self._of: object = None
        self._now = _ChangesOfOne()

    def resume(self, delivered: MetalTelemetrySnapshot) -> None:
        """The peer has all of ``delivered``."""
        found = [*self._view.families(delivered)]
        states: list[tuple[Key, State]] = [
            (sample.key, sample.value)
            for family in found
            for sample in samples(family)
            if sample.total
        ]
        states += [(key, state) for family in found for key, state in _histograms(family)]
        self._take(delivered, states)
        self._base(delivered).whole = delivered.timestamp

    def has(self, snapshot: MetalTelemetrySnapshot) -> bool:
        """Whether the peer has this snapshot, or a later one of the same process."""
        whole = self._base(snapshot).whole
        return whole is not None and snapshot.timestamp <= whole

    def since(self, snapshot: MetalTelemetrySnapshot) -> datetime:
        """When the last snapshot was taken that arrived in whole, else when counting began."""
        return self._base(snapshot).whole or snapshot.started_at

    def changes(self, snapshot: MetalTelemetrySnapshot) -> list[Change]:
        """What counters gained and what gauges are.

        A count that gained nothing is 0; of buckets it is left out. A total that shrank was reset
        and counts whole. Numbers that are infinite or none are left out.
        """
        return self._changes_of(snapshot).changes

    def durations(self, snapshot: MetalTelemetrySnapshot) -> list[DurationChange]:
        """What the histograms of durations gained."""
        return self._changes_of(snapshot).durations

    def arrived(
        self, snapshot: MetalTelemetrySnapshot, covers: Iterable[tuple[Key, State]]
    ) -> None:
        """The peer has these totals of the snapshot."""
        self._take(snapshot, covers)

    def complete(self, snapshot: MetalTelemetrySnapshot) -> None:
        """No part of the snapshot is left to send; series that are not in it are forgotten."""
        now, base = self._changes_of(snapshot), self._base(snapshot)
        self._take(snapshot, now.unsent)
        base.states = {key: state for key, state in base.states.items() if key in now.keys}
        base.whole = snapshot.timestamp
        self._of, self._now = None, _ChangesOfOne()

    def _base(self, snapshot: MetalTelemetrySnapshot) -> _Arrived:
        process = snapshot.started_at, snapshot.system.pid if snapshot.system else None
        base = self._processes.setdefault(process, _Arrived())
        self._processes.move_to_end(process)
        while len(self._processes) > PROCESSES:
            self._processes.popitem(last=False)
        return base

    def _take(self, snapshot: MetalTelemetrySnapshot, covers: Iterable[tuple[Key, State]]) -> None:
        states = self._base(snapshot).states
        for key, state in covers:
            states[key] = (state, snapshot.timestamp)

    def _changes_of(self, snapshot: MetalTelemetrySnapshot) -> _ChangesOfOne:
        of = (snapshot.started_at, snapshot.timestamp)
        if of != self._of:
            self._of, self._now = of, self._computed(snapshot)
        return self._now

    def _computed(self, snapshot: MetalTelemetrySnapshot) -> _ChangesOfOne:
        now, base = _ChangesOfOne(), self._base(snapshot)
        begin = self.since(snapshot)
        for family in self._view.families(snapshot):
            for sample in samples(family):
                if not isfinite(sample.value):
                    continue
                if not sample.total:
                    now.changes.append(
                        Change(sample.name, sample.labels, sample.value, "gauge", sample.unit)
                    )
                    continue
                now.keys.add(sample.key)
                before, at = base.states.get(sample.key, (None, begin))
                if before is None and family.metric.from_boot:
                    now.unsent.append((sample.key, sample.value))
                    continue
                gained = _gained(sample.value, before)
                if gained or not sample.name.endswith("_bucket"):
                    now.changes.append(_count(sample, gained, snapshot, at))
            for key, durations in _histograms(family):
                now.keys.add(key)
                before, _ = base.states.get(key, (None, begin))
                since = (
                    durations.since(before) if isinstance(before, DurationHistogram) else durations
                )
                if since.count:
                    now.durations.append(DurationChange(*key, since, ((key, durations),)))
        return now


def samples(family: Family) -> Iterator[Sample]:
    """The numbers of a family, in the order in which Prometheus' text formats write them."""
    metric = family.metric
    for values, value in family.values:
        labels = tuple(zip(metric.labels, values, strict=True))
        yield Sample(metric.name, labels, value, metric.type == "counter", metric.unit)
    for values, one in family.distributions:
        labels = tuple(zip(metric.labels, values, strict=True))
        for bound, count in (
            *((number(bound), n) for bound, n in one.buckets),
            ("+Inf", one.count),
        ):
            yield Sample(f"{metric.name}_bucket", (*labels, ("le", bound)), count, total=True)
        yield Sample(f"{metric.name}_count", labels, one.count, total=True)
        if one.sum is not None:
            yield Sample(f"{metric.name}_sum", labels, one.sum, total=True, unit=metric.unit)


def middles_ms(durations: DurationHistogram) -> Iterator[tuple[float, int]]:
    """The durations as ``(ms, how many)``: each cell's geometric middle, ascending.

    Counts are exact. A duration between 61 ns and 70 min differs from its middle by at most
    :data:`~metalscope.histogram.QUANTILE_RELATIVE_ERROR` of itself.
    """
    for index, count in durations.cells:
        low = EDGES_NS[index - 1] + 1 if index else 0
        high = EDGES_NS[index] if index < len(EDGES_NS) else durations.max_ns or low
        if durations.min_ns is not None:
            low = max(low, durations.min_ns)
        if durations.max_ns is not None:
            high = min(high, durations.max_ns)
        yield sqrt(max(low, 1) * max(high, 1)) / NS_PER_MS, count


def quantile_ms(durations: DurationHistogram, q: float) -> float | None:
    """The ``q`` quantile in ms, as exact as :func:`middles_ms`; ``None`` of no durations.

    :meth:`DurationHistogram.quantile_ms` gives the extremes exactly; those of a difference are
    not known.
    """
    rank = max(1, -int(-q * durations.count * (1 - 1e-12) // 1))
    for value, count in middles_ms(durations):
        rank -= count
        if rank <= 0:
            return value
    return None


def _histograms(family: Family) -> Iterator[tuple[Key, DurationHistogram]]:
    metric = family.metric
    for values, one in family.distributions:
        if one.durations is not None:
            yield (metric.name, tuple(zip(metric.labels, values, strict=True))), one.durations


def _gained(now: float, before: State | None) -> float:
    if before is None or isinstance(before, DurationHistogram) or now < before:
        return now
    return now - before


def _count(
    sample: Sample, gained: float, snapshot: MetalTelemetrySnapshot, since: datetime
) -> Change:
    seconds = (snapshot.timestamp - since).total_seconds()
    covers = ((sample.key, sample.value),)
    return Change(sample.name, sample.labels, gained, "count", sample.unit, seconds, covers)
