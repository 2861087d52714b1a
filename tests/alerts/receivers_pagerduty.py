"""PagerDuty's Events API v2: its schema and limits, and its answers.

Written from PagerDuty's documentation ("Send an alert event", "PD-CEF", "Events API v2 overview"),
apart from what is tested.
"""

from __future__ import annotations

import json
from typing import Any

from faulty_server import Request
from jsonschema import Draft202012Validator, FormatChecker
from receivers import Answer, BrokenRuleError, Receiver, strict_json

KEY = "R0UT1NGKEY0123456789abcdefABCDEF"

_NAME = {"type": "string", "minLength": 1, "maxLength": 255}
_EVENT = Draft202012Validator(
    {
        "type": "object",
        "additionalProperties": False,
        "required": ["routing_key", "event_action", "dedup_key"],
        "properties": {
            "routing_key": {"type": "string", "minLength": 32, "maxLength": 32},
            "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
            "dedup_key": _NAME,
            "client": {"type": "string"},
            "client_url": {"type": "string", "pattern": "^https?://"},
            "links": {
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["href"],
                    "properties": {
                        "href": {"type": "string", "pattern": "^https?://\\S+$"},
                        "text": {"type": "string"},
                    },
                },
            },
            "payload": {
                "type": "object",
                "additionalProperties": False,
                "required": ["summary", "source", "severity"],
                "properties": {
                    "summary": {"type": "string", "minLength": 1, "maxLength": 1024},
                    "source": _NAME,
                    "severity": {"enum": ["critical", "error", "warning", "info"]},
                    "timestamp": {"type": "string", "format": "date-time"},
                    "component": _NAME,
                    "group": _NAME,
                    "class": _NAME,
                    "custom_details": {"type": "object"},
                },
            },
        },
        "if": {"properties": {"event_action": {"const": "trigger"}}},
        "then": {"required": ["payload"]},
    },
    format_checker=FormatChecker(),
)


class PagerDutyReceiver(Receiver):
    """Takes what PagerDuty takes, and has the incidents that come of it."""

    def __init__(self) -> None:
        super().__init__()
        self.incidents: dict[str, list[dict[str, Any]]] = {}
        """The events of each that is open, by its key."""

    def __call__(self, request: Request) -> Answer:
        try:
            event = self._checked(request)
        except BrokenRuleError as error:
            self.refused.append(str(error))
            said = {"status": "invalid event", "message": "Event object is invalid"}
            return 400, {}, json.dumps({**said, "errors": [str(error)]}).encode()
        self.taken.append(event)
        key = event["dedup_key"]
        if event["event_action"] == "resolve":
            self.incidents.pop(key, None)
        else:
            self.incidents.setdefault(key, []).append(event)
        said = {"status": "success", "message": "Event processed", "dedup_key": key}
        return 202, {}, json.dumps(said).encode()

    def _checked(self, request: Request) -> dict[str, Any]:
        if request.path != "/v2/enqueue" or "authorization" in request.headers:
            raise BrokenRuleError("request")
        if len(request.body) > 512_000:
            raise BrokenRuleError("the event is larger than 512 KB")
        event: dict[str, Any] = strict_json(request)
        error = next(iter(_EVENT.iter_errors(event)), None)
        if error is not None:
            raise BrokenRuleError(f"{error.json_path}: {error.message[:200]}")
        if event["routing_key"] != KEY:
            raise BrokenRuleError(f"Invalid routing_key {event['routing_key']}")
        return event
