"""A message about a group of alerts, before any channel gave it a form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

from metalscope.alert_report import Alert, AlertState, Labels
from metalscope.json_values import read_known, read_text, read_time, read_whole
from metalscope.moments import rfc3339
from metalscope.operation import ErrorSeverity
from metalscope.snapshot_json_alerts import alert_from_dict

__all__ = ["Notification", "NotificationKind"]


class NotificationKind(StrEnum):
    """Why a message is sent."""

    FIRING = "firing"
    """A group of which nobody was told yet."""
    UPDATE = "update"
    """It is graver than was said, or has more alerts."""
    REPEAT = "repeat"
    """It still fires and nobody has acknowledged it."""
    ESCALATION = "escalation"
    """Nobody acknowledged it in time."""
    RESOLVED = "resolved"
    """All of it is over."""
    TEST = "test"
    """Somebody wants to know whether messages arrive."""


@dataclass(frozen=True, slots=True)
class Notification:
    """One message for one channel.

    ``group`` is the labels the alerts have in common, which tell this incident from others on the
    channel. ``alerts`` are those that fire, gravest first, then those of which was told and which
    are over. ``omitted`` is how many more fire that are not listed. ``began_at`` is when the first
    of them fired; it is the same in all messages of one incident.
    """

    id: str
    channel: str
    kind: NotificationKind
    created_at: datetime
    began_at: datetime
    alerts: tuple[Alert, ...]
    group: Labels = ()
    source: str = ""
    omitted: int = 0
    links: tuple[tuple[str, str], ...] = field(default=())

    @property
    def is_resolved(self) -> bool:
        """Whether it says that all is over."""
        return self.kind is NotificationKind.RESOLVED

    @property
    def firing(self) -> tuple[Alert, ...]:
        """The alerts that go on."""
        return tuple(one for one in self.alerts if one.state is not AlertState.RESOLVED)

    @property
    def resolved(self) -> tuple[Alert, ...]:
        """The alerts that are over."""
        return tuple(one for one in self.alerts if one.state is AlertState.RESOLVED)

    @property
    def severity(self) -> ErrorSeverity:
        """The gravest of those that fire; where none does, of all."""
        return max(
            (one.severity for one in self.firing or self.alerts),
            key=lambda severity: severity.rank,
            default=ErrorSeverity.LOW,
        )

    @property
    def incident(self) -> str:
        """The same for all messages of one incident on one channel, and no other: 32 hex digits.

        What PagerDuty calls ``dedup_key``.
        """
        named = repr((self.source, self.channel, self.group, rfc3339(self.began_at)))
        return sha256(named.encode("utf-8", "backslashreplace")).hexdigest()[:32]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "id": self.id,
            "channel": self.channel,
            "kind": self.kind.value,
            "status": "resolved" if self.is_resolved else "firing",
            "severity": self.severity.value,
            "incident": self.incident,
            "created_at": rfc3339(self.created_at),
            "began_at": rfc3339(self.began_at),
            "group": dict(self.group),
            "source": self.source,
            "alerts": [one.to_dict() for one in self.alerts],
            "omitted": self.omitted,
            "links": dict(self.links),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Notification:
        """What :meth:`to_dict` was made of.

        Raises:
            ValueError, TypeError, KeyError: it is no such data.
        """
        return cls(
            id=read_text(data["id"]),
            channel=read_text(data["channel"]),
            kind=read_known(NotificationKind, data["kind"]) or NotificationKind.UPDATE,
            created_at=read_time(data["created_at"]),
            began_at=read_time(data["began_at"]),
            alerts=tuple(map(alert_from_dict, data["alerts"])),
            group=_pairs(data.get("group") or {}),
            source=read_text(data.get("source", "")),
            omitted=read_whole(data.get("omitted", 0)),
            links=_pairs(data.get("links") or {}),
        )


def _pairs(data: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, read_text(value)) for name, value in data.items())
