"""What happened, a line each: failed operations, custom events, health, restarts."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from metalscope.health_report import HealthEventKind
from metalscope.snapshot import HealthStatus, MetalTelemetrySnapshot, TelemetryEvent
from metalscope.tui.track import Track

__all__ = ["Happening", "Log", "Seen", "Sort", "happenings_in"]

KEPT: Final = 500
"""Lines kept; the oldest go first."""


class Sort(StrEnum):
    """What a line is about; the word stands in the line, so that no colour is needed."""

    ERROR = "error"
    EVENT = "event"
    HEALTH = "health"
    PROCESS = "process"


@dataclass(frozen=True, slots=True)
class Happening:
    """One line. ``text`` holds names from outside and is drawn as text."""

    at: datetime
    sort: Sort
    text: str
    process: str = ""


class Log:
    """The newest happenings, oldest first."""

    def __init__(self) -> None:
        self._lines: deque[Happening] = deque(maxlen=KEPT)

    def add(self, happening: Happening) -> None:
        """Put a line at the end."""
        self._lines.append(happening)

    def all(self) -> tuple[Happening, ...]:
        """Every line kept."""
        return tuple(self._lines)

    def forget(self) -> None:
        """Begin anew."""
        self._lines.clear()


@dataclass(slots=True)
class Seen:
    """How far the happenings of one process were told."""

    sequence: int = -1
    health_sequence: int = -1
    health: HealthStatus | None = None


def happenings_in(
    snapshot: MetalTelemetrySnapshot, track: Track, seen: Seen, *, anew: bool
) -> Iterator[Happening]:
    """What the newest snapshot of a track tells that was not told before."""
    if anew:
        yield Happening(snapshot.timestamp, Sort.PROCESS, "started anew", track.name)
        seen.sequence = seen.health_sequence = -1
    for event in snapshot.events:
        if event.sequence > seen.sequence:
            seen.sequence = event.sequence
            yield Happening(event.timestamp, Sort.EVENT, _event(event), track.name)
    for ((kind, name, device), error), count in track.new_errors.items():
        times = f" ×{count}" if count > 1 else ""
        where = f" on {device}" if device else ""
        text = f"{kind} {name}{where}: {error}{times}"
        yield Happening(snapshot.timestamp, Sort.ERROR, text, track.name)
    yield from _of_health(snapshot, track, seen)


def _of_health(snapshot: MetalTelemetrySnapshot, track: Track, seen: Seen) -> Iterator[Happening]:
    for event in snapshot.health.events:
        if event.sequence > seen.health_sequence:
            seen.health_sequence = event.sequence
            # The status is told of below, with all its reasons, and for programs without events.
            if event.kind is not HealthEventKind.STATUS:
                yield Happening(event.timestamp, Sort.HEALTH, event.message, track.name)
    status = snapshot.health_status
    if seen.health is not None and status is not seen.health:
        reasons = [why for part in snapshot.health.components for why in part.reasons]
        text = f"{status}: {'; '.join(reasons)}" if reasons else status.value
        yield Happening(snapshot.timestamp, Sort.HEALTH, text, track.name)
    seen.health = status


def _event(event: TelemetryEvent) -> str:
    if not event.properties:
        return event.name
    return f"{event.name} {json.dumps(dict(event.properties), ensure_ascii=False, default=str)}"
