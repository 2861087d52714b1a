"""Rows of three finenesses: what is added to the finest, and what is made of a finer one.

All of it within the caller's transaction. Below :func:`folded_until` a tier holds all that the
finer one ever held; what comes late, because a clock was set back, is added to both.
"""

# ruff: noqa: S608 - what is put into SQL are the names of our own tables and columns

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from metalscope.history.figures import DamagedRowError, OperationFigures, ReadingFigures
from metalscope.history.schema import (
    OPERATION_COLUMNS,
    READING_COLUMNS,
    TIERS,
    Tier,
)

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = [
    "Stretch",
    "fold",
    "folded_until",
    "forgotten_mark_of",
    "insert_tick",
    "kept_since",
    "lies_by_time",
    "mark_of",
]

_TICKS, _MINUTES, _HOURS = TIERS

Figures = TypeVar("Figures", OperationFigures, ReadingFigures)


class Stretch(NamedTuple):
    """What is known of one stretch of time, by series; ``at`` is in ms since the epoch."""

    at: int
    ticks: int
    seconds: float
    operations: dict[int, OperationFigures]
    readings: dict[int, ReadingFigures]


def lies_by_time(tier: Tier) -> bool:
    """Whether the rows of a tier lie in the order of their time, and not series by series."""
    return tier is _TICKS


def mark_of(tier: Tier) -> str:
    """Under which key of ``about`` stands up to when the tier holds all."""
    return f"folded_into_{tier.name}"


def forgotten_mark_of(tier: Tier) -> str:
    """Under which key of ``about`` stands before when the tier was forgotten."""
    return f"{tier.name}_forgotten_before"


def insert_tick(connection: Connection, tick: Stretch) -> None:
    """Add one tick; where it comes late, also to what was made of its time already.

    Raises:
        sqlite3.Error: it could not be written.
        DamagedRowError: what is there is not what was written.
    """
    at = _free(connection, tick.at)
    tick = tick._replace(at=at)
    connection.execute(
        "INSERT INTO covered_ticks(at, ticks, seconds) VALUES (?, ?, ?)",
        (at, tick.ticks, tick.seconds),
    )
    connection.executemany(
        f"INSERT INTO operation_ticks(at, series, {OPERATION_COLUMNS}) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(at, series, *figures.row()) for series, figures in tick.operations.items()],
    )
    connection.executemany(
        "INSERT INTO reading_ticks(at, series, value) VALUES (?, ?, ?)",
        [(at, series, figures.last) for series, figures in tick.readings.items()],
    )
    for tier in (_MINUTES, _HOURS):
        if at < folded_until(connection, tier):
            _add(connection, tier, tick)


def fold(connection: Connection, at: int) -> bool:
    """Make minutes and hours of all that ended before ``at``; whether there was anything to do.

    Raises:
        sqlite3.Error, DamagedRowError: as :func:`insert_tick`.
    """
    folded = False
    for finer, tier in ((_TICKS, _MINUTES), (_MINUTES, _HOURS)):
        since, until = folded_until(connection, tier), at // tier.width_ms * tier.width_ms
        if since < until:
            for began in _beginnings(connection, finer, tier, since, until):
                _add(connection, tier, _together(connection, finer, began, began + tier.width_ms))
            connection.execute(
                "INSERT OR REPLACE INTO about(key, value) VALUES (?, ?)",
                (mark_of(tier), until),
            )
            folded = True
    return folded


def folded_until(connection: Connection, tier: Tier) -> int:
    """Up to when the tier holds all, in ms since the epoch; 0 where it holds nothing yet.

    Raises:
        DamagedRowError: it is not known.
    """
    return _moment(connection, mark_of(tier))


def kept_since(connection: Connection, tier: Tier) -> int:
    """Since when nothing of the tier was forgotten, in ms since the epoch.

    Raises:
        DamagedRowError: it is not known.
    """
    return _moment(connection, forgotten_mark_of(tier))


def _moment(connection: Connection, key: str) -> int:
    found = connection.execute("SELECT value FROM about WHERE key = ?", (key,)).fetchone()
    if found is None:
        return 0
    if type(found[0]) is not int:
        raise DamagedRowError(f"{found[0]!r} is no time")
    return found[0]


def _free(connection: Connection, at: int) -> int:
    """The first moment from ``at`` on that no tick has: a clock may say the same twice."""
    taken = "SELECT 1 FROM covered_ticks WHERE at = ?"
    while connection.execute(taken, (at,)).fetchone() is not None:
        at += 1
    return at


def _beginnings(
    connection: Connection, finer: Tier, tier: Tier, since: int, until: int
) -> list[int]:
    """Where each stretch of ``tier`` begins of which ``finer`` knows something."""
    rows = connection.execute(
        f"SELECT DISTINCT at / ? FROM covered_{finer.name} WHERE at >= ? AND at < ? ORDER BY 1",
        (tier.width_ms, since, until),
    )
    return [row[0] * tier.width_ms for row in rows.fetchall()]


def _together(connection: Connection, tier: Tier, since: int, until: int) -> Stretch:
    """All that a tier knows of some time, as one."""
    covered = connection.execute(
        f"SELECT CAST(TOTAL(ticks) AS INTEGER), TOTAL(seconds) FROM covered_{tier.name} "
        "WHERE at >= ? AND at < ?",
        (since, until),
    ).fetchone()
    ticks, seconds = covered
    together = Stretch(since, ticks, seconds, {}, {})
    within = "at >= ? AND at < ? ORDER BY at"
    if not lies_by_time(tier):
        within = f"series IN (SELECT id FROM series) AND {within}"
    rows = connection.execute(
        f"SELECT series, {OPERATION_COLUMNS} FROM operation_{tier.name} WHERE {within}",
        (since, until),
    )
    for series, *row in rows:
        together.operations.setdefault(series, OperationFigures()).add(
            OperationFigures.of(tuple(row))
        )
    columns = "1, value, value, value, value" if tier is _TICKS else READING_COLUMNS
    rows = connection.execute(
        f"SELECT series, {columns} FROM reading_{tier.name} WHERE {within}",
        (since, until),
    )
    for series, *row in rows:
        reading = ReadingFigures.of(tuple(row))
        if series in together.readings:
            together.readings[series].add(reading)
        else:
            together.readings[series] = reading
    return together


def _add(connection: Connection, tier: Tier, part: Stretch) -> None:
    """Add what is known of a part of one of the tier's stretches."""
    at = part.at // tier.width_ms * tier.width_ms
    known = connection.execute(
        "SELECT CAST(ticks AS INTEGER), CAST(seconds AS REAL) "
        f"FROM covered_{tier.name} WHERE at = ?",
        (at,),
    ).fetchone()
    ticks, seconds = known or (0, 0.0)
    connection.execute(
        f"INSERT OR REPLACE INTO covered_{tier.name}(at, ticks, seconds) VALUES (?, ?, ?)",
        (at, ticks + part.ticks, seconds + part.seconds),
    )
    operations, readings = part.operations, part.readings
    if known is not None:
        operations = {
            series: _with_stored(
                connection, f"operation_{tier.name}", OPERATION_COLUMNS, (series, at), figures
            )
            for series, figures in operations.items()
        }
        readings = {
            series: _with_stored(
                connection, f"reading_{tier.name}", READING_COLUMNS, (series, at), figures
            )
            for series, figures in readings.items()
        }
    connection.executemany(
        f"INSERT OR REPLACE INTO operation_{tier.name}(at, series, {OPERATION_COLUMNS}) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(at, series, *figures.row()) for series, figures in operations.items()],
    )
    connection.executemany(
        f"INSERT OR REPLACE INTO reading_{tier.name}(at, series, {READING_COLUMNS}) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(at, series, *figures.row()) for series, figures in readings.items()],
    )


def _with_stored(
    connection: Connection, table: str, columns: str, place: tuple[int, int], figures: Figures
) -> Figures:
    row = connection.execute(
        f"SELECT {columns} FROM {table} WHERE series = ? AND at = ?", place
    ).fetchone()
    if row is None:
        return figures
    stored = figures.of(row)
    stored.add(figures)
    return stored
