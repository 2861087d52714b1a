"""A file of JSON events that grows, and can be read at any moment."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["ROOM_AT_END", "TraceFile"]

_BEGIN: Final = b"[\n"
_BETWEEN: Final = b",\n"
_END: Final = b"\n]\n"
ROOM_AT_END: Final = 512
"""Bytes that are kept free for what is said at the end."""


class TraceFile:
    """An array of events, the last bracket of which comes with :meth:`end`.

    It holds whole events only: what could not be written whole is cut off again. It is locked for
    as long as it is open. One that is there is overwritten, and nothing else than one is.

    Args:
        path: where it is.
        max_bytes: most bytes of it.

    Raises:
        BlockingIOError: another process writes it.
        FileExistsError: what is there is something else.
        OSError: it cannot be written.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._most = max_bytes - len(_END) - ROOM_AT_END
        self._waiting: list[bytes] = []
        self._size = 0
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o666)
        try:
            _lock(self._descriptor)
            _check_is_trace(self._descriptor)
            os.ftruncate(self._descriptor, 0)
            self._written = 0
            self._has_events = False
            self._write(_BEGIN)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._size = self._written

    def add(self, events: Iterable[str]) -> bool:
        """Take events for the next :meth:`commit`; ``False``, and none, where all are too many."""
        text = b""
        for event in events:
            text += (
                _BETWEEN if self._has_events or text or self._waiting else b""
            ) + event.encode()
        if self._size + len(text) > self._most:
            return False
        self._waiting.append(text)
        self._size += len(text)
        return True

    def commit(self) -> None:
        """Write what was taken.

        Raises:
            OSError: it cannot be written; it is forgotten, and the file is as it was.
        """
        waiting, self._waiting = self._waiting, []
        before = self._written
        try:
            self._write(b"".join(waiting))
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, before)
            with suppress(OSError):
                os.lseek(self._descriptor, before, os.SEEK_SET)
            self._written = before
            raise
        finally:
            self._size = self._written
        self._has_events = self._has_events or bool(waiting)

    def end(self, last: str = "") -> None:
        """Close the array, and the file; ``last`` is one more event, if there is any."""
        more = (_BETWEEN if self._has_events else b"") + last.encode() if last else b""
        with suppress(OSError):
            self._write((more if len(more) <= ROOM_AT_END else b"") + _END)
        self.let_go()

    def let_go(self) -> None:
        """Close the file as it is. In a forked child the lock stays the parent's. Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _write(self, text: bytes) -> None:
        left = memoryview(text)
        while left:
            count = os.write(self._descriptor, left)
            self._written += count
            left = left[count:]


def _check_is_trace(descriptor: int) -> None:
    if os.pread(descriptor, len(_BEGIN), 0) not in {b"", _BEGIN}:
        raise FileExistsError(errno.EEXIST, "what is there is no trace of ours")


def _lock(descriptor: int) -> None:
    with suppress(ImportError):
        import fcntl  # noqa: PLC0415 - not everywhere

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
