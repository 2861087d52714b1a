"""Times of snapshots that only go forward, whatever is done to the clock of the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Final

from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["LONGEST_BRIDGED", "Timeline"]

LONGEST_BRIDGED: Final = timedelta(hours=1)
"""A clock set back further is followed: it had been wrong, and peers would show the future."""

_LEAST_STEP: Final = timedelta(milliseconds=1)


class Timeline:
    """Gives each snapshot a later time than the one before.

    Peers refuse points that are older than what they have. Where the host's clock was set back,
    time goes on from the last snapshot by the monotonic clock until the host's has caught up, so
    that no point is lost and none out of order.

    Args:
        clock: a monotonic clock, in s.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._last: datetime | None = None
        self._at = 0.0
        self._given: MetalTelemetrySnapshot | None = None
        self._fitted: MetalTelemetrySnapshot | None = None

    def fit(self, snapshot: MetalTelemetrySnapshot) -> MetalTelemetrySnapshot:
        """``snapshot``, with another time where its own is not later than the last one's.

        The same one again is given the same time again.
        """
        if self._fitted is not None and snapshot is self._given:
            return self._fitted
        self._given = snapshot
        now = self._clock()
        time, last = snapshot.timestamp, self._last
        if last is not None and last - LONGEST_BRIDGED <= time <= last:
            elapsed = timedelta(seconds=now - self._at)
            time = last + max(elapsed, _LEAST_STEP)
            snapshot = replace(snapshot, timestamp=time)
        self._last, self._at, self._fitted = time, now, snapshot
        return snapshot
