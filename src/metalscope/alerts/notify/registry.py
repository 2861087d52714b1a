"""Which channels the options name, and what makes each: our own by type, others' by entry point."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Final

from metalscope.alert_options import NOTIFIER_ENTRY_POINTS, ChannelOptions
from metalscope.alerts.notify.base import NotifierContext
from metalscope.alerts.notify.targets import recognise
from metalscope.errors import ConfigurationError
from metalscope.makers import Makers

if TYPE_CHECKING:
    from metalscope.alert_options import AlertsOptions, SmtpOptions
    from metalscope.alerts.notify.base import Notifier, NotifierFactory

__all__ = ["channels_of", "create_notifier", "notifiers_of"]

_ROOM: Final = "metalscope.alerts.notify"

# Loaded when one is made: each brings libraries of its own.
_FACTORIES: Final = {
    "slack": "slack:SlackNotifier",
    "teams": "teams:TeamsNotifier",
    "email": "email:EmailNotifier",
    "pagerduty": "pagerduty:PagerDutyNotifier",
    "webhook": "webhook:WebhookNotifier",
    "alertmanager": "alertmanager:AlertmanagerNotifier",
    "macos": "macos:MacosNotifier",
    "apprise": "apprise_bridge:AppriseNotifier",
}
_MAKERS: Final = Makers("channel of type", _ROOM, _FACTORIES, NOTIFIER_ENTRY_POINTS)
_TARGETS: Final = {
    "slack": "the webhook's URL",
    "teams": "the webhook's URL",
    "email": "one or more addresses",
    "pagerduty": "the integration key",
    "webhook": "a URL",
    "alertmanager": "Alertmanager's URL",
    "apprise": "Apprise's URL",
}
"""What a channel of this type cannot be without."""

_OF_HTTP: Final = (
    "headers",
    "api_key",
    "api_key_from",
    "user",
    "proxy",
    "proxy_headers",
    "tls",
    "signing_key",
)
_SIGNED: Final = (("signing_key",), "only webhooks are signed")
_UNUSED: Final = {
    "email": (_OF_HTTP, "its server is set under alerts.smtp"),
    "macos": (_OF_HTTP, "it sends nothing over a network"),
    "apprise": (_OF_HTTP, "Apprise has its own HTTP, which its URL sets"),
    "alertmanager": (("signing_key", "title", "body"), "Alertmanager has templates of its own"),
    "slack": _SIGNED,
    "teams": _SIGNED,
    "pagerduty": _SIGNED,
}
"""What would be set in vain on a channel of this type, and why."""


def channels_of(options: AlertsOptions) -> tuple[ChannelOptions, ...]:
    """The enabled channels, each with its type, and after them the endpoints as channels.

    An endpoint is named after its type; where that name is taken, with a number: ``slack-2``.

    Raises:
        ConfigurationError: a type is unknown, a target is missing or is none of its type, or an
            endpoint is named twice. The text names the channel or the endpoint's place.
    """
    channels = [_typed(one) for one in options.channels if one.enabled]
    taken = {one.name for one in options.channels}
    places = {one.target.get_secret_value(): one.who for one in channels if one.target is not None}
    for place, target in enumerate(options.notification_endpoints):
        who, text = f"alerts.notification_endpoints[{place}]", target.get_secret_value()
        kind = recognise(text)
        assert kind is not None  # noqa: S101 - the options have seen to it
        if text in places:
            raise ConfigurationError(f"{who} is the same as {places[text]}; name it once")
        places[text] = who
        name = next(name for name in _names(kind) if name not in taken)
        taken.add(name)
        channels.append(ChannelOptions(name=name, type=kind, target=target))
    return tuple(channels)


def notifiers_of(options: AlertsOptions) -> dict[str, Notifier]:
    """What tells each channel, by the channel's name; none where ``enable_notifications`` is false.

    Raises:
        ConfigurationError: as :func:`channels_of`, or what a channel is set to cannot be.
        MissingExtraError: a library that a channel needs is not installed.
    """
    if not options.enable_notifications:
        return {}
    return {one.name: create_notifier(one, options.smtp) for one in channels_of(options)}


def create_notifier(channel: ChannelOptions, smtp: SmtpOptions) -> Notifier:
    """Make what tells one channel of :func:`channels_of`.

    Raises:
        ConfigurationError: what it is set to cannot be.
        MissingExtraError: a library that it needs is not installed.
    """
    from metalscope.alerts.notify.templates import wording_of  # noqa: PLC0415 - only if one tells
    from metalscope.sending.http.transport import HttpTransport  # noqa: PLC0415 - loads ssl

    make: NotifierFactory = _MAKERS.factory(channel.type or "", channel.who)
    return make(
        NotifierContext(
            options=channel,
            smtp=smtp,
            wording=wording_of(channel),
            open_http=partial(HttpTransport.of, channel, timeout=channel.timeout),
        )
    )


def _typed(channel: ChannelOptions) -> ChannelOptions:
    target = channel.target.get_secret_value().strip() if channel.target is not None else ""
    if channel.type is not None:
        kind: str | None = _MAKERS.known(channel.type, channel.who)
    else:
        kind = recognise(target)
    if kind is None:
        why = (
            "its target is of no kind that is known; set type, too"
            if target
            else "needs a target, which says where its messages go"
        )
        raise ConfigurationError(f"{channel.who}: {why}")
    # PagerDuty's key may be kept elsewhere.
    has_key = channel.api_key is not None or channel.api_key_from is not None
    if not target and kind in _TARGETS and not (kind == "pagerduty" and has_key):
        raise ConfigurationError(f"{channel.who}: {kind} needs a target: {_TARGETS[kind]}")
    options, reason = _UNUSED.get(kind, ((), ""))
    defaults = ChannelOptions.defaults()
    for option in options:
        if getattr(channel, option) != getattr(defaults, option):
            raise ConfigurationError(f"{channel.who}: {option} is not for {kind}: {reason}")
    return channel.model_copy(update={"type": kind})


def _names(kind: str) -> Iterator[str]:
    yield kind
    number = 2
    while True:
        yield f"{kind}-{number}"
        number += 1
