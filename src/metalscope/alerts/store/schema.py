"""The tables of the file of alerts, as steps from one version to the next."""

from __future__ import annotations

from typing import Final

from metalscope.sqlite_file.schema import Schema

__all__ = ["OPTION", "SCHEMA"]

OPTION: Final = "alerts.path"
"""The option that says where the file is; errors begin with it."""

# Moments of alerts and silences are µs since the epoch. Of each row that is read by what is in
# its JSON, `crc` is the CRC-32: SQLite itself does not notice a bit that flipped within a value.
# Samples lie in the order in which they come, so that a commit touches the last page alone, and
# what is forgotten lies together at the beginning.
_FIRST: Final = (
    "CREATE TABLE alerts(id TEXT NOT NULL UNIQUE, fingerprint TEXT NOT NULL, rule TEXT NOT NULL, "
    "state TEXT NOT NULL, severity TEXT NOT NULL, fired_at INTEGER, resolved_at INTEGER, "
    "data TEXT NOT NULL, crc INTEGER NOT NULL)",
    "CREATE INDEX alerts_by_time ON alerts(fired_at) WHERE fired_at IS NOT NULL",
    "CREATE INDEX alerts_by_rule ON alerts(rule, fired_at) WHERE fired_at IS NOT NULL",
    "CREATE INDEX alerts_that_were ON alerts(resolved_at) WHERE resolved_at IS NOT NULL",
    "CREATE TABLE silences(id TEXT PRIMARY KEY, ends_at INTEGER NOT NULL, data TEXT NOT NULL, "
    "crc INTEGER NOT NULL)",
    "CREATE TABLE documents(name TEXT PRIMARY KEY, data TEXT NOT NULL, crc INTEGER NOT NULL)",
    "CREATE TABLE messages(seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, "
    "channel TEXT NOT NULL, data TEXT NOT NULL, crc INTEGER NOT NULL)",
    "CREATE TABLE sampled(id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE)",
    "CREATE TABLE samples(at REAL NOT NULL, series INTEGER NOT NULL, value REAL, "
    "crc INTEGER NOT NULL, PRIMARY KEY(at, series)) WITHOUT ROWID",
)

SCHEMA: Final = Schema(
    application_id=0x6D746161,  # "mtaa"
    page_bytes=4096,
    steps=(_FIRST,),
)
