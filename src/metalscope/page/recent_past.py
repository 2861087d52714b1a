"""The past of this run alone, in a temporary file, for where no history is kept."""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from metalscope.fork import reset_in_child
from metalscope.sqlite_file import lock
from metalscope.sqlite_file.opening import beside

if TYPE_CHECKING:
    from metalscope.history import History, HistoryReader
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["KEEP_MINUTES", "KEEP_TICKS", "RecentPast"]

KEEP_TICKS: Final = timedelta(hours=2)
KEEP_MINUTES: Final = timedelta(days=7)

ROOM: Final = "history"
"""Under which its failures are counted, as those of any history."""

_PREFIX: Final = "metalscope-past-"
_FILE: Final = "past.db"

_UNTOUCHED_SECONDS: Final = 60.0
"""So long a directory is left alone: its process may be about to lock it."""
_WITHOUT_LOCK_SECONDS: Final = 24 * 3600.0
"""So long one without a lock is: something that tidies up may have removed that alone."""


class Fed(Protocol):
    """What hands out snapshots."""

    def subscribe(
        self, consumer: Callable[[MetalTelemetrySnapshot], None], /
    ) -> Callable[[], None]:
        """Call ``consumer`` with a snapshot each tick; return what ends that."""
        ...


class RecentPast:
    """Keeps what each snapshot says until it is closed, in a directory that is then removed.

    Where it cannot, there is no past: that is told, and nothing is raised. A forked child neither
    writes to the directory, which is its parent's, nor removes it. Directories that processes of
    this user left behind because they were killed are removed when the next one begins.

    Args:
        telemetry: hands out the snapshots.
        max_bytes: most bytes of the file and its log.
        on_error: told of what goes wrong, as (room, exception).
    """

    def __init__(
        self,
        telemetry: Fed,
        *,
        max_bytes: int,
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        self._on_error = on_error
        self._closing = threading.Lock()
        self._directory: Path | None = None
        self._history: History | None = None
        self._end: Callable[[], None] = _nothing
        self.why = ""
        """Why there is no past; empty where there is."""
        try:
            _remove_left_behind(Path(tempfile.gettempdir()))
            self._begin(telemetry, max_bytes)
        except Exception as error:  # noqa: BLE001 - law: it costs the past, not the program
            said = error.strerror if isinstance(error, OSError) else None
            self.why = f"no past could be kept in a temporary file ({said or error})"
            on_error(ROOM, error)
            self.close()
        reset_in_child(self)

    @property
    def reader(self) -> HistoryReader:
        """Reads it.

        Raises:
            HistoryError: there is no past, or none any more; the text says why.
        """
        if self._history is None:
            from metalscope.history.facts import HistoryError  # noqa: PLC0415 - as light as can be

            raise HistoryError(self.why or "the past was closed")
        return self._history

    def close(self) -> None:
        """Remove it. Idempotent, and raises nothing."""
        with self._closing:
            history, self._history = self._history, None
            directory, self._directory = self._directory, None
            end, self._end = self._end, _nothing
        atexit.unregister(self.close)
        try:
            end()
            if history is not None:
                history.close()
            if directory is not None:
                shutil.rmtree(directory, ignore_errors=True)
        except Exception as error:  # noqa: BLE001 - law as above
            self._on_error(ROOM, error)

    def start_at_zero(self) -> None:
        """In a forked child: all of it is the parent's."""
        self._closing = threading.Lock()
        # Kept, so that reading says why it cannot; closing must not touch what is in there.
        self._directory = None

    # -- inside ------------------------------------------------------------------------------

    def _begin(self, telemetry: Fed, max_bytes: int) -> None:
        # All of these load SQLite or pydantic, which may not be there.
        from metalscope.health_options import HistoryOptions  # noqa: PLC0415
        from metalscope.history import History  # noqa: PLC0415

        # For its owner alone: mkdtemp makes it 0700.
        self._directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
        options = HistoryOptions(
            path=self._directory / _FILE,
            keep_ticks=KEEP_TICKS,
            keep_minutes=KEEP_MINUTES,
            max_bytes=max_bytes,
        )
        self._history = History(options, on_error=self._on_error, only_from_now=True)
        self._end = telemetry.subscribe(self._history.append)
        atexit.register(self.close)


def _nothing() -> None:
    pass


def _remove_left_behind(place: Path) -> None:
    """Remove what processes of this user that are gone left in the system's temporary directory."""
    for directory in place.glob(f"{_PREFIX}*"):
        # Another process may be about to remove it, too.
        with suppress(OSError):
            about = directory.lstat()
            if stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid():
                _remove_if_left(directory)


def _remove_if_left(directory: Path) -> None:
    path = beside(directory / _FILE, ".lock")
    if not path.exists():
        changed = [one.lstat().st_mtime for one in (directory, *directory.iterdir())]
        if time.time() - max(changed) > _WITHOUT_LOCK_SECONDS:
            shutil.rmtree(directory, ignore_errors=True)
        return
    if time.time() - path.lstat().st_mtime < _UNTOUCHED_SECONDS:
        return
    with suppress(lock.HeldElsewhereError):
        held = lock.take(path)
        try:
            shutil.rmtree(directory, ignore_errors=True)
        finally:
            lock.let_go(held)
