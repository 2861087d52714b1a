"""The spools of one exporter on disk: one for each process that runs, and those left behind."""

from __future__ import annotations

import errno
import hashlib
import string
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from metalscope.errors import ConfigurationError
from metalscope.internal import InternalErrors
from metalscope.moments import utc_now
from metalscope.sending.spool import clock
from metalscope.sending.spool.disk import DiskSpool
from metalscope.sending.spool.lock import SpoolInUseError, make_directory, unusable
from metalscope.sending.spool.queue import Weigh, one_each

__all__ = ["SpoolSlots"]

MOST_SLOTS: Final = 1024
"""More processes than that do not share a directory."""

# Upper case is not among them: on a Mac's disk, two names may differ in no more than that.
_KEPT: Final = frozenset((string.ascii_lowercase + string.digits + "-_").encode())
_MOST_NAME_BYTES: Final = 200  # of the 255 that a file's name may have


class SpoolSlots:
    """``<directory>/<name>/<n>/``, each for one process at a time.

    A process takes the first that no other has, with what the one before left there, which comes
    first. What is in the others whose processes are gone, :meth:`orphan` gives. It cannot be put
    into the queue of a process that runs: an exporter of differences counts each process from its
    own last delivered snapshot. So it stays a queue of its own, which is exported with
    ``resume(orphan.last_delivered())`` before it and ``resume(own.last_delivered())`` after.

    Args:
        directory: that of all spools.
        name: the exporter's, or the log sink's.
        max_bytes, max_age, now, elapsed, on_error, option, weigh: as in
            :class:`~metalscope.sending.spool.disk.DiskSpool`; each slot has ``max_bytes``.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        *,
        max_bytes: int,
        max_age: timedelta,
        now: Callable[[], datetime] = utc_now,
        elapsed: Callable[[], float] = clock.elapsed,
        on_error: Callable[[str, BaseException], None] | None = None,
        option: str = "export.spool.directory",
        weigh: Weigh = one_each,
    ) -> None:
        self.directory = directory
        """The directory of all spools."""
        self._option = option
        self._slots = directory / _file_name(name)
        self._on_error = on_error or InternalErrors().report
        self._spool = partial(
            DiskSpool,
            max_bytes=max_bytes,
            max_age=max_age,
            now=now,
            elapsed=elapsed,
            on_error=self._on_error,
            option=option,
            weigh=weigh,
        )
        self._unusable: set[Path] = set()

    def open(self) -> DiskSpool:
        """The first that is free.

        Raises:
            ConfigurationError: the directory cannot be made, read or written to.
        """
        try:
            make_directory(self.directory, private=False)
            make_directory(self._slots, private=True)
        except OSError as error:
            raise unusable(self._option, self.directory, error) from error
        for number in range(MOST_SLOTS):
            try:
                return self._spool(self._slots / str(number))
            except SpoolInUseError:
                continue
        taken = OSError(errno.EBUSY, f"{MOST_SLOTS} processes use it already")
        raise unusable(self._option, self.directory, taken)

    def orphan(self) -> DiskSpool | None:
        """Another in which something waits that no process has; ``None`` where there is none.

        To be asked now and then: it lists a directory, and opens what it finds. The caller closes
        it when it is empty, or gives it back as it is, and asks for the next.
        """
        for slot in self._left():
            try:
                spool = self._spool(slot)
            except SpoolInUseError:
                continue
            except ConfigurationError as error:
                self._unusable.add(slot)
                self._on_error("spool", error)
                continue
            if spool.stats.waiting:
                return spool
            spool.close()
        return None

    def _left(self) -> list[Path]:
        try:
            slots = [slot for slot in self._slots.iterdir() if slot.name.isdecimal()]
            slots.sort(key=lambda slot: int(slot.name))
            return [
                slot for slot in slots
                if slot not in self._unusable and next(slot.glob("*.seg"), None) is not None
            ]  # fmt: skip
        except OSError as error:
            self._on_error("spool", error)
            return []


def _file_name(exporter: str) -> str:
    """A name for a directory, another for each name of an exporter on any file system."""
    text = exporter.encode(errors="surrogatepass")
    name = "".join(chr(byte) if byte in _KEPT else f"%{byte:02x}" for byte in text)
    if len(name) > _MOST_NAME_BYTES:
        name = f"{name[:100]}%-{hashlib.sha256(text).hexdigest()}"
    return name
