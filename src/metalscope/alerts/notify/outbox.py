"""What waits for one channel: in order, and of each incident only the newest message."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from metalscope.alerts.notification import Notification, NotificationKind
from metalscope.sending.result import Reason

__all__ = ["Outbox", "Put"]

MOST_WAITING: Final = 100
"""Messages that may wait for one channel."""

MAX_AGE: Final = timedelta(hours=24)
"""How old a message may become before nobody wants it any more."""

MOST_CARRIED: Final = 1000
"""Ends of alerts that a message takes over from those it supersedes."""

_FIRST: Final = frozenset({NotificationKind.FIRING, NotificationKind.ESCALATION})
_LATER: Final = frozenset({NotificationKind.UPDATE, NotificationKind.REPEAT})


@dataclass(frozen=True, slots=True)
class Put:
    """What became of a message put in: as it waits now, and the ids of those let go, and why."""

    message: Notification
    gone: tuple[tuple[str, Reason], ...] = ()


@dataclass(slots=True)
class _Waiting:
    message: Notification
    unheard: bool = field(default=False)
    """Whether nobody can have been told of its incident before."""


class Outbox:
    """Messages in the order in which their incidents came to wait. Not for several threads.

    A newer message of an incident takes the place of one that has not gone out: it says more. One
    that is on its way stays until :meth:`settle` says what became of it.

    Args:
        carries: whether a message takes over the ends of alerts that an older one told, as where
            the peer knows only what it was sent.
    """

    def __init__(self, *, carries: bool = False) -> None:
        self._carries = carries
        self._waiting: dict[str, _Waiting] = {}
        self._on_its_way: str | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def messages(self) -> tuple[Notification, ...]:
        """All that wait, the next first."""
        return tuple(one.message for one in self._waiting.values())

    def first(self) -> Notification | None:
        """The next to be sent."""
        return next((one.message for one in self._waiting.values()), None)

    def put(self, message: Notification) -> Put:
        """Have a message wait."""
        incident = message.incident
        gone: list[tuple[str, Reason]] = []
        unheard = message.kind in _FIRST
        before = self._waiting.get(incident)
        if before is not None and before.message.id != message.id:
            message = self._with_ends_of(before.message, message)
            unheard = False
            if before.message.id != self._on_its_way:
                gone.append((before.message.id, Reason.SUPERSEDED))
                unheard = before.unheard
                message = _as_first_where(message, before.message)
        self._waiting[incident] = _Waiting(message, unheard)
        if len(self._waiting) > MOST_WAITING:
            gone.append((self._make_room(incident), Reason.QUEUE_FULL))
        return Put(message, tuple(gone))

    def begin(self, message: Notification) -> None:
        """Note that it is being sent."""
        self._on_its_way = message.id

    def settle(self, message: Notification, *, is_over: bool, arrived: bool) -> bool:
        """Note that sending it ended; whether it is to be forgotten.

        Args:
            message: the one that was begun.
            is_over: whether it is not to be tried again.
            arrived: whether somebody has it.
        """
        self._on_its_way = None
        waiting = self._waiting.get(message.incident)
        if waiting is None:
            return True
        if waiting.message.id == message.id:
            if is_over:
                del self._waiting[message.incident]
            return is_over
        # A newer one came in the meantime.
        if not arrived:
            waiting.unheard = message.kind in _FIRST
            waiting.message = _as_first_where(waiting.message, message)
        return True

    def expire(self, now: datetime) -> list[str]:
        """Let go of what is too old; their ids. The end of what somebody was told of is not."""
        old = [
            (incident, one.message.id)
            for incident, one in self._waiting.items()
            if now - one.message.created_at > MAX_AGE
            and one.message.id != self._on_its_way
            and (one.unheard or not one.message.is_resolved)
        ]
        for incident, _ in old:
            del self._waiting[incident]
        return [message for _, message in old]

    def _make_room(self, newest: str) -> str:
        may_go = [
            (incident, one.message)
            for incident, one in self._waiting.items()
            if incident != newest and one.message.id != self._on_its_way
        ]
        # An end that is lost leaves somebody believing that it still goes on.
        incident, message = next((one for one in may_go if not one[1].is_resolved), may_go[0])
        del self._waiting[incident]
        return message.id

    def _with_ends_of(self, before: Notification, message: Notification) -> Notification:
        if not self._carries:
            return message
        known = {one.id for one in message.alerts}
        ends = [one for one in before.resolved if one.id not in known]
        room = max(0, MOST_CARRIED - len(message.resolved))
        carried = ends[max(0, len(ends) - room) :]
        return replace(message, alerts=(*message.alerts, *carried)) if carried else message


def _as_first_where(message: Notification, before: Notification) -> Notification:
    """It is the first anybody hears of it, where the first one never arrived."""
    if before.kind in _FIRST and message.kind in _LATER:
        return replace(message, kind=before.kind)
    return message
