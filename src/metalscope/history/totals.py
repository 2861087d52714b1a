"""What each operation did in some time, in all."""

from __future__ import annotations

from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING

from metalscope.history.answers import exactly, operation_rows
from metalscope.history.facts import OperationTotals
from metalscope.history.figures import OperationFigures
from metalscope.history.schema import ALL, READING

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = ["totals_of"]


def totals_of(
    connection: Connection, since: datetime, until: datetime
) -> tuple[OperationTotals, ...]:
    """All operations together first, then each, the busiest first.

    Raises:
        sqlite3.Error, DamagedRowError: it cannot be read.
    """
    rows = connection.execute(
        "SELECT id, what, kind, name, device FROM series WHERE what <> ?", (READING,)
    )
    labels = {series: (what, kind, name, device) for series, what, kind, name, device in rows}
    totals: dict[int, OperationFigures] = {}
    for part in exactly(connection, since, until):
        for _, series, figures in operation_rows(connection, part, list(labels)):
            totals.setdefault(series, OperationFigures()).add(figures)
    ordered = sorted(totals.items(), key=lambda one: (labels[one[0]][0] != ALL, -one[1].operations))
    return tuple(
        OperationTotals(
            *labels[series][1:],
            one.operations, one.errors, one.timed, one.busy_ns, one.at_least_ns,
            one.at_most_ns, one.nbytes, one.gpu_ns, one.gpu_count,
            MappingProxyType(one.failures), tuple(sorted(one.ok_cells.items())),
        )
        for series, one in ordered
    )  # fmt: skip
