"""The one interface between messages and any channel, and what a channel is made from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from metalscope.sending.result import ExportResult

if TYPE_CHECKING:
    from metalscope.alert_options import ChannelOptions, SmtpOptions
    from metalscope.alerts.notification import Notification
    from metalscope.alerts.notify.wording import Wording
    from metalscope.sending.http.transport import HttpTransport

__all__ = ["Notifier", "NotifierContext", "NotifierFactory"]


class Notifier(ABC):
    """Sends messages to one place. Only :meth:`send` must be written.

    Of one notifier no two methods run at the same time, and all run on a thread of its own. After
    a result that asks for a retry the same message comes again, or a newer one of the same
    incident in its place.
    """

    forwards: ClassVar[bool] = False
    """Whether the peer itself groups, repeats and silences, as Alertmanager does: it is then sent
    every change at once, and all that fires again each minute."""

    @abstractmethod
    def send(self, notification: Notification) -> ExportResult:
        """Send one message.

        What it raises counts as :attr:`~metalscope.sending.result.Reason.EXPORTER_ERROR`: the
        message is tried again some times, then let go. A
        :class:`~metalscope.sending.http.outcome.TransportError` is tried again.
        """

    def shutdown(self) -> None:  # noqa: B027 - may stay
        """Let go of connections. Called once, after the last message."""


@dataclass(frozen=True)
class NotifierContext:
    """What a notifier is made from.

    ``options`` are its channel's. ``wording`` gives a message its title and text, by the channel's
    templates where there are any. ``open_http`` makes an HTTP client for it alone, with its TLS,
    proxy, headers and key; given a URL, to that one, else to its target.
    """

    options: ChannelOptions
    smtp: SmtpOptions
    wording: Wording
    open_http: Callable[..., HttpTransport]

    @property
    def name(self) -> str:
        """The channel's name."""
        return self.options.name


NotifierFactory = Callable[[NotifierContext], Notifier]
"""What an entry point in ``metalscope.notifiers`` names: a class or function that makes one.

It may raise a :class:`~metalscope.errors.ConfigurationError` or a
:class:`~metalscope.errors.MissingExtraError`.
"""
