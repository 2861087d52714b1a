"""Opening a file to write to it: whose it is, which version, and whether it is whole."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from metalscope.errors import ConfigurationError
from metalscope.sqlite_file import lock
from metalscope.sqlite_file.schema import Schema, bring_up_to_date, expected_tables, tables_of

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = [
    "DamagedFileError",
    "OwnFile",
    "beside",
    "connect_readonly",
    "is_damage",
    "is_ours",
    "open_for_writing",
    "prepare",
    "set_aside",
    "take_alone",
    "unusable",
]

LOG_BYTES: Final = 4 * 1024**2
"""So much log is put into the file at once, or an eighth of ``max_bytes`` where that is less."""
MOST_SET_ASIDE: Final = 3
"""So many damaged files are kept; the oldest goes first."""

_BUSY_SECONDS: Final = 2.0

# "Result and Error Codes" of SQLite: what says that writing does not work now, and may again.
# NOMEM, BUSY, LOCKED, PERM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL, NOLFS, AUTH
_PASSING: Final = frozenset({7, 5, 6, 3, 8, 9, 10, 13, 14, 15, 22, 23})
_READONLY: Final = 8
_CANTOPEN: Final = 14


class DamagedFileError(Exception):
    """The file is not what was written."""


@dataclass(frozen=True, slots=True)
class OwnFile:
    """Where a file is, by which option, such as ``history.path``, and what is in it."""

    path: Path
    option: str
    schema: Schema


def unusable(file: OwnFile, reason: object) -> ConfigurationError:
    """What to tell a person of a path that cannot be used."""
    return ConfigurationError(
        f"{file.option} = {file.path}: must be a file this process can write to, alone ({reason})"
    )


def beside(path: Path, ending: str) -> Path:
    """The file that belongs to the one at ``path``."""
    return path.with_name(path.name + ending)


def is_damage(error: BaseException) -> bool:
    """Whether an error says that the file is not what was written.

    A :class:`UnicodeDecodeError` does: SQLite's own text for an error quotes the schema.
    """
    import sqlite3  # noqa: PLC0415 - loaded by now

    if isinstance(error, (DamagedFileError, UnicodeDecodeError)):
        return True
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        # Python's own errors have none; one of them is of text that is no UTF-8.
        return str(error).startswith("Could not decode")
    return code & 0xFF not in _PASSING


def prepare(file: OwnFile) -> None:
    """Make the directory and the file where they are not there, for their owner alone.

    Raises:
        ConfigurationError: they cannot be made, or the file cannot be written to.
    """
    path = file.path
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            is_file = os.path.isfile(path)  # noqa: PTH113 - of the descriptor's path, links too
        finally:
            os.close(descriptor)
    except OSError as error:
        raise unusable(file, error.strerror or error) from error
    if not is_file:
        raise unusable(file, "Not a file")


def take_alone(file: OwnFile) -> int:
    """Be the one that writes; return what :func:`~metalscope.sqlite_file.lock.let_go` takes.

    Raises:
        ConfigurationError: another process is, or another user of it in this one.
    """
    try:
        return lock.take(beside(file.path, ".lock"))
    except lock.HeldElsewhereError as error:
        holder = f"process {error.pid}" if error.pid else "another process"
        raise unusable(file, f"{holder} writes to it") from None
    except OSError as error:
        raise unusable(file, error.strerror or error) from error


def open_for_writing(file: OwnFile, max_bytes: int) -> Connection:
    """A connection to a file that is ours, whole and of this version.

    Raises:
        ConfigurationError: it is another program's, or of a newer version; it is left as it is.
        DamagedFileError: it is not what was written.
        sqlite3.Error: it cannot be opened now.
    """
    import sqlite3  # noqa: PLC0415 - only where there is such a file

    connection = sqlite3.connect(
        file.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        _examine(connection, file)
        _set_up(connection, file, max_bytes)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        connection.close()
        if is_damage(error):
            raise DamagedFileError(str(error)) from error
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in {_READONLY, _CANTOPEN}:
            raise unusable(file, error) from error
        raise
    except BaseException:
        connection.close()
        raise
    return connection


def connect_readonly(path: Path) -> Connection:
    """A connection that only reads, and sees what was committed, while another one writes.

    Raises:
        sqlite3.Error, OSError: it cannot be read.
    """
    import sqlite3  # noqa: PLC0415 - only where such a file is read

    # SQLite's own error for a file that is not there does not say so.
    path.stat()
    # Without its log no one writes to it, and where none can be made it must be read as it is.
    is_still = not beside(path, "-wal").exists() and not os.access(path.parent, os.W_OK)
    mode = "immutable=1" if is_still else "mode=ro"
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=_BUSY_SECONDS, isolation_level=None
    )


def set_aside(path: Path, now: datetime) -> Path:
    """Give the file another name, with what belongs to it, so that a new one can begin.

    Raises:
        OSError: it cannot be.
    """
    aside = beside(path, f".corrupt-{now:%Y%m%dT%H%M%S.%f}Z")
    for ending in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            beside(path, ending).rename(beside(aside, ending))
    with suppress(FileNotFoundError):
        path.rename(aside)
    kept = sorted(
        one for one in path.parent.iterdir() if one.name.startswith(f"{path.name}.corrupt-")
    )
    names = [one for one in kept if not one.name.endswith(("-wal", "-shm"))]
    for old in names[:-MOST_SET_ASIDE]:
        for ending in ("", "-wal", "-shm"):
            beside(old, ending).unlink(missing_ok=True)
    return aside


def is_ours(connection: Connection, schema: Schema) -> bool:
    """Whether a file that holds something holds this, by its mark or by most of its tables.

    Either may be damaged, and another program may have a table of the same name.
    """
    (mark,) = connection.execute("PRAGMA application_id").fetchone()
    if mark == schema.application_id:
        return True
    expected = {name for name, _ in expected_tables(schema)}
    present = {name for name, _ in tables_of(connection)}
    return 2 * len(expected & present) > len(expected)


def _examine(connection: Connection, file: OwnFile) -> None:
    """See that it is a file of ours, or empty, before anything is written."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    present = tables_of(connection)
    if not present:
        return
    if not is_ours(connection, file.schema):
        raise unusable(file, "it is another program's database")
    if "about" not in {name for name, _ in present}:
        raise DamagedFileError("a table is gone")
    row = connection.execute("SELECT value FROM about WHERE key = 'schema'").fetchone()
    if row is None or row[0] != version:
        raise DamagedFileError("its version is not what was written")
    newest = file.schema.version
    if version > newest:
        raise unusable(
            file, f"it is of version {version}, newer than {newest}, which this one writes"
        )


def _set_up(connection: Connection, file: OwnFile, max_bytes: int) -> None:
    schema = file.schema
    # These two say something to an empty file alone.
    connection.execute(f"PRAGMA page_size = {schema.page_bytes}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise unusable(file, "its file system has no shared memory, which SQLite's log needs")
    connection.execute("PRAGMA synchronous = NORMAL")
    (page,) = connection.execute("PRAGMA page_size").fetchone()
    log = min(LOG_BYTES, max_bytes // 8)
    connection.execute(f"PRAGMA wal_autocheckpoint = {log // page}")
    connection.execute(f"PRAGMA journal_size_limit = {log}")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version < schema.version:
        connection.execute("BEGIN IMMEDIATE")
        bring_up_to_date(connection, schema, version)
        connection.execute("COMMIT")
    if tables_of(connection) != expected_tables(schema):
        raise DamagedFileError("its tables are not what was written")
