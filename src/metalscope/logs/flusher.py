"""The one thread that makes lines of records: sanitized, encoded, and handed to the shippers."""

from __future__ import annotations

import _thread
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

from metalscope.logs.buffer import SEVERITY, Entry, RecordBuffer
from metalscope.logs.making import record_of
from metalscope.logs.record import LogRecord, Severity

if TYPE_CHECKING:
    from metalscope.export_options import Audience
    from metalscope.logs.running import RunningSink

__all__ = ["ROOM", "THREAD_NAME", "CleansRecords", "Flusher", "KeepsRecords"]

ROOM: Final = "logs"
"""What goes wrong here is told under this name."""

THREAD_NAME: Final = "metalscope-log"

_AT_ONCE: Final = 500
"""Records that are made, encoded and handed over in one go; a count."""


class CleansRecords(Protocol):
    """What is asked of a :class:`~metalscope.sanitizing.Sanitizer`."""

    def record(self, record: LogRecord, audience: Audience) -> LogRecord:
        """As ``audience`` may see it."""
        ...


class KeepsRecords(Protocol):
    """What is asked of :class:`~metalscope.logs.recent.RecentRecords`."""

    audience: Final[Audience]  # type: ignore[misc]

    def take(self, records: Sequence[LogRecord | None]) -> None:
        """Keep these, sanitized for ``audience``; ``None`` is one that could not be."""
        ...


class Flusher:
    """Empties the buffer on a thread of its own: each ``interval``, and when it is rung.

    The thread is started by :meth:`ring`, which waits for nothing, so a signal handler and a
    finalizer may ring. What goes wrong with a record costs that record, never the thread.

    Args:
        buffer: what is emptied.
        sanitizer: what no record gets past.
        sinks: where records go to.
        interval: longest time, in s, until it looks into the buffer by itself.
        urgent: whether what is handed over is urgent always, not only from error on.
        on_error: told of what goes wrong, as (room, exception).
        tail: what keeps the latest records here; it is no sink.
    """

    def __init__(
        self,
        buffer: RecordBuffer,
        *,
        sanitizer: CleansRecords,
        sinks: Sequence[RunningSink],
        interval: float,
        urgent: bool,
        on_error: Callable[[str, BaseException], None],
        tail: KeepsRecords | None = None,
    ) -> None:
        self._buffer = buffer
        self._sanitizer = sanitizer
        self._sinks = tuple(sinks)
        self._interval = min(interval, threading.TIMEOUT_MAX)
        self._urgent = urgent
        self._on_error = on_error
        self._tail = tail
        self.start_at_zero()

    def start_at_zero(self) -> None:
        """Have no thread, and forget all counts."""
        # A bell: held while nobody has rung. Releasing is one call that never waits.
        self._bell = threading.Lock()
        self._bell.acquire()
        self._rung = False
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self.is_running = False
        """Whether there is a thread."""
        self._draining = threading.Lock()
        self._drainer: int | None = None
        self._asked: deque[threading.Event] = deque()
        self._ending = False
        self.lost: Counter[str] = Counter()
        """Records that could not be made into what a sink keeps, by the sink's name."""

    def ring(self) -> None:
        """Have the buffer emptied now."""
        if not self.is_running:
            self._start()
        if not self._rung:
            self._rung = True
            with suppress(RuntimeError):  # another thread rang at this moment
                self._bell.release()

    def drain(self, timeout: float) -> bool:
        """Wait, in s, until all that is in the buffer now was handed over; whether it was."""
        if self._drainer == _thread.get_ident():
            return False  # asked by what the flusher itself called
        if not self.is_running:
            if not self._buffer.entries:
                return True
            self._start()
        if not self.is_running:  # no thread can be started when the interpreter ends
            return self._drain_here(timeout)
        done = threading.Event()
        self._asked.append(done)
        self.ring()
        return done.wait(timeout)

    def end(self, timeout: float = 0.0) -> None:
        """Have the thread end, and wait for that, in s, at most so long."""
        self._ending = True
        if self.is_running:
            self.ring()
        thread = self._thread
        if timeout and thread is not None and thread.ident != _thread.get_ident():
            with suppress(RuntimeError):  # it did not begin yet
                thread.join(min(timeout, threading.TIMEOUT_MAX))

    def _start(self) -> None:
        if self._ending or not self._starting.acquire(blocking=False):
            return
        try:
            if not self.is_running:
                # Thread.start() waits for the thread, and takes a lock a finalizer may be within:
                # it is called on a thread that is started without either.
                self.is_running = True
                _thread.start_new_thread(self._start_thread, (self._bell,))
        except RuntimeError:  # out of threads, or the interpreter ends: the next ring tries again
            self.is_running = False
        finally:
            self._starting.release()

    def _start_thread(self, bell: threading.Lock) -> None:  # type: ignore[valid-type,unused-ignore]
        self._thread = threading.Thread(
            target=self._run, args=(bell,), name=THREAD_NAME, daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError:
            self._run(bell)  # this is a thread as well

    def _run(self, bell: threading.Lock) -> None:  # type: ignore[valid-type,unused-ignore]
        while not self._ending:
            bell.acquire(timeout=self._interval)
            self._rung = False
            asked = [self._asked.popleft() for _ in range(len(self._asked))]
            try:
                self._drain_here(-1)
            except BaseException as error:  # noqa: BLE001 - law: the thread goes on
                self._report(error)
            for one in asked:
                one.set()
        self.is_running = False

    def _drain_here(self, timeout: float) -> bool:
        if not self._draining.acquire(timeout=timeout):
            return False
        self._drainer = _thread.get_ident()
        try:
            entries = self._buffer.take()
            for start in range(0, len(entries), _AT_ONCE):
                self._hand_over(entries[start : start + _AT_ONCE])
        finally:
            self._drainer = None
            self._draining.release()
        return True

    def _hand_over(self, entries: Sequence[Entry]) -> None:
        urgent = self._urgent or any(entry[SEVERITY] >= Severity.ERROR for entry in entries)
        records = list(self._made(entries))
        by_audience: dict[Audience, list[LogRecord | None]] = {}
        for running in self._sinks:
            clean = by_audience.get(running.audience)
            if clean is None:
                clean = [self._sanitized(record, running.audience) for record in records]
                by_audience[running.audience] = clean
            lines = self._encoded(running, clean)
            if not lines:
                continue
            try:
                running.shipper.put(lines, urgent=urgent)
            except BaseException as error:  # noqa: BLE001 - law: one sink is not to harm another
                self.lost[running.options.name] += len(lines)
                self._report(error)
        if self._tail is not None:
            self._keep(self._tail, records, by_audience)

    def _keep(
        self,
        tail: KeepsRecords,
        records: Sequence[LogRecord],
        by_audience: Mapping[Audience, Sequence[LogRecord | None]],
    ) -> None:
        clean = by_audience.get(tail.audience)
        if clean is None:
            clean = [self._sanitized(record, tail.audience) for record in records]
        try:
            tail.take(clean)
        except Exception as error:  # noqa: BLE001 - law: the records are with the sinks already
            self._report(error)

    def _made(self, entries: Sequence[Entry]) -> Iterable[LogRecord]:
        for entry in entries:
            try:
                yield record_of(entry)
            except BaseException as error:  # noqa: BLE001 - law: nor one record another
                self.lost.update([running.options.name for running in self._sinks])
                self._report(error)

    def _sanitized(self, record: LogRecord, audience: Audience) -> LogRecord | None:
        try:
            return self._sanitizer.record(record, audience)
        except BaseException as error:  # noqa: BLE001 - law: what was not looked at stays in
            self._report(error)
            return None

    def _encoded(self, running: RunningSink, records: Sequence[LogRecord | None]) -> list[bytes]:
        lines: list[bytes] = []
        encode, least = running.sink.encode, running.severity
        for record in records:
            if record is None:
                self.lost[running.options.name] += 1
            elif record.severity >= least:
                try:
                    lines.append(encode(record))
                except BaseException as error:  # noqa: BLE001 - law: it costs this record here
                    self.lost[running.options.name] += 1
                    self._report(error)
        return lines

    def _report(self, error: BaseException) -> None:
        with suppress(Exception):
            self._on_error(ROOM, error)


def remaining(until: float) -> float:
    """Seconds from now to a moment of the monotonic clock; 0 where it is past."""
    return min(max(0.0, until - monotonic()), threading.TIMEOUT_MAX)
