"""What is in the file of alerts: from any thread of any process, while it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from metalscope.alert_report import Alert, AlertState
from metalscope.alerts.store.rows import (
    UnreadableRowError,
    alert_of,
    document_of,
    message_of,
    sample_of,
    silence_of,
    storable,
)
from metalscope.alerts.store.schema import OPTION, SCHEMA
from metalscope.alerts.storing import Kept
from metalscope.errors import MetalscopeError
from metalscope.moments import microseconds
from metalscope.sqlite_file.opening import connect_readonly, is_damage, is_ours

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = [
    "AlertReader",
    "AlertStoreError",
    "alert_by_id",
    "alerts_by_time",
    "kept",
    "reading",
    "what_is_wrong",
]

T = TypeVar("T")
LeftOut = Callable[[BaseException], None]


class AlertStoreError(MetalscopeError):
    """The file of alerts is not there, or cannot be read."""


class AlertReader:
    """Answers from the file at ``path``. Any thread may ask; nothing stays open between two calls.

    All methods raise :class:`AlertStoreError` where the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.left_out = 0
        """Rows met that cannot be read: damaged, or of a newer version."""

    def load(self) -> Kept:
        """All but the alerts that are resolved, as it was written last."""
        broken: list[BaseException] = []
        with self._reading() as connection:
            found = kept(connection, self._count, broken.append)
        if broken:
            raise AlertStoreError(f"{self.path}: {broken[0]}") from broken[0]
        return found

    def history(
        self, *, limit: int = 100, before: datetime | None = None, rule: str | None = None
    ) -> tuple[Alert, ...]:
        """Alerts that have been and are, the latest first, those that fired before a moment."""
        with self._reading() as connection:
            found = alerts_by_time(connection, self._count, before=before, rule=rule)
            return tuple(islice(found, max(0, limit)))

    def find(self, alert_id: str) -> Alert | None:
        """The alert of an id, whatever its state."""
        with self._reading() as connection:
            return alert_by_id(connection, self._count, alert_id)

    def _count(self, _: BaseException) -> None:
        self.left_out += 1

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        import sqlite3  # noqa: PLC0415 - only where alerts are read

        try:
            with reading(self.path) as connection:
                if not _is_empty(connection) and not is_ours(connection, SCHEMA):
                    raise AlertStoreError(
                        f"{OPTION} = {self.path}: must be a file of alerts, and is another's"
                    )
                yield connection
        except (sqlite3.Error, UnicodeDecodeError, OSError) as error:
            raise AlertStoreError(f"{self.path}: {error}") from error


@contextmanager
def reading(path: Path) -> Iterator[Connection]:
    """A connection that sees one moment.

    Raises:
        sqlite3.Error, OSError: it cannot be read.
    """
    connection = connect_readonly(path)
    try:
        # A row with a bit that flipped in its text is one row, and has no such sum as it should.
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        connection.execute("BEGIN")
        yield connection
    finally:
        connection.close()


def kept(connection: Connection, left_out: LeftOut, broken: LeftOut) -> Kept:
    """All but the alerts that are resolved; as much as can be read.

    Args:
        connection: from :func:`reading`.
        left_out: told of each row that cannot be read.
        broken: told of each table that cannot be.

    Raises:
        sqlite3.Error: the file cannot be read now, damaged or not.
    """

    def read(made_of: Callable[..., T], question: str) -> tuple[T, ...]:
        found: list[T] = []
        try:
            found.extend(_made(connection.execute(question), made_of, left_out))
        except Exception as error:
            if not is_damage(error):
                raise
            broken(error)
        return tuple(found)

    if _is_empty(connection):
        return Kept()
    active = read(alert_of, "SELECT data, crc FROM alerts WHERE state <> 'resolved' ORDER BY rowid")
    return Kept(
        tuple(one for one in active if one.state is not AlertState.RESOLVED),
        read(silence_of, "SELECT data, crc FROM silences ORDER BY rowid"),
        dict(read(document_of, "SELECT data, crc FROM documents")),
        read(message_of, "SELECT data, crc FROM messages ORDER BY seq"),
        read(
            sample_of,
            # One whose series is not there is damaged, and must not be passed over in silence.
            "SELECT key, at, value, crc FROM samples LEFT JOIN sampled ON id = series ORDER BY at",
        ),
    )


def what_is_wrong(connection: Connection) -> str:
    """What SQLite finds wrong with the file, its indexes too; empty where nothing is.

    It reads all of it; 10,000 alerts take some hundredths of a second.

    Raises:
        sqlite3.Error: the file cannot be read.
    """
    (says,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    return "" if says == "ok" else str(says)


def alerts_by_time(
    connection: Connection, left_out: LeftOut, *, before: datetime | None, rule: str | None
) -> Iterator[Alert]:
    """Alerts that fired, the latest first; of one moment, those of the greatest id first.

    Raises:
        sqlite3.Error: the file cannot be read.
    """
    if _is_empty(connection):
        return iter(())
    conditions: list[str] = ["fired_at IS NOT NULL"]
    values: list[int | str] = []
    if before is not None:
        conditions.append("fired_at < ?")
        values.append(microseconds(before))
    if rule is not None:
        conditions.append("rule = ?")
        values.append(storable(rule))
    rows = connection.execute(
        f"SELECT data, crc, fired_at FROM alerts WHERE {' AND '.join(conditions)} "  # noqa: S608 - our own words
        "ORDER BY fired_at DESC, id DESC",
        values,
    )
    return _made(rows, _alert_that_fired, left_out)


def alert_by_id(connection: Connection, left_out: LeftOut, alert_id: str) -> Alert | None:
    """One alert.

    Raises:
        sqlite3.Error: the file cannot be read.
    """
    if _is_empty(connection):
        return None
    rows = connection.execute("SELECT data, crc FROM alerts WHERE id = ?", (storable(alert_id),))
    return next(_made(rows, alert_of, left_out), None)


def _is_empty(connection: Connection) -> bool:
    """Whether nothing was ever written, such as where the disk was full from the start on."""
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None


def _made(rows: Iterable[Any], made_of: Callable[..., T], left_out: LeftOut) -> Iterator[T]:
    for row in rows:
        try:
            made = made_of(*row)
        except UnreadableRowError as error:
            left_out(error)
        else:
            yield made


def _alert_that_fired(data: object, crc: object, fired_at: object) -> Alert:
    alert = alert_of(data, crc)
    if alert.fired_at is None or microseconds(alert.fired_at) != fired_at:
        raise UnreadableRowError("an alert's moment is not what was written")
    return alert
