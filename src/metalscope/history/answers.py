"""What is read from the tables, part by part of the time asked for."""

# ruff: noqa: S608 - what is put into SQL are the names of our own tables and columns

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

from metalscope.history.facts import SeriesKey
from metalscope.history.figures import OperationFigures
from metalscope.history.schema import ALL, OPERATION, OPERATION_COLUMNS, READING, TIERS
from metalscope.history.windows import Part, Window, finest_parts, parts_of
from metalscope.moments import microseconds
from metalscope.operation import NS_PER_MS
from metalscope.operation_patterns import EVERYTHING, operations_like

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = [
    "Reading",
    "covered_seconds",
    "finest",
    "operation_rows",
    "operations_chosen",
    "values_of",
    "what_of",
]

Reading = Literal["mean", "low", "high", "last"]
"""Which of the readings in a step."""


def what_of(key: SeriesKey) -> str:
    """Which kind of series in the file a key is about."""
    if key.measure == "resource":
        return READING
    return OPERATION if key.kind else ALL


def series_of(connection: Connection, key: SeriesKey) -> int | None:
    """The number of a series in the file; ``None`` where there is none."""
    row = connection.execute(
        "SELECT id FROM series WHERE what = ? AND kind = ? AND name = ? AND device = ?",
        (what_of(key), key.kind, key.name, key.device),
    ).fetchone()
    return None if row is None else int(row[0])


def operations_chosen(connection: Connection, pattern: str) -> list[int]:
    """The numbers of those operations that a pattern names."""
    if pattern in EVERYTHING:
        rows = connection.execute("SELECT id FROM series WHERE what = ?", (ALL,))
        return [series for (series,) in rows]
    is_like = operations_like(pattern)
    rows = connection.execute("SELECT id, kind, name FROM series WHERE what = ?", (OPERATION,))
    return [series for series, kind, name in rows if is_like(kind, name)]


def finest(connection: Connection, since: datetime, until: datetime) -> list[Part]:
    """The parts of some time, each as finely as it is kept."""
    return finest_parts(connection, microseconds(since) // 1000, -(-microseconds(until) // 1000))


def operation_rows(
    connection: Connection, part: Part, chosen: list[int]
) -> Iterator[tuple[int, int, OperationFigures]]:
    """When, which series, and what it did."""
    few = ", ".join(map(str, chosen))
    rows = connection.execute(
        f"SELECT at, series, {OPERATION_COLUMNS} FROM operation_{part.tier.name} "
        f"WHERE series IN ({few}) AND at >= ? AND at < ?",
        (part.since, part.until),
    )
    for at, series, *row in rows:
        yield at, series, OperationFigures.of(tuple(row))


def covered_seconds(connection: Connection, part: Part, step_ms: int) -> list[tuple[int, float]]:
    """Which steps since the epoch, and how many seconds of them are known."""
    return connection.execute(
        f"SELECT at / ?, TOTAL(seconds) FROM covered_{part.tier.name} "
        "WHERE at >= ? AND at < ? GROUP BY 1",
        (step_ms, part.since, part.until),
    ).fetchall()


def values_of(
    connection: Connection, window: Window, key: SeriesKey, reading: Reading
) -> list[float | None]:
    """The values of one series, one a step."""
    series = series_of(connection, key)
    parts = parts_of(connection, window)
    if series is None:
        return [None] * window.steps
    if key.measure == "resource":
        found = _readings(connection, window, parts, series, reading)
    elif key.measure == "duration_ms":
        found = _mean_durations(connection, window, parts, series)
    else:
        found = _rates(connection, window, parts, series, key.measure)
    first = window.start_ms // window.step_ms
    return [found.get(first + number) for number in range(window.steps)]


def _rates(
    connection: Connection,
    window: Window,
    parts: list[Part],
    series: int,
    column: Literal["operations", "errors"],
) -> dict[int, float]:
    """By the second, of all the time that is known: also of that in which it did not run."""
    counts: dict[int, float] = {}
    seconds: dict[int, float] = {}
    for part in parts:
        for step, count, _ in _by_step(
            connection, window, part, f"operation_{part.tier.name}", f"TOTAL({column}), 0", series
        ):
            counts[step] = counts.get(step, 0.0) + count
        for step, length in covered_seconds(connection, part, window.step_ms):
            seconds[step] = seconds.get(step, 0.0) + length
    return {step: counts.get(step, 0.0) / length for step, length in seconds.items() if length > 0}


def _mean_durations(
    connection: Connection, window: Window, parts: list[Part], series: int
) -> dict[int, float]:
    sums: dict[int, tuple[float, float]] = {}
    for part in parts:
        table = f"operation_{part.tier.name}"
        for step, busy, timed in _by_step(
            connection, window, part, table, "TOTAL(busy_ns), TOTAL(timed)", series
        ):
            before = sums.get(step, (0.0, 0.0))
            sums[step] = before[0] + busy, before[1] + timed
    return {step: busy / timed / NS_PER_MS for step, (busy, timed) in sums.items() if timed}


def _readings(
    connection: Connection, window: Window, parts: list[Part], series: int, reading: Reading
) -> dict[int, float]:
    sums: dict[int, tuple[float, float]] = {}
    for part in parts:
        table = f"reading_{part.tier.name}"
        columns = (_OF_TICKS if part.tier is TIERS[0] else _OF_MORE)[reading]
        for step, value, other in _by_step(connection, window, part, table, columns, series):
            before = sums.get(step)
            sums[step] = (
                (value, other) if before is None else _joined(reading, before, (value, other))
            )
    if reading == "mean":
        return {step: total / samples for step, (total, samples) in sums.items() if samples}
    return {step: value for step, (value, _) in sums.items()}


# With MAX, the other column is of the row that has it (SQLite, "Bare columns in an aggregate").
_OF_TICKS: Final[dict[Reading, str]] = {
    "mean": "TOTAL(value), COUNT(*)",
    "low": "CAST(MIN(value) AS REAL), 0",
    "high": "CAST(MAX(value) AS REAL), 0",
    "last": "CAST(value AS REAL), MAX(at)",
}
_OF_MORE: Final[dict[Reading, str]] = {
    "mean": "TOTAL(total), TOTAL(samples)",
    "low": "CAST(MIN(low) AS REAL), 0",
    "high": "CAST(MAX(high) AS REAL), 0",
    "last": "CAST(last AS REAL), MAX(at)",
}


def _joined(
    reading: Reading, one: tuple[float, float], later: tuple[float, float]
) -> tuple[float, float]:
    if reading == "mean":
        return one[0] + later[0], one[1] + later[1]
    if reading == "last":
        return later
    return (min if reading == "low" else max)(one[0], later[0]), 0.0


def _by_step(  # noqa: PLR0917 - each is of another type
    connection: Connection, window: Window, part: Part, table: str, columns: str, series: int
) -> list[tuple[int, float, float]]:
    """Which steps since the epoch, and two columns of each."""
    return connection.execute(
        f"SELECT at / ?, {columns} FROM {table} WHERE series = ? AND at >= ? AND at < ? GROUP BY 1",
        (window.step_ms, series, part.since, part.until),
    ).fetchall()
