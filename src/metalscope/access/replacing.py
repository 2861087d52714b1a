"""A small file that is replaced as a whole, by one process at a time."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from metalscope.sqlite_file.lock import HeldElsewhereError, let_go, take

__all__ = ["held", "replace"]

_RETRY_SECONDS: Final = 0.01


@contextmanager
def held(path: Path, *, timeout: float) -> Iterator[None]:
    """Keep others who would change the file out, by a lock in ``<path>.lock``.

    Args:
        path: the file.
        timeout: how many seconds another process is waited for.

    Raises:
        TimeoutError: another process has the lock.
        OSError: it cannot be made.
    """
    deadline = time.monotonic() + timeout
    lock = path.with_name(f"{path.name}.lock")
    while True:
        try:
            descriptor = take(lock)
            break
        except HeldElsewhereError as error:
            if time.monotonic() >= deadline:
                raise TimeoutError(f"process {error.pid or 'unknown'} is changing it") from None
            time.sleep(_RETRY_SECONDS)
    try:
        yield
    finally:
        let_go(descriptor)


def replace(path: Path, data: bytes) -> None:
    """Put ``data`` in the place of what the file holds, all at once, for its owner alone.

    Raises:
        OSError: it cannot be; the file is as it was.
    """
    # mkstemp makes it 0600.
    descriptor, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    new = Path(made)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        with suppress(OSError):
            new.unlink()
        raise
    _sync(path.parent)


def _sync(directory: Path) -> None:
    """The name is in the directory, which has to reach the disk as well."""
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
