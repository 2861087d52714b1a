"""The open file of alerts: what waits in one commit, within a size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, TypeVar

from metalscope.alerts.store.reading import reading, what_is_wrong
from metalscope.alerts.store.rows import (
    alert_row,
    document_row,
    message_row,
    sample_row,
    silence_row,
    storable,
)
from metalscope.alerts.store.waiting import Waiting
from metalscope.alerts.storing import SampleRow
from metalscope.moments import microseconds
from metalscope.sqlite_file.committing import OpenFile
from metalscope.sqlite_file.opening import OwnFile, is_damage

__all__ = ["AlertFile"]

MOST_KNOWN_SERIES = 50_000
"""Keys of series whose numbers are remembered; past that they are asked for again."""

_OLDEST_SHARE = 16
"""One in so many goes at once where there is no more room."""

# What comes of values that are not of their type, or too large, or within themselves.
_NO_ROW = (ValueError, TypeError, AttributeError, ArithmeticError, RecursionError)

T = TypeVar("T")


class AlertFile:
    """One connection that writes. Not safe under threads: one at a time.

    Args:
        file: which.
        max_bytes: what it may take, with its log; alerts that go on, silences, documents and
            messages are kept even past it.
        on_error: told of what can never be stored, and is left out.

    Raises:
        ConfigurationError, DamagedFileError, sqlite3.Error: as
            :func:`~metalscope.sqlite_file.opening.open_for_writing`.
    """

    def __init__(
        self, file: OwnFile, max_bytes: int, *, on_error: Callable[[BaseException], None]
    ) -> None:
        self._on_error = on_error
        self._file = OpenFile(file, max_bytes)
        self._connection = self._file.connection
        self._series: dict[str, int] = {}
        self.dropped = 0
        """Resolved alerts and samples that went for want of room."""

    @property
    def is_in_place(self) -> bool:
        """Whether the file that is open is still the one of its name."""
        return self._file.is_in_place

    def is_whole(self) -> bool:
        """Whether SQLite finds nothing wrong with the file as it is on the disk.

        Raises:
            sqlite3.Error, OSError: it cannot be read now.
        """
        try:
            # The one that writes may have pages in memory that are damaged on the disk.
            with reading(self._file.path) as connection:
                return not what_is_wrong(connection)
        except Exception as error:
            if not is_damage(error):
                raise
            return False

    def commit(self, waiting: Waiting) -> None:
        """Write what waits, all of it or nothing.

        Raises:
            sqlite3.Error: nothing of it is written.
        """
        try:
            self._file.in_transaction(self._write, waiting)
        except BaseException:
            # Some may have been made in what was rolled back.
            self._series.clear()
            raise

    def keep_limits(self, *, has_forgotten: bool) -> None:
        """Give back room that is free, and make some where there is none.

        Raises:
            sqlite3.Error: it could not be written; what was committed is there.
        """
        if has_forgotten:
            self._file.give_room_back()
        self._file.keep_to_size(self._forget_some)

    def close(self) -> None:
        """Put the log into the file and let go of it."""
        self._file.close()

    def abandon(self) -> None:
        """Let go of the file as it is."""
        self._file.abandon()

    # -- inside ------------------------------------------------------------------------------

    def _write(self, waiting: Waiting) -> None:
        if waiting.forgotten_before is not None:
            self._forget(waiting.forgotten_before)
        self._delete("DELETE FROM alerts WHERE id = ?", waiting.gone_alerts)
        self._delete("DELETE FROM silences WHERE id = ?", waiting.gone_silences)
        self._delete("DELETE FROM messages WHERE id = ?", waiting.gone_messages)
        write = self._connection.executemany
        write(
            "INSERT INTO alerts(id, fingerprint, rule, state, severity, fired_at, resolved_at, "
            "data, crc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT(id) DO UPDATE SET "
            "fingerprint = excluded.fingerprint, rule = excluded.rule, state = excluded.state, "
            "severity = excluded.severity, fired_at = excluded.fired_at, "
            "resolved_at = excluded.resolved_at, data = excluded.data, crc = excluded.crc",
            self._rows(alert_row, waiting.alerts.values()),
        )
        write(
            "INSERT INTO silences(id, ends_at, data, crc) VALUES (?, ?, ?, ?) ON CONFLICT(id) "
            "DO UPDATE SET ends_at = excluded.ends_at, data = excluded.data, crc = excluded.crc",
            self._rows(silence_row, waiting.silences.values()),
        )
        write(
            "INSERT INTO messages(id, channel, data, crc) VALUES (?, ?, ?, ?) ON CONFLICT(id) "
            "DO UPDATE SET channel = excluded.channel, data = excluded.data, crc = excluded.crc",
            self._rows(message_row, waiting.messages.values()),
        )
        write(
            "INSERT OR REPLACE INTO documents(name, data, crc) VALUES (?, ?, ?)",
            self._rows(lambda one: document_row(*one), waiting.documents.items()),
        )
        for samples in waiting.samples:
            write(
                "INSERT OR REPLACE INTO samples(at, series, value, crc) VALUES (?, ?, ?, ?)",
                self._rows(self._sample_row, samples),
            )
        if waiting.samples_from is not None:
            self._connection.execute("DELETE FROM samples WHERE at < ?", (waiting.samples_from,))
        if waiting.forgotten_before is not None:
            self._forget_unused_series()

    def _rows(
        self, row_of: Callable[[T], tuple[Any, ...] | None], things: Iterable[T]
    ) -> Iterator[tuple[Any, ...]]:
        """Rows of things; what has none, whatever is wrong with it, must not hold up the others."""
        for thing in things:
            try:
                row = row_of(thing)
            except _NO_ROW as error:
                self._on_error(error)
            else:
                if row is not None:
                    yield row

    def _sample_row(self, sample: SampleRow) -> tuple[Any, ...] | None:
        return sample_row(self._series_of(sample[0]), sample)

    def _series_of(self, key: str) -> int:
        number = self._series.get(key)
        if number is None:
            stored = storable(key)
            self._connection.execute(
                "INSERT INTO sampled(key) VALUES (?) ON CONFLICT(key) DO NOTHING", (stored,)
            )
            (number,) = self._connection.execute(
                "SELECT id FROM sampled WHERE key = ?", (stored,)
            ).fetchone()
            if len(self._series) >= MOST_KNOWN_SERIES:
                self._series.clear()
            self._series[key] = number
        return number

    def _delete(self, statement: str, ids: Iterable[str]) -> None:
        self._connection.executemany(statement, [(storable(one),) for one in ids])

    def _forget(self, before: datetime) -> None:
        at = microseconds(before)
        self._connection.execute("DELETE FROM alerts WHERE resolved_at < ?", (at,))
        self._connection.execute("DELETE FROM silences WHERE ends_at < ?", (at,))

    def _forget_unused_series(self) -> None:
        self._connection.execute(
            "DELETE FROM sampled WHERE id NOT IN (SELECT DISTINCT series FROM samples)"
        )
        self._series.clear()

    def _forget_some(self) -> bool:
        ask = self._connection.execute
        over = "FROM alerts WHERE resolved_at IS NOT NULL AND state = 'resolved'"
        (count,) = ask(f"SELECT COUNT(*) {over}").fetchone()
        if count:
            oldest = f"SELECT rowid {over} ORDER BY resolved_at LIMIT ?"
            gone = ask(
                f"DELETE FROM alerts WHERE rowid IN ({oldest})",  # noqa: S608 - as above
                (max(1, count // _OLDEST_SHARE),),
            )
        else:
            (count,) = ask("SELECT COUNT(*) FROM samples").fetchone()
            if not count:
                return False
            (at,) = ask(
                "SELECT at FROM samples ORDER BY at LIMIT 1 OFFSET ?", (count // _OLDEST_SHARE,)
            ).fetchone()
            gone = ask("DELETE FROM samples WHERE at <= ?", (at,))
        self.dropped += gone.rowcount
        return True
