"""One sender's way out: what waits for it, when it is tried, and what became of each try.

A lane has no thread of its own and no sleep: :meth:`Lane.turn` does what is due and says how long
until the next thing is. Who calls it decides what time means.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import Final, Protocol, TypeVar

from metalscope.export_status import BreakerState
from metalscope.sending.clock import Clock
from metalscope.sending.pace import Pace
from metalscope.sending.patience import Patience
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.sending.shipping.base import Batch, BatchSender
from metalscope.sending.shipping.intake import Intake, Ticket
from metalscope.sending.shipping.outcome import Outcome, sent
from metalscope.sending.shipping.packing import pack, unpack, weigh
from metalscope.sending.shipping.queues import Queues
from metalscope.sending.spool.queue import Spool, Spooled
from metalscope.sending.telling import Telling

__all__ = ["Calls", "Lane", "Standing"]

_T = TypeVar("_T")

GRACE: Final = 1.0
"""Seconds after its time that a sender has to come back, before it is said to hang; no more than
its time once again."""


class Calls(Protocol):
    """Where the sender is called."""

    def begin(self, call: Callable[[], _T]) -> Future[_T]:
        """Have it called when all before it have returned."""
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """What a lane counts: as in :class:`~metalscope.sink_status.SinkStatus`."""

    state: BreakerState = BreakerState.CLOSED
    delivered: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    last_success: datetime | None = None
    last_error: str = ""


@dataclass(slots=True)
class _Attempt:
    spool: Spool
    spooled: Spooled
    batch: Batch
    future: Future[Outcome]
    deadline: float
    overdue: bool = False


class Lane:
    """Pace and counts of one sender.

    All methods but :meth:`standing` belong to one thread.

    Args:
        sender: who sends.
        intake: where records are put.
        queues: where batches wait.
        calls: where the sender is called.
        pace: when it may be.
        timeout: for how many s.
        replay_interval: least s between two sendings while what waited is worked off.
        telling: what the log says of it.
        on_error: told of what the sender raises.
        clock: the time.
        wake: called, from any thread, when :meth:`turn` has something to do before it said.
    """

    def __init__(
        self,
        sender: BatchSender,
        *,
        intake: Intake,
        queues: Queues,
        calls: Calls,
        pace: Pace,
        timeout: float,
        replay_interval: float,
        telling: Telling,
        on_error: Callable[[BaseException], None],
        clock: Clock,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._sender = sender
        self._intake = intake
        self._queues = queues
        self._calls = calls
        self._pace = pace
        self._timeout = timeout
        self._replay_interval = replay_interval
        self._telling = telling
        self._on_error = on_error
        self._clock = clock
        self._wake = wake
        self._patience = Patience()
        self._attempt: _Attempt | None = None
        self._not_before = 0.0
        # What a process before this one left has waited already.
        self._is_behind = queues.own.stats.waiting > 0
        self._tickets: list[tuple[int, Ticket]] = []
        self._lock = threading.Lock()
        self._delivered = 0
        self._failures: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._last_success: datetime | None = None
        self._last_error = ""

    def standing(self) -> Standing:
        """State and counts now; from any thread."""
        with self._lock:
            return Standing(
                self._pace.state(self._clock.monotonic()),
                self._delivered,
                self._failures.copy(),
                self._dropped.copy(),
                self._last_success,
                self._last_error,
            )

    def turn(self) -> float:
        """Do what is due; return in how many seconds more will be."""
        now = self._clock.monotonic()
        self.take_in(now)
        if self._attempt is not None:
            wait = self._look_after(self._attempt, now)
            if self._attempt is not None:
                self._settle(None if self._queues.own.stats.waiting == 0 else 0, inf, now)
                return min(wait, self._until_next(now))
        spool, spooled = self._queues.first(now)
        if spooled is None:
            self._is_behind = False
            self._settle(None, inf, now)
            return min(self._queues.wait(now), self._until_next(now))
        wait = max(self._pace.wait(now), self._not_before - now, 0.0)
        self._settle(spooled.sequence if spool is self._queues.own else None, wait, now)
        if wait > 0:
            return min(wait, self._until_next(now))
        batch = unpack(spooled.data)
        if batch is None:
            self._pass_over(spool, spooled)
            return 0.0
        return self._begin(spool, spooled, batch, now)

    def take_in(self, now: float = inf) -> None:
        """Put into the spool what is to go there; at the end of time, that is all."""
        while (one := self._intake.take(now)) is not None:
            if not isinstance(one, Ticket):
                self._queues.own.append(one, self._clock.now())
                continue
            one.kept.set_result(None)
            self._tickets.append((self._queues.own.next, one))
            if one.urges:
                with self._lock:
                    self._pace.urge()
                self._not_before = 0.0

    # -- one sending -----------------------------------------------------------------------------

    def _begin(self, spool: Spool, spooled: Spooled, batch: Batch, now: float) -> float:
        future = self._calls.begin(lambda: sent(self._sender, batch, self._timeout, self._on_error))
        deadline = now + self._timeout + min(GRACE, self._timeout)
        self._attempt = _Attempt(spool, spooled, batch, future, deadline)
        # Where it is done already the wake-up comes at once, and the next turn settles it.
        future.add_done_callback(lambda _: self._wake())
        return 0.0 if future.done() else min(deadline - now, self._until_next(now))

    def _look_after(self, attempt: _Attempt, now: float) -> float:
        if attempt.future.done():
            self._attempt = None
            self._note(attempt, attempt.future.result(), now)
            return 0.0
        if attempt.overdue:
            return inf
        if now >= attempt.deadline:
            attempt.overdue = True
            said = f"not done within {self._timeout:.3g} s; it is waited for"
            self._count(Outcome(ExportResult.retry(Reason.TIMEOUT, said)), now)
            return inf
        return attempt.deadline - now

    def _note(self, attempt: _Attempt, outcome: Outcome, now: float) -> None:
        """Have what is over be so in the spool, and count it."""
        result, left = self._patience.judged(attempt.batch.id, outcome.result), outcome.again
        if result is not outcome.result:
            given_up = {Reason.EXPORTER_ERROR: len((left or attempt.batch).records)}
            refused = Counter(outcome.refused) + Counter(given_up)
            outcome, left = Outcome(result, None, outcome.arrived, refused), None
        is_over = result.verdict is not Verdict.RETRY
        if is_over or left is not None:
            remainder = pack(left) if left is not None else None
            attempt.spool.done(attempt.spooled.sequence, delivered=False, left=remainder)
        # One that was given up on counts as failed already; but what arrived has arrived.
        if not attempt.overdue or is_over or left is not None:
            self._count(outcome, now)
        if self._is_behind and not self._tickets:
            self._not_before = now + self._replay_interval

    def _pass_over(self, spool: Spool, spooled: Spooled) -> None:
        spool.done(spooled.sequence, delivered=False)
        lost = weigh(spooled.data)
        said = f"{lost} waiting records cannot be read: they are damaged, or of another version"
        refused = {Reason.CORRUPT: lost}
        rejected = ExportResult.rejected(Reason.CORRUPT, said)
        self._count(Outcome(rejected, refused=refused), self._clock.monotonic())

    def _count(self, outcome: Outcome, now: float) -> None:
        result = outcome.result
        is_fine = result.ok and not outcome.refused
        reason = None if is_fine else result.reason or Reason.PARTIAL
        with self._lock:
            self._delivered += outcome.arrived
            self._dropped.update(outcome.refused)
            if result.ok or outcome.arrived:
                self._last_success = self._clock.now()
            self._last_error = "" if reason is None else result.detail
            if reason is not None:
                self._failures[reason] += 1
            if result.verdict is not Verdict.RETRY or outcome.again is not None:
                self._pace.succeeded()
            if result.verdict is Verdict.RETRY:
                self._pace.failed(now, result.retry_after)
                self._is_behind = True
        # That it works again is said when it has caught up: else one that takes every second batch
        # would fill the log.
        if reason is not None or self._queues.own.stats.waiting == 0:
            self._telling.news(reason, result.detail)()

    # -- who waits for it ------------------------------------------------------------------------

    def _settle(self, first: int | None, wait: float, now: float) -> None:
        """Answer those who wait.

        Args:
            first: the sequence of the first of this process that waits.
            wait: seconds until the next sending; infinite where it is not known.
            now: the time.
        """
        if not self._tickets:
            return
        waiting = []
        for after, ticket in self._tickets:
            if first is None or first >= after:
                ticket.over.set_result(True)
            elif now >= ticket.until or (wait < inf and now + wait > ticket.until):
                ticket.over.set_result(False)
            else:
                waiting.append((after, ticket))
        self._tickets = waiting

    def _until_next(self, now: float) -> float:
        soonest = min((ticket.until for _, ticket in self._tickets), default=inf)
        return min(self._intake.wait(now), max(0.0, soonest - now))

    def close(self) -> None:
        """Note what became of the last sending, let go of the queues, and answer all who wait."""
        if self._attempt is not None and self._attempt.future.done():
            self._look_after(self._attempt, self._clock.monotonic())
        self._queues.close()
        for _, ticket in self._tickets:
            ticket.over.set_result(False)
        self._tickets = []
