"""The tables of the history, as steps from one version to the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from metalscope.sqlite_file.schema import Schema

__all__ = [
    "ALL",
    "HOUR_MS",
    "MINUTE_MS",
    "OPERATION",
    "OPERATION_COLUMNS",
    "READING",
    "READING_COLUMNS",
    "SCHEMA",
    "TIERS",
    "Tier",
]

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
)

SCHEMA: Final = Schema(
    application_id=0x6D747363,  # "mtsc"
    # A tick is less than two of them, and each page that it touches is put whole into the log.
    page_bytes=1024,
    steps=(_FIRST,),
)
