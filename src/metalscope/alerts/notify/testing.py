"""Whether messages arrive: a marked test to each channel, at once and beside all queues."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from metalscope.alert_report import Alert, AlertEvidence, AlertState
from metalscope.alerts.notification import Notification, NotificationKind
from metalscope.alerts.notify.registry import channels_of, create_notifier
from metalscope.errors import ConfigurationError, MissingExtraError
from metalscope.moments import utc_now
from metalscope.operation import ErrorSeverity
from metalscope.sending.http.masking import Mask
from metalscope.sending.http.outcome import TransportError, result_of_error
from metalscope.sending.result import ExportResult, Reason

if TYPE_CHECKING:
    from metalscope.alert_options import AlertsOptions, ChannelOptions, SmtpOptions
    from metalscope.alerts.notify.base import Notifier

__all__ = ["message_of_test", "send_test"]

RULE: Final = "MetalscopeTest"
"""The ``alertname`` of the alert in a test; no rule has it."""

_GRACE_SECONDS: Final = 2.0
"""How much longer than its ``timeout`` a channel is waited for: it ends by itself, as a rule."""


def send_test(
    options: AlertsOptions, only: str | None = None, *, source: str | None = None
) -> list[tuple[str, ExportResult]]:
    """Send a test to each channel, or to one, and wait for what becomes of it.

    It is sent whether ``enable_notifications`` is set or not, by notifiers of its own. A channel
    that cannot be made is rejected with :attr:`~metalscope.sending.result.Reason.CONFIGURATION`.
    It takes as long as the longest ``timeout`` of the channels, and 2 s, at most.

    Args:
        options: the options of alerts.
        only: the name of the one channel; all where none is given.
        source: who says that it is a test; where none is given, the name of this machine.

    Returns:
        The channels' names with what came of it, in their order.

    Raises:
        ConfigurationError: the channels of the options are not usable as a whole, or none has that
            name.
    """
    channels = channels_of(options)
    if only is not None:
        channels = tuple(one for one in channels if one.name == only) or _none(options, only)
    now, who = utc_now(), socket.gethostname() if source is None else source
    results: dict[str, ExportResult] = {}

    def send(channel: ChannelOptions) -> None:
        message = message_of_test(channel.name, now=now, source=who)
        results[channel.name] = _sent(channel, options.smtp, message)

    waited_for = []
    for channel in channels:
        thread = threading.Thread(
            target=send, args=(channel,), name=f"metalscope-test-{channel.name}", daemon=True
        )
        thread.start()
        waited_for.append((channel, thread))
    began = time.monotonic()
    for channel, thread in waited_for:
        seconds = channel.timeout.total_seconds() + _GRACE_SECONDS
        thread.join(max(began + seconds - time.monotonic(), 0))
    late = ExportResult.retry(Reason.TIMEOUT, "it has not ended yet, and is no longer waited for")
    return [(one.name, results.get(one.name, late)) for one in channels]


def message_of_test(channel: str, *, now: datetime, source: str = "") -> Notification:
    """The message of a test; each is an incident of its own.

    Args:
        channel: the channel's name.
        now: when it is sent, in UTC.
        source: the name of this machine.
    """
    number = uuid4().hex
    alert = Alert(
        id=number[:16],
        fingerprint=number[16:],
        rule=RULE,
        labels=(),
        severity=ErrorSeverity.LOW,
        state=AlertState.FIRING,
        title="This is a test of metalscope; nothing is wrong",
        description="Somebody wanted to know whether alerts arrive here. They do.",
        active_since=now,
        fired_at=now,
        last_seen=now,
        evidence=AlertEvidence(),
        actions=("Nothing needs to be done.",),
    )
    return Notification(
        id=f"test-{number}",
        channel=channel,
        kind=NotificationKind.TEST,
        created_at=now,
        began_at=now,
        alerts=(alert,),
        group=(("alertname", RULE),),
        source=source,
    )


def _sent(channel: ChannelOptions, smtp: SmtpOptions, message: Notification) -> ExportResult:
    made: Notifier | None = None
    try:
        made = create_notifier(channel, smtp)
        return made.send(message)
    except (ConfigurationError, MissingExtraError) as error:
        return ExportResult.rejected(Reason.CONFIGURATION, str(error))
    except TransportError as error:
        return result_of_error(error)
    except Exception as error:  # noqa: BLE001 - of another package, whatever it is
        mask = Mask()
        mask.add(channel.endpoint or "")
        said = mask.shown(f"{type(error).__name__}: {error}")
        return ExportResult.retry(Reason.EXPORTER_ERROR, said)
    finally:
        if made is not None:
            # The test itself is over.
            with suppress(Exception):
                made.shutdown()


def _none(options: AlertsOptions, only: str) -> tuple[ChannelOptions, ...]:
    """Say that there is no channel of this name."""
    if any(one.name == only for one in options.channels):
        raise ConfigurationError(f"alerts channel {only} is not enabled")
    names = ", ".join(one.name for one in channels_of(options)) or "none"
    raise ConfigurationError(f"there is no alerts channel {only!r}; there are: {names}")
