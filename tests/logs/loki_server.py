"""A stand-in for Grafana Loki: it takes what the documentation of its push API says, and no more.

It is not Loki. It holds what "Loki HTTP API", "Request validation and rate limits" and the defaults
of ``limits_config`` in its documentation say, and its refusals have the words of
``pkg/validation/validate.go`` and ``pkg/ingester/stream.go``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from faulty_server import Answerer, FaultyServer, Request, answer_by, faulty_server

PUSH_PATH = "/loki/api/v1/push"
HOUR = 3600 * 10**9


@dataclass
class Stream:
    """What came of one set of labels, in the order it came."""

    entries: list[tuple[int, str, dict[str, str]]] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        return [line for _, line, _ in self.entries]


@dataclass
class LokiServer:
    """A running stand-in; the limits may be set."""

    server: FaultyServer
    max_line_size: int = 256 * 1024
    oldest_ns: int = 0
    """Of ``reject_old_samples_max_age``."""
    behind_ns: int = HOUR
    """How much older than the newest of its stream an entry may be: half of max_chunk_age."""
    max_returned_errors: int = 10
    streams: dict[str, Stream] = field(default_factory=dict)
    tenants: list[str | None] = field(default_factory=list)
    authorizations: list[str | None] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.server.url

    def lines(self) -> list[str]:
        return [line for stream in self.streams.values() for line in stream.lines]

    def take(self, request: Request) -> tuple[int, Mapping[str, str], bytes]:
        """What it answers to a push."""
        if (request.method, request.path) != ("POST", PUSH_PATH):
            return 404, {}, b"404 page not found"
        self.tenants.append(request.headers.get("x-scope-orgid"))
        self.authorizations.append(request.headers.get("authorization"))
        if request.headers.get("content-type") != "application/json":
            return 400, {}, b"Content-Type must be application/json here"
        try:
            streams = [_stream(one) for one in _object(json.loads(request.content))["streams"]]
        except (ValueError, KeyError, TypeError) as error:
            return 400, {}, f"loghttp.PushRequest.Streams: {error!r}".encode()
        refusals = [words for labels, entries in streams for words in self._push(labels, entries)]
        if refusals:
            return 400, {"content-type": "text/plain"}, "; ".join(refusals).encode()
        return 204, {}, b""

    def _push(self, labels: dict[str, str], entries: list[tuple[int, str, Any]]) -> Iterator[str]:
        name = _written(labels)
        if problem := _label_problem(labels, name):
            yield problem
            return
        good, too_long, too_old = [], [], []
        for entry in entries:
            if len(entry[1].encode()) > self.max_line_size:
                too_long.append(entry)
            elif entry[0] < self.oldest_ns:
                too_old.append(entry)
            else:
                good.append(entry)
        if too_long:
            size = len(too_long[0][1].encode())
            yield (
                f"{len(too_long)} errors like: Max entry size '{self.max_line_size}' bytes exceeded"
                f" for stream '{name}' while adding an entry with length '{size}' bytes"
            )
        if too_old:
            yield (
                f"{len(too_old)} errors like: entry for stream '{name}' has timestamp too old: "
                f"{_rfc3339(too_old[0][0])}, oldest acceptable timestamp is: "
                f"{_rfc3339(self.oldest_ns)}"
            )
        yield from self._ingest(name, good)

    def _ingest(self, name: str, entries: list[tuple[int, str, Any]]) -> Iterator[str]:
        stream = self.streams.setdefault(name, Stream())
        behind = []
        for entry in entries:
            newest = max((time for time, _, _ in stream.entries), default=0)
            if entry[0] < newest - self.behind_ns:
                behind.append((entry[0], newest - self.behind_ns))
            elif entry not in stream.entries:
                # The same line at the same time is the same line.
                stream.entries.append(entry)
        if behind:
            said = [
                f"entry with timestamp {_go_time(time)} ignored, reason: 'entry too far behind, "
                f"entry timestamp is: {_rfc3339(time)}, oldest acceptable timestamp is: "
                f"{_rfc3339(oldest)}',\n"
                for time, oldest in behind[: self.max_returned_errors]
            ]
            yield (
                "".join(said) + f"user 'fake', total ignored: {len(behind)} out of {len(entries)} "
                f"for stream: {name}"
            )


@contextmanager
def loki_server() -> Iterator[LokiServer]:
    """One on a loopback port; its ``server`` may be told to fail."""
    with faulty_server() as server:
        loki = LokiServer(server)
        server.answers = [answer_by(loki.take)]
        yield loki


def good(loki: LokiServer) -> Any:
    """Its own answer, for :attr:`FaultyServer.answers`."""
    take: Answerer = loki.take
    return answer_by(take)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"not an object: {value!r}")
    return value


def _stream(one: Any) -> tuple[dict[str, str], list[tuple[int, str, dict[str, str]]]]:
    if set(_object(one)) != {"stream", "values"}:
        raise ValueError(f"unknown fields: {sorted(one)}")
    labels = _object(one["stream"])
    return _texts(labels), [_entry(value) for value in one["values"]]


def _entry(value: Any) -> tuple[int, str, dict[str, str]]:
    if not isinstance(value, list) or not 2 <= len(value) <= 3:
        raise ValueError(f"not an entry: {value!r}")
    time, line, *metadata = value
    if not isinstance(time, str) or not re.fullmatch("[0-9]{19}", time):
        raise ValueError(f"not nanoseconds as text: {time!r}")
    if not isinstance(line, str):
        raise TypeError(f"not a line: {line!r}")
    return int(time), line, _texts(_object(metadata[0])) if metadata else {}


def _texts(pairs: dict[str, Any]) -> dict[str, str]:
    for name, value in pairs.items():
        if not isinstance(value, str):
            raise TypeError(f"{name} is not text: {value!r}")
    return pairs


def _label_problem(labels: dict[str, str], name: str) -> str | None:
    if not labels:
        return "error at least one label pair is required per stream"
    if len(labels) > 15:
        return f"entry for stream '{name}' has {len(labels)} label names; limit 15"
    for label, value in labels.items():
        if not re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", label):
            return f"Error parsing labels '{name}' with error: parse error"
        if len(value.encode()) > 2048:
            return f"stream '{name}' has label value too long: '{value}'"
    return None


def _written(labels: dict[str, str]) -> str:
    pairs = [f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in labels.items()]
    return "{" + ", ".join(sorted(pairs)) + "}"


def _go_time(nanoseconds: int) -> str:
    """As Go's ``time.Time`` prints it."""
    moment = datetime.fromtimestamp(nanoseconds // 10**9, UTC)
    fraction = f".{nanoseconds % 10**9:09d}".rstrip("0").rstrip(".")
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC"


def _rfc3339(nanoseconds: int) -> str:
    return f"{datetime.fromtimestamp(nanoseconds // 10**9, UTC):%Y-%m-%dT%H:%M:%SZ}"
