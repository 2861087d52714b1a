"""What was counted over any stretch of the past, in bounded memory."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from math import ceil, log2
from operator import itemgetter
from typing import Final, NamedTuple

__all__ = ["SLOTS", "CountBook", "Counted"]

SLOTS: Final = 128
"""Checkpoints a level holds, so a stretch is at most four parts in 128 longer than asked for."""

FINEST_SECONDS: Final = 1.0


class Counted(NamedTuple):
    """Operations in a stretch of time, how many were bad, and how many s of it are known."""

    total: int
    bad: int
    covered: float


class _Checkpoint(NamedTuple):
    at: float
    total: int
    bad: int


_moment_of: Final = itemgetter(0)


class CountBook:
    """Running totals with checkpoints: dense for the near past, ever sparser for the far.

    Level ``j`` keeps :data:`SLOTS` checkpoints at least ``2**j`` s apart, as many levels as the
    longest stretch needs: below 300 kB for 30 days, whatever is counted. A stretch begins at the
    checkpoint at or before the moment asked for, so every count is of whole ticks, none estimated.

    Args:
        longest: the longest stretch that will be asked for, in s.
        began: when counting began, in s since the epoch.
    """

    def __init__(self, longest: float, began: float) -> None:
        # One level more, because the checkpoint must lie before the stretch begins.
        count = max(1, ceil(log2(max(1.0, longest / (SLOTS * FINEST_SECONDS)))) + 2)
        self._began = began
        self._now = _Checkpoint(began, 0, 0)
        self._levels = [deque([self._now], maxlen=SLOTS) for _ in range(count)]

    def add(self, now: float, total: int, bad: int) -> None:
        """Count operations that ended between the last call and ``now``, s since the epoch.

        A clock that was set back stands still until it has caught up.
        """
        last = self._now
        now = max(now, last.at)
        self._now = _Checkpoint(now, last.total + total, last.bad + bad)
        step = FINEST_SECONDS
        for level in self._levels:
            if now - level[-1].at < step:
                break
            if now - last.at >= step and last is not level[-1]:
                # Nothing was told for a while: what came before it must not seem to lie in it.
                level.append(last)
            level.append(self._now)
            step *= 2

    @property
    def now(self) -> float:
        """The last moment it was told of, s since the epoch."""
        return self._now.at

    def whole(self) -> Counted:
        """All that was ever counted."""
        return Counted(self._now.total, self._now.bad, self._now.at - self._began)

    def over(self, seconds: float) -> Counted:
        """What was counted in the last ``seconds``, up to the last call of :meth:`add`."""
        moment = self._now.at - seconds
        for level in self._levels:
            if level[0].at <= moment:
                start = level[bisect_right(level, moment, key=_moment_of) - 1]
                return Counted(self._now.total - start.total, self._now.bad - start.bad, seconds)
        start = self._levels[-1][0]
        covered = self._now.at - start.at
        return Counted(self._now.total - start.total, self._now.bad - start.bad, covered)
