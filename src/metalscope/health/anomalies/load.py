"""How much work there is: what durations are allowed to follow, and when nothing is typical."""

from __future__ import annotations

from math import log
from typing import Final

from metalscope.health.anomalies.drift import Past
from metalscope.health.anomalies.episode import Now

__all__ = ["LONG_PAUSE", "SETTLES_IN", "Load"]

LONG_PAUSE: Final = 300.0
SETTLES_IN: Final = 120.0
"""After a pause of everything that is longer than ``LONG_PAUSE``, in s, durations say nothing for
``SETTLES_IN`` seconds: caches are cold and clocks low."""

_NOW: Final = 0.3
_USUAL: Final = 1 / 360
"""Of a bin: usual is what was so for the last hour of work."""


class Load:
    """The rate of all operations together. ``past`` is its logarithm over a day."""

    def __init__(self) -> None:
        self.past = Past()
        self._operations = 0.0
        self._ran_at: float | None = None
        self._settled_at = 0.0
        self._bins = 0
        self._now = self._usual = 0.0

    def add(self, operations: float) -> None:
        """Take what one operation did in one tick."""
        self._operations += operations

    def is_settling(self, now: Now) -> bool:
        """Whether work has only just begun again after a long pause."""
        return now.elapsed < self._settled_at

    def close(self, now: Now, seconds: float) -> float:
        """End a bin of ``seconds``; how much higher the log of the rate is than usual."""
        operations, self._operations = self._operations, 0.0
        if operations <= 0:
            return 0.0
        if self._ran_at is not None and now.elapsed - seconds - self._ran_at > LONG_PAUSE:
            self._settled_at = now.elapsed - seconds + SETTLES_IN
            self._now = log(operations / seconds)
        self._ran_at = now.elapsed
        rate = log(operations / seconds)
        self.past.add(now.elapsed, rate)
        self._bins += 1
        if self._bins == 1:
            self._now = self._usual = rate
        self._now += _NOW * (rate - self._now)
        self._usual += max(_USUAL, 1 / self._bins) * (rate - self._usual)
        return self._now - self._usual
