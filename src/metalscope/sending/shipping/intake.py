"""Where records are put by any thread: batches that fill, until the lane takes them in."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from metalscope.sending.shipping.base import Batch
from metalscope.sending.shipping.packing import pack

__all__ = ["Intake", "Ticket"]


@dataclass(eq=False, slots=True)
class Ticket:
    """Stands in the queue behind all that was put before it.

    ``kept`` is done when all that is in the spool. ``over`` becomes true when all of that is over,
    and false as soon as it cannot be by ``until``, a moment of the lane's clock.
    """

    until: float
    urges: bool
    kept: Future[None] = field(default_factory=Future)
    over: Future[bool] = field(default_factory=Future)


class _Packed(NamedTuple):
    data: bytes
    records: int
    record_bytes: int


class Intake:
    """Batches in the making, within bounds. Putting takes a lock for as long as a list grows.

    Args:
        batch_size: most records in a batch.
        batch_bytes: most bytes in one; a larger record is a batch of its own.
        most_bytes: most bytes of full batches that wait here; past it the oldest is let go.
        linger: seconds a batch waits for more records before it goes as it is.
        monotonic: seconds that only ever grow.
    """

    def __init__(
        self,
        *,
        batch_size: int,
        batch_bytes: int,
        most_bytes: int,
        linger: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._batch_size = batch_size
        self._batch_bytes = batch_bytes
        self._most_bytes = most_bytes
        self._linger = linger
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._open: list[bytes] = []
        self._open_bytes = 0
        self._due = inf
        self._closed: deque[_Packed | Ticket] = deque()
        self._closed_bytes = 0
        self._waiting = 0
        self._waiting_bytes = 0
        self._lost = 0

    def put(self, records: Sequence[bytes], *, urgent: bool) -> bool:
        """Put records behind all others; whether the lane is to look at once."""
        if not records:
            return False
        with self._lock:
            was_due = self._due
            for record in records:
                if self._open and (
                    len(self._open) >= self._batch_size
                    or self._open_bytes + len(record) > self._batch_bytes
                ):
                    self._seal()
                self._open.append(record)
                self._open_bytes += len(record)
                self._waiting += 1
                self._waiting_bytes += len(record)
            full = len(self._open) >= self._batch_size or self._open_bytes >= self._batch_bytes
            if urgent or full or not self._linger:
                self._seal()
            elif self._due == inf:
                self._due = self._monotonic() + self._linger
            if self._closed_bytes > self._most_bytes:
                self._drop_oldest()
            return bool(self._closed) or self._due != was_due

    def queue(self, ticket: Ticket) -> None:
        """Put a ticket behind all that was put, and let a batch that is not full go."""
        with self._lock:
            self._seal()
            self._closed.append(ticket)

    def take(self, now: float) -> bytes | Ticket | None:
        """The oldest batch that is to go, packed, or a ticket; ``None`` where nothing is due."""
        with self._lock:
            if now >= self._due:
                self._seal()
            if not self._closed:
                return None
            one = self._closed.popleft()
            if isinstance(one, Ticket):
                return one
            self._forget(one)
            return one.data

    def wait(self, now: float) -> float:
        """Seconds until :meth:`take` gives something."""
        with self._lock:
            return 0.0 if self._closed else max(0.0, self._due - now)

    @property
    def waiting(self) -> tuple[int, int]:
        """How many records are here, and their bytes."""
        with self._lock:
            return self._waiting, self._waiting_bytes

    @property
    def lost(self) -> int:
        """How many were let go for want of room."""
        return self._lost

    def _seal(self) -> None:
        if self._open:
            # Packed here, as hundreds of small objects take more memory than what they hold.
            batch = Batch(os.urandom(16).hex(), tuple(self._open))
            packed = _Packed(pack(batch), len(self._open), self._open_bytes)
            self._closed.append(packed)
            self._closed_bytes += len(packed.data)
            self._open = []
            self._open_bytes = 0
        self._due = inf

    def _drop_oldest(self) -> None:
        kept: deque[_Packed | Ticket] = deque()
        while self._closed:
            one = self._closed.popleft()
            if isinstance(one, Ticket) or self._closed_bytes <= self._most_bytes:
                kept.append(one)
            else:
                self._forget(one)
                self._lost += one.records
        self._closed = kept

    def _forget(self, packed: _Packed) -> None:
        self._closed_bytes -= len(packed.data)
        self._waiting -= packed.records
        self._waiting_bytes -= packed.record_bytes
