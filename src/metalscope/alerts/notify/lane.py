"""One channel's way out: what waits for it, when it is tried, and what became of each try.

A lane has no thread of its own and no sleep: :meth:`Lane.turn` does what is due and says how long
until the next thing is. Who calls it decides what time means.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final

from metalscope.alert_report import ChannelStatus
from metalscope.alerts.notify.outbox import Outbox
from metalscope.alerts.notify.rate import TokenBucket
from metalscope.alerts.storing import AlertStore, Change
from metalscope.sending.attempt import tried
from metalscope.sending.clock import Clock
from metalscope.sending.pace import Pace
from metalscope.sending.patience import Patience
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.sending.telling import Telling, nothing

if TYPE_CHECKING:
    from metalscope.alert_options import ChannelOptions
    from metalscope.alerts.notification import Notification
    from metalscope.alerts.notify.base import Notifier

__all__ = ["Lane"]

logger = logging.getLogger("metalscope")

GRACE: Final = 1.0
"""Seconds after its time that a notifier has to come back, before it is said to hang."""


@dataclass(slots=True)
class _Attempt:
    seconds: float
    deadline: float
    overdue: bool = False


class Lane:
    """Outbox, pace and counts of one channel.

    :meth:`turn`, :meth:`last_round` and :meth:`shut_down` belong to one thread; the rest may be
    called from any, and never waits for the notifier.

    Args:
        options: the channel's.
        notifier: what sends.
        pace: when it may be tried.
        store: where what waits is kept.
        on_error: told of what the notifier raises, as (room, exception).
        clock: the time.
    """

    def __init__(
        self,
        options: ChannelOptions,
        notifier: Notifier,
        *,
        pace: Pace,
        store: AlertStore,
        on_error: Callable[[str, BaseException], None],
        clock: Clock | None = None,
    ) -> None:
        self.name = options.name
        self._type = options.type or "custom"
        self._timeout = options.timeout.total_seconds()
        self._notifier = notifier
        self._pace = pace
        self._store = store
        self._on_error = on_error
        self._clock = clock or Clock()
        self._rate = TokenBucket(options.rate_limit)
        self._outbox = Outbox(carries=notifier.forwards)
        self._attempt: _Attempt | None = None
        self._patience = Patience()
        self._lock = threading.Lock()
        self._delivered = 0
        self._failures: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._last_success: datetime | None = None
        self._last_error = ""
        self._telling = Telling(f"alerts channel {options.name}")

    # -- from any thread ---------------------------------------------------------------------

    def post(self, messages: Iterable[Notification]) -> None:
        """Have messages sent, in this order, and kept until they are."""
        with self._lock:
            waits: dict[str, Notification] = {}
            gone: list[str] = []
            for message in messages:
                put = self._outbox.put(message)
                waits[put.message.id] = put.message
                for left, reason in put.gone:
                    self._dropped[reason] += 1
                    gone.append(left)
                    waits.pop(left, None)
            # Within the lock: else it could be noted as sent before it is kept.
            self._store.keep(Change(messages=tuple(waits.values()), sent=gone))
        self._notice_a_hang()

    def restore(self, messages: Iterable[Notification]) -> None:
        """Have messages sent that were kept when the program ended."""
        with self._lock:
            gone = [one for message in messages for one in self._outbox.put(message).gone]
            self._dropped.update(reason for _, reason in gone)
            if gone:
                self._store.keep(Change(sent=[message for message, _ in gone]))

    def status(self) -> ChannelStatus:
        """State and counts now."""
        self._notice_a_hang()
        with self._lock:
            return ChannelStatus(
                self.name,
                self._type,
                self._pace.state(self._clock.monotonic()),
                delivered=self._delivered,
                failures=dict(self._failures),
                dropped=dict(self._dropped),
                waiting=len(self._outbox),
                last_success=self._last_success,
                last_error=self._last_error,
            )

    # -- the lane's own thread ---------------------------------------------------------------

    def turn(self) -> float:
        """Do what is due; return in how many seconds more will be, infinite where nothing waits."""
        self._expire()
        with self._lock:
            message = self._outbox.first()
            if message is None:
                return inf
            now = self._clock.monotonic()
            wait = max(self._pace.wait(now), self._rate.wait(now))
        if wait > 0:
            return wait
        self._try(message, self._timeout)
        return 0.0

    def last_round(self, seconds: float) -> None:
        """Try all that waits once, whatever the pace says, within so many s.

        It ends early where the peer is not there, and where the limit of messages a minute is.
        """
        until = monotonic() + seconds
        with self._lock:
            messages = self._outbox.messages
        for message in messages:
            left = until - monotonic()
            if left <= 0 or self._rate.wait(self._clock.monotonic()) > 0:
                return
            result = self._try(message, min(left, self._timeout))
            if result.verdict is Verdict.RETRY and result.reason is not Reason.EXPORTER_ERROR:
                return

    def shut_down(self) -> None:
        """Have the notifier let go of what it has open."""
        try:
            self._notifier.shutdown()
        except Exception as error:  # noqa: BLE001 - law: no notifier may harm the program
            self._on_error("alerts", error)
        if left := self.status().waiting:
            logger.warning("alerts channel %s: %d messages have not gone out", self.name, left)

    def _try(self, message: Notification, seconds: float) -> ExportResult:
        now = self._clock.monotonic()
        attempt = _Attempt(seconds, now + seconds + GRACE)
        with self._lock:
            self._rate.take(now)
            self._outbox.begin(message)
            self._attempt = attempt
        result = self._send(message, seconds)
        with self._lock:
            self._attempt = None
            result = self._patience.judged(message.id, result)
            is_over = result.verdict is not Verdict.RETRY
            if self._outbox.settle(message, is_over=is_over, arrived=result.ok):
                self._store.keep(Change(sent=[message.id]))
                if not is_over:
                    self._dropped[Reason.SUPERSEDED] += 1
            # One that was given up on counts as failed already; but what arrived has arrived.
            counted = not attempt.overdue or is_over
            if counted:
                self._count(result)
            say = self._news(result) if counted else nothing
        say()
        return result

    def _send(self, message: Notification, seconds: float) -> ExportResult:
        return tried(
            lambda: self._notifier.send(message),
            seconds,
            lambda error: self._on_error("alerts", error),
        )

    # -- what became of it, within the lock ----------------------------------------------------

    def _count(self, result: ExportResult) -> None:
        if result.ok:
            self._delivered += 1
            self._last_success = self._clock.now()
            # Some of those it is for may not have it.
            self._last_error = result.detail if result.reason is Reason.PARTIAL else ""
            if result.reason is Reason.PARTIAL:
                self._failures[Reason.PARTIAL] += 1
        else:
            reason = result.reason or Reason.EXPORTER_ERROR
            self._failures[reason] += 1
            self._last_error = result.detail
            if result.verdict is Verdict.REJECTED:
                self._dropped[reason] += 1
        if result.verdict is Verdict.RETRY:
            self._pace.failed(self._clock.monotonic(), result.retry_after)
        else:
            self._pace.succeeded()

    def _news(self, result: ExportResult) -> Callable[[], None]:
        """What the log is to say, outside of the lock."""
        reason = None if result.ok else result.reason or Reason.EXPORTER_ERROR
        return self._telling.news(reason, result.detail)

    # -- beside ------------------------------------------------------------------------------

    def _notice_a_hang(self) -> None:
        """Count a notifier that does not come back, as its own thread cannot."""
        with self._lock:
            attempt = self._attempt
            if attempt is None or attempt.overdue or self._clock.monotonic() < attempt.deadline:
                return
            attempt.overdue = True
            said = f"not done within {attempt.seconds:.3g} s; it is waited for"
            result = ExportResult.retry(Reason.TIMEOUT, said)
            self._count(result)
            say = self._news(result)
        say()

    def _expire(self) -> None:
        with self._lock:
            if old := self._outbox.expire(self._clock.now()):
                self._dropped[Reason.EXPIRED] += len(old)
                self._store.keep(Change(sent=old))
