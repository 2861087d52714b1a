"""When to try again: back-off with jitter, the peer's Retry-After, and a circuit breaker."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from metalscope.export_status import BreakerState

__all__ = ["Pace"]

_MOST_DOUBLINGS: Final = 32


class Pace:
    """Says from when on the next attempt may be made. Times are those of a monotonic clock, in s.

    After the n-th failure in a row the delay is uniform between 0 and ``first_delay`` doubled
    n - 1 times, ``max_delay`` at most ("full jitter": M. Brooker, "Exponential Backoff And
    Jitter", AWS Architecture Blog, 2015), and no less than what the peer asked for, of which
    ``max_delay`` is heeded. After ``threshold`` failures the breaker opens: trials are then
    ``open_for`` apart at least.

    Args:
        first_delay: most delay before the first retry.
        max_delay: most delay of all.
        threshold: failures in a row that open the breaker.
        open_for: how long it stays open before a trial.
        jitter: gives a number from 0 to 1.
    """

    def __init__(
        self,
        *,
        first_delay: timedelta,
        max_delay: timedelta,
        threshold: int,
        open_for: timedelta,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._first = first_delay.total_seconds()
        self._most = max_delay.total_seconds()
        self._threshold = threshold
        self._open_for = open_for.total_seconds()
        self._jitter = jitter
        self._failures = 0
        self._due = 0.0

    def wait(self, now: float) -> float:
        """Seconds until an attempt may be made; 0 where it may be now."""
        return max(0.0, self._due - now)

    def state(self, now: float) -> BreakerState:
        """Whether attempts are made freely, singly, or not at all."""
        if self._failures < self._threshold:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if now >= self._due else BreakerState.OPEN

    def succeeded(self) -> None:
        """The peer took something, or said for good that it will not: it is there."""
        self._failures = 0
        self._due = 0.0

    def failed(self, now: float, retry_after: timedelta | None = None) -> None:
        """An attempt failed in a way that a later one may not."""
        self._failures += 1
        doublings = min(self._failures - 1, _MOST_DOUBLINGS)
        delay = self._jitter() * min(self._most, self._first * 2**doublings)
        if self._failures >= self._threshold:
            # Some jitter here too, lest many programs come back to a peer at the same moment.
            delay = max(delay, self._open_for * (1 + 0.1 * self._jitter()))
        if retry_after is not None:
            delay = max(delay, min(retry_after.total_seconds(), self._most))
        self._due = now + delay

    def urge(self) -> None:
        """Let the next attempt be made now, as somebody asked for it."""
        self._due = 0.0
