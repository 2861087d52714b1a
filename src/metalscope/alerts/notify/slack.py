"""Slack: incoming webhooks, with Block Kit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from metalscope.alerts.notify.answers import JSON, json_body, keys_in, outcome, web_target
from metalscope.alerts.notify.base import Notifier
from metalscope.alerts.notify.slack_message import rich_message, text_message
from metalscope.sending.result import ExportResult, Reason, Verdict

if TYPE_CHECKING:
    from metalscope.alerts.notification import Notification
    from metalscope.alerts.notify.base import NotifierContext

__all__ = ["SlackNotifier"]

# Slack, "Sending messages using incoming webhooks", "Handling errors": words in the body.
_ADVICE: Final = {
    "invalid_token": "the webhook was revoked, or its address is mistyped",
    "no_service": "the webhook was removed or switched off; make a new one",
    "no_active_hooks": "the webhook was switched off; make a new one",
    "no_team": "the address is mistyped",
    "team_disabled": "the workspace is closed",
    "user_not_found": "the webhook's user is gone; make a new one",
    "channel_not_found": "the channel is gone; make a webhook for another",
    "channel_is_archived": "the channel is archived; make a webhook for another",
    "action_prohibited": "an administrator of the workspace does not allow it",
    "posting_to_general_channel_denied": "an administrator does not allow posts to this channel",
    "404": "is the address that of the webhook?",
}
_TRY_AS_TEXT: Final = frozenset({Reason.SCHEMA, Reason.TOO_LARGE})


class SlackNotifier(Notifier):
    """Posts to an incoming webhook of Slack.

    A message whose blocks are refused (HTTP 400) is sent once more as plain text at once, so that
    somebody is told.

    Raises:
        ConfigurationError: the target is no URL.
    """

    def __init__(self, context: NotifierContext) -> None:
        url = web_target(context.options, "https://hooks.slack.com/services/…")
        self._wording = context.wording
        self._own_body = context.options.body is not None
        self._hidden = keys_in(url)
        self._http = context.open_http(url)

    def send(self, notification: Notification) -> ExportResult:
        """Post one message; as text where its blocks are not taken."""
        title = self._wording.title(notification)
        body = self._wording.body(notification)
        rich = rich_message(notification, title, body if self._own_body else None)
        result = self._post(rich)
        if result.verdict is Verdict.REJECTED and result.reason in _TRY_AS_TEXT:
            plain = self._post(text_message(title, body))
            if plain.ok:
                why = f"it was sent as plain text only: {result.detail}"
                return ExportResult(Verdict.DELIVERED, Reason.PARTIAL, why)
            return result if plain.verdict is Verdict.REJECTED else plain
        return result

    def shutdown(self) -> None:
        """Close the connections."""
        self._http.close()

    def _post(self, message: dict[str, Any]) -> ExportResult:
        answer = self._http.send(json_body(message), content_type=JSON)
        return outcome(answer, hidden=self._hidden, advice=_ADVICE)
