"""PagerDuty: Events API v2."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from metalscope.alerts.notification import NotificationKind
from metalscope.alerts.notify.answers import JSON, is_web_address, outcome
from metalscope.alerts.notify.base import Notifier
from metalscope.alerts.notify.pagerduty_event import resolve_event, trigger_event
from metalscope.errors import ConfigurationError
from metalscope.sending.http.outcome import TransportError
from metalscope.sending.result import ExportResult, Reason

if TYPE_CHECKING:
    from metalscope.alert_options import ChannelOptions
    from metalscope.alerts.notification import Notification
    from metalscope.alerts.notify.base import NotifierContext

__all__ = ["PagerDutyNotifier"]

_URL: Final = "https://events.pagerduty.com/v2/enqueue"
_KEY: Final = re.compile(r"[0-9A-Za-z]{32}")
_ADVICE: Final = {
    "routing_key": "is the key that of an integration of the type Events API v2?",
    "404": "the address of the Events API ends in /v2/enqueue",
}


class PagerDutyNotifier(Notifier):
    """Opens an incident, adds to it, and resolves it: one for each group of alerts.

    The target is the integration key, as it is or as ``pagerduty://KEY``; or the address of the
    Events API, that of the service region in the EU or of a proxy, with the key in ``api_key`` or
    ``api_key_from``. A test opens an incident and resolves it at once.

    Raises:
        ConfigurationError: the target is none of these, or there is no key.
    """

    def __init__(self, context: NotifierContext) -> None:
        url, self._key = _target(context.options)
        self._wording = context.wording
        self._own_body = context.options.body is not None
        # The key goes in the body, and not as Authorization.
        self._http = context.open_http(url, auth="none")

    def send(self, notification: Notification) -> ExportResult:
        """Send what opens or resolves the incident."""
        key = self._key or self._read_key()
        if notification.is_resolved:
            return self._post(resolve_event(notification, key), key)
        title = self._wording.title(notification)
        body = self._wording.body(notification) if self._own_body else None
        result = self._post(trigger_event(notification, key, title, body), key)
        if result.ok and notification.kind is NotificationKind.TEST:
            return self._post(resolve_event(notification, key), key)
        return result

    def shutdown(self) -> None:
        """Close the connections."""
        self._http.close()

    def _post(self, event: bytes, key: str) -> ExportResult:
        return outcome(self._http.send(event, content_type=JSON), hidden=(key,), advice=_ADVICE)

    def _read_key(self) -> str:
        key = self._http.secret() or ""
        if not _KEY.fullmatch(key):
            raise TransportError(
                Reason.CONFIGURATION, "an integration key has 32 letters and digits; this has not"
            )
        return key


def _target(options: ChannelOptions) -> tuple[str, str]:
    """Where events go, and the key, empty where it is read each time."""
    target = options.target.get_secret_value().strip() if options.target is not None else ""
    has_key = options.api_key is not None or options.api_key_from is not None
    if is_web_address(target) or (not target and has_key):
        if not has_key:
            raise ConfigurationError(
                f"{options.who}: a target that is an address needs the integration key in api_key "
                "or api_key_from"
            )
        return target or _URL, ""
    key = target.removeprefix("pagerduty://").rstrip("/")
    if not _KEY.fullmatch(key):
        raise ConfigurationError(
            f"{options.who}: target must be PagerDuty's integration key of 32 letters and digits, "
            f"or the address of its Events API such as {_URL!r}"
        )
    if has_key:
        raise ConfigurationError(
            f"{options.who}: target is the integration key already; leave out api_key and "
            "api_key_from"
        )
    return _URL, key
