from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from contexts import context
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from otlp_receiver import GrpcReceiver, grpc_receiver, points
from rotel_agent import running_rotel
from snapshots import full
from test_otlp_http import expected, of_metalscope

from metalscope.errors import ConfigurationError
from metalscope.export.otlp.exporter import OtlpExporter
from metalscope.sending.result import ExportResult, Reason, Verdict
from peers import free_port

KEY = "a-key-nobody-guesses"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


def exporter(endpoint: str, **options: Any) -> OtlpExporter:
    return OtlpExporter(context("opentelemetry", endpoint=endpoint, protocol="grpc", **options))


def export(endpoint: str, **options: Any) -> ExportResult:
    made = exporter(endpoint, **options)
    try:
        return made.export(full())
    finally:
        made.shutdown()


def export_to(receiver: GrpcReceiver, **options: Any) -> ExportResult:
    return export(f"http://127.0.0.1:{receiver.port}", **options)


def test_what_a_server_receives_are_the_numbers_of_the_snapshot() -> None:
    with grpc_receiver() as receiver:
        result = export_to(receiver)
    found = points(receiver.requests)
    assert of_metalscope(found) == expected(full())
    assert result == ExportResult.delivered(len(found))


def test_headers_and_the_key_are_metadata() -> None:
    with grpc_receiver() as receiver:
        assert export_to(receiver, headers={"X-Scope": "tenant 1"}, api_key=KEY).ok
        assert export_to(receiver, user="me", api_key="secret").ok
        assert export_to(receiver, headers={"Authorization": "Own"}, api_key=KEY).ok
    first, second, third = receiver.metadata
    assert (first["x-scope"], first["authorization"]) == ("tenant 1", f"Bearer {KEY}")
    assert first["user-agent"].startswith("metalscope/")
    assert second["authorization"] == "Basic bWU6c2VjcmV0"
    assert third["authorization"] == "Own"


def test_a_key_in_a_file_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "key"
    with grpc_receiver() as receiver:
        made = exporter(f"http://127.0.0.1:{receiver.port}", api_key_from=f"file:{file}")
        result = made.export(full())
        assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.CONFIGURATION)
        for key in ("one", "another"):
            file.write_text(key)
            assert made.export(full()).ok
        made.shutdown()
    assert [one["authorization"] for one in receiver.metadata] == ["Bearer one", "Bearer another"]


@pytest.mark.parametrize(("compression", "smaller"), [("gzip", True), ("none", False)])
def test_requests_are_compressed_unless_that_is_not_wanted(compression: str, smaller: bool) -> None:
    with grpc_receiver() as receiver, counting_proxy(receiver.port) as (port, count):
        export(f"http://127.0.0.1:{port}", settings={"compression": compression})
        [request] = receiver.requests
        assert (count() < request.ByteSize() / 2) == smaller


@contextmanager
def counting_proxy(to: int) -> Iterator[tuple[int, Callable[[], int]]]:
    """Passes bytes on and counts those of the client."""
    seen = [0]
    listener = socket.create_server(("127.0.0.1", 0))

    def copy(source: socket.socket, target: socket.socket, count: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                seen[0] += len(data) if count else 0
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", to))
                for pair in ((client, server, True), (server, client, False)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1], lambda: seen[0]
    finally:
        listener.close()


def test_a_socket_of_this_machine_will_do(tmp_path: Path) -> None:
    path = tmp_path / "otlp.sock"
    with grpc_receiver(address=f"unix:{path}") as receiver:
        assert export(f"unix://{path}").ok
    assert of_metalscope(points(receiver.requests)) == expected(full())


# -- TLS -----------------------------------------------------------------------------------------


class Authority:
    """Issues certificates, and writes them where options can name them."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self._directory, self._ca = directory, trustme.CA()
        self.ca_file = directory / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca_file))

    def server(self, *names: str, clients: Authority | None = None) -> grpc.ServerCredentials:
        cert = self._ca.issue_cert(*names)
        pair = (cert.private_key_pem.bytes(), b"".join(p.bytes() for p in cert.cert_chain_pems))
        roots = clients.ca_file.read_bytes() if clients else None
        return grpc.ssl_server_credentials([pair], roots, clients is not None)

    def client(self) -> dict[str, Path]:
        cert = self._ca.issue_cert("client.example")
        files = {"cert_file": self._directory / "c.pem", "key_file": self._directory / "c.key"}
        files["cert_file"].write_bytes(b"".join(p.bytes() for p in cert.cert_chain_pems))
        files["key_file"].write_bytes(cert.private_key_pem.bytes())
        return files


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def other(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "other")


def test_a_certificate_of_an_authority_that_is_named_is_trusted(authority: Authority) -> None:
    with grpc_receiver(authority.server("localhost")) as receiver:
        url = f"https://localhost:{receiver.port}"
        assert export(url, tls={"ca_file": authority.ca_file}).ok
        result = export(url)
    assert (result.reason, "not trusted" in result.detail) == (Reason.TLS, True)
    assert len(receiver.requests) == 1


def test_a_certificate_for_another_host_is_not_trusted(authority: Authority) -> None:
    with grpc_receiver(authority.server("other.example")) as receiver:
        result = export(f"https://localhost:{receiver.port}", tls={"ca_file": authority.ca_file})
    assert (result.reason, "another host" in result.detail) == (Reason.TLS, True)


def test_a_server_that_wants_a_certificate_gets_it(authority: Authority, other: Authority) -> None:
    with grpc_receiver(authority.server("localhost", clients=other)) as receiver:
        url = f"https://localhost:{receiver.port}"
        trusted = {"ca_file": authority.ca_file}
        assert export(url, tls=trusted | other.client()).ok
        for tls in (trusted, trusted | authority.client()):
            result = export(url, tls=tls)
            assert result.reason in {Reason.RESET, Reason.TLS}
            assert "client certificate" in result.detail


def test_a_server_without_tls_is_told_for_what_it_is(authority: Authority) -> None:
    with grpc_receiver() as receiver:
        result = export(f"https://127.0.0.1:{receiver.port}", tls={"ca_file": authority.ca_file})
    assert (result.reason, "is the URL http" in result.detail) == (Reason.TLS, True)


def test_a_server_with_tls_is_guessed_where_it_hangs_up(authority: Authority) -> None:
    with grpc_receiver(authority.server("localhost")) as receiver:
        result = export_to(receiver)
    assert (result.reason, "is the URL https" in result.detail) == (Reason.RESET, True)


# -- failures ------------------------------------------------------------------------------------


def test_where_nothing_listens_it_is_refused_and_later_it_arrives() -> None:
    port = free_port()
    made = exporter(f"http://127.0.0.1:{port}")
    result = made.export(full())
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.REFUSED)
    with grpc_receiver(address=f"127.0.0.1:{port}") as receiver:
        # At once: no back-off of the channel's own holds it up.
        assert made.export(full()).ok
    assert of_metalscope(points(receiver.requests)) == expected(full())
    made.shutdown()


def test_a_host_without_an_address_is_a_matter_of_dns() -> None:
    result = export("http://no-such-host.invalid:4317")
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.DNS)
    assert result.detail == "no-such-host.invalid:4317: no such host"


@contextmanager
def answering(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that is no gRPC."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def http1(connection: socket.socket) -> None:
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    time.sleep(0.5)
    connection.close()


def reset(connection: socket.socket) -> None:
    connection.recv(1000)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def silence(connection: socket.socket) -> None:
    while connection.recv(1000):
        pass


@pytest.mark.parametrize(
    ("talk", "reason"),
    [
        (http1, Reason.GARBAGE),
        (reset, Reason.RESET),
        (socket.socket.close, Reason.RESET),
        (silence, Reason.TIMEOUT),
    ],
)
def test_what_is_no_grpc_is_told_for_what_it_is(
    talk: Callable[[socket.socket], None], reason: Reason
) -> None:
    with answering(talk) as port:
        began = time.monotonic()
        result = export(f"http://127.0.0.1:{port}", timeout=0.7)
        assert time.monotonic() - began < 3
    assert (result.verdict, result.reason) == (Verdict.RETRY, reason)


def test_a_server_that_does_not_answer_in_time_is_given_up() -> None:
    hold = threading.Event()

    def hang(*_: object) -> ExportMetricsServiceResponse:
        hold.wait(10)
        return ExportMetricsServiceResponse()

    with grpc_receiver() as receiver:
        receiver.answer = hang
        began = time.monotonic()
        result = export_to(receiver, timeout=0.4)
        assert time.monotonic() - began < 2
        hold.set()
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.TIMEOUT)


def aborting(
    code: grpc.StatusCode, words: str = "", details: bytes = b""
) -> Callable[..., ExportMetricsServiceResponse]:
    def answer(_: object, call: grpc.ServicerContext) -> ExportMetricsServiceResponse:
        if details:
            call.set_trailing_metadata((("grpc-status-details-bin", details),))
        call.abort(code, words)
        return ExportMetricsServiceResponse()

    return answer


# OTLP specification, "OTLP/gRPC", "Failures": those to retry; and those a person can mend.
@pytest.mark.parametrize(
    ("code", "verdict", "reason"),
    [
        (grpc.StatusCode.CANCELLED, Verdict.RETRY, Reason.SERVER_ERROR),
        (grpc.StatusCode.ABORTED, Verdict.RETRY, Reason.SERVER_ERROR),
        (grpc.StatusCode.OUT_OF_RANGE, Verdict.RETRY, Reason.SERVER_ERROR),
        (grpc.StatusCode.UNAVAILABLE, Verdict.RETRY, Reason.SERVER_ERROR),
        (grpc.StatusCode.DATA_LOSS, Verdict.RETRY, Reason.SERVER_ERROR),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Verdict.RETRY, Reason.TIMEOUT),
        (grpc.StatusCode.UNAUTHENTICATED, Verdict.RETRY, Reason.UNAUTHORIZED),
        (grpc.StatusCode.PERMISSION_DENIED, Verdict.RETRY, Reason.FORBIDDEN),
        (grpc.StatusCode.NOT_FOUND, Verdict.RETRY, Reason.NOT_FOUND),
        (grpc.StatusCode.UNIMPLEMENTED, Verdict.RETRY, Reason.NOT_FOUND),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Verdict.REJECTED, Reason.RATE_LIMITED),
        (grpc.StatusCode.INVALID_ARGUMENT, Verdict.REJECTED, Reason.SCHEMA),
        (grpc.StatusCode.FAILED_PRECONDITION, Verdict.REJECTED, Reason.SCHEMA),
        (grpc.StatusCode.ALREADY_EXISTS, Verdict.REJECTED, Reason.SCHEMA),
        (grpc.StatusCode.UNKNOWN, Verdict.REJECTED, Reason.SERVER_ERROR),
        (grpc.StatusCode.INTERNAL, Verdict.REJECTED, Reason.SERVER_ERROR),
    ],
)
def test_a_status_of_the_server_means_what_the_protocol_says(
    code: grpc.StatusCode, verdict: Verdict, reason: Reason
) -> None:
    # Words that gRPC's own failures hold too.
    words = f"the security service met a timeout: {KEY}"
    with grpc_receiver() as receiver:
        receiver.answer = aborting(code, words)
        result = export_to(receiver, api_key=KEY)
    assert (result.verdict, result.reason) == (verdict, reason)
    assert KEY not in result.detail
    if reason is not Reason.TIMEOUT:
        assert f"{code.name}: the security service met a timeout: …" in result.detail


def retry_info(seconds: float) -> bytes:
    """A google.rpc.Status with a RetryInfo, after another detail."""
    delay = Duration()
    delay.FromTimedelta(timedelta(seconds=seconds))
    info = delay.SerializeToString()
    info = bytes([0x0A, len(info)]) + info
    details = [
        AnyMessage(type_url="type.googleapis.com/google.rpc.DebugInfo", value=b"\x0a\x01a"),
        AnyMessage(type_url="type.googleapis.com/google.rpc.RetryInfo", value=info),
    ]
    packed = [one.SerializeToString() for one in details]
    words = b"slow down"
    return (
        bytes([0x08, 8, 0x12, len(words)])
        + words
        + b"".join(bytes([0x1A, len(one)]) + one for one in packed)
    )


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.RATE_LIMITED),
        (grpc.StatusCode.UNAVAILABLE, Reason.SERVER_ERROR),
    ],
)
def test_a_server_that_says_when_to_come_again_is_believed(
    code: grpc.StatusCode, reason: Reason
) -> None:
    with grpc_receiver() as receiver:
        receiver.answer = aborting(code, "slow down", retry_info(2.5))
        result = export_to(receiver)
    assert (result.verdict, result.reason) == (Verdict.RETRY, reason)
    assert result.retry_after == timedelta(seconds=2.5)


def test_points_the_server_refuses_are_counted() -> None:
    partial = ExportMetricsPartialSuccess(rejected_data_points=2, error_message="too old")
    with grpc_receiver() as receiver:
        receiver.answer = lambda *_: ExportMetricsServiceResponse(partial_success=partial)
        result = export_to(receiver)
    count = len(points(receiver.requests))
    assert result == ExportResult.delivered(count - 2, rejected_points=2, detail="too old")


def test_a_message_too_large_for_the_server_is_halved_until_it_is_taken() -> None:
    limit = (("grpc.max_receive_message_length", 4096),)
    with grpc_receiver(options=limit) as receiver:
        result = export_to(receiver)
    assert len(receiver.requests) > 2
    assert of_metalscope(points(receiver.requests)) == expected(full())
    assert result == ExportResult.delivered(len(points(receiver.requests)))


@pytest.mark.server
def test_a_message_too_large_for_an_agent_is_halved_until_it_is_taken(tmp_path: Path) -> None:
    from test_otlp_http import with_many_series

    snapshot = with_many_series(6000)
    with (
        grpc_receiver(options=(("grpc.max_receive_message_length", -1),)) as receiver,
        running_rotel(
            f"http://127.0.0.1:{receiver.port}",
            "--otlp-grpc-max-recv-msg-size-mib=1",
            directory=tmp_path,
        ) as agent,
    ):
        made = exporter(agent.grpc_url, settings={"batch_points": 100_000}, timeout=30)
        result = made.export(snapshot)
        assert made.export(full()).ok
        made.shutdown()
        assert result.ok
        assert result.points > 6000
        deadline = time.monotonic() + 20
        while sum(request.ByteSize() for request in receiver.requests) < 2**20:
            assert time.monotonic() < deadline
            time.sleep(0.05)


# -- processes -----------------------------------------------------------------------------------


def test_a_child_that_was_forked_after_an_export_exports_and_so_does_its_parent() -> None:
    folder = Path(__file__).parent
    program = folder / "programs" / "otlp_fork.py"
    with grpc_receiver() as receiver:
        done = subprocess.run(
            [sys.executable, str(program), f"http://127.0.0.1:{receiver.port}"],
            timeout=60,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (folder, folder.parent)))},
        )
        assert (done.returncode, done.stdout.split()) == (0, ["True", "child", "True"]), done.stderr
    assert len(receiver.requests) == 3
    assert len(set(receiver.peers)) == 2


def test_nothing_is_opened_before_the_first_export() -> None:
    before = threading.active_count()
    made = exporter("http://127.0.0.1:1")
    assert made._sender._channel is None  # type: ignore[attr-defined]
    assert threading.active_count() == before
    made.shutdown()


# -- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"endpoint": "udp://127.0.0.1:1"}, "must be a URL such as 'http://localhost:4317'"),
        ({"headers": {"a": "ü"}}, "headers a must have a name and a value gRPC can send"),
        ({"headers": {"a!": "u"}}, "headers a! must have a name and a value gRPC can send"),
        ({"proxy": "http://p:1", "proxy_headers": {"a": "b"}}, "proxy_headers cannot be sent"),
        ({"user": "me"}, "user 'me' needs api_key or api_key_from"),
        (
            {"endpoint": "https://127.0.0.1:1", "tls": {"min_version": "1.3"}},
            "tls.min_version cannot be set with the protocol grpc",
        ),
        (
            {"endpoint": "https://127.0.0.1:1", "tls": {"ca_file": "/no/such/file"}},
            "tls.ca_file '/no/such/file' cannot be read",
        ),
    ],
)
def test_options_that_cannot_be_are_refused_at_the_start(
    options: dict[str, Any], expected: str
) -> None:
    options = {"endpoint": "http://127.0.0.1:1", "protocol": "grpc", **options}
    with pytest.raises(ConfigurationError, match=expected):
        OtlpExporter(context("opentelemetry", name="mine", **options))


def test_a_proxy_is_asked_for_a_tunnel_and_told_where_it_gives_none() -> None:
    asked: list[bytes] = []

    def refuse(connection: socket.socket) -> None:
        asked.append(connection.recv(1000))
        connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        connection.close()

    with answering(refuse) as port:
        result = export("http://collector.example:4317", proxy=f"http://127.0.0.1:{port}")
    assert asked[0].startswith(b"CONNECT collector.example:4317 HTTP/1.")
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.PROXY)


def test_the_proxy_of_the_environment_is_not_asked_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("grpc_proxy", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    with grpc_receiver() as receiver:
        assert export_to(receiver).ok


def test_the_request_is_what_the_encoder_made() -> None:
    with grpc_receiver() as receiver:
        export_to(receiver)
    [request] = receiver.requests
    assert isinstance(request, ExportMetricsServiceRequest)
    assert request.resource_metrics[0].scope_metrics[0].scope.name == "metalscope"
