"""How an exporter is doing: what the snapshot, and with it every path, says of export itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from metalscope.moments import rfc3339_or_none

__all__ = ["WORST_STATE_FIRST", "BreakerState", "ExporterStatus", "added_statuses"]

_NONE: Mapping[str, int] = MappingProxyType({})


class BreakerState(StrEnum):
    """Of a circuit breaker: one in front of an exporter's peer, or one of the application."""

    CLOSED = "closed"
    """Calls go through."""
    HALF_OPEN = "half_open"
    """A single trial is made after calls failed for a while."""
    OPEN = "open"
    """Calls fail; none goes through until the next trial."""


@dataclass(frozen=True, slots=True)
class ExporterStatus:
    """One exporter's state and counts since it was started.

    ``queued``, ``delivered`` and ``dropped`` count snapshots, the last by reason; ``points`` and
    ``rejected_points`` count points. ``failures`` counts attempts by reason. ``waiting`` and
    ``waiting_bytes`` are what the queue holds now. ``seconds`` is the time attempts took. What
    ``last_error`` says holds no secret; it is empty once an export arrived again.
    """

    name: str
    type: str = ""
    state: BreakerState = BreakerState.CLOSED
    queued: int = 0
    delivered: int = 0
    points: int = 0
    rejected_points: int = 0
    failures: Mapping[str, int] = field(default_factory=lambda: _NONE)
    dropped: Mapping[str, int] = field(default_factory=lambda: _NONE)
    waiting: int = 0
    waiting_bytes: int = 0
    seconds: float = 0.0
    last_success: datetime | None = None
    last_error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "name": self.name,
            "type": self.type,
            "state": self.state.value,
            "queued": self.queued,
            "delivered": self.delivered,
            "points": self.points,
            "rejected_points": self.rejected_points,
            "failures": dict(self.failures),
            "dropped": dict(self.dropped),
            "waiting": self.waiting,
            "waiting_bytes": self.waiting_bytes,
            "seconds": self.seconds,
            "last_success": rfc3339_or_none(self.last_success),
            "last_error": self.last_error,
        }


WORST_STATE_FIRST: Final = (BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED)


def added_statuses(statuses: Iterable[ExporterStatus]) -> tuple[ExporterStatus, ...]:
    """Of several processes: the counts of each exporter added up, and its worst state."""
    by_name: dict[str, ExporterStatus] = {}
    for one in statuses:
        before = by_name.get(one.name)
        by_name[one.name] = one if before is None else _added(before, one)
    return tuple(by_name.values())


def _added(one: ExporterStatus, other: ExporterStatus) -> ExporterStatus:
    successes = [s for s in (one.last_success, other.last_success) if s is not None]
    return replace(
        one,
        state=min(one.state, other.state, key=WORST_STATE_FIRST.index),
        queued=one.queued + other.queued,
        delivered=one.delivered + other.delivered,
        points=one.points + other.points,
        rejected_points=one.rejected_points + other.rejected_points,
        failures=dict(Counter(one.failures) + Counter(other.failures)),
        dropped=dict(Counter(one.dropped) + Counter(other.dropped)),
        waiting=one.waiting + other.waiting,
        waiting_bytes=one.waiting_bytes + other.waiting_bytes,
        seconds=one.seconds + other.seconds,
        last_success=max(successes, default=None),
        last_error=one.last_error or other.last_error,
    )
