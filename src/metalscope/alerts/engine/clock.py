"""Time as the engine reckons it: it never goes back, and a leap of the clock counts little."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from metalscope.json_values import maybe, read_whole
from metalscope.moments import microseconds

__all__ = ["SteadyClock", "microseconds_of"]

LEAP: Final = 10
"""More evaluation intervals than this between two evaluations, and the clock leapt, or the machine
slept, or the program was away."""

_MICROSECOND: Final = timedelta(microseconds=1)


def microseconds_of(seconds: float) -> int:
    """Whole microseconds, in which durations add up exactly."""
    return round(seconds * 1e6)


class SteadyClock:
    """Adds up the time between evaluations, in whole microseconds.

    A clock that goes back adds nothing. A gap of more than ten evaluation intervals adds one
    interval: nobody looked in the meantime, so what held before and holds after did not hold
    for all of it, as far as anybody knows, and what is missing after it was not missing all along.
    """

    def __init__(self, interval: timedelta) -> None:
        self._interval = interval // _MICROSECOND
        self._at: int | None = None
        self._leapt_at: int | None = None
        self._leap = 0
        self.elapsed = 0
        """Microseconds reckoned so far."""
        self.passed = 0
        """The same with leaps in full."""

    def turn(self, now: datetime) -> int:
        """Go on to ``now``; what has elapsed then."""
        at = microseconds(now)
        if self._at is not None:
            gap = at - self._at
            is_leap = gap > LEAP * self._interval
            self.elapsed += self._interval if is_leap else max(gap, 0)
            self.passed += max(gap, 0)
            if is_leap or gap < -self._interval:
                self._leapt_at, self._leap = self.elapsed, abs(gap)
        self._at = at
        return self.elapsed

    def has_seen(self, window: int) -> bool:
        """Whether the clock ran evenly for ``window`` microseconds, so that samples fill it.

        A leap shorter than the window left samples in it from before, which will do.
        """
        if self._leapt_at is None or self._leap < window:
            return True
        return self.elapsed - self._leapt_at >= window

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "at": self._at,
            "elapsed": self.elapsed,
            "passed": self.passed,
            "leapt_at": self._leapt_at,
            "leap": self._leap,
        }

    def restore(self, data: Mapping[str, Any]) -> None:
        """Go on from what :meth:`to_dict` gave.

        Raises:
            ValueError, TypeError, KeyError: it is no such data.
        """
        at, leapt_at = (maybe(read_whole, data[name]) for name in ("at", "leapt_at"))
        elapsed, passed, leap = (read_whole(data[name]) for name in ("elapsed", "passed", "leap"))
        self._at, self._leapt_at, self._leap = at, leapt_at, leap
        self.elapsed, self.passed = elapsed, passed
