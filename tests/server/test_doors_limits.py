"""Who takes too much of the server is cut off, and the others are answered."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from doors_at_hand import request, send

from metalscope.manager import MetalTelemetryManager
from metalscope.options import MetalTelemetryOptions, ServerLimitsOptions
from metalscope.server import RunningServer, start_server
from metalscope.server.limits import most_connections
from metalscope.server.security import MOST_BYTES, MOST_HEADER_BYTES, MOST_HEADERS

PATIENCE = 0.3


@pytest.fixture(scope="module")
def short() -> Iterator[RunningServer]:
    """A server of little patience."""
    limits = ServerLimitsOptions(
        header_timeout=timedelta(seconds=PATIENCE), request_timeout=timedelta(seconds=PATIENCE)
    )
    options = MetalTelemetryOptions(tick_interval=timedelta(milliseconds=100))
    with MetalTelemetryManager(options) as tel:
        server = start_server(tel, host="127.0.0.1", port=0, limits=limits)
        yield server
        server.stop()


def seconds_until_cut(port: int, first: bytes, drip: bytes) -> tuple[float, bytes]:
    """Send something, then a byte at a time; until when, and what came back."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        began = time.monotonic()
        try:
            peer.sendall(first)
            peer.settimeout(0.03)
            while time.monotonic() - began < 15:
                try:
                    part = peer.recv(65_536)
                except TimeoutError:
                    if drip:
                        peer.sendall(drip)
                    continue
                if not part:
                    break
                received += part
        except (ConnectionResetError, BrokenPipeError):
            pass
        return time.monotonic() - began, received


@pytest.mark.parametrize(
    ("first", "drip"),
    [
        (b"", b""),
        (b"", b"G"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", b"a"),
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET ", b"a"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"A: b\r\n"),
    ],
    ids=["says nothing", "one byte at a time", "a header without end", "a second one", "headers"],
)
def test_whoever_sends_headers_slowly_is_cut_off(
    first: bytes, drip: bytes, short: RunningServer
) -> None:
    seconds, _ = seconds_until_cut(short.port, first, drip)
    assert PATIENCE * 0.9 < seconds < 10
    assert httpx.get(f"{short.url}/livez", trust_env=False).status_code == 200


def test_whoever_sends_a_body_slowly_is_cut_off(short: RunningServer) -> None:
    head = (
        b"POST /api/v1/silences HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    )
    seconds, _ = seconds_until_cut(short.port, head, b" ")
    assert PATIENCE * 0.9 < seconds < 8  # before the body's own ten seconds


def test_a_body_without_end_that_nobody_asked_for_is_cut_off(short: RunningServer) -> None:
    head = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    seconds, received = seconds_until_cut(short.port, head, b"1\r\na\r\n")
    assert received.startswith(b"HTTP/1.1 200")
    assert seconds < 10


def test_the_event_stream_outlives_the_time_of_a_request(short: RunningServer) -> None:
    with (
        httpx.Client(trust_env=False, timeout=20) as client,
        client.stream("GET", f"{short.url}/api/v1/events") as stream,
    ):
        began = time.monotonic()
        for _ in stream.iter_bytes():
            if time.monotonic() - began > 3 * PATIENCE:
                return
    raise AssertionError("the stream ended")


def test_pipelined_requests_are_answered_in_their_order(short: RunningServer) -> None:
    one = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = send(short.port, one + one.replace(b"/livez", b"/nowhere") + request("/readyz"))
    assert answer.statuses == [200, 404, 200]


def test_more_connections_than_may_be_are_closed_and_later_ones_are_answered(
    tel: MetalTelemetryManager,
) -> None:
    server = start_server(
        tel, host="127.0.0.1", port=0, limits=ServerLimitsOptions(max_connections=3)
    )
    try:
        held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
        for one in held:  # each is accepted for sure
            one.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert one.recv(100).startswith(b"HTTP/1.1 200")
        assert send(server.port, request("/livez")).raw == b""
        for one in held:
            one.close()
        deadline = time.monotonic() + 10
        while send(server.port, request("/livez")).status != 200:
            assert time.monotonic() < deadline
    finally:
        server.stop()


def test_the_program_keeps_half_of_its_files_for_itself() -> None:
    assert most_connections(5) == 5
    resource = pytest.importorskip("resource")
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY:
        assert most_connections(10**9) == soft // 2


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request("/livez?" + "a" * 9_000), 414),
        (request("/" + "a" * 9_000), 414),
        (request("/livez", "X-Large: " + "a" * MOST_HEADER_BYTES), 431),
        (request("/livez", *(f"X-{n}: a" for n in range(MOST_HEADERS))), 431),
        (request("/livez", f"Content-Length: {MOST_BYTES + 1}"), 413),
        (request("/livez", "Content-Length: " + "9" * 20), 413),
        (request("/livez", "Content-Encoding: gzip"), 415),
        (request("/livez", "Transfer-Encoding: chunked", "Content-Length: 5"), 400),
        (request("/livez", "X-Endless: " + "a" * 200_000), 400),
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n", 400),
    ],
)
def test_what_is_too_large_or_no_http_is_refused_with_the_security_headers(
    sent: bytes, status: int, short: RunningServer
) -> None:
    answer = send(short.port, sent)
    assert answer.status == status
    for header in ("content-security-policy: ", "x-content-type-options: nosniff"):
        assert header in answer.head
    assert b"uvicorn" not in answer.raw
    assert b"Traceback" not in answer.raw
    assert send(short.port, request("/livez")).status == 200
