"""Who is told of the alerts there are: groups of them, as messages, on their channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from metalscope.alert_report import Alert, ChannelStatus
from metalscope.alerts.notify.dispatcher import Dispatcher
from metalscope.alerts.notify.grouping import Groups
from metalscope.alerts.notify.registry import channels_of
from metalscope.alerts.storing import AlertStore, Change, Kept
from metalscope.sending.clock import Clock

if TYPE_CHECKING:
    from metalscope.alert_options import AlertsOptions
    from metalscope.alerts.notify.base import Notifier

__all__ = ["Telling"]

GROUPS: Final = "groups"
"""The name under which it is kept what was told of."""


class Telling:
    """Puts alerts together and posts what is to be said. One thread at a time, but for ``status``.

    Args:
        options: channels, and when they are told.
        notifiers: what tells each channel, by its name.
        store: keeps what was told, and messages until they have arrived.
        source: what messages say they come from.
        now: the time, by which messages grow old.
        on_error: told of errors inside, as (room, exception).
    """

    def __init__(
        self,
        options: AlertsOptions,
        notifiers: Mapping[str, Notifier],
        *,
        store: AlertStore,
        source: str,
        now: Callable[[], datetime],
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        channels = [one for one in channels_of(options) if one.name in notifiers]
        self._store = store
        self._groups = Groups(
            channels, options, source=source, forwards=lambda name: notifiers[name].forwards
        )
        self._dispatcher = Dispatcher(
            notifiers,
            options,
            store=store,
            on_error=on_error,
            channels=channels,
            clock=Clock(now=now),
        )
        self._told: dict[str, Any] = {}

    def restore(self, kept: Kept) -> None:
        """Go on with what was told, and with messages that wait."""
        self._groups.restore(kept.documents.get(GROUPS, {}))
        self._dispatcher.restore(kept.messages)

    def turn(
        self,
        now: datetime,
        active: Sequence[Alert],
        resolved: Sequence[Alert],
        *,
        at_the_end: bool = False,
    ) -> None:
        """Post what is due; at the end of the program also what waits for more of its group."""
        messages = self._groups.turn(now, active, resolved)
        if at_the_end:
            messages += self._groups.flush(now)
        # First the messages: after a crash in between one comes twice, and none is lost.
        if messages:
            self._dispatcher.post(messages)
        state = self._groups.state()
        if state != self._told:
            self._told = state
            self._store.keep(Change(documents={GROUPS: state}))

    def status(self) -> tuple[ChannelStatus, ...]:
        """How each channel is doing."""
        return self._dispatcher.status()

    def close(self, seconds: float) -> None:
        """Send what waits within so many s, and end."""
        self._dispatcher.close(seconds)
