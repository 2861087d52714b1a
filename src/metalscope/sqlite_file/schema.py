"""The tables of a file, as steps from one version to the next."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = ["Definitions", "Schema", "bring_up_to_date", "expected_tables", "tables_of"]

Definitions = tuple[tuple[str, str | None], ...]
"""The name and the definition of everything in a file, as SQLite itself writes it."""

_ABOUT = "CREATE TABLE about(key TEXT PRIMARY KEY, value) WITHOUT ROWID"


@dataclass(frozen=True, slots=True)
class Schema:
    """What is in one kind of file, beside the table ``about``, which each has.

    ``application_id`` is by what file(1) tells it (SQLite, "PRAGMA application_id"). Step ``n``
    makes version ``n + 1`` of version ``n``; version 0 is an empty file. ``page_bytes`` is a power
    of two from 512 on.
    """

    application_id: int
    page_bytes: int
    steps: tuple[tuple[str, ...], ...]

    @property
    def version(self) -> int:
        """The present one."""
        return len(self.steps)


def bring_up_to_date(connection: Connection, schema: Schema, version: int) -> None:
    """Make the present version of an older one, or of nothing, within the caller's transaction."""
    if version == 0:
        connection.execute(_ABOUT)
        connection.execute(f"PRAGMA application_id = {schema.application_id}")
    for step in schema.steps[version:]:
        for statement in step:
            connection.execute(statement)
    connection.execute(
        "INSERT OR REPLACE INTO about(key, value) VALUES ('schema', ?)", (schema.version,)
    )
    connection.execute(f"PRAGMA user_version = {schema.version}")


@cache
def expected_tables(schema: Schema) -> Definitions:
    """What is in a file of the present version."""
    import sqlite3  # noqa: PLC0415 - only where there is such a file

    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        bring_up_to_date(connection, schema, 0)
        return tables_of(connection)
    finally:
        connection.close()


def tables_of(connection: Connection) -> Definitions:
    """What is in the file that is open."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    return tuple((name, sql) for name, sql in rows if not str(name).startswith("sqlite_stat"))
