"""How long something has waited, whatever is done to the clock on the wall meanwhile."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime

from metalscope.moments import microseconds

__all__ = ["SteadyClock", "elapsed"]


def elapsed() -> float:
    """Seconds since some moment before, those in which the machine slept included.

    ``CLOCK_BOOTTIME`` on Linux and ``CLOCK_MONOTONIC`` on macOS count them (clock_gettime(2) of
    each); ``time.monotonic()`` of CPython leaves them out on both.
    """
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    if sys.platform == "darwin":
        return time.clock_gettime(time.CLOCK_MONOTONIC)
    return time.monotonic()


class SteadyClock:
    """The time of day as it was when this was made, and from there on by elapsed time alone.

    A clock that is set while the program runs, forward or back by any amount, changes nothing.
    What is kept over the end of a process is measured by the wall: the time the process was not
    there is as long as the two clocks of the day say. It never begins before ``not_before``, so
    that what a clock stamped that was ahead is counted from zero, and not kept for ever.

    Args:
        now: the time of day.
        elapsed: seconds that only ever grow.
        not_before: microseconds since the epoch.
    """

    def __init__(
        self, now: Callable[[], datetime], elapsed: Callable[[], float], not_before: int = 0
    ) -> None:
        self._elapsed = elapsed
        self._began = elapsed()
        self._at = max(microseconds(now()), not_before)

    def __call__(self) -> int:
        """Microseconds since the epoch."""
        return self._at + round((self._elapsed() - self._began) * 1e6)
