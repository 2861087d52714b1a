"""Which series are asked for, and what is read of them row by row."""

# ruff: noqa: S608 - what is put into SQL are the names of our own tables and columns

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

from metalscope.history.facts import SeriesKey
from metalscope.history.figures import OperationFigures
from metalscope.history.schema import ALL, OPERATION, OPERATION_COLUMNS, READING
from metalscope.history.tiers import lies_by_time
from metalscope.history.windows import Part, exact_parts
from metalscope.moments import microseconds
from metalscope.operation_patterns import EVERYTHING, operations_like

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = [
    "Reading",
    "covered_seconds",
    "exactly",
    "numbers_of",
    "operation_rows",
    "operations_chosen",
    "place",
    "series_within",
    "what_of",
]

Reading = Literal["mean", "low", "high", "last"]
"""Which of the readings in a step."""

_FEW: Final = 32
"""So many series are sought tick by tick; of more, all that lies between is read past."""


def what_of(key: SeriesKey) -> str:
    """Which kind of series in the file a key is about."""
    if key.measure == "resource":
        return READING
    return OPERATION if key.kind else ALL


def numbers_of(connection: Connection, keys: Collection[SeriesKey]) -> dict[SeriesKey, int]:
    """The number of each series in the file, of those that are there."""
    rows = connection.execute("SELECT what, kind, name, device, id FROM series")
    known = {(what, *label): series for what, *label, series in rows}
    numbers = {key: known.get((what_of(key), key.kind, key.name, key.device)) for key in keys}
    return {key: number for key, number in numbers.items() if number is not None}


def operations_chosen(connection: Connection, pattern: str) -> list[int]:
    """The numbers of those operations that a pattern names."""
    if pattern in EVERYTHING:
        rows = connection.execute("SELECT id FROM series WHERE what = ?", (ALL,))
        return [series for (series,) in rows]
    is_like = operations_like(pattern)
    rows = connection.execute("SELECT id, kind, name FROM series WHERE what = ?", (OPERATION,))
    return [series for series, kind, name in rows if is_like(kind, name)]


def exactly(connection: Connection, since: datetime, until: datetime) -> list[Part]:
    """The parts of some time, each as exactly as it is kept."""
    return exact_parts(connection, microseconds(since) // 1000, -(-microseconds(until) // 1000))


def place(part: Part, chosen: Sequence[int]) -> tuple[str, tuple[int, int]]:
    """Where rows of a part and of some series lie, as a condition and its values."""
    few = ", ".join(map(str, chosen))
    times = "at >= ? AND at < ?"
    if lies_by_time(part.tier) and len(chosen) <= _FEW:
        times = f"at IN (SELECT at FROM covered_{part.tier.name} WHERE {times})"
    return f"series IN ({few}) AND {times}", (part.since, part.until)


def operation_rows(
    connection: Connection, part: Part, chosen: Sequence[int]
) -> Iterator[tuple[int, int, OperationFigures]]:
    """When, which series, and what it did."""
    where, values = place(part, chosen)
    rows = connection.execute(
        f"SELECT at, series, {OPERATION_COLUMNS} FROM operation_{part.tier.name} WHERE {where}",
        values,
    )
    for at, series, *row in rows:
        yield at, series, OperationFigures.of(tuple(row))


def series_within(connection: Connection, since: datetime, until: datetime) -> set[int]:
    """The numbers of those series of which something is known in some time."""
    return {
        series
        for part in exactly(connection, since, until)
        for what in ("operation", "reading")
        for (series,) in connection.execute(
            f"SELECT DISTINCT series FROM {what}_{part.tier.name} "
            "WHERE series IN (SELECT id FROM series) AND at >= ? AND at < ?",
            (part.since, part.until),
        )
    }


def covered_seconds(connection: Connection, part: Part, step_ms: int) -> list[tuple[int, float]]:
    """Which steps since the epoch, and how many seconds of them are known."""
    return connection.execute(
        f"SELECT at / ?, TOTAL(seconds) FROM covered_{part.tier.name} "
        "WHERE at >= ? AND at < ? GROUP BY 1",
        (step_ms, part.since, part.until),
    ).fetchall()
