"""The health events kept: bounded by number and age, and no flood where one thing flickers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from time import monotonic
from types import MappingProxyType
from typing import Any, Final

from metalscope.fork import reset_in_child
from metalscope.health_report import HealthEvent, HealthEventKind
from metalscope.moments import utc_now
from metalscope.operation import Component, ErrorSeverity

__all__ = ["Happening", "HealthEvents"]

STORM_SECONDS: Final = 60.0
"""Over how long the same event is counted; as long as a like failure inside is logged once."""

STORM_EVENTS: Final = 5
"""Of the same event so many are kept in that time, each by itself; the rest become one."""


@dataclass(frozen=True, slots=True)
class Happening:
    """What an event tells. ``subject`` with kind and component makes two of them the same."""

    kind: HealthEventKind
    severity: ErrorSeverity
    message: str
    component: Component | None = None
    subject: str = ""
    properties: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes two of them the same."""
        component = "" if self.component is None else self.component.value
        return self.kind.value, component, self.subject


class _Burst:
    """The same event, over and over, since ``started``; ``held`` of them were not kept."""

    __slots__ = ("held", "kept", "last", "started")

    def __init__(self, started: float, last: Happening) -> None:
        self.started = started
        self.last = last
        self.kept = 1
        self.held = 0


class HealthEvents:
    """The latest health events. Any thread may call any method.

    Of the same event :data:`STORM_EVENTS` are kept within :data:`STORM_SECONDS`; those that follow
    in that time are told by one more when it is over, with their number in ``repeated``.

    Args:
        max_events: how many are kept; the oldest go first and are counted in :attr:`dropped`.
        retention: how long one is kept.
        clock: seconds of a monotonic clock.
    """

    def __init__(
        self,
        *,
        max_events: int,
        retention: timedelta,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._max_events = max_events
        self._retention = retention
        self._clock = clock
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Forget every event."""
        self._lock = threading.RLock()
        self._events: deque[HealthEvent] = deque(maxlen=self._max_events)
        self._bursts: dict[tuple[str, str, str], _Burst] = {}
        self._sequence = 0
        self.dropped = 0

    def add(self, happening: Happening, timestamp: datetime | None = None) -> None:
        """Keep what happened at ``timestamp``, or now, unless its like comes too often."""
        now = self._clock()
        with self._lock:
            burst = self._bursts.get(happening.key)
            if burst is not None and now - burst.started < STORM_SECONDS:
                burst.last = happening
                if burst.kept >= STORM_EVENTS:
                    burst.held += 1
                    return
                burst.kept += 1
            else:
                self._end(happening.key, timestamp)
                if len(self._bursts) >= self._max_events:
                    self._end(next(iter(self._bursts)), timestamp)
                self._bursts[happening.key] = _Burst(now, happening)
            self._keep(happening, timestamp)

    def latest(self, count: int) -> tuple[HealthEvent, ...]:
        """The newest ``count`` events, oldest first."""
        with self._lock:
            return tuple(self._events)[-count:] if count > 0 else ()

    def tidy(self, timestamp: datetime) -> None:
        """At ``timestamp``, let go of events past their retention, and tell of storms now over."""
        now = self._clock()
        with self._lock:
            for key in [k for k, b in self._bursts.items() if now - b.started >= STORM_SECONDS]:
                self._end(key, timestamp)
            while self._events and self._events[0].timestamp < timestamp - self._retention:
                self._events.popleft()

    def _end(self, key: tuple[str, str, str], timestamp: datetime | None) -> None:
        burst = self._bursts.pop(key, None)
        if burst is None or not burst.held:
            return
        last = burst.last
        self._keep(
            replace(
                last,
                message=f"{last.message} ({burst.held} times more within {STORM_SECONDS:.0f} s)",
                properties={**last.properties, "repeated": burst.held},
            ),
            timestamp,
        )

    def _keep(self, happening: Happening, timestamp: datetime | None) -> None:
        self._sequence += 1
        if len(self._events) == self._max_events:
            self.dropped += 1
        self._events.append(
            HealthEvent(
                sequence=self._sequence,
                timestamp=timestamp if timestamp is not None else utc_now(),
                kind=happening.kind,
                severity=happening.severity,
                message=happening.message,
                component=happening.component,
                properties=MappingProxyType(dict(happening.properties)),
            )
        )
