"""Memory that has been short for a while."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from metalscope.health.anomalies.episode import ACCEPTED_AFTER, Episode, Now
from metalscope.readings import MemoryPressure

__all__ = ["Pressed", "Pressure", "weight_of_level", "weight_of_use"]

HIGH_PERCENT: Final = 90.0
CRITICAL_PERCENT: Final = 95.0
SHARE: Final = 0.4
"""Of the window, high; critical counts twice. With 15 minutes that is 6 of high, 3 of critical."""

CRITICAL: Final = 2.0
_PARTS: Final = 30


def weight_of_level(level: float) -> float:
    """How much a level of memory pressure counts: 1 where high, 2 where critical."""
    return max(0.0, min(CRITICAL, level - MemoryPressure.HIGH + 1))


def weight_of_use(percent: float) -> float:
    """The same of a pool that is so full."""
    return (percent >= HIGH_PERCENT) + float(percent >= CRITICAL_PERCENT)


@dataclass(frozen=True, slots=True)
class Pressed:
    """Something is short; ``share`` of the last window, ``critical`` where it is so now."""

    since: datetime
    share: float
    value: float
    critical: bool


class Pressure:
    """How much of the last ``window`` seconds one resource was short."""

    __slots__ = ("_high_from", "_parts", "_weighty", "_width", "episode", "value", "was_low")

    def __init__(self, window: float) -> None:
        self.episode = Episode()
        self.value = 0.0
        self.was_low = False
        self._width = window / _PARTS
        # Of each part its number, seconds × weight, and seconds in which it was short at all.
        self._parts: deque[tuple[int, float, float]] = deque(maxlen=_PARTS)
        self._high_from = 0.0
        self._weighty = 0.0

    def add(self, now: Now, seconds: float, value: float, weight: float) -> None:
        """Take one reading that stands for ``seconds``; a longer gap than a part says nothing."""
        seconds = min(seconds, 4 * self._width)
        self.value, self._weighty = value, weight
        if weight <= 0:
            self.was_low = True
        part = int(now.elapsed // self._width)
        weighed, short = seconds * weight, seconds if weight > 0 else 0.0
        if self._parts and self._parts[-1][0] == part:
            _, before, short_before = self._parts.pop()
            weighed, short = weighed + before, short + short_before
        self._parts.append((part, weighed, short))
        while self._parts[0][0] <= part - _PARTS:
            self._parts.popleft()
        if sum(one[1] for one in self._parts) >= SHARE * _PARTS * self._width and weight > 0:
            began = self._parts[0][0] * self._width
            short_parts = [one[0] for one in self._parts if one[2] > 0]
            self.episode.see(now, max(began, short_parts[0] * self._width))
        elif weight > 0 and self.episode.goes_on:
            self.episode.see(now)
        if self.episode.goes_on and now.elapsed - self.episode.began > 2 * ACCEPTED_AFTER:
            self._accept(now)
        self.episode.rest(now)

    def found(self) -> Pressed | None:
        """The shortage that goes on now."""
        since = self.episode.since
        if since is None:
            return None
        share = sum(short for _, _, short in self._parts) / (_PARTS * self._width)
        return Pressed(since, min(1.0, share), self.value, self._weighty >= CRITICAL)

    def _accept(self, now: Now) -> None:
        self.episode.end(now)
        self._parts.clear()
        self.was_low = False
