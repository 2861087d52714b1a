"""Stores of alerts to test with, alerts by number, and what is to be found in their files."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from alert_samples import FIRING, MESSAGE, NOW, SILENCE
from metalscope.alert_report import Alert, AlertState, Silence
from metalscope.alerts.notification import Notification
from metalscope.alerts.sqlite_store import SqliteStore

MEMORY = Path("/dev/shm")


@contextmanager
def directory() -> Iterator[Path]:
    """A directory in memory, where there is such a place: how fast a disk is is not tested."""
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        yield Path(name).resolve()


@dataclass
class Said:
    """What a store told its ``on_error``."""

    errors: list[BaseException] = field(default_factory=list)

    def __call__(self, room: str, error: BaseException) -> None:
        assert room == "alerts"
        self.errors.append(error)

    @property
    def texts(self) -> list[str]:
        return [str(error) for error in self.errors]


def opened(path: Path, said: Said | None = None, **options: Any) -> SqliteStore:
    """A store that must not tell of anything wrong, where nobody listens."""

    def on_error(room: str, error: BaseException) -> None:
        raise AssertionError(f"{room}: {error}") from error

    return SqliteStore(path, on_error=said or on_error, now=lambda: NOW, **options)


def alert(number: int, state: AlertState = AlertState.FIRING, **changed: Any) -> Alert:
    """One that fired ``number`` s after NOW, and was over a minute later if it is."""
    fired_at = NOW + timedelta(seconds=number)
    over = fired_at + timedelta(minutes=1) if state is AlertState.RESOLVED else None
    return replace(
        FIRING,
        id=f"alert {number:05}",
        rule=f"Rule{number % 3}",
        state=state,
        fired_at=None if state is AlertState.PENDING else fired_at,
        resolved_at=over,
        **changed,
    )


def silence(number: int, comment: str = "", ends_at: datetime | None = None) -> Silence:
    ends = NOW + timedelta(minutes=number) if ends_at is None else ends_at
    return replace(SILENCE, id=f"silence {number}", comment=comment, ends_at=ends)


def message(number: int, source: str = "") -> Notification:
    return replace(MESSAGE, id=f"message {number}", source=source)


def asked(path: Path, question: str, *values: Any) -> list[tuple[Any, ...]]:
    """What SQLite itself finds in the file."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(question, values).fetchall()


def aside(path: Path) -> list[Path]:
    """The files that were set aside."""
    found = sorted(path.parent.glob(f"{path.name}.corrupt-*"))
    return [one for one in found if not one.name.endswith(("-wal", "-shm"))]


def size_of(path: Path) -> int:
    wal = path.with_name(path.name + "-wal")
    return path.stat().st_size + (wal.stat().st_size if wal.exists() else 0)
