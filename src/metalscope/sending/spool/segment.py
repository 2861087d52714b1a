"""One file of a spool on disk: records, one behind the other, in the order of their numbers.

A record is a head of 40 bytes, little-endian, and the data: a magic number, the length of the data
(32 bit), the sequence number (64), the snapshot's time and the time it was put here (both 64,
microseconds since 1970-01-01 UTC), the CRC-32 of the data, and the CRC-32 of the head before it.
A head that is whole says where the next record is, whatever became of its data; where it is not,
the next is found by its magic number.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

from metalscope.sending.spool.queue import Weigh, one_each

__all__ = ["HEAD_BYTES", "Record", "Segment"]

MAGIC: Final = b"\xa5ms\x01"
"""No UTF-8 text has the first byte at a beginning; the last is the version of the format."""

_HEAD: Final = struct.Struct("<4sIQqqI")
_CRC: Final = struct.Struct("<I")
HEAD_BYTES: Final = _HEAD.size + _CRC.size

_OPEN: Final = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


@dataclass(frozen=True, slots=True)
class Record:
    """``timestamp`` and ``appended`` are microseconds since the epoch.

    ``weight`` is how many things the data are. They have the numbers from ``sequence`` on, so that
    what is missing between two records says how many were lost. It is not in the file.
    """

    sequence: int
    timestamp: int
    appended: int
    data: bytes
    weight: int = 1

    @property
    def last(self) -> int:
        """The number of the last thing in it."""
        return self.sequence + self.weight - 1

    @property
    def size(self) -> int:
        """Bytes it takes in the file."""
        return HEAD_BYTES + len(self.data)

    def pack(self) -> bytes:
        """Its bytes."""
        head = _HEAD.pack(
            MAGIC, len(self.data), self.sequence, self.timestamp, self.appended, crc32(self.data)
        )
        return head + _CRC.pack(crc32(head)) + self.data

    @classmethod
    def unpack(cls, data: bytes) -> Record | None:
        """The record that begins these bytes; ``None`` where none does, whole."""
        head = _head(data, 0)
        if head is None or not _is_whole(data, 0, head):
            return None
        content = data[HEAD_BYTES : HEAD_BYTES + head.length]
        return cls(head.sequence, head.timestamp, head.appended, content)


class _Head(NamedTuple):
    length: int
    sequence: int
    timestamp: int
    appended: int
    crc: int

    @property
    def size(self) -> int:
        return HEAD_BYTES + self.length


def _head(data: bytes, at: int) -> _Head | None:
    end = at + _HEAD.size
    if len(data) < end + _CRC.size or data[at : at + len(MAGIC)] != MAGIC:
        return None
    if _CRC.unpack_from(data, end)[0] != crc32(data[at:end]):
        return None
    return _Head(*_HEAD.unpack_from(data, at)[1:])


def _is_whole(data: bytes, at: int, head: _Head) -> bool:
    content = data[at + HEAD_BYTES : at + head.size]
    return len(content) == head.length and crc32(content) == head.crc


def _heads(data: bytes) -> Iterator[tuple[int, _Head]]:
    """Where records are, those with damaged data among them; what is between is passed over."""
    at, least = 0, 0
    while 0 <= at < len(data):
        head = _head(data, at)
        if head is None or head.sequence < least or at + head.size > len(data):
            at = data.find(MAGIC, at + 1)
            continue
        yield at, head
        at, least = at + head.size, head.sequence + 1


def _is_torn(rest: bytes) -> bool:
    """Whether this is the beginning of a record, as a process leaves it that was killed."""
    if len(rest) < HEAD_BYTES:
        return rest[: len(MAGIC)] == MAGIC[: len(rest)]
    head = _head(rest, 0)
    return head is not None and head.size > len(rest)


@dataclass(slots=True)
class Examined:
    """What a file turned out to hold: how many records with a number past the one asked for were
    lost, and what there is behind the last record."""

    lost: int = 0
    rest_bytes: int = 0
    torn_bytes: int = 0
    appended: int = 0
    largest: int = 0


class Segment:
    """One file. What is from byte ``at`` on, ``waiting`` things, is not over yet.

    All methods raise ``OSError`` where the disk does.
    """

    __slots__ = ("_file", "_weigh", "_whole", "at", "first", "next", "path", "size", "waiting",
                 "waiting_bytes")  # fmt: skip

    def __init__(self, path: Path, first: int, weigh: Weigh = one_each) -> None:
        self.path = path
        self._weigh = weigh
        self.first = first
        """The number of the first record, which names the file."""
        self.next = first
        """The number that may be appended."""
        self.size = 0
        self.at = 0
        self.waiting = 0
        self.waiting_bytes = 0
        self._file: int | None = None
        self._whole = True

    @classmethod
    def create(cls, directory: Path, first: int, weigh: Weigh) -> Segment:
        """A new file."""
        segment = cls(directory / f"{first:020d}.seg", first, weigh)
        segment._file = os.open(segment.path, _OPEN | os.O_CREAT | os.O_EXCL, 0o600)
        return segment

    def examine(self, done: int, follows: int | None = None) -> Examined:
        """Read all of it, and let the records after number ``done`` wait.

        Args:
            done: the last number that is over.
            follows: the first number of the next file, where there is one. Where there is none,
                what is behind the last record is cut off.
        """
        data = self._read(0, os.fstat(self._descriptor()).st_size)
        found = Examined()
        self.at = self.waiting = self.waiting_bytes = end = 0
        self.next = self.first
        damaged = False
        for at, head in _heads(data):
            end = at + head.size
            found.lost += max(0, head.sequence - max(self.next, done + 1))
            self.next = head.sequence + 1
            damaged = False
            found.appended = max(found.appended, head.appended)
            found.largest = max(found.largest, head.length)
            if head.sequence <= done:
                continue
            if _is_whole(data, at, head):
                self.at = at if not self.waiting else self.at
                weight = self._weigh(data[at + HEAD_BYTES : end])
                self.next = head.sequence + weight
                self.waiting += weight
                self.waiting_bytes += head.length
            else:
                # Of more than one, the next record tells how many.
                found.lost += 1
                damaged = True
        rest = data[end:]
        found.rest_bytes = len(rest)
        if (rest or damaged) and follows is not None:
            found.lost += max(0, follows - max(self.next, done + 1))
        elif rest and _is_torn(rest):
            found.torn_bytes = len(rest)
        elif rest and self.next > done:
            found.lost += 1
        self.size = len(data)
        if rest and follows is None:
            self._cut(end)
        return found

    def takes(self, record: Record, most_bytes: int) -> bool:
        """Whether it is to be appended here and not to a new file."""
        return (
            self._whole and record.sequence == self.next and self.size + record.size <= most_bytes
        )

    def append(self, record: Record) -> None:
        """Write a record at the end. Where that fails, what there is of it is taken back."""
        rest = memoryview(record.pack())
        at = self.size
        try:
            while rest:
                written = os.pwrite(self._descriptor(), rest, at)
                rest, at = rest[written:], at + written
        except OSError:
            self._cut(self.size)
            raise
        if not self.waiting:
            self.at = self.size
        self.size = at
        self.next = record.last + 1
        self.waiting += record.weight
        self.waiting_bytes += len(record.data)

    def read(self) -> Record | None:
        """The first that waits; ``None`` where it is not what was written."""
        head = _head(self._read(self.at, HEAD_BYTES), 0)
        if head is None or head.size > self.size - self.at:
            return None
        data = self._read(self.at + HEAD_BYTES, head.length)
        if len(data) < head.length or crc32(data) != head.crc:
            return None
        return Record(head.sequence, head.timestamp, head.appended, data, self._weigh(data))

    def over(self, record: Record) -> None:
        """The first that waits, which was read, is over."""
        self.at += record.size
        self.waiting -= record.weight
        self.waiting_bytes -= len(record.data)

    def mend(self, done: int) -> int:
        """Find the first that waits behind one that is damaged; how much less waits than before."""
        before, at, size = self.waiting, self.at, self.size
        data = self._read(0, size)
        self.waiting = self.waiting_bytes = 0
        for found, head in _heads(data):
            if found >= at and head.sequence > done and _is_whole(data, found, head):
                self.at = found if not self.waiting else self.at
                self.waiting += self._weigh(data[found + HEAD_BYTES : found + head.size])
                self.waiting_bytes += head.length
        if self.waiting and self.at == at:
            # Read one way and then another: it is not to be tried for ever.
            self.forget()
        return before - self.waiting

    def forget(self) -> None:
        """All in it is over."""
        self.at = self.size
        self.waiting = self.waiting_bytes = 0

    def sync(self) -> None:
        """Have the disk itself hold it."""
        os.fsync(self._descriptor())

    def rest(self) -> None:
        """Let go of the descriptor until it is needed again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def remove(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)
        self.rest()

    def _descriptor(self) -> int:
        if self._file is None:
            self._file = os.open(self.path, _OPEN)
        return self._file

    def _read(self, at: int, length: int) -> bytes:
        return os.pread(self._descriptor(), length, at)

    def _cut(self, size: int) -> None:
        # Where even that is refused, nothing more is put here: it would follow a beginning.
        try:
            os.ftruncate(self._descriptor(), size)
        except OSError:
            self._whole = False
            with suppress(OSError):
                size = os.fstat(self._descriptor()).st_size
        self.size = size
