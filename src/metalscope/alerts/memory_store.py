"""A store of alerts that lives as long as the program."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Any, Final

from metalscope.alert_report import Alert, AlertState, Silence
from metalscope.alerts.notification import Notification
from metalscope.alerts.storing import Change, Kept

__all__ = ["MemoryStore"]

MOST_RESOLVED: Final = 1000
"""Alerts that are over and still known; the oldest go first."""


class MemoryStore:
    """An :class:`~metalscope.alerts.storing.AlertStore` without a file.

    ``load()`` gives what was kept in this same object, so one can stand in for a file in tests.
    Samples are not kept: those who take them have them in memory themselves.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._alerts: dict[str, Alert] = {}
        self._silences: dict[str, Silence] = {}
        self._documents: dict[str, Any] = {}
        self._messages: dict[str, Notification] = {}

    def load(self) -> Kept:
        """What was kept."""
        with self._lock:
            return Kept(
                tuple(a for a in self._alerts.values() if a.state is not AlertState.RESOLVED),
                tuple(self._silences.values()),
                dict(self._documents),
                tuple(self._messages.values()),
            )

    def keep(self, change: Change) -> None:
        """Keep something."""
        with self._lock:
            for alert in change.alerts:
                # At the end, where the latest are.
                self._alerts.pop(alert.id, None)
                self._alerts[alert.id] = alert
            self._silences.update((one.id, one) for one in change.silences)
            for silence in change.without:
                self._silences.pop(silence, None)
            self._documents.update(change.documents)
            self._messages.update((one.id, one) for one in change.messages)
            for message in change.sent:
                self._messages.pop(message, None)
            self._limit()

    def history(
        self, *, limit: int = 100, before: datetime | None = None, rule: str | None = None
    ) -> tuple[Alert, ...]:
        """Alerts that have fired, the latest first."""
        with self._lock:
            alerts = list(self._alerts.values())
        fired = [
            (one.fired_at, one)
            for one in alerts
            if one.fired_at is not None
            and (before is None or one.fired_at < before)
            and (rule is None or one.rule == rule)
        ]
        fired.sort(key=lambda pair: pair[0], reverse=True)
        return tuple(one for _, one in fired[:limit])

    def find(self, alert_id: str) -> Alert | None:
        """The alert of an id."""
        with self._lock:
            return self._alerts.get(alert_id)

    def forget(self, before: datetime) -> None:
        """Let go of what was over before a moment."""
        with self._lock:
            for alert in list(self._alerts.values()):
                if alert.resolved_at is not None and alert.resolved_at < before:
                    del self._alerts[alert.id]
            for silence in list(self._silences.values()):
                if silence.ends_at < before:
                    del self._silences[silence.id]

    def close(self, timeout: float | None = None) -> None:
        """Nothing to write."""

    def _limit(self) -> None:
        resolved = [one.id for one in self._alerts.values() if one.state is AlertState.RESOLVED]
        for old in resolved[: len(resolved) - MOST_RESOLVED]:
            del self._alerts[old]
