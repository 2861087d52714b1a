"""How far a spool has come, and what arrived last, in one file that is replaced as a whole."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from metalscope.sending.spool.segment import HEAD_BYTES, Record

__all__ = ["STATE_EXTRA_BYTES", "State", "read_state", "sync_state", "write_state"]

FILE: Final = "state"
_NEW: Final = "state.new"
_HAS_DELIVERED: Final = b"D"
_HAS_LEFT: Final = b"L"

STATE_EXTRA_BYTES: Final = HEAD_BYTES + len(_HAS_DELIVERED)
"""What the file has beside the data of the last that arrived, or of what is left."""


@dataclass(frozen=True, slots=True)
class State:
    """``done`` is the last number that is over; ``delivered`` the data of the last that arrived.

    ``left`` is what of the one numbered ``done`` is not over after all; where there is something,
    ``delivered`` is not kept. They change together: were the one without the other on the disk, an
    exporter of differences would count something twice or not at all.
    """

    done: int = 0
    delivered: bytes | None = None
    left: Record | None = None


def read_state(directory: Path) -> State:
    """What was written last; a new state where nothing was, or it is damaged.

    After a damaged one, what was over and is still in a file of records comes again.

    Raises:
        OSError: the file is there and cannot be read.
    """
    # A process that was killed before it could put it in place did not say that it was done.
    (directory / _NEW).unlink(missing_ok=True)
    try:
        data = (directory / FILE).read_bytes()
    except FileNotFoundError:
        return State()
    record = Record.unpack(data)
    if record is None:
        return State()
    kind, content = record.data[:1], record.data[1:]
    if kind == _HAS_LEFT:
        left = Record(record.sequence, record.timestamp, record.appended, content)
        return State(record.sequence, left=left)
    return State(record.sequence, content if kind else None)


def write_state(directory: Path, state: State) -> None:
    """Put ``state`` in the place of the one before; a reader sees the one or the other.

    Raises:
        OSError: it could not be written; the one before is there.
    """
    rest = memoryview(_record(state).pack())
    new = directory / _NEW
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = os.open(new, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        finally:
            os.close(descriptor)
        new.replace(directory / FILE)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def _record(state: State) -> Record:
    left = state.left
    if left is not None:
        return Record(state.done, left.timestamp, left.appended, _HAS_LEFT + left.data)
    content = b"" if state.delivered is None else _HAS_DELIVERED + state.delivered
    return Record(state.done, 0, 0, content)


def sync_state(directory: Path) -> None:
    """Have the disk itself hold the state and the names of all files, as far as it can."""
    for path in (directory / FILE, directory):
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
