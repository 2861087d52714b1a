"""Turns the recorder's counts into the snapshot's operations, and knows when each last moved.

An operation's exemplars are shown as long as it has a series of its own; of those that are retired
only counts are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from metalscope.operation import OK, OperationKind
from metalscope.recorder import Series, Totals
from metalscope.snapshot import Exemplar, OperationMetrics, OutcomeMetrics

__all__ = ["Retired", "SeriesBook"]

Group = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Retired:
    """Operations and errors of series that are no longer kept; ``totals`` by kind and outcome."""

    operations: int = 0
    errors: int = 0
    totals: Mapping[tuple[str, str], Totals] = field(default_factory=dict)


class SeriesBook:
    """Groups series by kind, name and device. What did not change is handed out again as it was.

    Not safe under threads by itself: the manager collects under a lock of its own.
    """

    def __init__(self) -> None:
        self._totals: dict[Series, Totals] = {}
        self._exemplars: Mapping[Series, tuple[Exemplar, ...]] = {}
        self._groups: dict[Series, Group] = {}
        self._members: dict[Group, list[tuple[Series, str]]] = {}
        self._operations: dict[Group, OperationMetrics] = {}
        self._retired = Retired()

    def update(
        self,
        totals: Mapping[Series, Totals],
        now: datetime,
        exemplars: Mapping[Series, tuple[Exemplar, ...]] = MappingProxyType({}),
    ) -> tuple[tuple[OperationMetrics, ...], Retired]:
        """Take new counts; return all operations, by kind, name and device, and what is retired.

        ``exemplars`` are of series that have counts.
        """
        known, self._totals = self._totals, dict(totals)
        shown, self._exemplars = self._exemplars, exemplars
        # The recorder hands out the same object for what did not change.
        changed = [series for series, total in totals.items() if total is not known.get(series)]
        if totals.keys() != known.keys():
            self._arrange(totals)
        moved = {self._groups[series] for series in changed}
        # An exemplar is kept just after its operation was counted, so it may come one time later.
        traced = {self._groups[one] for one, few in exemplars.items() if few is not shown.get(one)}
        operations, members = self._operations, self._members
        for group in moved | traced:
            before = operations[group]
            outcomes = [
                OutcomeMetrics(outcome, *totals[one], exemplars=exemplars.get(one, ()))
                for one, outcome in members[group]
            ]
            updated = now if group in moved else before.last_updated
            operations[group] = OperationMetrics(
                before.kind, before.name, before.device, tuple(outcomes), updated
            )
        return tuple(self._operations.values()), self._retired

    def _arrange(self, present: Iterable[Series]) -> None:
        """Put the series that are present in groups, and the groups in order."""
        self._groups = {series: series[:3] for series in present}
        self._members = {}
        for series in sorted(self._groups):
            entry = (series, str(series.outcome))
            self._members.setdefault(self._groups[series], []).append(entry)
        self._operations = {
            group: self._operations.get(
                group, OperationMetrics(OperationKind(group[0]), *group[1:], ())
            )
            for group in self._members
        }

    def idle_since(self, moment: datetime) -> list[Series]:
        """Series of operations that have not moved since ``moment``."""
        idle = {
            group
            for group, operation in self._operations.items()
            if operation.last_updated is not None and operation.last_updated < moment
        }
        return [series for series in self._totals if series[:3] in idle]

    def retire(self, gone: Mapping[Series, Totals]) -> None:
        """Keep the counts of evicted series in the running totals."""
        counts = {series: total.operations for series, total in gone.items()}
        totals = dict(self._retired.totals)
        for series, total in gone.items():
            key = (series.kind, series.outcome)
            totals[key] = _added(totals.get(key, Totals()), total)
        self._retired = Retired(
            self._retired.operations + sum(counts.values()),
            self._retired.errors
            + sum(count for series, count in counts.items() if series.outcome != OK),
            totals,
        )


def _added(one: Totals, other: Totals) -> Totals:
    return Totals(
        one.durations + other.durations,
        one.nbytes + other.nbytes,
        one.gpu_ns + other.gpu_ns,
        one.gpu_count + other.gpu_count,
        one.untimed + other.untimed,
    )
