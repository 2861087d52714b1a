"""The files of records of one spool, as one queue."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from metalscope.sending.spool.queue import Weigh, one_each
from metalscope.sending.spool.segment import Record, Segment

__all__ = ["Found", "SegmentFiles"]


@dataclass(slots=True)
class Found:
    """What was there at opening.

    ``next`` is the number after the last, ``lost`` how many are damaged, ``torn_bytes`` what was
    cut off, ``appended`` when the newest was put there (µs since the epoch), ``largest`` the most
    bytes of data in one.
    """

    next: int = 0
    lost: int = 0
    torn_bytes: int = 0
    appended: int = 0
    largest: int = 0


class SegmentFiles:
    """Oldest first; the last is written to.

    Args:
        directory: where they are.
        most_bytes: the size at which a new one is begun; a larger record has a file of its own.
        weigh: how many things the data of a record are.
    """

    def __init__(self, directory: Path, most_bytes: int, weigh: Weigh = one_each) -> None:
        self._directory = directory
        self._weigh = weigh
        self._most_bytes = most_bytes
        self._files: deque[Segment] = deque()

    def open(self, done: int) -> Found:
        """Read all that are there; what has a number up to ``done`` is over.

        Raises:
            OSError: one cannot be read.
        """
        paths = {
            int(path.stem): path for path in self._directory.glob("*.seg") if path.stem.isdecimal()
        }
        firsts = sorted(paths)
        all_found = Found()
        for first, follows in zip_longest(firsts, firsts[1:]):
            segment = Segment(paths[first], first, self._weigh)
            self._files.append(segment)
            found = segment.examine(done, follows)
            all_found.next = segment.next
            all_found.lost += found.lost
            all_found.torn_bytes += found.torn_bytes
            all_found.appended = max(all_found.appended, found.appended)
            all_found.largest = max(all_found.largest, found.largest)
            segment.rest()
        self.purge()
        return all_found

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(segment.size for segment in self._files)

    @property
    def waiting(self) -> int:
        """How many things are not over."""
        return sum(segment.waiting for segment in self._files)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of their data."""
        return sum(segment.waiting_bytes for segment in self._files)

    def front(self) -> Segment | None:
        """The file with the first record that waits."""
        return next((segment for segment in self._files if segment.waiting), None)

    def append(self, record: Record) -> bool:
        """Write one behind all others; whether a new file was begun for it.

        Raises:
            OSError: it was not written.
        """
        last = self._files[-1] if self._files else None
        begun = last is None or not last.takes(record, self._most_bytes)
        if begun:
            if last is not None and not last.size:
                # Made for a record that could not be written, and has been dropped since.
                last.remove()
                self._files.pop()
                last = None
            segment = Segment.create(self._directory, record.sequence, self._weigh)
            self._files.append(segment)
            if last is not None:
                with suppress(OSError):  # it is with the system, which may write it later
                    last.sync()
                last.rest()
            self.purge()
        self._files[-1].append(record)
        return begun

    def drop_first(self) -> int:
        """Remove the oldest file; how much waited in it.

        Raises:
            OSError: it could not be removed, and is there still.
        """
        segment = self._files[0]
        segment.remove()
        self._files.popleft()
        return segment.waiting

    def forget(self) -> None:
        """All records are over."""
        for segment in self._files:
            segment.forget()

    def purge(self, *, keep: int = 1) -> None:
        """Remove the files in front in which nothing waits, but not the last ``keep``."""
        with suppress(OSError):  # tried again
            while len(self._files) > keep and not self._files[0].waiting:
                self.drop_first()

    def sync(self) -> None:
        """Have the disk itself hold the last, as far as it can."""
        if self._files:
            with suppress(OSError):
                self._files[-1].sync()

    def rest(self) -> None:
        """Let go of all descriptors."""
        for segment in self._files:
            segment.rest()
