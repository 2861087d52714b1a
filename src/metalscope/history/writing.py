"""Writes one snapshot after the other, through a file that fills the disk, breaks or goes away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from metalscope.history.differences import State, difference
from metalscope.history.figures import DamagedRowError, OperationFigures
from metalscope.history.opening import DamagedFileError, is_damage, prepare, set_aside
from metalscope.history.store import Store, run_of

if TYPE_CHECKING:
    from metalscope.health_options import HistoryOptions
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["Writer"]

ROOM: Final = "history"
"""Under which its failures are counted."""

_LATEST: Final = timedelta(minutes=1)


class Writer:
    """Keeps a file open and writes to it what each snapshot adds. One thread at a time.

    What a snapshot adds is counted from the last that was written, so what could not be written is
    in the next that can.

    Raises:
        ConfigurationError: as :class:`~metalscope.history.history.History`.
    """

    def __init__(
        self,
        path: Path,
        options: HistoryOptions,
        *,
        on_error: Callable[[str, BaseException], None],
        elapsed: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        import sqlite3  # noqa: PLC0415 - only where a history is kept

        self._path = path
        self._options = options
        self._on_error = on_error
        self._elapsed = elapsed
        self._now = now
        self._errors = (sqlite3.Error, UnicodeDecodeError)
        self._written: State | None = None
        self._overflowed = 0
        self._store: Store | None = None
        self.unwritten = 0
        """Snapshots that could not be written."""
        try:
            self._open()
        except (sqlite3.Error, OSError) as error:
            # A disk that is full now is no reason not to start.
            on_error(ROOM, error)

    @property
    def overflowed(self) -> int:
        """How often something was left out of a tick since ``max_series`` others are kept."""
        return self._overflowed + (self._store.overflowed if self._store else 0)

    def write(self, snapshot: MetalTelemetrySnapshot) -> None:
        """Write what a snapshot adds; what goes wrong is told of and raised no further."""
        try:
            self._write(snapshot)
        except Exception as error:  # noqa: BLE001 - law: the host program must not notice
            self.unwritten += 1
            self._on_error(ROOM, error)

    def close(self) -> None:
        """Let go of the file."""
        store = self._drop()
        if store is not None:
            store.close()

    def leave(self) -> object:
        """In a forked child: forget the file without touching it; what must be kept alive."""
        store, self._store = self._store, None
        return store

    # -- inside ------------------------------------------------------------------------------

    def _write(self, snapshot: MetalTelemetrySnapshot) -> None:
        now = State.of(snapshot)
        if self._written is not None and _came_late(self._written, now):
            return
        try:
            store = self._opened()
            self._commit(store, snapshot, now)
        except (*self._errors, DamagedRowError) as error:
            if not _says_damaged(error):
                raise
            self._begin_anew(error)
            self._commit(self._opened(), snapshot, now)

    def _commit(self, store: Store, snapshot: MetalTelemetrySnapshot, now: State) -> None:
        run = run_of(now.started_at)
        tick = difference(self._written, now, snapshot)
        if self._written is None and store.run() == run:
            # An earlier history of this same run has counted up to some point.
            tick = replace(tick, seconds=0.0, everything=OperationFigures(), operations={})
        store.commit(tick, run=run)
        self._written = now
        try:
            store.keep_limits(now.timestamp)
        except self._errors as error:
            if _says_damaged(error):
                self._begin_anew(error)
            else:
                self._on_error(ROOM, error)

    def _opened(self) -> Store:
        if self._store is not None and not self._store.is_in_place:
            gone = FileNotFoundError(f"{self._path} was moved or removed; a new file begins")
            self._on_error(ROOM, gone)
            store = self._drop()
            if store is not None:
                store.abandon()
        return self._store or self._open()

    def _open(self) -> Store:
        prepare(self._path)
        try:
            self._store = self._new_store()
        except (DamagedFileError, *self._errors) as error:
            if not _says_damaged(error):
                raise
            self._begin_anew(error)
            self._store = self._new_store()
        return self._store

    def _new_store(self) -> Store:
        return Store(self._path, self._options, elapsed=self._elapsed)

    def _begin_anew(self, error: BaseException) -> None:
        store = self._drop()
        if store is not None:
            store.abandon()
        aside = set_aside(self._path, self._now())
        self._on_error(
            ROOM,
            DamagedFileError(
                f"{self._path} is damaged ({error}); it was set aside as {aside.name}, "
                "and a new file begins"
            ),
        )
        prepare(self._path)

    def _drop(self) -> Store | None:
        store, self._store = self._store, None
        if store is not None:
            self._overflowed += store.overflowed
        return store


def _came_late(written: State, now: State) -> bool:
    """Whether a later snapshot of the run, taken by another thread, was written before this one.

    All that it counts is in that one. Taken for a reset, it would be counted once more.
    """
    return (
        written.started_at == now.started_at
        and timedelta() < written.timestamp - now.timestamp < _LATEST
        and now.total_operations < written.total_operations
    )


def _says_damaged(error: BaseException) -> bool:
    import sqlite3  # noqa: PLC0415 - loaded by now

    return isinstance(error, (DamagedFileError, DamagedRowError)) or (
        isinstance(error, (sqlite3.DatabaseError, UnicodeDecodeError)) and is_damage(error)
    )
