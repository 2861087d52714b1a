"""Alerts that come, change and go as a test says, and the groups that make messages of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from alert_samples import FIRING, NOW
from metalscope.alert_options import AlertsOptions, ChannelOptions
from metalscope.alert_report import Acknowledgement, Alert, AlertState
from metalscope.alerts.notification import Notification
from metalscope.alerts.notify.grouping import Groups
from metalscope.operation import Component, ErrorSeverity


def channel(name: str = "ops", **options: Any) -> ChannelOptions:
    return ChannelOptions(name=name, **options)


@dataclass
class World:
    """Alerts, their groups and a clock. What was sent is in ``sent``, in order."""

    channels: Sequence[ChannelOptions] = field(default_factory=lambda: (channel(),))
    options: AlertsOptions = field(default_factory=AlertsOptions)
    forwards: frozenset[str] = frozenset()
    restarts_always: bool = False
    now: datetime = NOW
    alerts: dict[str, Alert] = field(default_factory=dict)
    over: list[Alert] = field(default_factory=list)
    sent: list[Notification] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.groups = self._made()

    def _made(self) -> Groups:
        return Groups(
            self.channels, self.options, source="studio", forwards=self.forwards.__contains__
        )

    def fire(
        self,
        name: str,
        severity: ErrorSeverity = ErrorSeverity.HIGH,
        component: Component | None = Component.KERNEL,
        **changes: Any,
    ) -> None:
        self.alerts[name] = replace(
            FIRING,
            id=name,
            severity=severity,
            component=component,
            active_since=self.now,
            fired_at=self.now,
            last_seen=self.now,
            **changes,
        )

    def change(self, name: str, **changes: Any) -> None:
        self.alerts[name] = replace(self.alerts[name], **changes)

    def acknowledge(self, name: str) -> None:
        self.change(name, acknowledged=Acknowledgement("ada", self.now))

    def resolve(self, name: str) -> None:
        alert = self.alerts.pop(name)
        self.over.append(replace(alert, state=AlertState.RESOLVED, resolved_at=self.now))

    def turn(self, after: float = 0.0) -> list[Notification]:
        """Let so many s pass, and see what is sent then."""
        self.now += timedelta(seconds=after)
        if self.restarts_always:
            self.restart()
        messages = self.groups.turn(self.now, tuple(self.alerts.values()), self.over)
        self.over = []
        self.sent += messages
        return messages

    def flush(self) -> list[Notification]:
        messages = self.groups.flush(self.now)
        self.sent += messages
        return messages

    def restart(self) -> None:
        kept = json.dumps(self.groups.state(), sort_keys=True)
        self.groups = self._made()
        self.groups.restore(json.loads(kept))


def said(messages: Sequence[Notification]) -> list[tuple[str, list[str], list[str]]]:
    """Of each message its kind, the ids of the alerts that fire, and of those that are over."""
    return [
        (one.kind.value, [a.id for a in one.firing], [a.id for a in one.resolved])
        for one in messages
    ]
