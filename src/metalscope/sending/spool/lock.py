"""A directory of one process alone, for as long as it lives."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from metalscope.errors import ConfigurationError

__all__ = ["SpoolInUseError", "let_go", "make_directory", "take", "unusable"]

LOCK: Final = "lock"


class SpoolInUseError(Exception):
    """Another process has it, or another spool of this one."""


def unusable(option: str, directory: Path, error: OSError) -> ConfigurationError:
    """What to tell a person of a directory that cannot be used; ``option`` names it."""
    return ConfigurationError(
        f"{option} = {directory}: must be a directory this process can write to "
        f"({error.strerror or error})"
    )


def make_directory(directory: Path, *, private: bool) -> None:
    """Make a directory that only its owner can enter; one that is there becomes so if ``private``.

    Raises:
        OSError: it cannot be made, or is something else.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if private and directory.stat().st_mode & 0o077:
        with suppress(OSError):  # of another owner
            directory.chmod(0o700)


def take(directory: Path) -> int:
    """Lock a directory; return the descriptor that holds the lock until it is closed.

    Raises:
        SpoolInUseError: it is locked.
        OSError: it cannot be.
    """
    import fcntl  # noqa: PLC0415 - not everywhere

    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(directory / LOCK, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise SpoolInUseError(directory) from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def let_go(descriptor: int) -> None:
    """Unlock, even where a child that was just forked has the descriptor too."""
    import fcntl  # noqa: PLC0415 - not everywhere

    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)
