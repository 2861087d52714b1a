"""A file that several processes append to: one at a time, and none to one that was moved away."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = ["SharedFile"]

_LOCK_RETRY_SECONDS: Final = 0.01


class SharedFile:
    """The file of one name.

    It is made where there is none, and opened anew each time, so that one that ``logrotate`` or a
    person moved away or deleted is begun again.

    Args:
        path: its name.
        timeout: how many s another process is waited for.
        mode: who may read and write a new one, less what the umask takes.
    """

    def __init__(self, path: Path, *, timeout: float, mode: int = 0o600) -> None:
        self.path = path
        """Its name."""
        self._timeout = timeout
        self._mode = mode

    @contextmanager
    def held(self) -> Iterator[int]:
        """The file that has the name now, held against all others who would write or move it.

        Raises:
            TimeoutError: another process holds it.
            OSError: it cannot be opened.
        """
        deadline = time.monotonic() + self._timeout
        while True:
            # O_NONBLOCK: should it have become a pipe, opening it must not wait for a reader.
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
            file = os.open(self.path, flags, self._mode)
            try:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    raise OSError(errno.EINVAL, "it is no regular file")
                _lock(file, deadline)
                if not self._is_named(file):
                    continue  # It was moved away while the lock was waited for.
                yield file
                return
            finally:
                os.close(file)

    def _is_named(self, file: int) -> bool:
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(os.fstat(file), there)


def _lock(file: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise TimeoutError from None
            time.sleep(_LOCK_RETRY_SECONDS)
        else:
            return
