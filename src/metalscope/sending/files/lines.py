"""Appending to a file of lines so that it never holds half of one."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["append", "begin_of_last_line", "ends_whole"]

_BLOCK: Final = 64 * 1024


def append(file: int, data: bytes, size: int) -> None:
    """Append to a file of ``size`` bytes, or leave it as it was.

    Raises:
        OSError: the disk is full, or fails.
    """
    try:
        written = os.write(file, data)
        while written < len(data):
            # A disk that is full takes a part, then says so.
            written += os.write(file, data[written:])
    except BaseException:
        os.ftruncate(file, size)
        raise


def ends_whole(file: int, size: int) -> bool:
    """Whether the last line of a file of ``size`` bytes has its end."""
    return not size or os.pread(file, 1, size - 1) == b"\n"


def begin_of_last_line(file: int, size: int) -> int:
    """Where the line begins that has no end yet."""
    end = size
    while end:
        begin = max(0, end - _BLOCK)
        found = os.pread(file, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0
