"""Whether a file is still the one that was read."""

from __future__ import annotations

from pathlib import Path

__all__ = ["file_version"]


def file_version(path: Path) -> tuple[int, ...]:
    """What differs when the file was written or replaced; empty where there is none.

    A file that is swapped for another, as Kubernetes does it, may keep its time and its size.
    """
    try:
        found = path.expanduser().stat()
    except (OSError, RuntimeError):
        return ()
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
