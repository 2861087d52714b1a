"""Microsoft Teams: webhooks of Workflows, with an Adaptive Card; the older connectors, too."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from metalscope.alerts.notify.answers import JSON, keys_in, outcome, web_target, without
from metalscope.alerts.notify.base import Notifier
from metalscope.alerts.notify.teams_card import card_message
from metalscope.sending.result import ExportResult, Reason

if TYPE_CHECKING:
    from metalscope.alerts.notification import Notification
    from metalscope.alerts.notify.base import NotifierContext
    from metalscope.sending.http.outcome import HttpAnswer

__all__ = ["TeamsNotifier"]

# Words in the error that Azure Logic Apps answers with, which runs the workflows.
_ADVICE: Final = {
    "WorkflowTriggerIsNotEnabled": "the workflow is switched off",
    "WorkflowNotFound": "the workflow was removed; make a new one",
    "DirectApiAuthorizationRequired": "the workflow must let anyone with its address trigger it",
    "AuthorizationFailed": "the address is incomplete or out of date; copy it anew",
    "TriggerInputSchemaMismatch": "its trigger must be that for Teams webhook requests",
    "401": "the workflow must let anyone with its address trigger it",
    "404": "is the address that of the workflow?",
    "410": "the connector was retired; make a workflow in its place",
}
# Microsoft, "Create and send messages", "Rate limiting for connectors": the error is in the text.
_CODE: Final = re.compile(r"HTTP error (\d{3})|StatusCode[:=]? ?(\d{3})")
_FAILED: Final = re.compile(r"error|exception|fail|required|not (?:found|valid)", re.IGNORECASE)


class TeamsNotifier(Notifier):
    """Posts to a workflow "When a Teams webhook request is received", which shows the card.

    A connector of Office 365 answers 200 even where Teams refused the message, and says so in the
    text; that counts as a failure.

    Raises:
        ConfigurationError: the target is no URL.
    """

    def __init__(self, context: NotifierContext) -> None:
        url = web_target(context.options, "https://….logic.azure.com/workflows/…")
        self._wording = context.wording
        self._own_body = context.options.body is not None
        self._hidden = keys_in(url)
        self._http = context.open_http(url)

    def send(self, notification: Notification) -> ExportResult:
        """Post one message."""
        title = self._wording.title(notification)
        body = self._wording.body(notification) if self._own_body else None
        answer = self._http.send(card_message(notification, title, body), content_type=JSON)
        result = outcome(answer, hidden=self._hidden, advice=_ADVICE)
        return (self._refusal(answer) or result) if result.ok else result

    def shutdown(self) -> None:
        """Close the connections."""
        self._http.close()

    def _refusal(self, answer: HttpAnswer) -> ExportResult | None:
        """What a connector says in its text; ``None`` where it took the message."""
        said = answer.body[:2000].decode("utf-8", "replace").strip()
        if answer.status != 200 or not _FAILED.search(said):
            return None
        found = _CODE.search(said)
        code = int(found[1] or found[2]) if found else 0
        words = without(self._http.shown(said), self._hidden)
        detail = f"{answer.peer} answered 200, but: {words}"
        if code == 429:
            return ExportResult.retry(Reason.RATE_LIMITED, detail)
        if code == 413:
            return ExportResult.rejected(Reason.TOO_LARGE, detail)
        if 400 <= code < 500 or "required" in said:
            return ExportResult.rejected(Reason.SCHEMA, detail)
        return ExportResult.retry(Reason.SERVER_ERROR, detail)
