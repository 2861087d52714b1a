"""History: takes each snapshot at once, and writes it on a thread of its own."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Final, Self

from metalscope.errors import ConfigurationError
from metalscope.fork import reset_in_child
from metalscope.history.facts import HistoryError
from metalscope.history.reading import HistoryReader
from metalscope.history.schema import SCHEMA
from metalscope.history.writing import Writer
from metalscope.moments import utc_now
from metalscope.sqlite_file.lock import let_go
from metalscope.sqlite_file.opening import OwnFile, prepare, take_alone

if TYPE_CHECKING:
    from sqlite3 import Connection

    from metalscope.health_options import HistoryOptions
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["History"]

MOST_WAITING: Final = 8
"""Snapshots that wait to be written; past that the oldest goes, and the next says what it said."""

_left_to_the_parent: list[object] = []
"""A connection that came with a fork: closing it would be the parent's to do."""


class History(HistoryReader):
    """The past in one file, which this process alone writes.

    A snapshot is a total of all that happened, so one that is let go costs the history how finely
    it knows that time, and no counts. In a forked child it writes nothing, and reading it raises
    :class:`~metalscope.history.facts.HistoryError`: SQLite must not be carried across a fork.

    Args:
        options: where, how long and how much; ``path`` must be set.
        on_error: told of what goes wrong inside, as (room, exception).
        elapsed: seconds that only ever grow.
        now: the time of day, for names of files set aside.
        only_from_now: whether to leave out what the program counted more than a minute before the
            first snapshot, and not to take it for what just happened.

    Raises:
        ConfigurationError: the path cannot be used: not a file, not writable, written by another
            process, another program's database, or of a newer version.
    """

    def __init__(
        self,
        options: HistoryOptions,
        *,
        on_error: Callable[[str, BaseException], None],
        elapsed: Callable[[], float] = monotonic,
        now: Callable[[], datetime] = utc_now,
        only_from_now: bool = False,
    ) -> None:
        if options.path is None:
            raise ConfigurationError("history.path: must be set for a history to be kept")
        path = Path(os.path.abspath(options.path))  # noqa: PTH100 - links stay what they are
        super().__init__(path)
        self._waiting: deque[MetalTelemetrySnapshot] = deque()
        self._changed = threading.Condition()
        self._is_writing = self._is_closed = self._is_of_the_parent = False
        self._dropped = 0
        file = OwnFile(path, "history.path", SCHEMA)
        prepare(file)
        self._lock: int | None = take_alone(file)
        try:
            self._writer = Writer(
                file,
                options,
                on_error=on_error,
                elapsed=elapsed,
                now=now,
                only_from_now=only_from_now,
            )
            self._thread = threading.Thread(
                target=self._run, name="metalscope-history", daemon=True
            )
            self._thread.start()
        except BaseException:
            self._release()
            raise
        reset_in_child(self)

    @staticmethod
    def open_readonly(path: Path | str) -> HistoryReader:
        """Read the file at ``path``, whoever writes it."""
        return HistoryReader(Path(path))

    @property
    def dropped(self) -> int:
        """Snapshots that were not kept by themselves: too many waited, or they were not writable.

        Their counts are in the next one that is kept, their readings are gone.
        """
        return self._dropped + self._writer.unwritten

    @property
    def overflowed(self) -> int:
        """How often an operation or reading was left out since ``max_series`` others are kept."""
        return self._writer.overflowed

    def append(self, snapshot: MetalTelemetrySnapshot) -> None:
        """Have a snapshot kept. Returns at once and raises nothing."""
        with self._changed:
            if self._is_closed:
                return
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.popleft()
                self._dropped += 1
            self._waiting.append(snapshot)
            self._changed.notify_all()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was appended is written or given up.

        Args:
            timeout: s to wait at most; forever where ``None``.

        Returns:
            Whether nothing waits any more.
        """
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._waiting and not self._is_writing, timeout
            )

    def close(self, timeout: float | None = 10.0) -> None:
        """Write what waits, and let go of the file. Idempotent.

        Args:
            timeout: s to wait at most; what is not written by then is given up, and the file is
                let go of when the disk answers. Forever where ``None``.
        """
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def start_at_zero(self) -> None:
        """In a forked child: it is closed, and the file is the parent's."""
        _left_to_the_parent.append(self._writer.leave())
        self._changed = threading.Condition()
        self._waiting.clear()
        self._is_writing, self._is_closed = False, True
        self._thread = threading.Thread(target=lambda: None)
        self._thread.start()
        self._is_of_the_parent = True
        lock, self._lock = self._lock, None
        if lock is not None:
            # Not let go of: that would let go of the parent's.
            os.close(lock)

    # -- inside ------------------------------------------------------------------------------

    def _connect(self) -> Connection:
        # SQLite takes the parent's locks for this process's own (sqlite.org, "How To Corrupt An
        # SQLite Database File", 2.6).
        if self._is_of_the_parent:
            raise HistoryError(f"{self.path}: it is of the process that this one was forked from")
        return super()._connect()

    def _run(self) -> None:
        try:
            while (snapshot := self._next()) is not None:
                self._writer.write(snapshot)
            self._writer.close()
        finally:
            with self._changed:
                self._is_writing = False
                self._is_closed = True
                self._waiting.clear()
                self._changed.notify_all()
            self._release()

    def _next(self) -> MetalTelemetrySnapshot | None:
        with self._changed:
            self._is_writing = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            if not self._waiting:
                return None
            self._is_writing = True
            return self._waiting.popleft()

    def _release(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            let_go(lock)
