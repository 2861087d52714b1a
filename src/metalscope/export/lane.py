"""One exporter's way out: what waits for it, when it is tried, and what became of each try.

A lane has no thread of its own and no sleep: :meth:`Lane.turn` does what is due and says how long
until the next thing is. Who calls it decides what time means.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from metalscope.export.attempts import Attempts
from metalscope.export.codec import decode
from metalscope.export_status import ExporterStatus
from metalscope.sending.clock import Clock
from metalscope.sending.pace import Pace
from metalscope.sending.patience import Patience
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.sending.spool.queue import Spool, Spooled, SpoolStats
from metalscope.sending.telling import Telling
from metalscope.snapshot import MetalTelemetrySnapshot
from metalscope.snapshot_json import SnapshotFormatError

__all__ = ["Lane", "LaneTiming", "Offer", "last_delivered"]

logger = logging.getLogger("metalscope")

MOST_OFFERS: Final = 64
"""Snapshots that may be on their way from the tick to the queue; they are whole objects."""

ORPHAN_SECONDS: Final = 60.0
"""How often it is looked for what processes that are gone left behind."""


@dataclass(frozen=True, slots=True)
class LaneTiming:
    """How long one attempt may take, and how far apart those are that work off a queue."""

    timeout: timedelta
    replay_interval: timedelta


@dataclass(frozen=True, slots=True)
class Offer:
    """A snapshot for a lane.

    ``encode`` gives its bytes, the same for all lanes. ``outcome`` is resolved by what became of
    the first attempt that concerned it.
    """

    snapshot: MetalTelemetrySnapshot
    encode: Callable[[], bytes]
    outcome: Future[ExportResult] = field(default_factory=Future)


@dataclass(slots=True)
class _Attempt:
    spool: Spool
    spooled: Spooled
    future: Future[ExportResult]
    began: float
    deadline: float
    overdue: bool = False


class Lane:
    """Queue, pace and counts of one exporter.

    All methods but :meth:`offer`, :meth:`status` and :meth:`urge` belong to one thread.

    Args:
        name: the exporter's.
        type: its type, for the status.
        spool: where its snapshots wait.
        orphans: gives a spool that a process which is gone left behind, if there is one; it is
            worked off when nothing of this process waits.
        attempts: where it is called.
        pace: when it may be.
        timing: for how long.
        keeps_history: see :attr:`~metalscope.export.base.MetricsExporter.keeps_history`.
        clock: the time.
        wake: called, from any thread, when :meth:`turn` has something to do before it said.
    """

    def __init__(
        self,
        name: str,
        type: str,  # noqa: A002 - the option's own name
        *,
        spool: Spool,
        attempts: Attempts,
        pace: Pace,
        timing: LaneTiming,
        keeps_history: bool = True,
        clock: Clock | None = None,
        wake: Callable[[], None] = lambda: None,
        orphans: Callable[[], Spool | None] = lambda: None,
    ) -> None:
        self.name = name
        self._type = type
        self._spool = spool
        self._orphans = orphans
        self._orphan: Spool | None = None
        self._orphan_due = 0.0
        self._served = spool
        self._attempts = attempts
        self._pace = pace
        self._timing = timing
        self._keeps_history = keeps_history
        self._clock = clock or Clock()
        self._wake = wake
        self._offers: deque[Offer] = deque()
        # Without the snapshots: those that wait do so in the spool, within its bounds.
        self._awaited: list[tuple[datetime, Future[ExportResult]]] = []
        self._latest: MetalTelemetrySnapshot | None = None
        self._attempt: _Attempt | None = None
        self._not_before = 0.0
        self._patience = Patience()
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._seconds = 0.0
        self._last_success: datetime | None = None
        self._last_error = ""
        self._telling = Telling(f"export {name}")
        self._failed_since_urged = False

    # -- from any thread ---------------------------------------------------------------------

    def offer(self, offer: Offer) -> None:
        """Have a snapshot exported. Never blocks."""
        with self._lock:
            if len(self._offers) >= MOST_OFFERS:
                lost = self._offers.popleft()
                self._dropped[Reason.QUEUE_FULL] += 1
                lost.outcome.set_result(
                    ExportResult.rejected(Reason.QUEUE_FULL, "too many at a time")
                )
            self._offers.append(offer)
        self._wake()

    def urge(self) -> None:
        """Try at once, whatever the pace says; until that failed, work off what waits at speed."""
        with self._lock:
            self._failed_since_urged = False
            self._pace.urge()
            self._not_before = 0.0
        self._wake()

    def status(self) -> ExporterStatus:
        """State and counts now."""
        waiting = self._spool.stats
        with self._lock:
            orphan = self._orphan.stats if self._orphan is not None else SpoolStats()
            return ExporterStatus(
                self.name,
                self._type,
                self._pace.state(self._clock.monotonic()),
                queued=self._counts["queued"],
                delivered=self._counts["delivered"],
                points=self._counts["points"],
                rejected_points=self._counts["rejected_points"],
                failures=dict(self._failures),
                dropped=dict(self._dropped + Counter(waiting.dropped) + Counter(orphan.dropped)),
                waiting=waiting.waiting + orphan.waiting + len(self._offers),
                waiting_bytes=waiting.waiting_bytes + orphan.waiting_bytes,
                seconds=self._seconds,
                last_success=self._last_success,
                last_error=self._last_error,
            )

    # -- the lane's own thread ---------------------------------------------------------------

    @property
    def is_through(self) -> bool:
        """Whether all that was offered is over, or it failed since it was last urged."""
        if self._attempt is not None:
            return self._attempt.overdue
        with self._lock:
            if self._failed_since_urged:
                return True
            return not self._offers and self._spool.stats.waiting == 0

    def turn(self) -> float:
        """Do what is due; return in how many seconds more will be."""
        self._take_in()
        now = self._clock.monotonic()
        if self._attempt is not None:
            wait = self._look_after(self._attempt, now)
            if self._attempt is not None:
                return wait
        spool, spooled = self._next(now)
        if spooled is None:
            self._settle_the_lost()
            return max(0.0, self._orphan_due - now)
        wait = max(self._pace.wait(now), self._not_before - now)
        if wait > 0:
            return wait
        snapshot = self._snapshot(spool, spooled)
        if snapshot is None:
            return 0.0
        self._serve(spool)
        future = self._attempts.export(snapshot)
        timeout = self._timing.timeout.total_seconds()
        self._attempt = _Attempt(spool, spooled, future, now, now + timeout)
        # Where it is done already the wake-up comes at once, and the next turn settles it.
        future.add_done_callback(lambda _: self._wake())
        return 0.0 if future.done() else timeout

    def _take_in(self) -> None:
        while True:
            with self._lock:
                if not self._offers:
                    return
                offer = self._offers.popleft()
                self._counts["queued"] += 1
            data, timestamp = offer.encode(), offer.snapshot.timestamp
            if self._keeps_history:
                self._spool.append(data, timestamp)
            else:
                self._spool.replace_all(data, timestamp)
            self._latest = offer.snapshot
            self._awaited.append((timestamp, offer.outcome))

    def _next(self, now: float) -> tuple[Spool, Spooled | None]:
        """The oldest of this process; where there is none, of one that is gone."""
        spooled = self._spool.first()
        if spooled is not None:
            return self._spool, spooled
        if self._orphan is None and now >= self._orphan_due:
            self._orphan = self._orphans()
            self._orphan_due = now + ORPHAN_SECONDS
        while self._orphan is not None:
            orphan = self._orphan
            spooled = orphan.first()
            if spooled is not None:
                return orphan, spooled
            with self._lock:
                self._dropped.update(orphan.stats.dropped)
                self._orphan = None
            orphan.close()
            self._orphan = self._orphans()
        return self._spool, None

    def _serve(self, spool: Spool) -> None:
        """Tell an exporter that counts differences from where, when the queue is another."""
        if spool is self._served:
            return
        self._served = spool
        delivered = last_delivered(spool)
        if delivered is not None:
            self._attempts.resume(delivered)

    def _snapshot(self, spool: Spool, spooled: Spooled) -> MetalTelemetrySnapshot | None:
        latest = self._latest if spool is self._spool else None
        if latest is not None and latest.timestamp == spooled.timestamp:
            return latest
        try:
            return decode(spooled.data)
        except SnapshotFormatError as error:
            # Written by another version: no later one of this process can read it either.
            logger.warning("export %s: a waiting snapshot cannot be read: %s", self.name, error)
            spool.done(spooled.sequence, delivered=False)
            with self._lock:
                self._dropped[Reason.CORRUPT] += 1
            return None

    def _look_after(self, attempt: _Attempt, now: float) -> float:
        if attempt.future.done():
            self._attempt = None
            with self._lock:
                self._seconds += now - attempt.began
            result = attempt.future.result()
            # One that was given up on counts as failed already; but what arrived has arrived.
            if not attempt.overdue or result.verdict is not Verdict.RETRY:
                self._note(attempt, result, now)
            return 0.0
        if now >= attempt.deadline:
            timeout = self._timing.timeout
            attempt.overdue = True
            attempt.deadline = now + timeout.total_seconds()
            said = f"not done within {timeout.total_seconds():g} s; it is waited for"
            self._note(attempt, ExportResult.retry(Reason.TIMEOUT, said), now)
        return attempt.deadline - now

    def _note(self, attempt: _Attempt, result: ExportResult, now: float) -> None:
        spooled = attempt.spooled
        result = self._patience.judged(spooled.sequence, result)
        over = result.verdict is not Verdict.RETRY
        if over:
            attempt.spool.done(spooled.sequence, delivered=result.ok)
        with self._lock:
            if over:
                self._pace.succeeded()
                self._not_before = now + self._timing.replay_interval.total_seconds()
            else:
                self._pace.failed(now, result.retry_after)
            self._failed_since_urged = self._failed_since_urged or not over
            self._count(result)
        self._tell(result)
        if attempt.spool is self._spool:
            self._resolve(spooled, result)

    def _count(self, result: ExportResult) -> None:
        if result.ok:
            self._counts["delivered"] += 1
            self._counts["points"] += result.points
            self._counts["rejected_points"] += result.rejected_points
            self._last_success = self._clock.now()
            self._last_error = result.detail if result.rejected_points else ""
            return
        reason = result.reason or Reason.EXPORTER_ERROR
        self._failures[reason] += 1
        self._last_error = result.detail
        if result.verdict is Verdict.REJECTED:
            self._dropped[reason] += 1

    def _tell(self, result: ExportResult) -> None:
        reason = None if result.ok and not result.rejected_points else result.reason
        self._telling.news(reason, result.detail)()

    def _resolve(self, spooled: Spooled, result: ExportResult) -> None:
        awaited, self._awaited = self._awaited, []
        for timestamp, outcome in awaited:
            later = timestamp > spooled.timestamp
            if later and result.verdict is not Verdict.RETRY:
                self._awaited.append((timestamp, outcome))
            elif not outcome.done():
                outcome.set_result(result)

    def _settle_the_lost(self) -> None:
        awaited, self._awaited = self._awaited, []
        for _, outcome in awaited:
            if not outcome.done():
                lost = ExportResult.rejected(Reason.QUEUE_FULL, "the queue let it go")
                outcome.set_result(lost)

    def close(self, timeout: float) -> None:
        """Have the exporter shut down within so many s, then let go of the queue."""
        self._attempts.close(timeout)
        if left := self._spool.stats.waiting:
            logger.warning("export %s: %d snapshots have not gone out", self.name, left)
        self._spool.close()
        if self._orphan is not None:
            self._orphan.close()
        self._settle_the_lost()


def last_delivered(spool: Spool) -> MetalTelemetrySnapshot | None:
    """What arrived last of this queue, where that is known."""
    data = spool.last_delivered()
    if data is None:
        return None
    try:
        return decode(data)
    except SnapshotFormatError:
        # Of another version: what is counted from then on is counted whole.
        return None
