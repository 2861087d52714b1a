"""Which messages are to be sent: alerts as groups, on each channel its own.

A state machine without threads and without a clock: :meth:`Groups.turn` is given the moment and
the alerts, and gives the messages that are due.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from metalscope.alert_report import Alert, AlertState, Labels
from metalscope.alerts.notification import Notification, NotificationKind
from metalscope.alerts.notify.audience import Audience
from metalscope.alerts.notify.group import Cadence, Group
from metalscope.json_values import read_text, read_time
from metalscope.moments import rfc3339
from metalscope.snapshot_json_alerts import alert_from_dict

if TYPE_CHECKING:
    from metalscope.alert_options import AlertsOptions, ChannelOptions

__all__ = ["Groups"]

logger = logging.getLogger("metalscope")

FORWARDED_EVERY: Final = timedelta(minutes=1)
"""How often a peer that groups itself hears of what still fires, as from Prometheus."""

_MICROSECOND: Final = timedelta(microseconds=1)

Links = Callable[[Sequence[Alert]], Sequence[tuple[str, str]]]


class Groups:
    """Makes messages of alerts: puts them together, waits, repeats, and tells when all is over.

    What was told survives a restart by :meth:`state` and :meth:`restore`: nothing is told twice,
    and nothing that was told ends without a word.

    Args:
        channels: who may be told; one that is not enabled is not.
        options: by what is grouped, and how long things take.
        source: what messages say they come from.
        forwards: whether the channel of a name has a peer that groups and repeats itself.
        links: links for a message about these alerts, as (title, URL).
    """

    def __init__(
        self,
        channels: Sequence[ChannelOptions],
        options: AlertsOptions,
        *,
        source: str = "",
        forwards: Callable[[str], bool] = lambda _: False,
        links: Links = lambda _: (),
    ) -> None:
        self._channels = {
            one.name: _Channel(one, options, source=source, forwards=forwards(one.name))
            for one in channels
            if one.enabled
        }
        self._links = links
        # Of all that some channel was told of: as it was last told, or as it ended.
        self._records: dict[str, Alert] = {}
        self._state: dict[str, Any] | None = None

    @property
    def crowded_out(self) -> int:
        """Alerts for which no channel has room in its groups now; ``max_alerts`` is the room."""
        return max((one.crowded_out for one in self._channels.values()), default=0)

    def turn(
        self, now: datetime, active: Sequence[Alert], resolved: Sequence[Alert]
    ) -> list[Notification]:
        """The messages that are due now.

        Args:
            now: the moment.
            active: all alerts that are pending or fire. One that was told of and is neither here
                nor in ``resolved`` is taken to be over.
            resolved: those that were resolved since the last turn.
        """
        self._follow(now, active, resolved)
        labelled = [(one, one.all_labels) for one in active]
        told: list[Notification] = []
        for channel in self._channels.values():
            messages, changed = channel.turn(now, labelled, self._records)
            told += messages
            if changed:
                self._state = None
        self._forget()
        return [self._linked(one) for one in told]

    def flush(self, now: datetime) -> list[Notification]:
        """Tell of the groups that wait for their first message, as the program ends.

        They are as they were at the last turn.
        """
        told = [
            message
            for channel in self._channels.values()
            for message in channel.flush(now, self._records)
        ]
        if told:
            self._state = None
        return [self._linked(one) for one in told]

    def state(self) -> dict[str, Any]:
        """All of it as JSON-able data, not to be altered. The same object while nothing changed."""
        if self._state is None:
            self._state = {
                "alerts": {name: one.to_dict() for name, one in self._records.items()},
                "channels": {name: one.to_dict() for name, one in self._channels.items()},
            }
        return self._state

    def restore(self, data: Mapping[str, Any]) -> None:
        """Go on from a state. What concerns channels that are gone, or cannot be read, is left."""
        self._state = None
        self._records = {}
        for name, alert in _items(data, "alerts"):
            try:
                self._records[name] = alert_from_dict(alert)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                logger.warning("alerts: what was told of %s cannot be read: %s", name, error)
        for name, kept in _items(data, "channels"):
            channel = self._channels.get(name)
            if channel is None:
                continue
            try:
                channel.restore(kept, self._records)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                logger.warning("alerts channel %s: its state cannot be read: %s", name, error)
        self._forget()

    def _follow(self, now: datetime, active: Sequence[Alert], resolved: Sequence[Alert]) -> None:
        if not self._records:
            return
        going_on = {one.id: one for one in active}
        over = {one.id: one for one in resolved}
        for name, record in self._records.items():
            if name in going_on:
                if record.state is AlertState.RESOLVED:
                    self._records[name] = going_on[name]
                    self._state = None
            elif name in over:
                self._records[name] = over[name]
                self._state = None
            elif record.state is not AlertState.RESOLVED:
                self._records[name] = replace(
                    record,
                    state=AlertState.RESOLVED,
                    resolved_at=now,
                    resolution="nothing more is known of it",
                )
                self._state = None

    def _forget(self) -> None:
        told = {one for channel in self._channels.values() for one in channel.told}
        for name in [one for one in self._records if one not in told]:
            del self._records[name]
            self._state = None

    def _linked(self, message: Notification) -> Notification:
        links = tuple(self._links(message.alerts))
        return replace(message, links=links) if links else message


class _Channel:
    """The groups of one channel."""

    def __init__(
        self, options: ChannelOptions, alerts: AlertsOptions, *, source: str, forwards: bool
    ) -> None:
        self._name = options.name
        self._source = source
        self._audience = Audience(options, escalates=not forwards)
        self._group_by = () if forwards else tuple(sorted(set(alerts.group_by)))
        self._tells_the_end = options.send_resolved or forwards
        self._cadence = (
            Cadence(timedelta(), timedelta(), FORWARDED_EVERY, forwards=True)
            if forwards
            else Cadence(
                alerts.group_wait,
                alerts.group_interval,
                alerts.repeat_interval,
                all_updates=alerts.group_updates == "all",
                first=(
                    NotificationKind.ESCALATION
                    if self._audience.is_escalated_to
                    else NotificationKind.FIRING
                ),
            )
        )
        self._most = alerts.max_alerts
        self._groups: dict[Labels, Group] = {}
        self._visible: dict[Labels, list[Alert]] = {}
        # When the last incident of each group began, so that the next one is another.
        self._began: dict[Labels, datetime] = {}
        self.crowded_out = 0

    @property
    def told(self) -> list[str]:
        """Ids of the alerts that were told of in groups that are not over."""
        return [one for group in self._groups.values() for one in group.told]

    def turn(
        self,
        now: datetime,
        active: Sequence[tuple[Alert, Mapping[str, str]]],
        records: dict[str, Alert],
    ) -> tuple[list[Notification], bool]:
        """The messages that are due, and whether anything has changed."""
        self._visible = {}
        for alert, labels in active:
            if self._audience.hears_of(alert, labels, now):
                self._visible.setdefault(self._key(labels), []).append(alert)
        changed = self._open(now)
        messages: list[Notification] = []
        for key, group in sorted(self._groups.items()):
            changed |= group.heed_clock(now)
            visible = self._visible.get(key, [])
            if group.is_over(visible, records):
                del self._groups[key]
                changed = True
                if group.told and self._tells_the_end:
                    messages.append(self._tell(group, NotificationKind.RESOLVED, now, records))
            elif (kind := group.due(now, visible, records, self._cadence)) is not None:
                messages.append(self._tell(group, kind, now, records))
        return messages, changed or bool(messages)

    def flush(self, now: datetime, records: dict[str, Alert]) -> list[Notification]:
        """The first messages of groups that wait for them."""
        return [
            self._tell(group, self._cadence.first, now, records)
            for key, group in sorted(self._groups.items())
            if group.last_sent is None and self._visible.get(key)
        ]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "groups": [one.to_dict() for one in self._groups.values()],
            "began": [[dict(key), rfc3339(at)] for key, at in self._began.items()],
        }

    def restore(self, data: Mapping[str, Any], records: Mapping[str, Alert]) -> None:
        """Go on from that, as far as there are records of what was told."""
        groups = [Group.from_dict(one) for one in data["groups"]]
        self._began = {
            tuple(sorted((name, read_text(value)) for name, value in key.items())): read_time(at)
            for key, at in data["began"]
        }
        for group in groups:
            for one in [name for name in group.told if name not in records]:
                del group.told[one]
            self._groups[group.key] = group

    def _key(self, labels: Mapping[str, str]) -> Labels:
        # A label that is not there is the same as an empty one, as everywhere in Prometheus.
        return tuple((name, labels[name]) for name in self._group_by if labels.get(name))

    def _open(self, now: datetime) -> bool:
        self.crowded_out = 0
        opened = False
        for key, visible in self._visible.items():
            if key in self._groups:
                continue
            if len(self._groups) >= self._most:
                self.crowded_out += len(visible)
                continue
            began_at = min(one.fired_at or one.active_since for one in visible)
            before = self._began.pop(key, None)
            if before is not None and began_at <= before:
                # It was kept quiet, or not told of, while an incident before went on.
                began_at = max(now, before + _MICROSECOND)
            self._began[key] = began_at
            self._groups[key] = Group(key, began_at, since=now)
            opened = True
        while len(self._began) > self._most:
            del self._began[next(iter(self._began))]
        return opened

    def _tell(
        self, group: Group, kind: NotificationKind, now: datetime, records: dict[str, Alert]
    ) -> Notification:
        return group.tell(
            kind,
            now,
            self._visible.get(group.key, []),
            records,
            channel=self._name,
            source=self._source,
            cadence=self._cadence,
        )


def _items(data: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    found = data.get(name)
    return list(found.items()) if isinstance(found, Mapping) else []
