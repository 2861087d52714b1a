"""How many operations of each objective ended since the last tick, and how many went badly."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from metalscope.histogram import EDGES_NS
from metalscope.operation import NS_PER_MS, OK, OperationKind
from metalscope.operation_patterns import operations_like
from metalscope.snapshot import OperationMetrics

if TYPE_CHECKING:
    from metalscope.health_options import ObjectiveOptions

__all__ = ["Cells", "Counting", "late_after", "late_in"]

Cells = tuple[tuple[int, int], ...]
"""``(cell, count)`` as in :class:`~metalscope.histogram.DurationHistogram`."""

_ALL: Final = len(EDGES_NS) + 1
_MANY: Final = 2**63
_count_of: Final = itemgetter(1)


def late_after(within_ms: float | None) -> int:
    """The last cell that holds durations within a limit, ms; past every cell without a limit.

    Durations can be told apart at the edges of cells only, so a limit between two edges moves to
    the nearer one, by at most 4.43 %.
    """
    if within_ms is None:
        return _ALL
    asked = within_ms * NS_PER_MS
    return min(range(len(EDGES_NS)), key=lambda index: abs(EDGES_NS[index] - asked))


def late_in(cells: Cells, last_good: int) -> int:
    """How many durations lie past the cell ``last_good``."""
    if not cells or cells[-1][0] <= last_good:
        return 0
    return sum(map(_count_of, cells[bisect_right(cells, (last_good, _MANY)) :]))


class _Kept:
    """What was counted of one operation when it was last looked at.

    ``bad`` is by objective that it is part of, in the order of ``objectives``.
    """

    __slots__ = ("bad", "device", "kind", "limits", "name", "objectives", "operation", "total")

    def __init__(
        self,
        operation: OperationMetrics,
        objectives: tuple[int, ...],
        limits: tuple[int, ...],
    ) -> None:
        self.kind, self.name, self.device = operation.kind, operation.name, operation.device
        self.objectives = objectives
        self.limits = limits
        self.operation: OperationMetrics | None = None
        self.total = 0
        self.bad = [0] * len(objectives)


class Counting:
    """Differences of the recorder's running counts, by objective, in its order.

    An operation that is no longer in the snapshot is forgotten, and counts from zero should it come
    back; so does one whose counts went down, as after a reset. Memory is that of the operations.
    """

    def __init__(self, objectives: Sequence[ObjectiveOptions]) -> None:
        self._patterns = [operations_like(one.operation) for one in objectives]
        self._limits = [late_after(one.within_ms) for one in objectives]
        self._order: list[_Kept] = []

    def since_last(self, operations: Sequence[OperationMetrics]) -> list[list[int]]:
        """``[operations, those that went badly]`` of each objective since the last call."""
        found = [[0, 0] for _ in self._patterns]
        if not self._count(operations, found):
            self._arrange(operations)
            self._count(operations, found)
        return found

    def _count(self, operations: Sequence[OperationMetrics], found: list[list[int]]) -> bool:
        """Count what changed; false, part of it counted, where the operations are not as known."""
        if len(operations) != len(self._order):
            return False
        for kept, operation in zip(self._order, operations, strict=True):
            # What did not change is handed out again as it was.
            if kept.operation is operation:
                continue
            if (
                kept.name != operation.name
                or kept.kind is not operation.kind
                or kept.device != operation.device
            ):
                return False
            kept.operation = operation
            if kept.objectives:
                _add(kept, operation, found)
        return True

    def _arrange(self, operations: Iterable[OperationMetrics]) -> None:
        known = {(one.kind, one.name, one.device): one for one in self._order}
        self._order = [
            known.get((one.kind, one.name, one.device)) or self._kept(one) for one in operations
        ]

    def _kept(self, operation: OperationMetrics) -> _Kept:
        kind = OperationKind(operation.kind)
        matching = [
            (index, self._limits[index])
            for index, is_about in enumerate(self._patterns)
            if is_about(kind, operation.name)
        ]
        return _Kept(operation, tuple(i for i, _ in matching), tuple(at for _, at in matching))


def _add(kept: _Kept, operation: OperationMetrics, found: list[list[int]]) -> None:
    # Run for each operation that changed, each tick: plain loops cost a third of what reads best.
    total = failed = 0
    good: Cells = ()
    for outcome in operation.outcomes:
        cells = outcome.durations.cells
        count = outcome.untimed
        for _, n in cells:
            count += n
        total += count
        if outcome.outcome == OK:
            good = cells
        else:
            failed += count
    last = good[-1][0] if good else -1
    before, before_bad = kept.total, kept.bad
    bad = []
    began_again = total < before
    for position, limit in enumerate(kept.limits):
        now = failed if last <= limit else failed + late_in(good, limit)
        began_again = began_again or now < before_bad[position]
        bad.append(now)
    if began_again:
        before, before_bad = 0, [0] * len(bad)
    for position, index in enumerate(kept.objectives):
        counts = found[index]
        counts[0] += total - before
        counts[1] += bad[position] - before_bad[position]
    kept.total, kept.bad = total, bad
