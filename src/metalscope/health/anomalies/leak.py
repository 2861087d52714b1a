"""Memory that only grows: a trend of its lower envelope.

What a program holds goes up and down; what it has lost for good shows in the lowest value of each
window. A garbage collector's sawtooth has a level lower envelope, and a cache that fills slows
down and stays. The tests are those of :mod:`~metalscope.health.anomalies.trend`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from math import log
from typing import Final, NamedTuple

from metalscope.health.anomalies.drift import SLOT, Past
from metalscope.health.anomalies.episode import Episode, Now
from metalscope.health.anomalies.trend import mann_kendall
from metalscope.robust_statistics import median, theil_sen

__all__ = ["Leak", "Leaking"]

WIDTHS: Final = (180.0, 720.0, 5760.0)
"""Seconds of a window, so that 15 windows are 45 minutes, 3 hours and a day."""

WINDOWS: Final = 15
KEPT: Final = 24
"""Windows kept: those of the trend, and some before it to hold its peaks against."""

LEAST_BEFORE: Final = 4
LEAST_Z: Final = 4.0
LEAST_GROWTH_BYTES: Final = 32 * 1024 * 1024
LEAST_GROWTH: Final = 0.05
"""Of what was held at first; a tenth where the whole host's memory is meant."""

LEAST_OF_LIMIT: Final = 0.01
SLOWING: Final = 0.75
"""What grows less than this share of its former pace is about to stay: a cache that fills."""


@dataclass(frozen=True, slots=True)
class Leaking:
    """Memory that only grows; bytes and seconds. ``left`` is the time until the limit."""

    since: datetime
    held: float
    before: float
    per_second: float
    limit: float | None

    @property
    def left(self) -> float | None:
        """Seconds until the limit is reached at this pace; ``None`` without a limit."""
        if self.limit is None or self.per_second <= 0:
            return None
        return max(0.0, self.limit - self.held) / self.per_second


class _Window(NamedTuple):
    began: float
    low: float
    high: float


class _Envelope:
    """The lowest and highest values of the last windows of one width."""

    __slots__ = ("_began", "_high", "_low", "width", "windows")

    def __init__(self, width: float) -> None:
        self.width = width
        self.windows: deque[_Window] = deque(maxlen=KEPT)
        self._began: float | None = None
        self._low = self._high = 0.0

    def add(self, elapsed: float, value: float) -> None:
        if self._began is not None and elapsed - self._began >= self.width:
            self.windows.append(_Window(self._began, self._low, self._high))
            self._began = None
        if self._began is None:
            self._began, self._low, self._high = elapsed, value, value
        self._low, self._high = min(self._low, value), max(self._high, value)


class Leak:
    """One pool's envelopes, and the leak if there is one."""

    __slots__ = (
        "_before", "_envelopes", "_growth", "_low", "_low_at", "_of_the_host", "_pace",
        "_topped", "_width", "episode", "held", "limit",
    )  # fmt: skip

    def __init__(self, *, of_the_host: bool) -> None:
        self.episode = Episode()
        self.held = 0.0
        self.limit: float | None = None
        self._of_the_host = of_the_host
        self._envelopes = tuple(_Envelope(width) for width in WIDTHS)
        self._before = self._growth = self._pace = 0.0
        self._low, self._low_at = 0.0, float("-inf")
        self._topped = self._width = 0.0

    def add(self, now: Now, value: float, limit: float | None) -> None:
        """Take one reading, bytes."""
        self.held, self.limit = value, limit
        for envelope in self._envelopes:
            envelope.add(now.elapsed, value)

    def search(self, now: Now, load: Past) -> None:
        """Look for a trend; ``load`` is that of all operations, as a log."""
        if self.episode.goes_on:
            self._follow(now)
            return
        for envelope in self._envelopes:
            if self._leaks(now, envelope, load):
                return

    def found(self) -> Leaking | None:
        """The leak that goes on now."""
        since = self.episode.since
        if since is None:
            return None
        return Leaking(since, self.held, self._before, self._pace, self.limit)

    def _leaks(self, now: Now, envelope: _Envelope, load: Past) -> bool:
        windows = list(envelope.windows)
        before, trend = windows[:-WINDOWS], windows[-WINDOWS:]
        if len(before) < LEAST_BEFORE:
            return False
        lows = [window.low for window in trend]
        moments = [window.began for window in trend]
        pace = theil_sen(moments, lows)
        growth = min(pace * (moments[-1] - moments[0]), lows[-1] - lows[0])
        if growth < self._least_growth(lows[0]) or mann_kendall(lows) < LEAST_Z:
            return False
        newest = self._envelopes[0].windows[-1].low
        if not _goes_on_growing(lows, growth) or newest < lows[-1] - growth / 10:
            return False
        highest = self._highest_before(moments[0])
        if trend[-1].high <= highest or lows[-1] <= max(window.low for window in before):
            return False
        if self._follows_load(now, envelope.width, load, lows[-1] / max(lows[0], 1.0)):
            return False
        self._before, self._growth, self._pace = lows[0], growth, pace
        self._topped, self._low_at, self._width = lows[-1], now.elapsed, envelope.width
        self.episode.see(now, moments[0])
        return True

    def _least_growth(self, held: float) -> float:
        share = 2 * LEAST_GROWTH if self._of_the_host else LEAST_GROWTH
        return max(LEAST_GROWTH_BYTES, share * held, LEAST_OF_LIMIT * (self.limit or 0.0))

    def _highest_before(self, moment: float) -> float:
        ended = (
            window.high
            for envelope in self._envelopes
            for window in envelope.windows
            if window.began + envelope.width <= moment
        )
        return max(ended, default=0.0)

    @staticmethod
    def _follows_load(now: Now, width: float, load: Past, ratio: float) -> bool:
        """Whether the load grew by as much as the memory, so that it may be what fills it."""
        slots = max(1, round(width * WINDOWS / 3 / SLOT))
        first, _, last = load.points(now.elapsed, slots, 3)
        if first is None or last is None:
            return False
        return last - first >= max(0.08, 0.7 * log(ratio))

    def _follow(self, now: Now) -> None:
        finest = self._envelopes[0].windows
        low = min(window.low for window in list(finest)[-2:])
        if low > self._topped + 0.02 * self._growth:
            self._topped, self._low_at = low, now.elapsed
        self._refresh_pace()
        if low < self._before + self._growth / 2 or self.held < self._before:
            if self.episode.rest(now):
                # It was given back: its height is not what later growth has to pass.
                self._envelopes = tuple(_Envelope(width) for width in WIDTHS)
            return
        # Two windows without a new height are none yet; three are.
        if now.elapsed - self._low_at <= 3 * self._width:
            self.episode.see(now)
        else:
            self.episode.rest(now)

    def _refresh_pace(self) -> None:
        windows = next(one for one in self._envelopes if one.width == self._width).windows
        trend = list(windows)[-WINDOWS:]
        self._pace = theil_sen([one.began for one in trend], [one.low for one in trend])


def _goes_on_growing(lows: list[float], growth: float) -> bool:
    """Whether it grew from the first window on, and as fast at the end.

    What has just begun to grow may stop, and what slows down will.
    """
    third = WINDOWS // 3
    first, middle, last = (median(lows[i : i + third]) for i in range(0, WINDOWS, third))
    if last - middle < SLOWING * (middle - first):
        return False
    return lows[third - 1] - lows[0] >= growth / 6 and lows[-1] - lows[-3] >= growth / WINDOWS
