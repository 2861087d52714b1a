"""The tables of the history, as steps from one version to the next."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = [
    "ALL",
    "APPLICATION_ID",
    "HOUR_MS",
    "MINUTE_MS",
    "OPERATION",
    "OPERATION_COLUMNS",
    "READING",
    "READING_COLUMNS",
    "SCHEMA_VERSION",
    "TIERS",
    "Tier",
    "bring_up_to_date",
    "expected_tables",
]

APPLICATION_ID: Final = 0x6D747363
"""``mtsc``, by which file(1) tells one of ours (SQLite, "PRAGMA application_id")."""

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS

ALL: Final = "all"
OPERATION: Final = "operation"
READING: Final = "reading"

OPERATION_COLUMNS: Final = (
    "operations, errors, timed, busy_ns, at_least_ns, at_most_ns, nbytes, gpu_ns, gpu_count, "
    "failures, ok_cells"
)
READING_COLUMNS: Final = "samples, total, low, high, last"


@dataclass(frozen=True, slots=True)
class Tier:
    """One fineness: its tables are ``covered_<name>``, ``operation_<name>``, ``reading_<name>``.

    ``width_ms`` is the time a row stands for, which begins at its ``at``; of a tick, ``at`` is when
    it ended.
    """

    name: str
    width_ms: int


TIERS: Final = (Tier("ticks", 1), Tier("minutes", MINUTE_MS), Tier("hours", HOUR_MS))
"""Finest first."""

_OPERATION: Final = """
    operations INTEGER NOT NULL, errors INTEGER NOT NULL, timed INTEGER NOT NULL,
    busy_ns INTEGER NOT NULL, at_least_ns INTEGER, at_most_ns INTEGER, nbytes INTEGER NOT NULL,
    gpu_ns INTEGER NOT NULL, gpu_count INTEGER NOT NULL, failures TEXT, ok_cells BLOB"""
_READING: Final = """
    samples INTEGER NOT NULL, total REAL NOT NULL, low REAL NOT NULL, high REAL NOT NULL,
    last REAL NOT NULL"""
_COVERED: Final = "at INTEGER PRIMARY KEY, ticks INTEGER NOT NULL, seconds REAL NOT NULL"
_ROW: Final = "at INTEGER NOT NULL, series INTEGER NOT NULL"

# Ticks lie in the order in which they come, so that a commit touches the last pages alone. Minutes
# and hours lie series by series, as they are read.
_FIRST: Final = (
    "CREATE TABLE about(key TEXT PRIMARY KEY, value) WITHOUT ROWID",
    "CREATE TABLE series(id INTEGER PRIMARY KEY, what TEXT NOT NULL, kind TEXT NOT NULL, "
    "name TEXT NOT NULL, device TEXT NOT NULL, unit TEXT NOT NULL, ceiling REAL, "
    "UNIQUE(what, kind, name, device))",
    f"CREATE TABLE covered_ticks({_COVERED})",
    f"CREATE TABLE covered_minutes({_COVERED})",
    f"CREATE TABLE covered_hours({_COVERED})",
    f"CREATE TABLE operation_ticks({_ROW}, {_OPERATION}, PRIMARY KEY(at, series)) WITHOUT ROWID",
    f"CREATE TABLE operation_minutes({_ROW}, {_OPERATION}, PRIMARY KEY(series, at)) WITHOUT ROWID",
    f"CREATE TABLE operation_hours({_ROW}, {_OPERATION}, PRIMARY KEY(series, at)) WITHOUT ROWID",
    f"CREATE TABLE reading_ticks({_ROW}, value REAL NOT NULL, PRIMARY KEY(at, series)) "
    "WITHOUT ROWID",
    f"CREATE TABLE reading_minutes({_ROW}, {_READING}, PRIMARY KEY(series, at)) WITHOUT ROWID",
    f"CREATE TABLE reading_hours({_ROW}, {_READING}, PRIMARY KEY(series, at)) WITHOUT ROWID",
    f"PRAGMA application_id = {APPLICATION_ID}",
)

_STEPS: Final = (_FIRST,)
"""Step ``n`` makes version ``n + 1`` of version ``n``; version 0 is an empty file."""

SCHEMA_VERSION: Final = len(_STEPS)


def bring_up_to_date(connection: Connection, version: int) -> None:
    """Make the present version of an older one, or of nothing, within the caller's transaction."""
    for step in _STEPS[version:]:
        for statement in step:
            connection.execute(statement)
    connection.execute(
        "INSERT OR REPLACE INTO about(key, value) VALUES ('schema', ?)", (SCHEMA_VERSION,)
    )
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


@cache
def expected_tables() -> tuple[tuple[str, str | None], ...]:
    """The name and the definition of everything in the file, as SQLite itself writes it."""
    import sqlite3  # noqa: PLC0415 - only where a history is kept

    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        bring_up_to_date(connection, 0)
        return tables_of(connection)
    finally:
        connection.close()


def tables_of(connection: Connection) -> tuple[tuple[str, str | None], ...]:
    """The name and the definition of everything there is."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    return tuple((name, sql) for name, sql in rows if not str(name).startswith("sqlite_stat"))
