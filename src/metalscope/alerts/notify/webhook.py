"""Webhooks: each message as a JSON document, signed as Standard Webhooks says."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Any, Final

from metalscope.alerts.notify.answers import JSON, json_body, keys_in, outcome, web_target
from metalscope.alerts.notify.base import Notifier
from metalscope.errors import ConfigurationError
from metalscope.moments import rfc3339, utc_now

if TYPE_CHECKING:
    from metalscope.alert_options import ChannelOptions
    from metalscope.alerts.notification import Notification
    from metalscope.alerts.notify.base import NotifierContext
    from metalscope.alerts.notify.wording import Wording
    from metalscope.sending.result import ExportResult

__all__ = ["SCHEMA", "WebhookNotifier", "signature"]

SCHEMA: Final = "metalscope.alert/1"
"""What a document calls its own form. Within 1 nothing is taken away or changes its meaning."""

_PREFIX: Final = "whsec_"
# Standard Webhooks, "Delivery success and failure": the sender should stop.
_FINAL: Final = frozenset({410})


class WebhookNotifier(Notifier):
    """Posts a document of ``assets/schema/alert-v1.schema.json``.

    Headers are those of Standard Webhooks 1.0.0: ``webhook-id``, the same whenever the message is
    sent again; ``webhook-timestamp``, when it was sent, in s since 1970; and where there is a
    ``signing_key``, ``webhook-signature``.

    Raises:
        ConfigurationError: the target is no URL, or the key begins with ``whsec_`` and is no
            base64.
    """

    def __init__(self, context: NotifierContext) -> None:
        url = web_target(context.options, "https://host/path")
        self._wording = context.wording
        self._key = _key(context.options)
        self._hidden = (*_texts_of_key(context.options), *keys_in(url))
        self._http = context.open_http(url)

    def send(self, notification: Notification) -> ExportResult:
        """Post one message."""
        body = json_body(_document(notification, self._wording))
        # A full stop within it could make one signed text of two others.
        name = re.sub(r"[^A-Za-z0-9_-]", "-", notification.id)
        now = str(int(utc_now().timestamp()))
        headers = {"webhook-id": name, "webhook-timestamp": now}
        if self._key is not None:
            headers["webhook-signature"] = signature(self._key, name, now, body)
        answer = self._http.send(body, content_type=JSON, headers=headers)
        return outcome(answer, hidden=self._hidden, final=_FINAL)

    def shutdown(self) -> None:
        """Close the connections."""
        self._http.close()


def signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """What ``webhook-signature`` holds: ``v1,`` and the HMAC-SHA256 of all three in base64."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def _document(notification: Notification, wording: Wording) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "type": f"metalscope.alert.{notification.kind.value}",
        "timestamp": rfc3339(notification.created_at),
        "title": wording.title(notification),
        "text": wording.body(notification),
        "data": notification.to_dict(),
    }


def _texts_of_key(options: ChannelOptions) -> tuple[str, ...]:
    if options.signing_key is None:
        return ()
    text = options.signing_key.get_secret_value().strip()
    return text, text.removeprefix(_PREFIX)


def _key(options: ChannelOptions) -> bytes | None:
    if options.signing_key is None:
        return None
    text = options.signing_key.get_secret_value().strip()
    if not text.startswith(_PREFIX):
        return text.encode()
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ConfigurationError(
            f"{options.who}: signing_key begins with {_PREFIX} and must go on in base64"
        )
    return key
