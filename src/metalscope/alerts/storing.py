"""What is kept of alerts, and where: the interface, and a store in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from metalscope.alert_report import Alert, Silence
from metalscope.alerts.notification import Notification

__all__ = ["AlertStore", "Change", "Kept", "SampleRow"]

SampleRow = tuple[str, float, float]
"""The key of a series, the moment in s since the epoch, and the value."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be kept together, all of it or nothing.

    ``alerts`` and ``silences`` take the place of those of the same id, ``documents`` of those of
    the same name, ``messages`` of those of the same id. ``without`` are ids of silences,
    ``sent`` ids of messages that are not needed any more. ``samples`` are added, and those before
    ``samples_from``, in s since the epoch, forgotten.
    """

    alerts: Sequence[Alert] = ()
    silences: Sequence[Silence] = ()
    without: Sequence[str] = ()
    documents: dict[str, Any] = field(default_factory=dict)
    messages: Sequence[Notification] = ()
    sent: Sequence[str] = ()
    samples: Sequence[SampleRow] = ()
    samples_from: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to keep."""
        return not (
            self.alerts or self.silences or self.without or self.documents or self.messages
            or self.sent or self.samples
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kept:
    """What was kept when the program ended: all but the alerts that are resolved.

    ``messages`` are in the order in which they were kept.
    """

    alerts: tuple[Alert, ...] = ()
    silences: tuple[Silence, ...] = ()
    documents: dict[str, Any] = field(default_factory=dict)
    messages: tuple[Notification, ...] = ()
    samples: tuple[SampleRow, ...] = ()


class AlertStore(Protocol):
    """Keeps alerts. May be used by several threads at once, and raises nothing."""

    def load(self) -> Kept:
        """What was kept before; called once, before anything is kept anew."""
        ...

    def keep(self, change: Change) -> None:
        """Keep something. Returns at once; what cannot be kept is told of and counted."""
        ...

    def history(
        self, *, limit: int = 100, before: datetime | None = None, rule: str | None = None
    ) -> tuple[Alert, ...]:
        """Alerts that have been and are, the latest first, those that fired before a moment."""
        ...

    def find(self, alert_id: str) -> Alert | None:
        """The alert of an id, whatever its state."""
        ...

    def forget(self, before: datetime) -> None:
        """Let go of alerts that were resolved before a moment, and of silences that ended."""
        ...

    def close(self, timeout: float | None = None) -> None:
        """Write what waits, and let go of the file."""
        ...
