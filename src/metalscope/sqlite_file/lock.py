"""One writer for a file: a lock beside it that the system lets go of however the process ends."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["HeldElsewhereError", "let_go", "take"]


class HeldElsewhereError(Exception):
    """Another process has the lock, or another part of this one. ``pid`` is whose."""

    def __init__(self, pid: str) -> None:
        super().__init__(pid)
        self.pid = pid


def take(path: Path) -> int:
    """Lock ``path``, made where it is not there; return what :func:`let_go` takes.

    Raises:
        HeldElsewhereError: it is locked.
        OSError: it cannot be made or locked.
    """
    import fcntl  # noqa: PLC0415 - not everywhere

    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise HeldElsewhereError(pid) from None
    except BaseException:
        os.close(descriptor)
        raise
    # For people; the lock itself holds on a full disk too.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def let_go(descriptor: int) -> None:
    """Unlock, even where a child that was just forked has the descriptor too."""
    import fcntl  # noqa: PLC0415 - not everywhere

    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)
