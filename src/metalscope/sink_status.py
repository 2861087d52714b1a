"""How a log sink or an exporter of spans is doing, as the snapshot says it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal

from metalscope.export_status import WORST_STATE_FIRST, BreakerState
from metalscope.moments import rfc3339_or_none

__all__ = ["Signal", "SinkStatus", "added_sinks"]

Signal = Literal["logs", "traces"]

_NONE: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """One sink's state and counts since it was started.

    ``delivered`` and ``dropped``, by reason, count records, ``failures`` tries by reason;
    ``waiting`` and ``waiting_bytes`` are what its queue holds now. ``last_error`` holds no secret;
    it is empty once records arrived again.
    """

    name: str
    type: str = ""
    signal: Signal = "logs"
    state: BreakerState = BreakerState.CLOSED
    delivered: int = 0
    failures: Mapping[str, int] = field(default_factory=lambda: _NONE)
    dropped: Mapping[str, int] = field(default_factory=lambda: _NONE)
    waiting: int = 0
    waiting_bytes: int = 0
    last_success: datetime | None = None
    last_error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "name": self.name,
            "type": self.type,
            "signal": self.signal,
            "state": self.state.value,
            "delivered": self.delivered,
            "failures": dict(self.failures),
            "dropped": dict(self.dropped),
            "waiting": self.waiting,
            "waiting_bytes": self.waiting_bytes,
            "last_success": rfc3339_or_none(self.last_success),
            "last_error": self.last_error,
        }


def added_sinks(statuses: Iterable[SinkStatus]) -> tuple[SinkStatus, ...]:
    """Of several processes: the counts of each sink added up, and its worst state."""
    by_name: dict[tuple[str, str], SinkStatus] = {}
    for one in statuses:
        key = (one.signal, one.name)
        before = by_name.get(key)
        by_name[key] = one if before is None else _added(before, one)
    return tuple(by_name.values())


def _added(one: SinkStatus, other: SinkStatus) -> SinkStatus:
    successes = [s for s in (one.last_success, other.last_success) if s is not None]
    return replace(
        one,
        state=min(one.state, other.state, key=WORST_STATE_FIRST.index),
        delivered=one.delivered + other.delivered,
        failures=dict(Counter(one.failures) + Counter(other.failures)),
        dropped=dict(Counter(one.dropped) + Counter(other.dropped)),
        waiting=one.waiting + other.waiting,
        waiting_bytes=one.waiting_bytes + other.waiting_bytes,
        last_success=max(successes, default=None),
        last_error=one.last_error or other.last_error,
    )
