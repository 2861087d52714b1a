"""Stands in for Splunk's HTTP Event Collector, with indexer acknowledgement, strictly checked.

It takes events and refuses them as the documentation says a collector does. Nothing is indexed or
parsed into fields here.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from faulty_server import Answer, Request, answer_by

TOKEN = "11111111-2222-3333-4444-555555555555"

_KEYS = {"time", "host", "source", "sourcetype", "index", "event", "fields"}
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_TEXTS: Mapping[int, tuple[int, str]] = {
    0: (200, "Success"),
    1: (403, "Token disabled"),
    2: (401, "Token is required"),
    3: (401, "Invalid authorization"),
    4: (403, "Invalid token"),
    5: (400, "No data"),
    6: (400, "Invalid data format"),
    7: (400, "Incorrect index"),
    8: (500, "Internal server error"),
    9: (503, "Server is busy"),
    10: (400, "Data channel is missing"),
    11: (400, "Invalid data channel"),
    12: (400, "Event field is required"),
    13: (400, "Event field cannot be blank"),
    14: (400, "ACK is disabled"),
    15: (400, "Error in handling indexed fields"),
    23: (503, "Server is shutting down"),
    26: (429, "Queue at capacity"),
}

Reply = tuple[int, Mapping[str, str], bytes]


def says(code: int, **more: Any) -> Reply:
    """The collector's answer of this code; ``invalid_event_number=2`` with hyphens."""
    status, text = _TEXTS[code]
    body = {"text": text, "code": code}
    body |= {name.replace("_", "-"): value for name, value in more.items()}
    return status, {"content-type": "application/json"}, json.dumps(body).encode()


@dataclass
class HecServer:
    """What a collector took, and what its indexers acknowledged.

    ``acknowledged_after`` is how many questions come before the answer is true; ``None`` is never.
    """

    token: str = TOKEN
    ack: bool = False
    disabled: bool = False
    indexes: frozenset[str] = frozenset({"main", "metal"})
    most_bytes: int = 1_000_000
    acknowledged_after: int | None = 0
    loses: Callable[[int], bool] = lambda _: False
    """Of the number of an acknowledgement: its events are lost on their way to the indexers."""
    refuses: Callable[[Mapping[str, Any]], int | None] = lambda _: None
    """Of an event: the code it is refused with."""
    events: list[dict[str, Any]] = field(default_factory=list)
    """What is indexed."""
    posts: int = 0
    """Requests with events."""
    asked: Counter[tuple[str, int]] = field(default_factory=Counter)
    waiting: dict[tuple[str, int], list[dict[str, Any]]] = field(default_factory=dict)
    channels: Counter[str] = field(default_factory=Counter)

    def answers(self) -> Answer:
        return answer_by(self.reply)

    def reply(self, request: Request) -> Reply:
        url = urlsplit(request.path)
        query = parse_qs(url.query)
        named = request.headers.get("x-splunk-request-channel") or query.get("channel", [""])[0]
        code = self._not_let_in(request, named)
        if code is not None:
            return says(code)
        if request.method != "POST" or "application/json" not in request.headers["content-type"]:
            return 405, {}, b"method not allowed"
        match url.path:
            case "/services/collector/event" | "/services/collector":
                return self._take(request, named.lower())
            case "/services/collector/ack":
                return self._acks(request.content, named.lower())
        body = {"text": "The requested URL was not found on this server.", "code": 404}
        return 404, {}, json.dumps(body).encode()

    def _not_let_in(self, request: Request, channel: str) -> int | None:
        given = request.headers.get("authorization")
        scheme, _, token = (given or "").partition(" ")
        checks = {
            2: given is not None,
            3: scheme == "Splunk",
            4: token == self.token,
            1: not self.disabled,
            10: bool(channel) or not self.ack,
            11: not channel or _GUID.fullmatch(channel) is not None,
        }
        return next((code for code, is_right in checks.items() if not is_right), None)

    def _take(self, request: Request, channel: str) -> Reply:
        content = request.content
        if len(content) > self.most_bytes:
            text = f"Content-Length of {len(content)} too large (maximum is {self.most_bytes})"
            return 413, {}, text.encode()
        self.posts += 1
        taken: list[dict[str, Any]] = []
        code = 0
        for event in _events(content):
            code = 6 if event is None else self._wrong_with(event)
            if event is None or code:
                break
            taken.append(event)
        if code or not taken:
            # What came before the wrong one is taken, what comes after it is not looked at.
            self.events += taken
            return says(code or 5, **({"invalid_event_number": len(taken)} if code else {}))
        if not self.ack:
            self.events += taken
            return says(0)
        number = self.channels[channel]
        self.channels[channel] += 1
        self.waiting[channel, number] = taken
        return says(0, ackId=number)

    def _wrong_with(self, event: dict[str, Any]) -> int:
        fields = event.get("fields", {})
        checks = {
            6: event.keys() <= _KEYS and isinstance(event.get("time", 0), int | float),
            12: "event" in event,
            13: event.get("event") not in ("", None),
            7: event.get("index", "main") in self.indexes,
            15: isinstance(fields, dict) and not any(isinstance(v, dict) for v in fields.values()),
        }
        wrong = next((code for code, is_right in checks.items() if not is_right), 0)
        return wrong or self.refuses(event) or 0

    def _acks(self, content: bytes, channel: str) -> Reply:
        if not self.ack:
            return says(14)
        read = json.loads(content)
        assert read.keys() == {"acks"}
        return (
            200,
            {},
            json.dumps({"acks": {str(n): self._is(channel, n) for n in read["acks"]}}).encode(),
        )

    def _is(self, channel: str, number: int) -> bool:
        key = channel, number
        self.asked[key] += 1
        if key not in self.waiting or self.acknowledged_after is None:
            return False
        if self.loses(number) or self.asked[key] <= self.acknowledged_after:
            return False
        # Once told it is forgotten.
        self.events += self.waiting.pop(key)
        return True


def _events(content: bytes) -> Iterator[dict[str, Any] | None]:
    """Events one after the other; ``None``, and no more, where one cannot be read."""
    decoder = json.JSONDecoder()
    text = content.decode().lstrip()
    while text:
        try:
            event, end = decoder.raw_decode(text)
        except ValueError:
            yield None
            return
        yield event if isinstance(event, dict) else None
        text = text[end:].lstrip()
