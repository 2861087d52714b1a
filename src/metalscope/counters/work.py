"""Counts of operations by kind, from the recorder's exact totals."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from types import MappingProxyType
from typing import Final

from metalscope.counter_statistics import NamedWork
from metalscope.histogram import EDGES_NS, DurationHistogram
from metalscope.operation import NS_PER_MS, OK, MetalError, OperationKind
from metalscope.recorder import Totals
from metalscope.series import Retired
from metalscope.snapshot import OperationMetrics, OutcomeMetrics

__all__ = ["MAX_NAMES", "SlowThreshold", "Tally", "WorkBook", "WorkOf"]

MAX_NAMES: Final = 100
"""Most names a kind has in ``by_name``; all are in the snapshot's operations."""

Group = tuple[OperationKind, str, str]


class SlowThreshold:
    """Counts durations above a threshold, exactly.

    A histogram can tell durations apart at its edges only. A threshold between two of them is
    moved to the nearer, by at most 4.43 %; :attr:`ms` says where it stands.
    """

    def __init__(self, asked_ms: float) -> None:
        asked_ns = asked_ms * NS_PER_MS
        at = min(bisect_left(EDGES_NS, asked_ns), len(EDGES_NS) - 1)
        near = [EDGES_NS[index] for index in (at - 1, at) if index >= 0]
        edge = min(near, key=lambda edge: abs(edge - asked_ns))
        self._cell = bisect_left(EDGES_NS, edge)
        self.ms: float = edge / NS_PER_MS

    def count(self, durations: DurationHistogram) -> int:
        """How many took longer."""
        return sum(count for cell, count in durations.cells if cell > self._cell)


@dataclass(frozen=True, slots=True)
class WorkOf:
    """What was counted of one operation, or of several together."""

    count: int = 0
    failures: int = 0
    slow: int = 0
    nbytes: int = 0
    timed: int = 0
    total_ns: int = 0
    min_ns: int | None = None
    max_ns: int | None = None
    gpu_ns: int = 0
    gpu_count: int = 0

    @classmethod
    def sum(cls, works: Sequence[WorkOf]) -> WorkOf:
        """All of them together."""
        return cls(
            count=sum(one.count for one in works),
            failures=sum(one.failures for one in works),
            slow=sum(one.slow for one in works),
            nbytes=sum(one.nbytes for one in works),
            timed=sum(one.timed for one in works),
            total_ns=sum(one.total_ns for one in works),
            min_ns=min((one.min_ns for one in works if one.min_ns is not None), default=None),
            max_ns=max((one.max_ns for one in works if one.max_ns is not None), default=None),
            gpu_ns=sum(one.gpu_ns for one in works),
            gpu_count=sum(one.gpu_count for one in works),
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """All operations at one moment, those past their retention included."""

    works: Mapping[OperationKind, WorkOf]
    named: Mapping[Group, WorkOf]
    errors: Mapping[MetalError, int]
    errors_by_kind: Mapping[OperationKind, int]

    @property
    def operations(self) -> int:
        """How many there were."""
        return sum(work.count for work in self.works.values())

    def of(self, kind: OperationKind) -> WorkOf:
        """All of one kind."""
        return self.works.get(kind, WorkOf())

    def by_name(self, kind: OperationKind, rates: Mapping[Group, float]) -> tuple[NamedWork, ...]:
        """The operations of one kind with most time, at most :data:`MAX_NAMES`."""
        most = nlargest(
            MAX_NAMES,
            ((group, work) for group, work in self.named.items() if group[0] is kind),
            key=lambda entry: (entry[1].total_ns, entry[1].count),
        )
        return tuple(
            NamedWork(
                name=group[1],
                device=group[2],
                count=work.count,
                failures=work.failures,
                slow=work.slow,
                nbytes=work.nbytes,
                timed=work.timed,
                total_ns=work.total_ns,
                min_ns=work.min_ns,
                max_ns=work.max_ns,
                per_second=rates.get(group),
            )
            for group, work in most
        )


class WorkBook:
    """Reads operations. Those that did not change since are not read again.

    Not safe under threads by itself.
    """

    def __init__(self, slow: Mapping[OperationKind, SlowThreshold]) -> None:
        self._slow = slow
        self._known: dict[Group, tuple[OperationMetrics, WorkOf, Mapping[MetalError, int]]] = {}

    def tally(self, operations: Iterable[OperationMetrics], retired: Retired) -> Tally:
        """Count what these operations, and those no longer kept, amount to."""
        known = self._known
        self._known = now = {}
        works: dict[OperationKind, list[WorkOf]] = {kind: [] for kind in OperationKind}
        errors: Counter[MetalError] = Counter()
        errors_by_kind: Counter[OperationKind] = Counter()
        for operation in operations:
            kind = operation.kind
            group = (kind, operation.name, operation.device)
            entry = known.get(group)
            if entry is None or entry[0] is not operation:
                parts = [
                    self._part(kind, one.outcome, one.count, one) for one in operation.outcomes
                ]
                work = parts[0] if len(parts) == 1 else WorkOf.sum(parts)
                entry = (operation, work, operation.errors if work.failures else {})
            now[group] = entry
            works[kind].append(entry[1])
            for error, count in entry[2].items():
                errors[error] += count
                errors_by_kind[kind] += count
        for (word, outcome), total in retired.totals.items():
            kind = OperationKind(word)
            work = self._part(kind, outcome, total.operations, total)
            works[kind].append(work)
            if work.failures:
                errors[MetalError(outcome)] += work.failures
                errors_by_kind[kind] += work.failures
        return Tally(
            works={kind: WorkOf.sum(some) for kind, some in works.items()},
            named={group: entry[1] for group, entry in now.items()},
            errors=MappingProxyType(dict(errors)),
            errors_by_kind=MappingProxyType(dict(errors_by_kind)),
        )

    def _part(
        self, kind: OperationKind, outcome: str, count: int, counted: OutcomeMetrics | Totals
    ) -> WorkOf:
        durations, slow = counted.durations, self._slow.get(kind)
        return WorkOf(
            count=count,
            failures=0 if outcome == OK else count,
            slow=slow.count(durations) if slow is not None else 0,
            nbytes=counted.nbytes,
            timed=count - counted.untimed,
            total_ns=durations.sum_ns,
            min_ns=durations.min_ns,
            max_ns=durations.max_ns,
            gpu_ns=counted.gpu_ns,
            gpu_count=counted.gpu_count,
        )
