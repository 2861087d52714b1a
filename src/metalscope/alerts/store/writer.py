"""Writes what waits on a thread of its own, and again what could not be written."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from metalscope.alerts.store.reading import kept, reading
from metalscope.alerts.store.waiting import MOST_SAMPLES, Waiting
from metalscope.alerts.store.writing import AlertFile
from metalscope.alerts.storing import Change
from metalscope.sqlite_file.keeping import KeptOpen
from metalscope.sqlite_file.opening import OwnFile, is_damage

__all__ = ["ROOM", "Writer"]

ROOM: Final = "alerts"
"""Under which failures of the file are counted."""
RETRY_SECONDS: Final = 10.0
"""What could not be written is tried again with the next change, or after so long."""


class Writer:
    """Holds what is not yet in the file, and puts it there. Safe under threads.

    Args:
        file: which; this process must be the only one that writes it.
        max_bytes: what it may take.
        on_error: told of what goes wrong, as (room, exception).
        now: the time of day, for names of files set aside.
        let_go: called when the file is let go of.

    Raises:
        ConfigurationError: the file cannot be used.
    """

    def __init__(
        self,
        file: OwnFile,
        max_bytes: int,
        *,
        on_error: Callable[[str, BaseException], None],
        now: Callable[[], datetime],
        let_go: Callable[[], None],
    ) -> None:
        self._on_error = on_error
        self._let_go = let_go
        self._changed = threading.Condition()
        self._waiting = Waiting()
        self._being_written: Waiting | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = self._is_wanted = False
        # Attempts by their number: the last that began, that ended, and that succeeded.
        self._begun = self._ended = self._succeeded = 0
        self._suspicion: BaseException | None = None
        self._dropped = 0
        self.failures = 0
        """How often the file could not be written to."""
        self._kept: KeptOpen[AlertFile] = KeptOpen(
            file,
            lambda: AlertFile(file, max_bytes, on_error=self._tell),
            room=ROOM,
            on_error=on_error,
            now=now,
            dropped=self._count_dropped,
            was_set_aside=self._rescue,
        )
        self._kept.start()
        if not self._waiting.is_empty:
            with self._changed:
                self._want()

    @property
    def dropped(self) -> int:
        """Alerts, messages and samples that went for want of room, in memory or in the file."""
        with self._changed:
            file, batch = self._kept.current, self._being_written
            return (
                self._dropped
                + self._waiting.dropped
                + (batch.dropped if batch is not None else 0)
                + (file.dropped if file is not None else 0)
            )

    @property
    def waiting(self) -> int:
        """How many alerts, silences, documents, messages and samples are not in the file."""
        with self._changed:
            batch = self._being_written
            return len(self._waiting) + (len(batch) if batch is not None else 0)

    def add(self, change: Change) -> None:
        """Have something written. Returns at once."""
        with self._changed:
            if not self._is_closed:
                self._waiting.add(change)
                self._want()

    def forget(self, before: datetime) -> None:
        """Have what was over before a moment let go of. Returns at once."""
        with self._changed:
            if not self._is_closed:
                self._waiting.forget(before)
                self._want()

    def unwritten(self) -> Waiting:
        """What the file lacks. To be asked for before the file is read, as it may get there
        meanwhile; not to be changed."""
        with self._changed:
            if self._being_written is None:
                return Waiting().then(self._waiting)
            return self._being_written.then(self._waiting)

    def suspect(self, error: BaseException) -> None:
        """Say that the file seems damaged, so that a new one begins: at once where nothing was
        written yet, else when it was looked at.

        Raises:
            OSError, ConfigurationError: none can begin.
        """
        with self._changed:
            if self._is_closed:
                return
            if self._thread is None:
                self._kept.begin_anew(error)
            else:
                self._suspicion = error
            self._want()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was added is written, or cannot be.

        Args:
            timeout: s to wait at most; forever where ``None``.

        Returns:
            Whether it is written.
        """
        with self._changed:
            if self._waiting.is_empty and self._being_written is None:
                return True
            if self._is_closed:
                return False
            # One that is under way lacks what was added since it began.
            needed = self._begun if self._waiting.is_empty else self._begun + 1
            self._want()
            self._changed.wait_for(lambda: self._ended >= needed or self._is_closed, timeout)
            return self._succeeded >= needed

    def close(self, timeout: float | None) -> None:
        """Write what waits, once, and let go of the file. Idempotent.

        Args:
            timeout: s to wait at most; forever where ``None``.
        """
        with self._changed:
            was_closed, self._is_closed = self._is_closed, True
            thread = self._thread
            self._changed.notify_all()
        if thread is None:
            if not was_closed:
                self._kept.close()
                self._let_go()
        elif thread is not threading.current_thread():
            thread.join(timeout)

    def leave(self) -> object:
        """In a forked child: nothing waits, and it is closed; what must be kept alive."""
        self._changed = threading.Condition()
        self._waiting, self._being_written = Waiting(), None
        self._is_closed, self._thread = True, None
        return self._kept.leave()

    # -- inside ------------------------------------------------------------------------------

    def _want(self) -> None:
        self._is_wanted = True
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="metalscope-alert-store", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                # The interpreter is ending.
                self._tell(error)
                return
            self._thread = thread
        self._changed.notify_all()

    def _run(self) -> None:
        try:
            is_last = False
            while not is_last:
                is_last = self._turn()
            self._kept.close()
        finally:
            with self._changed:
                self._is_closed = True
                self._changed.notify_all()
            self._let_go()

    def _turn(self) -> bool:
        """Wait for something to write and try to write it; whether that was the last time."""
        with self._changed:
            if not (self._is_wanted or self._is_closed):
                self._changed.wait(None if self._waiting.is_empty else RETRY_SECONDS)
            self._is_wanted = False
            is_last = self._is_closed
            self._begun += 1
            self._being_written, self._waiting = self._waiting, Waiting()
        is_written = self._try_to_write()
        if is_written:
            self._keep_limits()
        with self._changed:
            batch, self._being_written = self._being_written, None
            if is_written:
                self._dropped += batch.dropped
                self._succeeded = self._begun
            else:
                self.failures += 1
                self._waiting = batch.then(self._waiting)
            self._ended = self._begun
            self._changed.notify_all()
        return is_last

    def _try_to_write(self) -> bool:
        try:
            self._write()
        except Exception as error:  # noqa: BLE001 - law: the host program must not notice
            self._tell(error)
            return False
        return True

    def _write(self) -> None:
        suspicion, self._suspicion = self._suspicion, None
        if suspicion is not None:
            # Who read while a new file began may have seen half of each.
            if self._kept.get().is_whole():
                self._tell(suspicion)
            else:
                self._kept.begin_anew(suspicion)
        try:
            self._commit()
        except Exception as error:
            if not is_damage(error):
                raise
            self._kept.begin_anew(error)
            self._commit()

    def _commit(self) -> None:
        file = self._kept.get()
        # Opening may have rescued something, which is put before it.
        batch = self._being_written
        if batch is not None and not batch.is_empty:
            file.commit(batch)

    def _keep_limits(self) -> None:
        file, batch = self._kept.current, self._being_written
        if file is None or batch is None:
            return
        try:
            file.keep_limits(has_forgotten=batch.forgotten_before is not None)
        except Exception as error:  # noqa: BLE001 - what was to be written is; law as above
            if is_damage(error):
                self.suspect(error)
            else:
                self._tell(error)

    def _rescue(self, aside: Path) -> None:
        """Have written anew what can be read of a file that was set aside."""
        try:
            with reading(aside) as connection:
                found = kept(connection, self._tell, lambda _: None)
        except Exception:  # noqa: BLE001 - it is damaged; that was told
            return
        rescued = Waiting()
        rescued.add(
            Change(
                alerts=found.alerts,
                silences=found.silences,
                documents=found.documents,
                messages=found.messages,
                samples=found.samples[-MOST_SAMPLES:],
            )
        )
        with self._changed:
            if self._being_written is None:
                self._waiting = rescued.then(self._waiting)
            else:
                self._being_written = rescued.then(self._being_written)

    def _count_dropped(self, file: AlertFile) -> None:
        self._dropped += file.dropped

    def _tell(self, error: BaseException) -> None:
        self._on_error(ROOM, error)
