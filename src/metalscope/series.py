"""Turns the recorder's counts into the snapshot's operations, and knows when each last moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from metalscope.operation import OK, OperationKind
from metalscope.recorder import Series, Totals
from metalscope.snapshot import OperationMetrics, OutcomeMetrics

__all__ = ["Retired", "SeriesBook"]

Group = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Retired:
    """Operations and errors of series that are no longer kept."""

    operations: int = 0
    errors: int = 0


class SeriesBook:
    """Groups series by kind, name and device. What did not change is handed out again as it was.

    Not safe under threads by itself: the manager collects under a lock of its own.
    """

    def __init__(self) -> None:
        self._totals: dict[Series, Totals] = {}
        self._operations: dict[Group, OperationMetrics] = {}
        self._retired = Retired()

    def update(
        self, totals: Mapping[Series, Totals], now: datetime
    ) -> tuple[tuple[OperationMetrics, ...], Retired]:
        """Take new counts; return all operations, by kind, name and device, and what is retired."""
        # The recorder hands out the same object for what did not change.
        known = self._totals.get
        changed: dict[Group, dict[Series, Totals]] = {
            series[:3]: {} for series, total in totals.items() if total is not known(series)
        }
        for series, total in totals.items():
            members = changed.get(series[:3])
            if members is not None:
                members[series] = total
        for group, members in changed.items():
            self._operations[group] = _operation(group, members, now)
        self._totals = dict(totals)
        present = {series[:3] for series in totals}
        if present != self._operations.keys():
            self._operations = {g: o for g, o in self._operations.items() if g in present}
        ordered = tuple(self._operations[group] for group in sorted(self._operations))
        return ordered, self._retired

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
        counts = {series: total.durations.count for series, total in gone.items()}
        self._retired = Retired(
            self._retired.operations + sum(counts.values()),
            self._retired.errors
            + sum(count for series, count in counts.items() if series.outcome != OK),
        )


def _operation(group: Group, members: Mapping[Series, Totals], now: datetime) -> OperationMetrics:
    kind, name, device = group
    return OperationMetrics(
        kind=OperationKind(kind),
        name=name,
        device=device,
        outcomes=tuple(
            OutcomeMetrics(
                outcome=str(series.outcome),
                durations=total.durations,
                nbytes=total.nbytes,
                gpu_ns=total.gpu_ns,
                gpu_count=total.gpu_count,
            )
            for series, total in sorted(members.items())
        ),
        last_updated=now,
    )
