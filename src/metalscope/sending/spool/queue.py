"""The queue of one exporter: what waits to be sent, oldest first, within bounds.

What waits is bytes; ``weigh`` says how many things those are, such as the log records in a batch,
and all counts are of those. A snapshot is one.

Nothing is lost track of: of all that was put in, each was over in the end (``done``), or was
dropped, for a reason that is counted, or waits.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from metalscope.fork import reset_in_child
from metalscope.sending.result import Reason
from metalscope.sending.spool.clock import elapsed as elapsed_seconds

__all__ = ["Accounts", "MemorySpool", "Spool", "SpoolStats", "Spooled", "Weigh", "one_each"]

ENTRY_BYTES: Final = 256
"""What a waiting snapshot takes in memory beside its data, rounded up: CPython's objects."""


Weigh = Callable[[bytes], int]
"""How many things some data are, 1 at least. It never raises, whatever the bytes."""


def one_each(data: bytes) -> int:  # noqa: ARG001 - as Weigh
    """Data are one thing."""
    return 1


@dataclass(frozen=True, slots=True)
class Spooled:
    """One snapshot that waits. ``timestamp`` is its own, UTC; ``sequence`` grows from one to the
    next within a spool, by what the data weigh."""

    sequence: int
    timestamp: datetime
    data: bytes


@dataclass(frozen=True, slots=True)
class SpoolStats:
    """What a spool holds and what it let go.

    ``waiting`` is how many snapshots wait, ``waiting_bytes`` their data, ``oldest`` the timestamp
    of the first. ``dropped`` counts since the spool was opened: ``QUEUE_FULL`` for room,
    ``EXPIRED`` by age, ``SUPERSEDED`` by a newer one, ``CORRUPT`` where the disk did not give back
    what was written, ``DISK`` where it would not take it. ``torn_bytes`` were cut off at opening,
    the beginning of a record that a killed process did not finish. ``disk_error`` says how the
    disk failed last; ``None`` before, and again when it took all that was in memory.
    """

    waiting: int = 0
    waiting_bytes: int = 0
    oldest: datetime | None = None
    dropped: Mapping[Reason, int] = field(default_factory=lambda: MappingProxyType({}))
    torn_bytes: int = 0
    disk_error: str | None = None


class Spool(Protocol):
    """One queue of one exporter. One thread uses it; any may read ``stats``.

    In a forked child it is empty and closed: what waits is the parent's to send.
    """

    def append(self, data: bytes, timestamp: datetime) -> None:
        """Put a snapshot behind all others. Never raises for want of room or of a working disk.

        Past ``max_bytes`` the oldest are let go. After ``close()`` nothing is put anywhere.
        """
        ...

    def first(self) -> Spooled | None:
        """The oldest that waits, when those past ``max_age`` are let go; it stays until it is over.

        ``None`` where nothing waits.
        """
        ...

    def done(self, sequence: int, *, delivered: bool, left: bytes | None = None) -> None:
        """What ``first()`` gave is over: it arrived, or it never will.

        That holds even where it had to make room meanwhile. Another sequence is passed over.

        Args:
            sequence: of what ``first()`` gave.
            delivered: whether it is what ``last_delivered()`` gives from then on.
            left: what of it is not over. It takes its place as the first, and is as old. A spool
                of which parts are left keeps nothing of what was delivered.
        """
        ...

    def last_delivered(self) -> bytes | None:
        """The data of the last that arrived: what an exporter of differences counts from."""
        ...

    def replace_all(self, data: bytes, timestamp: datetime) -> None:
        """Put a snapshot in the place of all that wait: for peers that keep only the last."""
        ...

    @property
    def next(self) -> int:
        """The sequence of what is put next: all before is over when the first is not smaller."""
        ...

    @property
    def stats(self) -> SpoolStats:
        """How it stands, as of the last call that changed it."""
        ...

    def close(self) -> None:
        """Let go of it. On disk, what waits stays there. Idempotent."""
        ...


class Accounts:
    """What was handed out, and how many were dropped and why.

    One that has to make room while it is being exported is counted only when it is known that it
    did not arrive after all.
    """

    def __init__(self) -> None:
        self._dropped: Counter[Reason] = Counter()
        self._handed: Spooled | None = None
        self._weight = 0
        self._handed_is_gone: Reason | None = None

    @property
    def dropped(self) -> Mapping[Reason, int]:
        """Counts by reason, as they are now."""
        return MappingProxyType(dict(self._dropped))

    def hand_out(self, one: Spooled, weight: int) -> None:
        """Now it is being exported."""
        self._handed = one
        self._weight = weight

    def take_back(self) -> None:
        """What was handed out did not come to its end."""
        if self._handed_is_gone is not None:
            self._dropped[self._handed_is_gone] += self._weight
        self._handed = self._handed_is_gone = None

    def over(self, sequence: int) -> Spooled | None:
        """What was handed out under this number came to its end; ``None`` if nothing was."""
        handed = self._handed
        if handed is None or handed.sequence != sequence:
            return None
        self._handed = self._handed_is_gone = None
        return handed

    def drop(self, reason: Reason, count: int, first: int | None = None) -> None:
        """Count so many, of which the oldest has the number ``first``."""
        if count and self._handed is not None and self._handed.sequence == first:
            self._handed_is_gone = reason
            count -= self._weight
        if count:
            self._dropped[reason] += count


class _Entry(NamedTuple):
    one: Spooled
    since: float
    weight: int

    @property
    def size(self) -> int:
        return len(self.one.data) + ENTRY_BYTES


class MemorySpool:
    """A :class:`Spool` that ends with the process.

    Args:
        max_bytes: most bytes in memory, :data:`ENTRY_BYTES` for each snapshot included.
        max_age: how long one waits.
        elapsed: seconds that only ever grow.
        weigh: how many things some data are, for all counts.
    """

    _accounts: Accounts
    _last_delivered: bytes | None

    def __init__(
        self,
        *,
        max_bytes: int,
        max_age: timedelta,
        elapsed: Callable[[], float] = elapsed_seconds,
        weigh: Weigh = one_each,
    ) -> None:
        self._weigh = weigh
        self._max_bytes = max_bytes
        self._max_age = max_age.total_seconds()
        self._elapsed = elapsed
        self._next = 1
        self.start_at_zero()
        self._closed = False
        reset_in_child(self)

    def append(self, data: bytes, timestamp: datetime) -> None:
        """See :meth:`Spool.append`."""
        if self._closed:
            return
        weight = self._weigh(data)
        entry = _Entry(Spooled(self._next, timestamp, data), self._elapsed(), weight)
        self._next += weight
        if entry.size > self._max_bytes:
            self._accounts.drop(Reason.QUEUE_FULL, weight)
        else:
            self._waiting.append(entry)
            self._bytes += entry.size
            self._weight += weight
            while self._bytes > self._max_bytes:
                self._drop_first(Reason.QUEUE_FULL)
        self._publish()

    def first(self) -> Spooled | None:
        """See :meth:`Spool.first`."""
        if self._closed:
            return None
        self._accounts.take_back()
        latest = self._elapsed() - self._max_age
        while self._waiting and self._waiting[0].since < latest:
            self._drop_first(Reason.EXPIRED)
        self._publish()
        if not self._waiting:
            return None
        entry = self._waiting[0]
        self._accounts.hand_out(entry.one, entry.weight)
        self._handed_since = entry.since
        return entry.one

    def done(self, sequence: int, *, delivered: bool, left: bytes | None = None) -> None:
        """See :meth:`Spool.done`."""
        one = self._accounts.over(sequence)
        if one is None:
            return
        if self._waiting and self._waiting[0].one is one:
            self._take_first()
        if left is not None:
            self._put_first(Spooled(sequence, one.timestamp, left))
        elif delivered:
            self._last_delivered = one.data
        self._publish()

    def last_delivered(self) -> bytes | None:
        """See :meth:`Spool.last_delivered`."""
        return self._last_delivered

    def replace_all(self, data: bytes, timestamp: datetime) -> None:
        """See :meth:`Spool.replace_all`."""
        while self._waiting:
            self._drop_first(Reason.SUPERSEDED)
        self.append(data, timestamp)

    @property
    def next(self) -> int:
        """See :attr:`Spool.next`."""
        return self._next

    @property
    def stats(self) -> SpoolStats:
        """See :attr:`Spool.stats`."""
        return self._stats

    def close(self) -> None:
        """Let go of it and of all that waits, which stays in the last ``stats``. Idempotent."""
        if not self._closed:
            self._closed = True
            self._accounts.take_back()
            self._publish()
            self._waiting.clear()

    def start_at_zero(self) -> None:
        """In a forked child: what waits is the parent's to send."""
        self._closed = True
        self._waiting: deque[_Entry] = deque()
        self._bytes = 0
        self._weight = 0
        self._handed_since = 0.0
        self._accounts = Accounts()
        self._last_delivered = None
        self._stats = SpoolStats()

    def _drop_first(self, reason: Reason) -> None:
        entry = self._take_first()
        self._accounts.drop(reason, entry.weight, entry.one.sequence)

    def _take_first(self) -> _Entry:
        entry = self._waiting.popleft()
        self._bytes -= entry.size
        self._weight -= entry.weight
        return entry

    def _put_first(self, one: Spooled) -> None:
        """What is left of the one that was handed out. As it is smaller there is room for it,
        unless the other had to make room; then it has to as well."""
        entry = _Entry(one, self._handed_since, self._weigh(one.data))
        if self._bytes + entry.size > self._max_bytes:
            self._accounts.drop(Reason.QUEUE_FULL, entry.weight)
            return
        self._waiting.appendleft(entry)
        self._bytes += entry.size
        self._weight += entry.weight

    def _publish(self) -> None:
        self._stats = SpoolStats(
            self._weight,
            self._bytes - ENTRY_BYTES * len(self._waiting),
            self._waiting[0].one.timestamp if self._waiting else None,
            self._accounts.dropped,
        )
