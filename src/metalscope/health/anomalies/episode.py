"""How long an anomaly goes on: from its first sign until it has been gone for a while."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

__all__ = ["ACCEPTED_AFTER", "HOLD", "Episode", "Now"]

HOLD: Final = 180.0
"""Seconds an anomaly goes on after its last sign; what flaps faster than that is one anomaly."""

LONGEST_HOLD: Final = 1800.0
AGAIN_WITHIN: Final = 1800.0
"""One that comes back within this time, in s, is held twice as long, up to ``LONGEST_HOLD``: the
damping of routes that flap (RFC 2439) in its simplest form."""

ACCEPTED_AFTER: Final = 3600.0
"""Seconds after which what is new has become usual. A slower deploy is news for an hour; after that
its level is what later changes have to be held against, or they would not be seen."""


@dataclass(frozen=True, slots=True)
class Now:
    """A moment: ``elapsed`` seconds on a clock that never goes back, and the time on the wall."""

    elapsed: float
    wall: datetime

    def at(self, elapsed: float) -> datetime:
        """The time on the wall when the other clock said ``elapsed``."""
        return self.wall - timedelta(seconds=self.elapsed - elapsed)


class Episode:
    """One anomaly's state. ``since`` is ``None`` where it does not go on.

    In elapsed seconds, it ``began`` at one moment, was found at another, ``opened``, and there was
    a sign of it at ``last_seen``.
    """

    __slots__ = ("_ended", "_hold", "began", "last_seen", "opened", "since")

    def __init__(self) -> None:
        self.since: datetime | None = None
        self.began = 0.0
        self.opened = 0.0
        self.last_seen = 0.0
        self._ended: float | None = None
        self._hold = HOLD

    @property
    def goes_on(self) -> bool:
        """Whether it began and has not ended."""
        return self.since is not None

    def see(self, now: Now, began: float | None = None) -> None:
        """There is a sign of it now; at first it began at ``began``, or now."""
        if self.since is None:
            recurs = self._ended is not None and now.elapsed - self._ended < AGAIN_WITHIN
            self._hold = min(2 * self._hold, LONGEST_HOLD) if recurs else HOLD
            self.began = now.elapsed if began is None else began
            self.opened = now.elapsed
            self.since = now.at(self.began)
        self.last_seen = now.elapsed

    def rest(self, now: Now, at_least: float = 0.0) -> bool:
        """Let it end where it has not been seen for its hold; whether it ended by this call.

        Args:
            now: the present moment.
            at_least: seconds it is held whatever its own hold is.
        """
        if self.since is None or now.elapsed - self.last_seen <= max(self._hold, at_least):
            return False
        self.end(now)
        return True

    def end(self, now: Now) -> None:
        """It is over."""
        self.since = None
        self._ended = now.elapsed
