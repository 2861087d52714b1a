"""A list of attacks, each as the bytes that come: each is refused, and stands in the audit."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from doors_at_hand import Answer, keys_of, request, send

from alert_samples import FIRING
from alerts_at_hand import SourceWithAlerts
from metalscope.access.roles import Role
from metalscope.access_options import AccessOptions
from metalscope.options import ServerLimitsOptions
from metalscope.server import RunningServer, start_server

ACKNOWLEDGE = f"/api/v1/alerts/{FIRING.id}/acknowledge"
ADA = b'{"by": "ada"}'


@dataclass
class House:
    """A server that asks for keys, the keys, and what its audit has to say."""

    server: RunningServer
    keys: dict[Role, str]
    audit: Path

    def bearer(self, role: Role = Role.ADMIN) -> str:
        return f"Authorization: Bearer {self.keys[role]}"

    def send(self, sent: bytes) -> Answer:
        return send(self.server.port, sent)

    def lines(self) -> list[dict[str, Any]]:
        # What follows the last line's end is still being written.
        found = self.audit.read_text().rpartition("\n")[0].splitlines()
        return [line for line in map(json.loads, found) if "method" in line]

    def next_line(self, after: int) -> dict[str, Any]:
        """What was written after so many lines."""
        deadline = time.monotonic() + 10
        while len(found := self.lines()) <= after:
            assert time.monotonic() < deadline, "nothing in the audit"
            time.sleep(0.01)
        return found[after]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    keys = keys_of(folder / "keys.json")
    audit = folder / "audit.ndjson"
    options = AccessOptions(
        keys_file=folder / "keys.json", audit_file=audit, failures_per_minute=1000
    )
    limits = ServerLimitsOptions(header_timeout=timedelta(seconds=1))
    source = SourceWithAlerts()
    server = start_server(source, host="127.0.0.1", port=0, access=options, limits=limits)
    yield House(server, keys, audit)
    server.stop()


def keyed(path: str, *heads: str, method: str = "GET", body: bytes = b"") -> bytes:
    """A request with a key that may do all; ``{key}`` is put in later."""
    length = [f"Content-Length: {len(body)}"] if body else []
    return request(path, "Authorization: Bearer {key}", *heads, *length, method=method) + body


JSON = "Content-Type: application/json"

TRAVERSAL = [
    "/../../../../etc/passwd",
    "/js/../../../server/app.py",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/%252e%252e/%252e%252e/etc/passwd",
    "/js/..%2f..%2f..%2fserver%2fapp.py",
    "/js/..%5c..%5cserver%5capp.py",
    "/js/main.js%00.css",
    "/js//main.js",
    "//js/main.js",
    "/./js/main.js",
    "/js/main.js/",
    "/JS/MAIN.JS",
    "/js/main%2ejs%20",
    "/%c0%ae%c0%ae/etc/passwd",
    "/%u002e%u002e/etc/passwd",
    "/%EF%BC%8E%EF%BC%8E/etc/passwd",
    "/file:///etc/passwd",
    "/openapi.json/../../../__init__.py",
]

ROUTES = [
    "/admin",
    "/api/v1/keys",
    "/api/v2/snapshot",
    "/api/v1/snapshot/",
    "/API/V1/SNAPSHOT",
    "/api/v1//snapshot",
    "/api/v1/%73napshot%2f",
    "/api/v1/snapshot;role=admin",
    "/.env",
    "/debug/vars",
]

OTHERS: dict[str, tuple[bytes, int]] = {
    "a line break in the path": (keyed("/x%0d%0aSet-Cookie:%20a=b"), 404),
    "a line break in a parameter": (keyed("/api/v1/alerts?rule=a%0d%0aX-Evil:%20b&state=%0a"), 400),
    "a line break in an id": (keyed("/api/v1/alerts/a%0d%0aX-Evil:%20b"), 404),
    "a header folded onto a second line": (keyed("/metrics", "X-A: b\r\n c"), 200),
    "a bare line break in a header": (keyed("/metrics", "X-A: b\nX-Evil: c"), 200),
    "a null in a header": (keyed("/metrics", "X-A: b\x00c"), 400),
    "a space before the colon": (keyed("/metrics", "X-A : b"), 400),
    "two lengths": (keyed("/metrics", "Content-Length: 5", "Content-Length: 6"), 400),
    "a length and chunks": (
        keyed("/metrics", "Content-Length: 5", "Transfer-Encoding: chunked"),
        400,
    ),
    "chunks under another name": (keyed("/metrics", "Transfer-Encoding: xchunked"), 400),
    "a body too large, told": (keyed(ACKNOWLEDGE, JSON, "Content-Length: 9999999"), 413),
    "a body too large, in chunks": (
        keyed("/api/v1/silences", JSON, "Transfer-Encoding: chunked", method="POST")
        + b"".join(b"2000\r\n" + b" " * 0x2000 + b"\r\n" for _ in range(10))
        + b"0\r\n\r\n",
        413,
    ),
    "an address too long": (keyed("/metrics?" + "a" * 10_000), 414),
    "headers too large": (keyed("/metrics", "X: " + "a" * 20_000), 431),
    "headers without end": (keyed("/metrics", "X: " + "a" * 300_000), 400),
    "a bomb of gzip": (
        keyed(
            ACKNOWLEDGE,
            JSON,
            "Content-Encoding: gzip",
            method="POST",
            body=gzip.compress(b" " * 10_000_000),
        ),
        415,
    ),
    "a bomb of brackets": (
        keyed("/api/v1/silences", JSON, method="POST", body=b"[" * 60_000),
        400,
    ),
    "a method hidden in a header": (
        keyed(ACKNOWLEDGE, "X-HTTP-Method-Override: DELETE", method="GET"),
        405,
    ),
    "a method hidden in a parameter": (keyed(f"{ACKNOWLEDGE}?_method=DELETE"), 405),
    "a verb that is none": (keyed("/metrics", method="HACK"), 405),
    "a verb in lower case": (keyed("/metrics", method="get"), 405),
    "TRACE": (keyed("/metrics", method="TRACE"), 405),
    "PUT": (keyed("/js/main.js", method="PUT", body=b"x"), 405),
    "CONNECT": (keyed("evil.example:443", method="CONNECT"), 404),
    "an address of elsewhere": (keyed("http://evil.example/metrics"), 404),
    "another host's name": (request("/metrics", host="evil.example"), 421),
    "a name that only begins like one of ours": (request("/", host="localhost.evil.example"), 421),
    "this host's name in another header": (
        request("/metrics", "X-Forwarded-Host: localhost", host="evil.example"),
        421,
    ),
    "two hosts": (request("/metrics", "Host: evil.example"), 400),
    "a preflight": (
        request(
            ACKNOWLEDGE,
            "Origin: https://evil.example",
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: authorization",
            method="OPTIONS",
        ),
        401,
    ),
    "a page of another site": (
        keyed(ACKNOWLEDGE, JSON, "Sec-Fetch-Site: cross-site", method="POST", body=ADA),
        403,
    ),
    "a form of another site": (
        request(
            ACKNOWLEDGE,
            "Content-Type: text/plain",
            "Origin: https://evil.example",
            "Content-Length: 13",
            method="POST",
        )
        + ADA,
        401,
    ),
    "the word of a proxy": (
        request("/metrics", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-User: admin"),
        401,
    ),
    "a key of the wrong kind": (request("/metrics", "Authorization: Basic YWRtaW46YWRtaW4="), 400),
    "an empty key": (request("/metrics", "Authorization: Bearer "), 400),
    "a key with a line break": (request("/metrics", "X-API-Key: msk_\r\n evil"), 401),
    "a token signed by nobody": (
        request(
            "/metrics",
            "Authorization: Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.",
        ),
        401,
    ),
    "a ticket that was never made": (request("/api/v1/events?ticket=AAAA"), 401),
    "the key in the address": (request("/api/v1/events?ticket={key}"), 401),
    "an upgrade": (
        keyed("/metrics", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: AA=="),
        200,
    ),
    "HTTP/2 in the clear": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "TLS where there is none": (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", 400),
}

# What a parser of HTTP takes for harmless, and does no harm.
HARMLESS = {"a header folded onto a second line", "a bare line break in a header", "an upgrade"}


@pytest.mark.parametrize("attack", OTHERS)
def test_each_attack_is_refused_and_stands_in_the_audit(attack: str, house: House) -> None:
    sent, status = OTHERS[attack]
    before = len(house.lines())
    answer = house.send(sent.replace(b"{key}", house.keys[Role.ADMIN].encode()))
    assert answer.status == status, answer.raw[:300]
    assert_harmless(answer, house)
    line = house.next_line(before)
    assert line["status"] == status
    assert line["result"] == ("allowed" if attack in HARMLESS else line["result"])
    if attack not in HARMLESS:
        assert line["result"] in {"refused", "failed"}


@pytest.mark.parametrize("path", TRAVERSAL + ROUTES)
def test_nothing_is_found_by_a_crooked_path(path: str, house: House) -> None:
    before = len(house.lines())
    for sent, status in ((keyed(path), 404), (request(path), 401)):
        answer = house.send(sent.replace(b"{key}", house.keys[Role.ADMIN].encode()))
        assert answer.status == status, answer.raw[:300]
        assert b"root:" not in answer.raw
        assert_harmless(answer, house)
    assert [house.next_line(before + n)["status"] for n in (0, 1)] == [404, 401]
    # Whatever was asked for, the audit has one word for it.
    assert house.next_line(before)["route"] == "unknown"


def assert_harmless(answer: Answer, house: House) -> None:
    """It leaks nothing, lets nobody else read it, and has no header of the attacker's."""
    assert "content-security-policy: default-src 'none'" in answer.head
    assert "x-content-type-options: nosniff" in answer.head
    for word in ("access-control-", "set-cookie", "x-evil", "server:", "location:"):
        assert f"\n{word}" not in answer.head
    for word in (b"Traceback", b"site-packages", b"uvicorn", b"starlette", b"/src/"):
        assert word not in answer.raw
    for key in house.keys.values():
        assert key.encode() not in answer.raw


def test_the_audit_is_one_line_each_and_holds_no_secret(house: House) -> None:
    evil = "a%0a%7b%22event%22:%22change%22%7d%0d%1b[31m"
    before = len(house.lines())
    house.send(keyed(f"/api/v1/alerts/{evil}").replace(b"{key}", house.keys[Role.ADMIN].encode()))
    line = house.next_line(before)
    assert line["target"].startswith('a\n{"event":"change"}')  # one value of one line
    text = house.audit.read_text()
    assert not [c for c in text if ord(c) < 32 and c != "\n"]
    assert not [key for key in house.keys.values() if key.split("_", 2)[2] in text]


def test_a_ticket_is_good_once(house: House) -> None:
    before = len(house.lines())
    with httpx.Client(base_url=house.server.url, trust_env=False, timeout=20) as http:
        heads = {"authorization": f"Bearer {house.keys[Role.VIEWER]}"}
        given = {"ticket": http.post("/api/v1/tickets", headers=heads).json()["ticket"]}
        with http.stream("GET", "/api/v1/events", params=given) as first:
            assert first.status_code == 200
        assert http.get("/api/v1/events", params=given).status_code == 401
    assert [house.next_line(before + n)["status"] for n in range(3)] == [201, 200, 401]


def test_whoever_drips_headers_is_cut_off_and_others_are_answered_meanwhile(house: House) -> None:
    with closing(socket.create_connection(("127.0.0.1", house.server.port), timeout=20)) as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n")
        began = time.monotonic()

        def drip() -> None:
            while time.monotonic() - began < 15:
                slow.sendall(b"X-A: b\r\n")
                assert house.send(request("/livez")).status == 200
                time.sleep(0.02)

        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            drip()
        assert time.monotonic() - began < 10


def test_a_wrong_key_is_told_nothing_of_how_it_is_wrong(house: House) -> None:
    right = house.keys[Role.VIEWER]
    wrong = [
        right[:17] + ("A" if right[17] != "A" else "B") + right[18:],
        right[:-1] + ("A" if right[-1] != "A" else "B"),
        f"msk_{'0' * 12}_{right[17:]}",
        "msk_",
    ]
    told = set()
    before = len(house.lines())
    for key in wrong:
        answer = house.send(request("/metrics", f"Authorization: Bearer {key}"))
        assert answer.status == 401
        told.add(answer.body)
    assert len(told) == 1
    assert house.next_line(before + len(wrong) - 1)["status"] == 401
