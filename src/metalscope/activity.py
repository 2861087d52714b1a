"""What happened lately: rates and trends from the differences between collections."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from types import MappingProxyType
from typing import Final

from metalscope.operation import NS_PER_MS, MetalError
from metalscope.snapshot import ActivityPoint, OperationMetrics, RecentActivity, errors_of

__all__ = ["ActivityWindow", "Totals"]

MAX_POINTS: Final = 3600
"""A short tick and a long window together keep no more points than this."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Running totals at one collection; ``monotonic`` in seconds."""

    monotonic: float
    timestamp: datetime
    operations: int
    timed: int
    duration_ns: int
    errors: dict[MetalError, int]

    @classmethod
    def of(
        cls, timestamp: datetime, operations: Sequence[OperationMetrics], retired_operations: int
    ) -> Totals:
        """Add up what was collected just now."""
        return cls(
            monotonic=monotonic(),
            timestamp=timestamp,
            operations=retired_operations + sum(one.executions for one in operations),
            timed=sum(one.durations.count for one in operations),
            duration_ns=sum(one.durations.sum_ns for one in operations),
            errors=errors_of(operations),
        )


class ActivityWindow:
    """A sliding window over running totals. One thread observes, any thread reads."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._totals: deque[Totals] = deque(maxlen=MAX_POINTS)
        self._points: deque[ActivityPoint] = deque(maxlen=MAX_POINTS)

    def observe(self, now: Totals) -> None:
        """Take the totals of one tick."""
        if self._totals:
            last = self._totals[-1]
            seconds = now.monotonic - last.monotonic
            if seconds <= 0:
                return
            operations = max(0, now.operations - last.operations)
            errors = max(0, sum(now.errors.values()) - sum(last.errors.values()))
            busy_ms = max(0, now.duration_ns - last.duration_ns) / NS_PER_MS
            timed = max(0, now.timed - last.timed)
            mean = busy_ms / timed if timed else None
            self._points.append(
                ActivityPoint(now.timestamp, operations / seconds, errors / seconds, mean)
            )
        self._totals.append(now)
        while self._totals[0].monotonic < now.monotonic - self._seconds:
            self._totals.popleft()
            self._points.popleft()

    def recent(self) -> RecentActivity:
        """The window as it stood at the last tick."""
        totals = list(self._totals)
        if len(totals) < 2:
            return RecentActivity()
        first, last = totals[0], totals[-1]
        counts = {e: n - first.errors.get(e, 0) for e, n in last.errors.items()}
        return RecentActivity(
            seconds=last.monotonic - first.monotonic,
            operations=max(0, last.operations - first.operations),
            errors=MappingProxyType({e: n for e, n in counts.items() if n > 0}),
            points=tuple(self._points),
        )
