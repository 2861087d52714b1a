"""The open file: transactions that are whole, its log, its size, and whether it is in its place."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from metalscope.sqlite_file.opening import OwnFile, beside, open_for_writing

__all__ = ["OpenFile"]

T = TypeVar("T")


class OpenFile:
    """One connection that writes. Not safe under threads: one at a time.

    Raises:
        ConfigurationError, DamagedFileError, sqlite3.Error: as
            :func:`~metalscope.sqlite_file.opening.open_for_writing`.
    """

    def __init__(self, file: OwnFile, max_bytes: int) -> None:
        self.path = file.path
        self._max_bytes = max_bytes
        self.connection = open_for_writing(file, max_bytes)
        self._inode = os.stat(self.path).st_ino  # noqa: PTH116 - of the file that was opened

    @property
    def is_in_place(self) -> bool:
        """Whether the file that is open is still the one of its name."""
        try:
            return os.stat(self.path).st_ino == self._inode  # noqa: PTH116 - as above
        except OSError:
            return False

    def in_transaction(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do some work, all of it or nothing."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(*arguments)
            self.connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        return result

    def keep_to_size(self, forget_some: Callable[[], bool]) -> None:
        """Have something forgotten again and again, until there is room.

        Args:
            forget_some: does so within a transaction, and says whether there was something.

        Raises:
            sqlite3.Error: it could not be written; what was committed is there.
        """
        # What is left of it is for the log of what is done to make room.
        if self._bytes() <= self._max_bytes * 3 // 4:
            return
        most = self._max_bytes * 5 // 8
        # Where someone reads for long, the log stays as it is, and forgetting would not help.
        while self._checkpoint() and self._bytes() > most:
            if not self.in_transaction(forget_some):
                return
            self.give_room_back()

    def give_room_back(self) -> None:
        """Make the file shorter by all that is free in it.

        Raises:
            sqlite3.Error: it could not be written.
        """
        # Each step of this statement frees one page, and execute() takes one step alone.
        self.connection.executescript("PRAGMA incremental_vacuum")

    def close(self) -> None:
        """Put the log into the file and let go of it."""
        import sqlite3  # noqa: PLC0415 - loaded by now

        with suppress(sqlite3.Error):
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.abandon()

    def abandon(self) -> None:
        """Let go of the file as it is."""
        self.connection.close()

    def _roll_back(self) -> None:
        import sqlite3  # noqa: PLC0415 - loaded by now

        # What failed may have ended the transaction already.
        with suppress(sqlite3.Error):
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")

    def _checkpoint(self) -> bool:
        """Put the log into the file and make it short; whether that was possible."""
        row = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return bool(row[0] == 0)

    def _bytes(self) -> int:
        total = 0
        for path in (self.path, beside(self.path, "-wal")):
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total
