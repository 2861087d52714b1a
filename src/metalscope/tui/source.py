"""Where snapshots come from: what a source tells, as it happens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["Arrived", "Ended", "Jumped", "Lost", "Noted", "Source", "Update"]


@dataclass(frozen=True, slots=True)
class Arrived:
    """The next snapshot."""

    snapshot: MetalTelemetrySnapshot


@dataclass(frozen=True, slots=True)
class Lost:
    """There is no telemetry at present; the source keeps trying. ``why`` is for a person."""

    why: str


@dataclass(frozen=True, slots=True)
class Jumped:
    """A recording goes on from another place; ``before`` leads up to it, oldest first."""

    before: Sequence[MetalTelemetrySnapshot]


@dataclass(frozen=True, slots=True)
class Ended:
    """A recording is at its end, and waits there."""


@dataclass(frozen=True, slots=True)
class Noted:
    """The source itself changed: more of a recording has been read, or it goes faster."""


Update = Arrived | Lost | Jumped | Ended | Noted


class Source(Protocol):
    """Tells what becomes known, until it is closed."""

    @property
    def label(self) -> str:
        """An address or a file, for a person."""
        ...

    def updates(self) -> AsyncIterator[Update]:
        """What happens, as it happens. It raises nothing that trying again could mend."""
        ...
