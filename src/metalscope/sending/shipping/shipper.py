"""Shipper: takes records from any thread and has them sent in batches, in order, each once."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Final

from metalscope.errors import MetalscopeError
from metalscope.fork import reset_in_child
from metalscope.sending.calls import CallThread
from metalscope.sending.clock import Clock
from metalscope.sending.result import Reason
from metalscope.sending.shipping.base import BatchSender
from metalscope.sending.shipping.intake import Intake, Ticket
from metalscope.sending.shipping.lane import Lane, Standing
from metalscope.sending.shipping.plan import Plan
from metalscope.sending.shipping.queues import Held, Queues
from metalscope.sink_status import SinkStatus

if TYPE_CHECKING:
    from metalscope.shipping_options import DeliveryOptions
    from metalscope.sink_status import Signal

__all__ = ["Shipper"]

logger = logging.getLogger("metalscope")

LINGER: Final = timedelta(seconds=1)
"""How long a batch that is not full waits for more records."""

_LONGEST_WAIT: Final = 60.0
"""Seconds after which the lane looks again in any case."""
_PAUSE: Final = 1.0
"""Seconds until it is gone on after an error of our own."""
_LEAST_CLOSING: Final = 0.25
"""Seconds that a sender which is not busy is given to let go of what it has, in any case."""


class Shipper:
    """Batches, a queue, and a thread that sends.

    In a forked child it is empty, with a queue of its own: what the parent was given is the
    parent's to send. The thread begins with the first record, or at once where something may wait
    on disk.

    Args:
        name: of the sink, for the log and the metrics.
        type: its type, for the status.
        signal: what it sends.
        sender: who sends; no one else may call it from now on.
        delivery: its queue, and when it is tried again.
        batch_size: most records sent at once.
        batch_bytes: most bytes sent at once, and an eighth of the queue at most; a record that is
            larger goes alone.
        timeout: longest time one sending may take.
        option: the option that names the directory of the queue, for errors.
        on_error: told, as (room, exception), of what the sender raises and of a failing disk.
        clock: the time.
        linger: how long a batch that is not full waits for more records; zero sends what is put
            at once.

    Raises:
        ConfigurationError: the directory of the queue cannot be used.
    """

    _intake: Intake
    _lock: threading.RLock
    _wake: threading.Event
    _queues: Queues | None
    _lane: Lane | None
    _thread: threading.Thread | None

    def __init__(
        self,
        name: str,
        type: str,  # noqa: A002 - the option's own name
        signal: Signal,
        sender: BatchSender,
        *,
        delivery: DeliveryOptions,
        batch_size: int,
        batch_bytes: int,
        timeout: timedelta,
        option: str,
        on_error: Callable[[str, BaseException], None],
        clock: Clock | None = None,
        linger: timedelta = LINGER,
    ) -> None:
        self.name = name
        self._plan = Plan(
            name=name,
            type=type,
            signal=signal,
            sender=sender,
            delivery=delivery,
            batch_size=batch_size,
            batch_bytes=batch_bytes,
            timeout=timeout,
            option=option,
            on_error=on_error,
            clock=clock or Clock(),
            linger=linger,
        )
        self._closed = False
        self.start_at_zero()
        self._queues = self._plan.queues()
        if delivery.spool.directory is not None:
            self._begin()
        reset_in_child(self)

    # -- from any thread -------------------------------------------------------------------------

    def put(self, records: Sequence[bytes], *, urgent: bool = False) -> None:
        """Have records sent, behind all others. Never raises, and waits for nothing outside.

        Args:
            records: as the sender takes them.
            urgent: send at once, together with what was put before.
        """
        if self._closed:
            with self._lock:
                self._late += len(records)
            return
        if self._intake.put(records, urgent=urgent):
            self._look()

    def keep(self, timeout: float) -> bool:
        """Have all that was put in the queue, on disk where it is there.

        Returns:
            Whether it was there within so many s.
        """
        return self._asked(timeout, urges=False, for_kept=True)

    def flush(self, timeout: float) -> bool:
        """Send all that was put, at once whatever the back-off says.

        Returns:
            True when all of it is over: it arrived, was refused, or was let go. False when that
            took longer than ``timeout`` s, or as soon as it is known that it will.
        """
        return self._asked(timeout, urges=True, for_kept=False)

    def status(self) -> SinkStatus:
        """State and counts now, in records."""
        lane, queues = self._lane, self._queues
        standing = lane.standing() if lane is not None else Standing()
        held = queues.held if queues is not None else Held(0, 0, Counter())
        waiting, waiting_bytes = self._intake.waiting
        dropped = standing.dropped + held.dropped
        dropped[Reason.QUEUE_FULL] += self._intake.lost
        dropped[Reason.EXPIRED] += self._late
        return SinkStatus(
            self.name,
            self._plan.type,
            self._plan.signal,
            standing.state,
            delivered=standing.delivered,
            failures=dict(standing.failures),
            dropped=dict(+dropped),
            waiting=waiting + held.waiting,
            waiting_bytes=waiting_bytes + held.waiting_bytes,
            last_success=standing.last_success,
            last_error=standing.last_error,
        )

    def close(self, timeout: float) -> None:
        """Send what can be within so many s, then let go of the sender and the queue.

        What has not gone by then stays on disk, where the queue is there. Idempotent; what is put
        later is counted as dropped.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
        until = monotonic() + timeout
        self.flush(timeout)
        self._ends_at = max(until, monotonic() + _LEAST_CLOSING)
        self._ending = True
        thread = self._thread
        if thread is None:
            # Nothing was ever to be sent, or no thread could be begun any more.
            self._end()
            return
        self._wake.set()
        left = max(0.0, self._ends_at - monotonic()) + _LEAST_CLOSING
        thread.join(min(left, threading.TIMEOUT_MAX))

    def start_at_zero(self) -> None:
        """In a forked child: forget all that was put and counted; the threads are not there."""
        # Of one thread, as the end of an interpreter may do on it what others did before.
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._thread = None
        self._lane = None
        self._queues = None
        self._calls = CallThread(f"metalscope-send-{self.name}")
        self._late = 0
        self._ending = False
        self._ends_at = 0.0
        self._intake = self._plan.intake()

    # -- inside ----------------------------------------------------------------------------------

    def _look(self) -> None:
        """Have the lane look what there is to do."""
        if self._thread is None:
            self._begin()
        if not self._wake.is_set():
            self._wake.set()

    def _asked(self, timeout: float, *, urges: bool, for_kept: bool) -> bool:
        if self._ending:
            return not self.status().waiting
        if self._thread is None and not self._intake.waiting[0]:
            return True
        timeout = min(timeout, threading.TIMEOUT_MAX)
        ticket = Ticket(self._plan.clock.monotonic() + timeout, urges)
        self._intake.queue(ticket)
        self._look()
        if self._thread is None:
            self._go_on_here(ticket, monotonic() + timeout)
            timeout = 0
        with suppress(TimeoutError, CancelledError):
            if for_kept:
                ticket.kept.result(timeout)
                return True
            return ticket.over.result(timeout)
        return False

    def _begin(self) -> None:
        with self._lock:
            if self._thread is not None or self._ending:
                return
            thread = threading.Thread(
                target=self._run, name=f"metalscope-ship-{self.name}", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:
                pass  # The interpreter ends: whoever flushes or closes sends what there is.
            else:
                self._thread = thread

    def _run(self) -> None:
        wake = self._wake
        lane = self._opened()
        while not self._ending:
            wake.clear()
            try:
                wait = lane.turn()
            except Exception as error:  # noqa: BLE001 - law: what is ours goes on
                self._plan.report(error)
                wait = _PAUSE
            if wait > 0 and not self._ending:
                wake.wait(min(wait, _LONGEST_WAIT))
        self._end()

    def _go_on_here(self, ticket: Ticket, until: float) -> None:
        """Do the work of the thread, where none can be begun any more, until the ticket is over."""
        with self._lock:
            lane = self._lane or self._opened()
            while not ticket.over.done() and (left := until - monotonic()) > 0:
                self._wake.clear()
                wait = lane.turn()
                if wait > 0 and not ticket.over.done():
                    self._wake.wait(min(wait, left))

    def _opened(self) -> Lane:
        if self._queues is None:  # in a forked child
            self._queues = self._plan.queues_at_any_rate()
        self._lane = self._plan.lane(self._intake, self._queues, self._calls, self._wake.set)
        return self._lane

    def _end(self) -> None:
        lane = self._lane or self._opened()
        lane.take_in()
        self._close_sender()
        lane.close()
        if left := self.status().waiting:
            is_kept = self._plan.delivery.spool.directory is not None
            fate = "they wait on disk" if is_kept else "they are lost"
            logger.warning("%s: %d records have not gone out; %s", self._plan.who, left, fate)

    def _close_sender(self) -> None:
        if not self._calls.has_begun:
            self._close_it()
            return
        done = self._calls.begin(self._close_it)
        self._calls.end()
        try:
            done.result(max(0.0, self._ends_at - monotonic()))
        except TimeoutError:
            text = f"{self._plan.who}: it did not come back, and is left behind"
            self._plan.report(MetalscopeError(text))

    def _close_it(self) -> None:
        try:
            self._plan.sender.close()
        except Exception as error:  # noqa: BLE001 - law: no sender may harm the program
            self._plan.report(error)
