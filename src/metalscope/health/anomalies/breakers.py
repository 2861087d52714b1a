"""Circuit breakers that open again and again, or do not close."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from metalscope.health.anomalies.episode import Episode, Now

__all__ = ["Breaker", "Breaking"]

OFTEN: Final = 3.0
"""Openings within the window that are a pattern and no accident."""

_LISTED: Final = 32


@dataclass(frozen=True, slots=True)
class Breaking:
    """A breaker's trouble: ``opened`` times in the window, or open for ``open_for`` seconds."""

    since: datetime
    opened: float
    open_for: float
    stays_open: bool


class Breaker:
    """One breaker's openings in the last ``window`` seconds.

    Args:
        window: how far back openings count, in seconds.
        patience: how long it may be open, in seconds, before that is an anomaly.
    """

    __slots__ = ("_openings", "_patience", "_window", "episode", "last_error", "open_from")

    def __init__(self, window: float, patience: float) -> None:
        self.episode = Episode()
        self.open_from: float | None = None
        self.last_error = ""
        self._window = window
        self._patience = patience
        self._openings: deque[tuple[float, float]] = deque(maxlen=_LISTED)

    def add(self, now: Now, *, is_open: bool, opened: float, last_error: str) -> None:
        """Take its state at one tick, and how often it opened since the one before."""
        self.last_error = last_error or self.last_error
        if opened:
            self._openings.append((now.elapsed, opened))
        while self._openings and self._openings[0][0] < now.elapsed - self._window:
            self._openings.popleft()
        if not is_open:
            self.open_from = None
        elif self.open_from is None:
            self.open_from = now.elapsed
        if self._opened() >= OFTEN:
            self.episode.see(now, self._openings[0][0])
        elif self._stays_open(now) and self.open_from is not None:
            self.episode.see(now, self.open_from)
        elif is_open and self.episode.goes_on:
            self.episode.see(now)
        self.episode.rest(now)

    def found(self, now: Now) -> Breaking | None:
        """The pattern that goes on now."""
        since = self.episode.since
        if since is None:
            return None
        open_for = 0.0 if self.open_from is None else now.elapsed - self.open_from
        return Breaking(since, self._opened(), open_for, self._stays_open(now))

    def _opened(self) -> float:
        return sum(count for _, count in self._openings)

    def _stays_open(self, now: Now) -> bool:
        return self.open_from is not None and now.elapsed - self.open_from > self._patience
