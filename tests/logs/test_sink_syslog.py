from __future__ import annotations

import os
import re
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme
from faulty_server import authority, server_context
from hypothesis import given
from hypothesis import strategies as st
from remote_sinks import AT_NS, HOSTILE, batch, failed, record, sink_context
from rsyslog_server import RsyslogServer, running_rsyslog

from metalscope.errors import ConfigurationError
from metalscope.logs.record import LogRecord, Severity
from metalscope.logs.sinks.syslog import SyslogSink
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.sending.shipping.base import Shipment

MESSAGE = re.compile(
    rb"<(?P<pri>\d{1,3})>1 (?P<time>\S+) (?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) "
    rb"(?P<pid>[!-~]{1,128}) (?P<id>[!-~]{1,32}) "
    rb'(?P<data>-|\[[^\s="\]]{1,32}( [!-<>-\\^-~]{1,32}="(\\["\\\]]|[^"\\\]])*")*\])'
    rb"(?: (?P<text>.*))?",
    re.DOTALL,
)
"""The grammar of RFC 5424, section 6; of structured data, one element."""


def parsed(message: bytes) -> dict[str, Any]:
    """A message in its parts; one that is none by the grammar fails the test."""
    found = MESSAGE.fullmatch(message)
    assert found, message
    parts = {name: part.decode() for name, part in found.groupdict(b"").items()}
    pairs = re.findall(r' ([^ =]+)="((?:\\.|[^"\\])*)"', parts["data"], re.DOTALL)
    return {**parts, "data": {name: re.sub(r"\\(.)", r"\1", text) for name, text in pairs}}


def message(of: LogRecord, endpoint: str = "udp://127.0.0.1:1", **options: Any) -> dict[str, Any]:
    return parsed(SyslogSink(sink_context("syslog", endpoint, **options)).encode(of))


@pytest.fixture(scope="module")
def server() -> Iterator[RsyslogServer]:
    with running_rsyslog() as running:
        yield running


def endpoints(server: RsyslogServer) -> dict[str, str]:
    return {
        "udp": f"udp://127.0.0.1:{server.udp}",
        "tcp": f"tcp://127.0.0.1:{server.tcp}",
        "tls": f"tls://localhost:{server.tls}",
        "unix": f"unix://{server.path}",
    }


def sink_to(server: RsyslogServer, by: str, **options: Any) -> SyslogSink:
    if by == "tls":
        options.setdefault("tls", server.client())
    if by == "unix":
        options["settings"] = {"protocol": "rfc5424", **options.get("settings", {})}
    return SyslogSink(sink_context("syslog", endpoints(server)[by], **options))


@pytest.mark.server
@pytest.mark.parametrize("by", ["udp", "tcp", "tls", "unix"])
def test_rsyslog_understands_every_field_as_it_was_sent(server: RsyslogServer, by: str) -> None:
    settings = {"facility": "local3", "multiline": True}
    sink = sink_to(server, by, settings=settings)
    sent = [
        sink.encode(record(HOSTILE, attributes={"a": HOSTILE, 'o d=d"]': 1}, event="x" * 40)),
        sink.encode(failed(body="ascii alone", event="")),
        sink.encode(record("", severity=Severity.CRITICAL, attributes={})),
    ]
    assert sink.send(batch(*sent)) is None
    understood = server.wait_for(3)
    sink.close()
    for one, got in zip(map(parsed, sent), understood, strict=True):
        assert got["version"] == "1"
        assert got["facility"] == "local3"
        assert got["time"] == one["time"].replace("Z", "+00:00")
        for name in ("host", "app", "pid", "id"):
            assert got[name] == one[name]
        assert got["text"] == one["text"]
        assert parsed_data(got["data"]) == one["data"]
    assert [one["severity"] for one in understood] == ["warning", "err", "crit"]
    assert understood[0]["id"] == "x" * 32


def parsed_data(text: str) -> dict[str, str]:
    return dict(parsed(f"<1>1 - - - - - {text}".encode())["data"])


@pytest.mark.server
def test_the_socket_of_a_host_is_spoken_to_as_it_understands(server: RsyslogServer) -> None:
    sink = SyslogSink(sink_context("syslog", f"unix://{server.own_path}"))
    sent = [failed(body=HOSTILE), record("next", severity=Severity.DEBUG)]
    assert sink.send(batch(*map(sink.encode, sent))) is None
    sink.close()
    first, second = server.wait_for(2)
    assert (first["facility"], first["severity"], second["severity"]) == ("user", "err", "debug")
    assert (first["app"], first["pid"]) == ("trainer", str(os.getpid()))
    assert first["host"] == socket.gethostname()
    text, _, data = second["text"].partition(" [")
    assert text.strip() == "next"
    assert parsed_data(f"[{data}")["correlation_id"] == "order-17"
    assert parsed_data(f"[{data}")["event"] == "metal.operation.slow"
    assert first["text"].startswith(" two#012lines, a tab#011, NUL #000 and #033[31m; ")


@pytest.mark.parametrize(
    ("endpoint", "begins"),
    [
        ("unix:///dev/log", r"<12>[A-Z][a-z]{2} [ 1-3]\d \d\d:\d\d:\d\d trainer\[\d+\]: said \["),
        ("udp://a:1", r"<12>... .. ..:..:.. gpu-7.example trainer\[\d+\]: said \["),
    ],
)
def test_the_old_form_is_that_of_rfc_3164(endpoint: str, begins: str) -> None:
    options = {"settings": {"protocol": "rfc3164"}}
    sent = SyslogSink(sink_context("syslog", endpoint, **options)).encode(record("said"))
    assert re.match(begins, sent.decode())


@pytest.mark.server
@pytest.mark.parametrize("framing", ["octet_counting", "newline"])
def test_no_text_forges_a_line(server: RsyslogServer, framing: str) -> None:
    multiline = framing == "newline"
    sink = sink_to(server, "tcp", settings={"framing": framing, "multiline": multiline})
    forged = "harmless\n<10>1 2026-01-01T00:00:00Z host app 1 - - forged"
    assert sink.send(batch(*(sink.encode(record(text)) for text in (forged, "next")))) is None
    texts = [one["text"] for one in server.wait_for(2)]
    sink.close()
    assert texts == [forged.replace("\n", "#012"), "next"]


@pytest.mark.server
def test_a_server_that_was_away_gets_all_in_order(server: RsyslogServer) -> None:
    sink = sink_to(server, "tcp")
    assert sink.send(batch(sink.encode(record("before")))) is None
    server.wait_for(1)
    server.stop()
    waiting = batch(*(sink.encode(record(f"line {number}")) for number in range(100)))
    result = sink.send(waiting)
    assert isinstance(result, ExportResult)
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.REFUSED)
    server.start()
    assert sink.send(waiting) is None
    assert [one["text"] for one in server.wait_for(100)] == [f"line {n}" for n in range(100)]
    sink.close()


@pytest.mark.server
def test_each_connection_is_kept(server: RsyslogServer) -> None:
    for by in ("tcp", "tls", "unix"):
        sink = sink_to(server, by)
        for _ in range(3):
            assert sink.send(batch(sink.encode(record()))) is None
        server.wait_for(3)
        sink.close()


@pytest.mark.server
def test_a_client_whose_certificate_is_not_taken_is_told(server: RsyslogServer) -> None:
    for tls in (server.client(trustme.CA()), {"ca_file": server.ca_file}):
        sink = sink_to(server, "tls", tls=tls)
        # In TLS 1.3 a server judges after the client believes that all is well.
        result = sink.send(batch(sink.encode(record("never to be seen"))))
        assert isinstance(result, ExportResult)
        assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.TLS)
        assert "tls.cert_file" in result.detail
        sink.close()
    assert "never to be seen" not in str(server.received())


@pytest.mark.server
@pytest.mark.parametrize(
    ("by", "endpoint", "reason", "words"),
    [
        ("tls", "tls://127.0.0.1:{tcp}", Reason.TIMEOUT, "it took no connection with TLS"),
        ("udp", "udp://127.0.0.1:1", Reason.REFUSED, "nothing listens there"),
        ("tcp", "tcp://127.0.0.1:1", Reason.REFUSED, "nothing listens there"),
        ("tcp", "tcp://no.such.host.invalid:1", Reason.DNS, "no such host"),
        ("unix", "unix:///no/such/log", Reason.REFUSED, "there is no such socket"),
        ("unix", "unix:///etc/hosts", Reason.REFUSED, ""),
    ],
)
def test_what_is_wrong_is_said(
    server: RsyslogServer, by: str, endpoint: str, reason: Reason, words: str
) -> None:
    url = endpoint.format(tcp=server.tcp, tls=server.tls)
    tls = {"tls": server.client()} if by == "tls" else {}
    sink = SyslogSink(sink_context("syslog", url, timeout="500ms", **tls))
    result = sink.send(batch(sink.encode(record())))
    assert isinstance(result, ExportResult)
    assert (result.verdict, result.reason) == (Verdict.RETRY, reason)
    assert words in result.detail
    sink.close()


class Taker:
    """A TCP server that reads nothing until it is told to."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(20)
        self.endpoint = f"{'tls' if tls else 'tcp'}://127.0.0.1:{self._listener.getsockname()[1]}"

    def take(self) -> socket.socket:
        taken, _ = self._listener.accept()
        taken.settimeout(20)
        return taken if self._tls is None else self._tls.wrap_socket(taken, server_side=True)

    def close(self) -> None:
        self._listener.close()


def frames(text: bytes) -> list[bytes]:
    """Octet-counted messages."""
    found = []
    while text:
        size, _, text = text.partition(b" ")
        found.append(text[: int(size)])
        text = text[int(size) :]
    return found


def test_into_a_connection_that_was_closed_nothing_is_lost() -> None:
    taker = Taker()
    sink = SyslogSink(sink_context("syslog", taker.endpoint))
    first, second = (sink.encode(record(text)) for text in ("first", "second"))
    assert sink.send(batch(first)) is None
    taken = taker.take()
    assert frames(taken.recv(65536)) == [first]
    taken.close()
    # The end of the connection has come by now or comes while this is sent: on loopback, at once.
    assert sink.send(batch(second)) is None
    assert frames(taker.take().recv(65536)) == [second]
    sink.close()
    taker.close()


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def test_what_a_server_had_not_read_when_it_died_is_sent_again() -> None:
    taker = Taker()
    sink = SyslogSink(sink_context("syslog", taker.endpoint))
    read, unread, after, last = (
        sink.encode(record(text)) for text in ("read", "unread", "after", "last")
    )
    assert sink.send(batch(read)) is None
    first = taker.take()
    assert frames(first.recv(65536)) == [read]
    assert sink.send(batch(unread)) is None
    # As a system does for a program that ends with something unread.
    reset(first)
    assert sink.send(batch(after)) is None
    second = taker.take()
    assert frames(second.recv(65536)) == [unread, after]
    second.close()
    # One that closes in good order has read all.
    assert sink.send(batch(last)) is None
    assert frames(taker.take().recv(65536)) == [last]
    sink.close()
    taker.close()


def test_of_a_connection_that_broke_only_the_rest_is_sent_again() -> None:
    taker = Taker()
    sink = SyslogSink(sink_context("syslog", taker.endpoint, timeout="500ms"))
    sent = [sink.encode(record(f"{n} " + "x" * 7000)) for n in range(2000)]
    result = sink.send(batch(*sent))
    assert isinstance(result, Shipment)
    assert result.reason is Reason.TIMEOUT
    assert not result.refused
    assert list(result.again) == list(range(result.again[0], 2000))
    taken = taker.take()
    arrived = b""
    with suppress(ConnectionResetError):
        while part := taken.recv(1 << 20):
            arrived += part
    whole = [one for one in frames(arrived) if MESSAGE.fullmatch(one)]
    # All that is not to be sent again has arrived, and nothing else, but for a piece at the end.
    assert result.again[0] > 0
    assert whole[: result.again[0]] == sent[: result.again[0]]
    assert len(whole) - result.again[0] <= 1
    sink.close()
    taker.close()


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    authority().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return tmp_path / "ca.pem"


def test_a_server_with_the_name_of_another_is_not_spoken_to(ca_file: Path) -> None:
    taker = Taker(server_context(authority().issue_cert("other.example")))
    sink = SyslogSink(sink_context("syslog", taker.endpoint, tls={"ca_file": ca_file}))
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(taker.take)
        result = sink.send(batch(sink.encode(record())))
        with pytest.raises(OSError, match=r"certificate|ALERT|EOF"):
            taken.result(10)
    assert isinstance(result, ExportResult)
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.TLS)
    assert "its certificate is for another host" in result.detail
    taker.close()


def test_over_tls_what_broke_is_sent_again_whole(ca_file: Path) -> None:
    taker = Taker(server_context())
    sink = SyslogSink(
        sink_context("syslog", taker.endpoint, timeout="1s", tls={"ca_file": ca_file})
    )
    thread = threading.Thread(target=lambda: held.append(taker.take()))
    held: list[socket.socket] = []
    thread.start()
    sent = [sink.encode(record(f"{n} " + "x" * 7000)) for n in range(2000)]
    result = sink.send(batch(*sent))
    thread.join(10)
    assert isinstance(result, ExportResult)
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.TIMEOUT)
    held[0].close()
    sink.close()
    taker.close()


def test_a_child_leaves_the_connection_to_its_parent() -> None:
    taker = Taker()
    sink = SyslogSink(sink_context("syslog", taker.endpoint))
    mine, its, last = (sink.encode(record(text)) for text in ("mine", "the child's", "last"))
    assert sink.send(batch(mine)) is None
    first = taker.take()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if sink.send(batch(its)) is None else 1
            sink.close()
        finally:
            os._exit(code)
    second = taker.take()
    assert frames(second.recv(65536)) == [its]
    assert os.waitpid(child, 0)[1] == 0
    assert sink.send(batch(last)) is None
    sink.close()
    arrived = b""
    while part := first.recv(65536):
        arrived += part
    assert frames(arrived) == [mine, last]
    taker.close()


def test_a_stream_at_a_path_is_spoken_to_as_well(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(path))
        listener.listen()
        settings = {"framing": "newline"}
        sink = SyslogSink(sink_context("syslog", f"unix://{path}", settings=settings))
        sent = sink.encode(record())
        assert sink.send(batch(sent, sent)) is None
        sink.close()
        taken, _ = listener.accept()
        with taken:
            assert taken.recv(65536) == (sent + b"\n") * 2


def test_a_datagram_the_system_does_not_send_is_refused_alone() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(20)
        sink = SyslogSink(sink_context("syslog", f"udp://127.0.0.1:{receiver.getsockname()[1]}"))
        small = sink.encode(record())
        result = sink.send(batch(small, bytes(70_000), small))
        assert isinstance(result, Shipment)
        assert [(one.place, one.reason) for one in result.refused] == [(1, Reason.TOO_LARGE)]
        assert not list(result.again)
        assert [receiver.recv(65536) for _ in range(2)] == [small, small]
        sink.close()


def test_the_header_says_who_and_when_and_how_bad() -> None:
    got = message(record(), settings={"facility": "daemon", "app_name": "train"})
    assert got["pri"] == str(3 * 8 + 4)
    assert got["time"] == "2025-11-28T20:00:00.123456Z"
    assert (got["host"], got["app"]) == ("gpu-7.example", "train")
    assert got["pid"] == str(os.getpid())
    assert got["id"] == "metal.operation.slow"
    assert got["data"] == {
        "correlation_id": "order-17",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": "b7ad6b7169203331",
        "sequence": "17",
        "logger": "trainer.step",
        "thread": "MainThread",
        "metal.operation.name": "matmul",
        "metal.operation.duration_ms": "131.5",
    }
    assert got["text"] == "matmul was slow"
    priorities = {one: message(record(severity=one))["pri"] for one in Severity}
    assert priorities == {
        Severity.DEBUG: "15",
        Severity.INFO: "14",
        Severity.WARNING: "12",
        Severity.ERROR: "11",
        Severity.CRITICAL: "10",
    }


def test_text_beyond_ascii_has_its_mark_and_other_text_none() -> None:
    assert message(record("é"))["text"] == "\ufeffé"
    assert message(record("é"), settings={"bom": False})["text"] == "é"
    assert message(record("e"))["text"] == "e"


def test_a_format_that_was_asked_for_is_the_text() -> None:
    assert message(record(), format="json")["text"].startswith("{")


def test_names_that_become_one_are_told_apart() -> None:
    long = "metal.some.rather.long.namespace.of.ours."
    got = message(record(attributes={f"{long}a": 1, f"{long}b": [1, {"c": None}], "logger": "x"}))
    assert got["data"] | {} == got["data"]
    assert got["data"]["logger"] == "trainer.step"
    assert got["data"]["logger~2"] == "x"
    assert got["data"][long[:32]] == "1"
    assert got["data"][long[:30] + "~2"] == '[1,{"c":null}]'


def test_what_is_too_long_is_cut_and_says_so() -> None:
    many = {f"attribute{number}": "y" * 50 for number in range(100)}
    limited = {"settings": {"max_bytes": 1024}}
    sink = SyslogSink(sink_context("syslog", "udp://127.0.0.1:1", **limited))
    sent = sink.encode(failed(body="é" * 5000, attributes=many))
    got = parsed(sent)
    assert 1000 < len(sent) <= 1024
    assert re.fullmatch("\ufeffé+…", got["text"])
    kept = len([name for name in got["data"] if name.startswith("attribute")])
    # All that are not there are counted, the stack trace among them.
    assert int(got["data"]["omitted"]) == 100 - kept + 1 + ("exception.message" not in got["data"])
    assert got["data"]["correlation_id"] == "order-17"


@given(
    body=st.text(),
    event=st.text(),
    attributes=st.dictionaries(st.text(), st.text() | st.integers() | st.floats() | st.none()),
    limit=st.integers(480, 3000),
    multiline=st.booleans(),
)
def test_whatever_is_said_the_message_is_one_of_the_grammar(
    body: str, event: str, attributes: dict[str, Any], limit: int, multiline: bool
) -> None:
    settings = {"max_bytes": limit, "multiline": multiline}
    sink = SyslogSink(sink_context("syslog", "udp://127.0.0.1:1", settings=settings))
    sent = sink.encode(failed(body=body, event=event, attributes=attributes))
    got = parsed(sent)
    assert len(sent) <= limit
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", got["text"] + str(got["data"]))
    if not multiline:
        assert b"\n" not in sent
    assert got["data"]["sequence"] == "17"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"endpoint": "https://a.example"}, "endpoint must be 'udp://host:port'"),
        ({"api_key": "k"}, "api_key is set, which syslog has no place for"),
        ({"settings": {"facility": "local9"}}, "settings.facility must be one of user, "),
        ({"settings": {"sd_id": "mine"}}, "settings.sd_id must be text such as 'metal@32473'"),
        ({"settings": {"framing": "lines"}}, "settings.framing must be one of octet_counting"),
        ({"settings": {"max_bytes": 100}}, "settings.max_bytes must be a whole number from 480"),
        ({"settings": {"facilty": "user"}}, "settings.facilty is unknown"),
        ({"endpoint": "tls://a:1", "tls": {"ca_file": "/no/ca"}}, "tls.ca_file '/no/ca'"),
    ],
)
def test_what_cannot_be_is_said_at_the_start(options: dict[str, Any], words: str) -> None:
    given = {"endpoint": "udp://127.0.0.1:514", **options}
    with pytest.raises(ConfigurationError, match=r"log sink syslog: ") as error:
        SyslogSink(sink_context("syslog", **given))
    assert words in str(error.value)
    assert str(AT_NS) not in str(error.value)
