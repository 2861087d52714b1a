"""The states of a circuit breaker, and what moves it from one to the next."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from metalscope.errors import CircuitOpenError
from metalscope.export_status import BreakerState
from metalscope.health_report import BreakerStatus
from metalscope.moments import utc_now
from metalscope.operation import Component

__all__ = ["Circuit", "OnChange", "OnError"]

OnChange = Callable[[BreakerStatus], None]
"""Told of each change of state, with the status right after it."""

OnError = Callable[[str, BaseException], None]
"""Told of what went wrong inside, as (room, exception)."""

# A moment further away has no date to be told by.
_LONGEST: Final = timedelta(days=36_525)
_MOST_UNTOLD: Final = 1000


class Circuit:
    """Lets calls through, or not. Safe under threads; never waits, for a trial or for anything.

    Each call is let in under an *era*, and what became of it counts only while that era lasts. An
    era ends with each change of state and with each new trial, so what a call says that began
    before an outage, or of a trial that was given up, moves nothing.

    After ``threshold`` failures in a row nothing is let in for ``recovery``; then one call at a
    time is, the trial. Its success closes the circuit, its failure opens it again. A trial without
    an end gives its place away after another ``recovery``. The pattern is that of M. Nygard,
    "Release It!", 2nd ed., 2018, chapter 5, "Circuit Breaker".
    """

    def __init__(
        self,
        name: str,
        component: Component | None,
        *,
        threshold: int,
        recovery: timedelta,
        on_change: OnChange | None,
        on_error: OnError,
        clock: Callable[[], float],
    ) -> None:
        self._name = name
        self._component = component
        self._threshold = threshold
        self._recovery = min(recovery, _LONGEST).total_seconds()
        self._on_change = on_change
        self._on_error = on_error
        self._clock = clock
        self._era = 0
        self.start_at_zero()

    def start_at_zero(self) -> None:
        """Close, and forget every count. Calls that run now will count for nothing."""
        # Re-entrant: a collected generator may leave its block while this thread holds the lock.
        self._lock = threading.RLock()
        self._telling = threading.Lock()
        self._untold: deque[BreakerStatus] = deque(maxlen=_MOST_UNTOLD)
        self._era += 1
        self._state = BreakerState.CLOSED
        self._since = utc_now()
        self._shut_since = self._since
        self._due = 0.0
        self._failures = 0
        self._calls = 0
        self._opened = 0
        self._rejected = 0
        self._last_error = ""

    @property
    def era(self) -> int:
        """The era that a call let in last belongs to."""
        return self._era

    def admit(self) -> int:
        """Let a call in; return its era, which :meth:`succeeded` and the like are given.

        Raises:
            CircuitOpenError: it is not let in.
        """
        with self._lock:
            if self._state is BreakerState.CLOSED:
                self._calls += 1
                return self._era
            now = self._clock()
            if now < self._due:
                self._rejected += 1
                raise self._refusal(now)
            era = self._begin_trial(now)
        self._tell()
        return era

    def succeeded(self, era: int) -> None:
        """A call went well."""
        # Only a closed circuit has no failures, and there a success then changes nothing.
        if not self._failures:
            return
        with self._lock:
            if era != self._era or self._state is BreakerState.OPEN:
                return
            self._failures = 0
            if self._state is BreakerState.HALF_OPEN:
                self._change(BreakerState.CLOSED)
        self._tell()

    def failed(self, era: int, error: str) -> None:
        """A call failed, with an exception of a type of that name."""
        with self._lock:
            if era != self._era or self._state is BreakerState.OPEN:
                return
            self._failures += 1
            self._last_error = error
            if self._state is BreakerState.HALF_OPEN or self._failures >= self._threshold:
                self._open()
        self._tell()

    def said_nothing(self, era: int) -> None:
        """A call ended neither well nor badly; a trial leaves its place to the next call."""
        with self._lock:
            if era == self._era and self._state is BreakerState.HALF_OPEN:
                self._due = self._clock()

    def status(self) -> BreakerStatus:
        """The state and the counts, all of one moment."""
        with self._lock:
            return self._status()

    def _begin_trial(self, now: float) -> int:
        self._calls += 1
        self._due = now + self._recovery
        if self._state is BreakerState.OPEN:
            self._change(BreakerState.HALF_OPEN)
        else:
            self._era += 1
        return self._era

    def _open(self) -> None:
        self._opened += 1
        self._due = self._clock() + self._recovery
        was_closed = self._state is BreakerState.CLOSED
        self._change(BreakerState.OPEN)
        if was_closed:
            self._shut_since = self._since

    def _change(self, state: BreakerState) -> None:
        self._state = state
        self._since = utc_now()
        self._era += 1
        if self._on_change is not None:
            self._untold.append(self._status())

    def _tell(self) -> None:
        """Tell of all changes in their order: one thread at a time, and without the state's lock.

        A thread that finds another one telling leaves its change to that one.
        """
        while self._untold and self._on_change is not None:
            if not self._telling.acquire(blocking=False):
                return
            try:
                while self._untold:
                    self._on_change(self._untold.popleft())
            except Exception as error:  # noqa: BLE001 - law: no listener may harm the program
                self._on_error("breaker", error)
            finally:
                self._telling.release()

    def _refusal(self, now: float) -> CircuitOpenError:
        left = self._due - now
        retry_at = utc_now() + timedelta(seconds=left)
        return CircuitOpenError(self._name, self._shut_since, retry_at, left)

    def _status(self) -> BreakerStatus:
        closed = self._state is BreakerState.CLOSED
        left = 0.0 if closed else self._due - self._clock()
        return BreakerStatus(
            name=self._name,
            state=self._state,
            since=self._since,
            component=self._component,
            failures=self._failures,
            calls=self._calls,
            opened=self._opened,
            rejected=self._rejected,
            retry_at=None if closed else utc_now() + timedelta(seconds=left),
            last_error=self._last_error,
        )
