"""Keeps a file open, through a disk that is full, a file that breaks and one that goes away."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from metalscope.sqlite_file.opening import (
    DamagedFileError,
    OwnFile,
    is_damage,
    prepare,
    set_aside,
)

__all__ = ["KeptOpen"]


class _Opened(Protocol):
    @property
    def is_in_place(self) -> bool: ...

    def close(self) -> None: ...

    def abandon(self) -> None: ...


S = TypeVar("S", bound=_Opened)


class KeptOpen(Generic[S]):
    """What is open of a file, opened anew where that is needed. One thread at a time.

    Args:
        file: which.
        opened: opens it; what it raises says whether the file is damaged.
        room: under which failures are counted.
        on_error: told of them, as (room, exception).
        now: the time of day, for names of files set aside.
        dropped: told of what was open when it is not any more.
        was_set_aside: told where a damaged file is now, before a new one begins.
    """

    def __init__(
        self,
        file: OwnFile,
        opened: Callable[[], S],
        *,
        room: str,
        on_error: Callable[[str, BaseException], None],
        now: Callable[[], datetime],
        dropped: Callable[[S], None] = lambda _: None,
        was_set_aside: Callable[[Path], None] = lambda _: None,
    ) -> None:
        self._file = file
        self._open_file = opened
        self._room = room
        self._on_error = on_error
        self._now = now
        self._dropped = dropped
        self._was_set_aside = was_set_aside
        self.current: S | None = None
        """What is open."""

    def start(self) -> None:
        """Open it for the first time. A disk that is full now is no reason not to start.

        Raises:
            ConfigurationError: it cannot be used.
        """
        import sqlite3  # noqa: PLC0415 - only where there is such a file

        try:
            self._open()
        except (sqlite3.Error, OSError) as error:
            self._on_error(self._room, error)

    def get(self) -> S:
        """What is open, in its place.

        Raises:
            sqlite3.Error, OSError, ConfigurationError, DamagedFileError: it cannot be opened.
        """
        if self.current is not None and not self.current.is_in_place:
            gone = FileNotFoundError(f"{self._file.path} was moved or removed; a new file begins")
            self._on_error(self._room, gone)
            store = self._drop()
            if store is not None:
                store.abandon()
        return self.current or self._open()

    def begin_anew(self, error: BaseException) -> None:
        """Set the damaged file aside; :meth:`get` then makes a new one.

        Raises:
            OSError, ConfigurationError: it cannot be.
        """
        store = self._drop()
        if store is not None:
            store.abandon()
        aside = set_aside(self._file.path, self._now())
        self._on_error(
            self._room,
            DamagedFileError(
                f"{self._file.path} is damaged ({error}); it was set aside as {aside.name}, "
                "and a new file begins"
            ),
        )
        self._was_set_aside(aside)
        prepare(self._file)

    def close(self) -> None:
        """Let go of the file."""
        store = self._drop()
        if store is not None:
            store.close()

    def leave(self) -> object:
        """In a forked child: forget the file without touching it; what must be kept alive."""
        store, self.current = self.current, None
        return store

    def _open(self) -> S:
        prepare(self._file)
        try:
            self.current = self._open_file()
        except Exception as error:
            if not is_damage(error):
                raise
            self.begin_anew(error)
            self.current = self._open_file()
        return self.current

    def _drop(self) -> S | None:
        store, self.current = self.current, None
        if store is not None:
            self._dropped(store)
        return store
