"""What the transport makes of peers that fail, on real sockets."""

from __future__ import annotations

import gzip
import logging
import socket
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from contexts import context
from faulty_server import (
    CLOSED_AFTER_REQUEST,
    CUT_ANSWER,
    DRIP_BODY,
    DRIP_HEADERS,
    DRIP_STATUS,
    EARLY_413,
    GARBAGE,
    GARBAGE_PAGE,
    GOOD,
    HUGE_ANSWER,
    NEVER_ANSWERS,
    REFUSED,
    RESET_AFTER_REQUEST,
    RESET_MID_REQUEST,
    Fault,
    FaultyServer,
    Raw,
    answer,
    answer_by,
    faulty_server,
    redirect,
)

from metalscope.errors import ConfigurationError
from metalscope.sending.http.deadline import within
from metalscope.sending.http.transport import HttpTransport, TransportError, judge, result_of_error
from metalscope.sending.result import ExportResult, Reason, Verdict
from peers import free_port

LARGE = b"x" * 3_000_000


def transport(server: FaultyServer, **options: Any) -> HttpTransport:
    options.setdefault("timeout", "5s")
    if server.tls:
        options.setdefault("tls", {"ca_file": str(server.ca_file)})
    return context(endpoint=server.url, **options).open_http()


def sent(http: HttpTransport, body: bytes = b"points", **how: Any) -> ExportResult:
    try:
        return judge(http.send(body, content_type="text/plain", **how))
    except TransportError as error:
        return result_of_error(error)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize(
    ("fault", "reason", "says"),
    [
        (REFUSED, Reason.REFUSED, "nothing listens there"),
        (RESET_MID_REQUEST, Reason.RESET, "the connection was closed before the answer was whole"),
        (RESET_AFTER_REQUEST, Reason.RESET, "the connection was closed before the answer"),
        (CLOSED_AFTER_REQUEST, Reason.RESET, "the connection was closed before the answer"),
        (CUT_ANSWER, Reason.RESET, "the answer ended before it was whole"),
        (GARBAGE, Reason.GARBAGE, "what answers is not HTTP"),
        (GARBAGE_PAGE, Reason.GARBAGE, "answered 200 with a web page"),
        (HUGE_ANSWER, Reason.GARBAGE, "the answer is longer than 1024 KiB"),
        (redirect("https://elsewhere.example/in?key=1"), Reason.REDIRECTED, "answered 308 and"),
        (answer(500), Reason.SERVER_ERROR, "answered 500"),
        (answer(429), Reason.RATE_LIMITED, "answered 429"),
        (answer(401), Reason.UNAUTHORIZED, "answered 401"),
    ],
    ids=str,
)
def test_what_failed_has_a_reason_and_goes_through_once_the_peer_is_well(
    fault: Fault, reason: Reason, says: str, tls: bool
) -> None:
    with faulty_server(fault, tls=tls) as server:
        http = transport(server)
        result = sent(http, LARGE)
        assert (result.verdict, result.reason) == (Verdict.RETRY, reason), result.detail
        assert says in result.detail
        assert f"127.0.0.1:{server.port}" in result.detail
        before = len(server.requests)
        server.answers = [GOOD]
        assert sent(http, LARGE).ok
        assert [one.body for one in server.requests[before:]] == [LARGE]


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("fault", [DRIP_STATUS, DRIP_HEADERS, DRIP_BODY, NEVER_ANSWERS], ids=str)
def test_the_deadline_holds_however_the_peer_spreads_its_answer(fault: Fault, tls: bool) -> None:
    with faulty_server(fault, tls=tls) as server:
        http = transport(server, timeout="700ms")
        start = time.monotonic()
        result = sent(http)
        assert 0.6 < time.monotonic() - start < 1.5
        assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.TIMEOUT)
        assert result.detail == f"127.0.0.1:{server.port} gave no whole answer within 0.7 s"
        server.answers = [GOOD]
        assert sent(http).ok


def test_the_deadline_holds_while_a_body_is_not_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        http = context(
            endpoint=f"http://127.0.0.1:{deaf.getsockname()[1]}", timeout="500ms"
        ).open_http()
        start = time.monotonic()
        result = sent(http, b"x" * 50_000_000)
        assert result.reason is Reason.TIMEOUT
        assert 0.4 < time.monotonic() - start < 1.5


def test_a_name_that_is_not_looked_up_in_time_is_a_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Of a resolver that hangs there is none to start here.
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: time.sleep(3) or [])
    http = context(endpoint="http://collector.example", timeout="300ms").open_http()
    start = time.monotonic()
    result = sent(http)
    assert time.monotonic() - start < 1.5
    assert result.reason is Reason.TIMEOUT
    assert result.detail == "collector.example:80 took no connection within 0.3 s"


@pytest.mark.parametrize("host", ["collector.invalid", "a" * 64 + ".example"])
def test_a_host_that_is_none_is_said_to_be_none(host: str) -> None:
    result = sent(context(endpoint=f"http://{host}:4318/v1", timeout="30s").open_http())
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.DNS)
    assert result.detail.startswith(f"{host}:4318: no such host (")


def test_several_requests_share_the_deadline_of_the_export_around_them() -> None:
    with faulty_server(GOOD) as server:
        http = transport(server)
        with within(0.6):
            assert sent(http).ok
            server.answers = [NEVER_ANSWERS]
            start = time.monotonic()
            assert sent(http).reason is Reason.TIMEOUT
            assert sent(http).reason is Reason.TIMEOUT
            assert time.monotonic() - start < 1.2


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_peer_that_refuses_before_it_has_read_all_is_heard(tls: bool) -> None:
    with faulty_server(EARLY_413, tls=tls) as server:
        result = sent(transport(server), LARGE)
        assert (result.verdict, result.reason) == (Verdict.REJECTED, Reason.TOO_LARGE)
        assert result.detail == f"127.0.0.1:{server.port} answered 413: too much"


def test_a_refusal_is_one_though_its_body_breaks_off() -> None:
    cut = Raw("cut", b"HTTP/1.1 422 No\r\nContent-Length: 100\r\n\r\nno such metric")
    with faulty_server(cut) as server:
        result = sent(transport(server))
        assert (result.verdict, result.reason) == (Verdict.REJECTED, Reason.SCHEMA)
        server.answers = [GOOD]
        assert sent(transport(server)).ok


def test_tls_on_a_plain_url_is_recognized() -> None:
    with faulty_server(tls=True) as server:
        url = server.url.replace("https", "http")
        result = sent(context(endpoint=url).open_http())
        assert result.reason in {Reason.GARBAGE, Reason.RESET}
    alert = Raw("alert", b"\x15\x03\x01\x00\x02\x02\x16")
    with faulty_server(alert) as server:
        result = sent(transport(server))
        assert result.reason is Reason.GARBAGE
        assert "is the URL https, not http?" in result.detail


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 200 " + b"O" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnone",
        b"SSH-2.0-OpenSSH_9.9\r\n",
    ],
)
def test_malformed_http_is_garbage(raw: bytes) -> None:
    with faulty_server(Raw("raw", raw)) as server:
        result = sent(transport(server))
        assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.GARBAGE), result.detail


def test_a_small_answer_that_unpacks_to_a_huge_one_is_not_read_to_its_end() -> None:
    bomb = gzip.compress(bytes(60_000_000), compresslevel=9)
    with faulty_server(answer(200, bomb, content_encoding="gzip")) as server:
        tracemalloc.start()
        try:
            assert sent(transport(server)).reason is Reason.GARBAGE
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 30_000_000


def test_connections_are_kept_and_those_the_peer_has_closed_are_not_used() -> None:
    with faulty_server() as server:
        http = transport(server)
        for _ in range(3):
            assert sent(http).ok
        assert server.connections == 1
        server.answers = [GOOD]  # hangs up
        assert sent(http).ok
        assert server.connections == 2
        http.close()
        assert sent(http).ok
        assert server.connections == 3


def test_redirects_are_not_followed() -> None:
    with faulty_server() as other, faulty_server(redirect(f"{other.url}/in?key=1")) as server:
        result = sent(transport(server, api_key="a-secret-key"))
        assert result.detail == (
            f"127.0.0.1:{server.port} answered 308 and points to {other.url}/in?…; "
            "redirects are not followed"
        )
        assert other.connections == 0


def test_the_path_and_the_query_come_after_those_of_the_endpoint() -> None:
    with faulty_server(path="/base/?precision=ns") as server:
        http = transport(server)
        http.send(b"", content_type="text/plain")
        http.send(b"", content_type="text/plain", path="/api/v2", method="PUT")
        http.get("/q", {"query": "up{a='b c'}"})
        http.get()
        assert [(one.method, one.path) for one in server.requests] == [
            ("POST", "/base/?precision=ns"),
            ("PUT", "/base/api/v2?precision=ns"),
            ("GET", "/base/q?precision=ns&query=up%7Ba%3D%27b+c%27%7D"),
            ("GET", "/base/?precision=ns"),
        ]
        assert http.url == server.url


def test_a_body_arrives_as_it_was_given_packed_or_not() -> None:
    with faulty_server() as server:
        http = transport(server)
        http.send(b"points", content_type="text/plain", headers={"X-One": "1"})
        http.send(b"points" * 99, content_type="application/json", compress=True)
        http.send(b"points" * 99, content_type="application/json", compress=True)
        plain, packed, again = server.requests
        assert plain.body == b"points"
        assert plain.headers["content-type"] == "text/plain"
        assert plain.headers["x-one"] == "1"
        assert plain.headers["user-agent"].startswith("metalscope/")
        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.content == b"points" * 99
        assert len(packed.body) < 99
        assert packed.body == again.body
        assert packed.body[4:8] == bytes(4), "RFC 1952, 2.3.1: no time, else it differs each second"


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({"api_key": "k3y-of-mine"}, "Bearer k3y-of-mine"),
        ({"api_key": "glc_ü", "user": "12"}, "Basic MTI6Z2xjX8O8"),
        ({"api_key": "k3y", "headers": {"AUTHORIZATION": "Token t"}}, "Token t"),
        ({}, None),
    ],
)
def test_the_key_is_sent_as_authorization(options: dict[str, Any], header: str | None) -> None:
    with faulty_server() as server:
        transport(server, **options).send(b"", content_type="text/plain")
        made = context(endpoint=server.url, **options)
        http = made.open_http(auth="none")
        http.send(b"", content_type="text/plain")
        with_key, without = server.requests
        assert with_key.headers.get("authorization") == header
        assert without.headers.get("authorization") == (header if "headers" in options else None)
        assert http.secret() == options.get("api_key")


def test_a_key_is_not_looked_for_where_a_header_takes_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("METALSCOPE_TEST_KEY", raising=False)
    with faulty_server() as server:
        options = {"api_key_from": "env:METALSCOPE_TEST_KEY"}
        assert sent(transport(server, **options)).reason is Reason.CONFIGURATION
        assert sent(transport(server, **options, headers={"authorization": "Token t"})).ok


def test_headers_of_the_options_take_the_place_of_others() -> None:
    with faulty_server() as server:
        headers = {"User-Agent": "mine", "content-TYPE": "text/special", "X-Scope-OrgID": "a"}
        http = transport(server, headers=headers)
        http.send(b"", content_type="text/plain", headers={"x-scope-orgid": "b"})
        got = server.requests[0].headers
        assert (got["user-agent"], got["content-type"], got["x-scope-orgid"]) == (
            "mine",
            "text/special",
            "a",
        )


def test_two_transports_share_no_headers_and_no_connections() -> None:
    with faulty_server() as server:
        first = transport(server, api_key="first-key", headers={"x-first": "1"})
        second = transport(server, headers={"x-second": "2"})
        for http in (first, second, first, second):
            http.send(b"", content_type="text/plain", headers={})
        keys = [one.headers.get("authorization") for one in server.requests]
        assert keys == ["Bearer first-key", None, "Bearer first-key", None]
        assert [
            ("x-first" in one.headers, "x-second" in one.headers) for one in server.requests
        ] == [
            (True, False),
            (False, True),
        ] * 2
        assert server.connections == 2


SECRETS = (
    "a-secret-key",
    "header-secret",
    "query-secret",
    "path-secret-of-a-webhook",
    "YTphLXNlY3JldC1rZXk",
)
PATH = "/in/path-secret-of-a-webhook?api_key=query-secret&to=here"


def echo(status: int) -> Callable[[Any], tuple[int, dict[str, str], bytes]]:
    return lambda request: (
        status,
        {},
        f"\x1b[31mrefused\x00\n {request.path} {request.headers} {'.' * 400}".encode(),
    )


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 500, 503])
@pytest.mark.parametrize("user", ["a", None])
def test_what_the_peer_says_is_told_without_the_secrets_it_repeats(
    status: int, user: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with faulty_server(answer_by(echo(status)), path=PATH) as server:
        http = transport(
            server, api_key="a-secret-key", user=user, headers={"x-key": "header-secret"}
        )
        answered = http.send(b"", content_type="text/plain")
        detail = judge(answered).detail
        words = detail.partition(": ")[2]
        assert words.startswith("\ufffd[31mrefused\ufffd /in/…?api_key=…&to=here {")
        assert len(words) <= 200
        assert words.isprintable()
        told = [detail, repr(http), repr(answered), str(vars(http)["_mask"]), caplog.text]
        for secret in SECRETS:
            assert not any(secret in text for text in told)
        repeated = answered.body.decode()
        assert all(secret in repeated for secret in SECRETS[1:4])
        assert SECRETS[4 if user else 0] in repeated


@pytest.mark.parametrize(
    "raw",
    [
        b"no HTTP\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
    ],
)
def test_errors_and_logs_hold_no_secret(raw: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with faulty_server(Raw("raw", raw), path="/in?api_key=query-secret") as server:
        http = transport(server, api_key="a-secret-key", headers={"x-key": "header-secret"})
        with pytest.raises(TransportError) as caught:
            http.send(b"", content_type="text/plain")
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
        assert not any(secret in str(caught.value) + repr(caught.value) for secret in SECRETS)
        assert len(server.requests) == 1
        assert not any(secret in caplog.text for secret in SECRETS)


def test_a_warning_of_urllib3_about_headers_shows_no_query(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    raw = Raw("raw", b"HTTP/1.1 200 OK\r\nno colon in this\r\n\r\n")
    with faulty_server(raw, path="/in?api_key=query-secret") as server:
        assert sent(transport(server)).ok
        assert server.requests[0].path == "/in?api_key=query-secret"
    assert "Failed to parse headers" in caplog.text
    assert "/in" not in caplog.text
    assert "query-secret" not in caplog.text


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "exporter custom: endpoint is not set"),
        (
            {"endpoint": "grpc://h:4317"},
            "exporter custom: endpoint 'grpc://h:4317' must be an http",
        ),
        ({"endpoint": "unix:///run/x"}, "endpoint 'unix:///run/x' must be an http or https URL"),
        (
            {"endpoint": "http://h", "headers": {"Content-Length": "9"}},
            "must not hold Content-Leng",
        ),
        ({"endpoint": "http://h", "headers": {"x-a": "snow☃"}}, "headers x-a must have a value of"),
        ({"endpoint": "http://h", "user": "12"}, "user '12' needs api_key or api_key_from"),
        ({"endpoint": "http://h", "proxy": "grpc://p:1"}, "proxy 'grpc://p:1' must be an http"),
    ],
)
def test_bad_options_are_named_at_the_start(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        context(**options).open_http()
    assert says in str(caught.value)
    assert "☃" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://", "http://h:99999", "http://u:secret@h", "ftp://h", ""])
def test_a_url_of_a_platform_is_checked_too(url: str) -> None:
    with pytest.raises(ConfigurationError, match="must be an http or https URL") as caught:
        context(endpoint="http://h").open_http(url)
    assert "secret" not in str(caught.value)


def test_a_key_no_header_can_hold_is_a_matter_of_configuration() -> None:
    with faulty_server() as server:
        result = sent(transport(server, api_key="snow☃man"))
        assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.CONFIGURATION)
        assert "☃" not in result.detail
        assert server.connections == 0


def test_an_address_of_ip_version_6_is_written_in_brackets() -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with listener:
        port = listener.getsockname()[1]
        http = context(endpoint=f"http://[::1]:{port}", timeout="300ms").open_http()
        assert sent(http).detail == f"[::1]:{port} gave no whole answer within 0.3 s"
        taken, _ = listener.accept()
        with taken:
            assert f"\r\nHost: [::1]:{port}\r\n".encode() in taken.recv(1000)


def test_the_next_address_of_a_host_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    # What a host with two addresses looks up to, of which one is dead.
    with faulty_server() as server:
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
            for port in (free_port(), server.port)
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
        assert sent(context(endpoint="http://collector.example").open_http()).ok
        assert server.requests[0].headers["host"] == "collector.example"


def test_many_threads_may_send_at_once() -> None:
    with faulty_server() as server:
        http = transport(server, api_key="the-key")
        bodies = [str(number).encode() for number in range(200)]
        with ThreadPoolExecutor(8) as pool:
            assert all(result.ok for result in pool.map(partial(sent, http), bodies))
        assert sorted(one.body for one in server.requests) == sorted(bodies)
        assert {one.headers["authorization"] for one in server.requests} == {"Bearer the-key"}
        http.close()


def test_urllib3_is_loaded_only_by_what_sends() -> None:
    program = (
        "import sys, metalscope, metalscope.sending.http.transport; "
        "assert 'urllib3' not in sys.modules, 'loaded'"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
