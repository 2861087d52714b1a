"""One incident on one channel: what was told of it, and when something is to be told again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from metalscope.alert_report import Alert, AlertState, Labels
from metalscope.alerts.notification import Notification, NotificationKind
from metalscope.json_values import maybe, read_text, read_time, read_whole
from metalscope.moments import rfc3339, rfc3339_or_none
from metalscope.operation import ErrorSeverity

__all__ = ["MOST_LISTED", "Cadence", "Group", "gravest_first"]

MOST_LISTED: Final = 20
"""Alerts in one message; nobody reads more, and chats cut what is longer."""


@dataclass(frozen=True, slots=True)
class Cadence:
    """When a channel is told again.

    ``wait`` is before the first message, ``interval`` the least time between two, ``repeat`` that
    until what nobody acknowledged is told again, 0 for never. ``all_updates`` has each alert that
    comes to a group told, not only a graver one. ``first`` is the kind of the first message.
    ``forwards`` has every change told at once, the end of each alert too, and all that fires
    repeated, acknowledged or not: the peer decides who hears of it.
    """

    wait: timedelta
    interval: timedelta
    repeat: timedelta
    all_updates: bool = False
    first: NotificationKind = NotificationKind.FIRING
    forwards: bool = False


@dataclass(slots=True)
class _Told:
    """What was said of one alert: how grave it was at the worst, and whether that it is over."""

    severity: ErrorSeverity
    as_over: bool = False


@dataclass(slots=True)
class Group:
    """The alerts with the same ``key`` on one channel, from the first until all are over.

    Args:
        key: the labels they have in common.
        began_at: which incident this is.
        since: when the first of them was there to be told of.
    """

    key: Labels
    began_at: datetime
    since: datetime
    last_sent: datetime | None = None
    sent: int = 0
    told: dict[str, _Told] = field(default_factory=dict)
    gravest: int = -1
    forgotten: int = 0
    """Alerts that were told of and are over, beyond those that the last message lists."""

    def heed_clock(self, now: datetime) -> bool:
        """Wait no longer than is due where the clock was put back; whether it was."""
        last = self.last_sent
        if now >= self.since and (last is None or now >= last):
            return False
        self.since = min(self.since, now)
        self.last_sent = None if last is None else min(last, now)
        return True

    def is_over(self, visible: Sequence[Alert], records: Mapping[str, Alert]) -> bool:
        """Whether nothing of it is left."""
        return not visible and all(_is_over(records[one]) for one in self.told)

    def due(
        self,
        now: datetime,
        visible: Sequence[Alert],
        records: Mapping[str, Alert],
        cadence: Cadence,
    ) -> NotificationKind | None:
        """What is to be told now, of a group that is not over."""
        if self.last_sent is None:
            return cadence.first if now - self.since >= cadence.wait else None
        elapsed = now - self.last_sent
        if elapsed >= cadence.interval and self._has_news(visible, records, cadence):
            return NotificationKind.UPDATE
        if not cadence.repeat or elapsed < max(cadence.repeat, cadence.interval):
            return None
        if any(cadence.forwards or one.acknowledged is None for one in visible):
            return NotificationKind.REPEAT
        return None

    def tell(
        self,
        kind: NotificationKind,
        now: datetime,
        visible: Sequence[Alert],
        records: dict[str, Alert],
        *,
        channel: str,
        source: str,
        cadence: Cadence,
    ) -> Notification:
        """The message, noted as told. ``records`` gets the alerts as they are told of."""
        firing = gravest_first(visible)
        over = gravest_first(
            records[one]
            for one, told in self.told.items()
            if _is_over(records[one])
            and (not told.as_over or (kind is NotificationKind.RESOLVED and not cadence.forwards))
        )
        most = len(firing) + len(over) if cadence.forwards else MOST_LISTED
        listed = firing[:most]
        ends = over[: most - len(listed)]
        omitted = len(firing) - len(listed)
        if kind is NotificationKind.RESOLVED:
            omitted = self.forgotten + len(over) - len(ends)
        message = Notification(
            id="",
            channel=channel,
            kind=kind,
            created_at=now,
            began_at=self.began_at,
            alerts=(*listed, *ends),
            group=self.key,
            source=source,
            omitted=omitted,
        )
        self._note(now, firing, ends, records)
        self._forget(records, none=cadence.forwards)
        # The same after a restart: one that went out and was not noted takes the other's place.
        return replace(message, id=f"{message.incident}-{self.sent}")

    def _has_news(
        self, visible: Sequence[Alert], records: Mapping[str, Alert], cadence: Cadence
    ) -> bool:
        if cadence.forwards:
            return any(
                one.id not in self.told or self.told[one.id].severity is not one.severity
                for one in visible
            ) or any(_is_over(records[one]) and not told.as_over for one, told in self.told.items())
        if cadence.all_updates:
            return any(
                one.id not in self.told or one.severity.rank > self.told[one.id].severity.rank
                for one in visible
            )
        return any(one.severity.rank > self.gravest for one in visible)

    def _note(
        self,
        now: datetime,
        firing: Sequence[Alert],
        ends: Sequence[Alert],
        records: dict[str, Alert],
    ) -> None:
        self.last_sent = now
        self.sent += 1
        for one in firing:
            self.told[one.id] = _Told(one.severity)
            self.gravest = max(self.gravest, one.severity.rank)
            records[one.id] = one
        for one in ends:
            self.told[one.id].as_over = True

    def _forget(self, records: Mapping[str, Alert], *, none: bool) -> None:
        """Keep no more of those that are over than a message lists, or none that was said to be."""
        over = [one for one in self.told if _is_over(records[one])]
        if none:
            gone = [one for one in over if self.told[one].as_over]
        else:
            gone = sorted(over, key=lambda one: (records[one].resolved_at or self.since, one))
            gone = gone[: max(0, len(gone) - MOST_LISTED)]
            self.forgotten += len(gone)
        for one in gone:
            del self.told[one]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "key": dict(self.key),
            "began_at": rfc3339(self.began_at),
            "since": rfc3339(self.since),
            "last_sent": rfc3339_or_none(self.last_sent),
            "sent": self.sent,
            "told": [[one, told.severity.value, told.as_over] for one, told in self.told.items()],
            "gravest": self.gravest,
            "forgotten": self.forgotten,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Group:
        """What :meth:`to_dict` was made of.

        Raises:
            ValueError, TypeError, KeyError: it is no such data.
        """
        return cls(
            key=tuple(sorted((name, read_text(value)) for name, value in data["key"].items())),
            began_at=read_time(data["began_at"]),
            since=read_time(data["since"]),
            last_sent=maybe(read_time, data["last_sent"]),
            sent=read_whole(data["sent"]),
            told={
                read_text(one): _Told(ErrorSeverity(severity), bool(as_over))
                for one, severity, as_over in data["told"]
            },
            gravest=read_whole(data["gravest"]),
            forgotten=read_whole(data["forgotten"]),
        )


def gravest_first(alerts: Iterable[Alert]) -> list[Alert]:
    """The gravest first; of those as grave, what fired first."""
    return sorted(
        alerts, key=lambda one: (-one.severity.rank, one.fired_at or one.active_since, one.id)
    )


def _is_over(alert: Alert) -> bool:
    return alert.state is AlertState.RESOLVED
