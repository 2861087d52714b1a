"""A spool that outlives the process: files of records, and how far they are over.

What a call has put there is with the operating system when it returns, so that a process may end
in any way. It is forced to the disk itself when a file is full and at ``close()``: a machine that
loses its power may lose the last of it, and find it damaged, which is then passed over and
counted.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from metalscope.errors import MetalscopeError
from metalscope.fork import reset_in_child
from metalscope.internal import InternalErrors
from metalscope.moments import microseconds, moment, utc_now
from metalscope.sending.result import Reason
from metalscope.sending.spool import clock
from metalscope.sending.spool.clock import SteadyClock
from metalscope.sending.spool.files import SegmentFiles
from metalscope.sending.spool.lock import let_go, make_directory, take, unusable
from metalscope.sending.spool.queue import Accounts, Spooled, SpoolStats, Weigh, one_each
from metalscope.sending.spool.segment import HEAD_BYTES, Record
from metalscope.sending.spool.state import (
    STATE_EXTRA_BYTES,
    State,
    read_state,
    sync_state,
    write_state,
)

__all__ = ["DiskSpool"]

SEGMENT_BYTES: Final = 4 * 1024**2
"""A file of records is no larger, and no larger than an eighth of the whole."""

_GONE: Final = {errno.EIO, errno.ENOENT, errno.ESTALE}
"""After these a file will not be read later either; after others, such as too many open files, it
may be."""


class DiskSpool:
    """A :class:`~metalscope.sending.spool.queue.Spool` in a directory of its own.

    All its files together are never larger than ``max_bytes``. Where the disk takes no more, or
    fails, new snapshots wait in memory, an eighth of ``max_bytes`` at most and the newest of them,
    and go to the disk in their order when it takes them again; what is let go there, or is still
    there at ``close()``, is counted as ``DISK``. A snapshot larger than a quarter of ``max_bytes``
    is let go as ``QUEUE_FULL``.

    Each is over once: after a process was killed between the arrival of a snapshot and ``done()``,
    that one comes again; no other does, unless the disk was full or its power was lost.

    Args:
        directory: made where it is not there; for its owner alone.
        max_bytes: most bytes on the disk.
        max_age: how long one waits: within one process by elapsed time, whatever is done to the
            clock, and over its end by the clock.
        now: the time of day.
        elapsed: seconds that only ever grow.
        on_error: told, as (room, exception), of a failing disk and of damage.
        option: the option that names the directory, for errors.
        weigh: how many things some data are, for all counts. After the end of a process the last
            one, if it is damaged, counts as 1, whatever it weighed.

    Raises:
        SpoolInUseError: another process has the directory, or another spool of this one.
        ConfigurationError: the directory cannot be made, read or written to.
    """

    _done: int
    _accounts: Accounts
    _last_delivered: bytes | None
    _left: Record | None
    _record: Record | None

    def __init__(
        self,
        directory: Path,
        *,
        max_bytes: int,
        max_age: timedelta,
        now: Callable[[], datetime] = utc_now,
        elapsed: Callable[[], float] = clock.elapsed,
        on_error: Callable[[str, BaseException], None] | None = None,
        option: str = "export.spool.directory",
        weigh: Weigh = one_each,
    ) -> None:
        self.directory = directory
        """Where it is."""
        self._max_bytes = max_bytes
        self._max_age = max_age // timedelta(microseconds=1)
        self._on_error = on_error or InternalErrors().report
        self._weigh = weigh
        self._lock: int | None = None
        self._files = SegmentFiles(directory, min(SEGMENT_BYTES, max_bytes // 8), weigh)
        self._empty()
        try:
            make_directory(directory, private=True)
            self._lock = take(directory)
            appended = self._open()
        except OSError as error:
            self._let_go()
            raise unusable(option, directory, error) from error
        self._clock = SteadyClock(now, elapsed, appended)
        reset_in_child(self)
        with suppress(OSError):  # it will be tried before anything is written
            self._make_room(0)
        self._publish()

    def append(self, data: bytes, timestamp: datetime) -> None:
        """See :meth:`Spool.append <metalscope.sending.spool.queue.Spool.append>`."""
        if self._lock is not None:
            self._add(data, timestamp)
            self._publish()

    def first(self) -> Spooled | None:
        """See :meth:`Spool.first <metalscope.sending.spool.queue.Spool.first>`."""
        if self._lock is None:
            return None
        self._accounts.take_back()
        latest = self._clock() - self._max_age
        while (record := self._peek()) is not None and record.appended < latest:
            self._accounts.drop(Reason.EXPIRED, record.weight)
            self._over(record)
            self._unsaved = True
        if self._unsaved:
            self._save()
        self._files.purge()
        self._publish()
        if record is None:
            return None
        one = Spooled(record.sequence, moment(record.timestamp), record.data)
        self._accounts.hand_out(one, record.weight)
        self._handed = record
        return one

    def done(self, sequence: int, *, delivered: bool, left: bytes | None = None) -> None:
        """See :meth:`Spool.done <metalscope.sending.spool.queue.Spool.done>`."""
        one = self._accounts.over(sequence)
        if one is None or self._lock is None:
            return
        first = self._left or self._record
        if first is not None and first.sequence == sequence:
            self._over(first)
        handed = self._handed
        self._done = max(self._done, handed.last)
        if left is not None:
            weight = self._weigh(left)
            self._left = Record(sequence, handed.timestamp, handed.appended, left, weight)
            self._record = None
        elif delivered:
            self._last_delivered = one.data
        self._save()
        self._files.purge()
        if self._unsaved:
            # That may have made room for it; what is in memory would take that.
            self._save()
        self._flush()
        self._publish()

    def last_delivered(self) -> bytes | None:
        """See :meth:`Spool.last_delivered <metalscope.sending.spool.queue.Spool.last_delivered>`.

        It is what another process delivered, where this one has not delivered anything yet.
        """
        return self._last_delivered

    def replace_all(self, data: bytes, timestamp: datetime) -> None:
        """See :meth:`Spool.replace_all <metalscope.sending.spool.queue.Spool.replace_all>`."""
        if self._lock is None:
            return
        superseded = self._forget_all(Reason.SUPERSEDED)
        before = self._next - 1
        self._add(data, timestamp)
        if superseded:
            self._done = max(self._done, before)
            self._save()
            self._files.purge()
        self._publish()

    @property
    def next(self) -> int:
        """See :attr:`Spool.next <metalscope.sending.spool.queue.Spool.next>`."""
        return self._next

    @property
    def stats(self) -> SpoolStats:
        """See :attr:`Spool.stats <metalscope.sending.spool.queue.Spool.stats>`."""
        return self._stats

    def close(self) -> None:
        """Force what waits to the disk and let go of the directory. Idempotent."""
        if self._lock is None:
            return
        self._accounts.take_back()
        self._flush()
        while self._tail:
            self._drop_from_tail()
        if self._unsaved:
            self._save()
        self._files.purge(keep=0)
        self._publish()
        self._files.sync()
        sync_state(self.directory)
        self._let_go()

    def start_at_zero(self) -> None:
        """In a forked child: the files are the parent's, and this is closed."""
        if self._lock is not None:
            # Closing one's own copy of the descriptor leaves the lock to the parent.
            os.close(self._lock)
            self._lock = None
        self._let_go()
        self._files = SegmentFiles(self.directory, 0)
        self._empty()

    def _empty(self) -> None:
        self._tail: deque[Record] = deque()
        self._tail_bytes = 0
        self._left = None
        self._record = None
        self._handed = Record(0, 0, 0, b"")
        self._accounts = Accounts()
        self._last_delivered = None
        self._done = 0
        self._next = 1
        self._largest = 0
        self._unsaved = False
        self._torn_bytes = 0
        self._disk_error: str | None = None
        self._stats = SpoolStats()

    def _open(self) -> int:
        """Read what is there; return when the newest was put there."""
        state = read_state(self.directory)
        self._done, self._next = state.done, state.done + 1
        if len(state.delivered or b"") <= self._max_bytes // 4:  # it was larger once
            self._last_delivered = state.delivered
            self._largest = len(state.delivered or b"")
        if state.left is not None:
            weight = self._weigh(state.left.data)
            self._left = replace(state.left, sequence=self._done - weight + 1, weight=weight)
            self._largest = len(state.left.data)
        found = self._files.open(self._done)
        self._next = max(self._next, found.next)
        self._largest = max(self._largest, found.largest)
        self._torn_bytes = found.torn_bytes
        self._damaged(found.lost)
        return found.appended

    def _add(self, data: bytes, timestamp: datetime) -> None:
        weight = self._weigh(data)
        record = Record(self._next, microseconds(timestamp), self._clock(), data, weight)
        self._next += weight
        if record.size > self._max_bytes // 4:
            self._accounts.drop(Reason.QUEUE_FULL, weight)
            return
        self._largest = max(self._largest, len(data))
        self._tail.append(record)
        self._tail_bytes += record.size
        self._flush()
        while self._tail_bytes > self._max_bytes // 8:
            self._drop_from_tail()

    def _flush(self) -> None:
        """Bring what is in memory to the disk, in its order, as far as the disk takes it."""
        if not self._tail:
            return
        try:
            while self._tail:
                self._make_room(self._tail[0].size)
                if self._files.append(self._tail[0]):
                    sync_state(self.directory)
                self._tail_bytes -= self._tail.popleft().size
        except OSError as error:
            self._failed(error)
        else:
            self._worked()
            if self._unsaved:
                self._save()

    def _make_room(self, size: int) -> None:
        # The state and the one that will take its place are there at the same time.
        state = 2 * (STATE_EXTRA_BYTES + self._largest)
        while self._files.size and state + size + self._files.size > self._max_bytes:
            waited = self._files.drop_first()
            if waited:
                self._accounts.drop(Reason.QUEUE_FULL, waited, self._first_sequence())
                self._record = None

    def _drop_from_tail(self) -> None:
        record = self._tail.popleft()
        self._tail_bytes -= record.size
        self._accounts.drop(Reason.DISK, record.weight, record.sequence)
        if self._record is record:
            self._record = None

    def _forget_all(self, reason: Reason) -> int:
        waiting = self._waiting()
        self._accounts.drop(reason, waiting, self._first_sequence())
        self._files.forget()
        self._tail.clear()
        self._tail_bytes = 0
        self._left = self._record = None
        return waiting

    def _waiting(self) -> int:
        waiting = self._files.waiting + sum(record.weight for record in self._tail)
        return waiting if self._left is None else waiting + self._left.weight

    def _first_sequence(self) -> int | None:
        return None if self._record is None else self._record.sequence

    def _peek(self) -> Record | None:
        """The oldest that waits."""
        if self._left is not None:
            return self._left
        while self._record is None:
            segment = self._files.front()
            if segment is None:
                self._record = self._tail[0] if self._tail else None
                break
            try:
                self._record = segment.read()
                if self._record is None:
                    self._damaged(segment.mend(self._done))
            except OSError as error:
                self._failed(error)
                if error.errno not in _GONE:
                    return None
                self._accounts.drop(Reason.DISK, segment.waiting)
                segment.forget()
        return self._record

    def _over(self, record: Record) -> None:
        """The oldest is over."""
        self._record = None
        if record is self._left:
            self._left = None
            return
        self._done = record.last
        segment = self._files.front()
        if segment is not None:
            segment.over(record)
        else:
            self._tail_bytes -= self._tail.popleft().size

    def _save(self) -> None:
        try:
            write_state(self.directory, State(self._done, self._last_delivered, self._left))
        except OSError as error:
            self._unsaved = True
            self._failed(error)
        else:
            self._unsaved = False
            self._worked()

    def _failed(self, error: OSError) -> None:
        self._disk_error = error.strerror or str(error)
        self._on_error("spool", error)

    def _worked(self) -> None:
        if not self._tail and not self._unsaved:
            self._disk_error = None

    def _damaged(self, lost: int) -> None:
        if lost:
            self._accounts.drop(Reason.CORRUPT, lost)
            text = f"{lost} snapshots in {self.directory} are damaged and were passed over"
            self._on_error("spool", MetalscopeError(text))

    def _publish(self) -> None:
        oldest = self._peek()
        self._stats = SpoolStats(
            self._waiting(),
            self._files.waiting_bytes + self._tail_bytes - HEAD_BYTES * len(self._tail),
            None if oldest is None else moment(oldest.timestamp),
            self._accounts.dropped,
            self._torn_bytes,
            self._disk_error,
        )

    def _let_go(self) -> None:
        self._files.rest()
        if self._lock is not None:
            lock, self._lock = self._lock, None
            let_go(lock)
