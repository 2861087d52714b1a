"""Places an exporter sends to, on real sockets, which fail as they are told to."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import faulty_server as http
import grpc
import trustme
from fault_outcomes import OF_TLS, RETRY_AFTER_SECONDS, TAKEN, Trouble, Way
from fault_peers import Answer, Peer, Platform
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceResponse,
)
from otlp_receiver import grpc_receiver

from peers import free_port

PASSED_BEFORE_RESET = 1024
"""Bytes of a gRPC connection after which it is cut: past its settings, within a request."""


class Site(Protocol):
    """A running place and the platform behind it."""

    url: str
    ca_file: Path | None
    platform: Platform
    requests: int
    """How many whole ones came."""

    def fail(self, trouble: Trouble, *, tries: int, requests: int, for_good: bool = False) -> None:
        """Fail each of so many requests so many times; or, where it lasts, until :meth:`mend`.

        What fails ``for_good`` is not expected again.
        """
        ...

    def refuse_larger(self, than: float) -> None:
        """Refuse requests larger than this part of the largest one so far."""
        ...

    def mend(self) -> None:
        """End a trouble that lasts."""
        ...

    def settle(self) -> None:
        """Have taken what has come."""
        ...


# -- HTTP -----------------------------------------------------------------------------------------

_FAULTS = {
    Trouble.RESET_MID_BODY: http.RESET_MID_REQUEST,
    Trouble.ANSWER_LOST: http.RESET_AFTER_REQUEST,
    Trouble.ANSWER_CUT: http.CUT_ANSWER,
    Trouble.BAD_REQUEST: http.answer(400, b"no"),
    Trouble.UNAUTHORIZED: http.answer(401),
    Trouble.FORBIDDEN: http.answer(403),
    Trouble.NOT_FOUND: http.answer(404),
    Trouble.RATE_LIMITED: http.answer(429, retry_after=str(RETRY_AFTER_SECONDS)),
    Trouble.RATE_LIMITED_BLINDLY: http.answer(429),
    Trouble.SERVER_ERROR: http.answer(500),
    Trouble.UNAVAILABLE: http.answer(503),
    Trouble.GATEWAY_TIMEOUT: http.answer(504),
    Trouble.SLOW_DRIP: http.DRIP_BODY,
    Trouble.SILENCE: http.NEVER_ANSWERS,
    Trouble.GARBAGE: http.GARBAGE,
    Trouble.WEB_PAGE: http.GARBAGE_PAGE,
    Trouble.TLS_EXPIRED: http.EXPIRED_CERTIFICATE,
    Trouble.TLS_OTHER_HOST: http.OTHER_HOST,
    Trouble.TLS_UNKNOWN_CA: http.UNKNOWN_CA,
    Trouble.TLS_NONE: http.PLAIN_HTTP,
}


@dataclass
class HttpSite:
    """A server that answers as the platform would, or not."""

    peer: Peer
    server: http.FaultyServer
    platform: Platform

    def __post_init__(self) -> None:
        self.url = self.server.url
        self.ca_file = self.server.ca_file if self.server.tls else None
        self._good = http.answer_by(self._take)
        self._lost: list[bool] = []
        self._largest = 0
        self._limit: float | None = None
        self.pause = 0.0
        """Seconds before a good answer."""
        self.mend()

    @property
    def requests(self) -> int:
        return len(self.server.requests)

    def fail(self, trouble: Trouble, *, tries: int, requests: int, for_good: bool = False) -> None:
        if trouble is Trouble.REFUSED:
            self.server.answers = [http.REFUSED]
            return
        fault = _FAULTS[trouble]
        each = [fault] * tries if for_good else [*[fault] * tries, self._good]
        answers = each * requests
        if trouble in TAKEN:
            self._seen = self.requests
            self._lost = [*[True] * tries, False] * requests
        self.server.answers = [*answers, self._good]

    def refuse_larger(self, than: float) -> None:
        self._limit = self._largest * than

    def mend(self) -> None:
        self.server.answers = [self._good]

    def settle(self) -> None:
        came = self.server.requests[-len(self._lost) :] if self._lost else []
        assert len(came) == len(self._lost)
        for request, lost in zip(came, self._lost, strict=True):
            if lost:
                self.platform.take(self.peer.read(request))
        self._lost = []

    def _take(self, request: http.Request) -> Answer:
        self._largest = max(self._largest, len(request.body))
        if self._limit is not None and len(request.body) > self._limit:
            return 413, {}, b""
        answer = self.peer.answer(request)
        self.platform.take(self.peer.read(request))
        time.sleep(self.pause)
        return answer


# -- gRPC -----------------------------------------------------------------------------------------

_CODES = {
    Trouble.BAD_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    Trouble.UNAUTHORIZED: grpc.StatusCode.UNAUTHENTICATED,
    Trouble.FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
    Trouble.NOT_FOUND: grpc.StatusCode.UNIMPLEMENTED,
    Trouble.RATE_LIMITED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Trouble.RATE_LIMITED_BLINDLY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Trouble.SERVER_ERROR: grpc.StatusCode.INTERNAL,
    Trouble.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Trouble.GATEWAY_TIMEOUT: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_SAID_AT_ONCE = {
    Trouble.GARBAGE: b"\x00\xff\xfe no HTTP/2 \x01\x02\r\n\r\n",
    Trouble.WEB_PAGE: b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n<html></html>",
}
_OVER_A_CONNECTION = {*_CODES, Trouble.SLOW_DRIP, Trouble.SILENCE}
"""Troubles of requests, with which the connection is as good as before."""


@cache
def _credentials(trouble: Trouble | None) -> grpc.ServerCredentials:
    now, authority = datetime.now(UTC), http.authority()
    if trouble is Trouble.TLS_EXPIRED:
        certificate = authority.issue_cert(
            "127.0.0.1", not_before=now - timedelta(days=9), not_after=now - timedelta(days=2)
        )
    elif trouble is Trouble.TLS_OTHER_HOST:
        certificate = authority.issue_cert("other.example")
    else:
        signer = trustme.CA() if trouble is Trouble.TLS_UNKNOWN_CA else authority
        certificate = signer.issue_cert("127.0.0.1")
    chain = b"".join(one.bytes() for one in certificate.cert_chain_pems)
    return grpc.ssl_server_credentials([(certificate.private_key_pem.bytes(), chain)])


class GrpcSite:
    """A gRPC server, with a relay before it that can cut, delay and talk nonsense."""

    def __init__(self, peer: Peer, relay: Relay, stack: ExitStack, *, tls: bool) -> None:
        self.peer, self.relay, self._stack, self._tls = peer, relay, stack, tls
        self.platform = peer.platform()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{relay.port}"
        with http.faulty_server(tls=True) as server:
            self.ca_file = server.ca_file if tls else None
        self._trouble: Trouble | None = None
        self._largest = 0
        self._stopped = threading.Event()
        stack.callback(self._stopped.set)
        self._good_port = self._serve(None)
        self.requests = 0
        self.mend()

    def fail(self, trouble: Trouble, *, tries: int, requests: int, for_good: bool = False) -> None:
        self._trouble = trouble
        if trouble is Trouble.REFUSED:
            self.relay.close()
        elif trouble in OF_TLS:
            self.relay.target = self._serve(trouble)
            self.relay.reset()
        elif trouble in _SAID_AT_ONCE:
            self.relay.says = _SAID_AT_ONCE[trouble]
            self.relay.reset()
        elif trouble is Trouble.RESET_MID_BODY:
            self.relay.most = PASSED_BEFORE_RESET
            self.relay.reset()

    def refuse_larger(self, than: float) -> None:
        options = (("grpc.max_receive_message_length", int(self._largest * than)),)
        self._good_port = self._serve(None, options)
        self.mend()

    def mend(self) -> None:
        # What goes on over a connection is not cut: the next try could meet the end of it.
        if self._trouble not in _OVER_A_CONNECTION:
            self.relay.reset()
        self._trouble = None
        self.relay.target = self._good_port
        self.relay.says, self.relay.most, self.relay.pause = b"", None, 0.0
        self.relay.open()

    def settle(self) -> None:
        pass

    def _serve(self, trouble: Trouble | None, options: Sequence[Any] = ()) -> int:
        secure = self._tls and trouble is not Trouble.TLS_NONE
        receiver = self._stack.enter_context(
            grpc_receiver(_credentials(trouble) if secure else None, options=tuple(options))
        )
        receiver.answer = self._take
        return receiver.port

    def _take(self, request: Any, context: grpc.ServicerContext) -> ExportMetricsServiceResponse:
        self.requests += 1
        self._largest = max(self._largest, request.ByteSize())
        trouble = self._trouble
        if trouble is None or trouble in TAKEN:
            self.platform.take(self.peer.read(request))
        if trouble in _CODES:
            if trouble is Trouble.RATE_LIMITED:
                details = (("grpc-status-details-bin", _retry_info(RETRY_AFTER_SECONDS)),)
                context.set_trailing_metadata(details)
            context.abort(_CODES[trouble], "as told")
        if trouble is Trouble.ANSWER_LOST:
            self.relay.reset()
        elif trouble is Trouble.SLOW_DRIP:
            self.relay.pause = 0.2
        elif trouble is Trouble.SILENCE:
            self._stopped.wait(5)
        return ExportMetricsServiceResponse()


def _retry_info(seconds: int) -> bytes:
    """A ``google.rpc.Status`` with a ``RetryInfo`` (google/rpc/error_details.proto)."""
    delay = Duration(seconds=seconds).SerializeToString()
    info = AnyMessage(
        type_url="type.googleapis.com/google.rpc.RetryInfo",
        value=bytes([0x0A, len(delay)]) + delay,
    ).SerializeToString()
    return bytes([0x08, 8, 0x1A, len(info)]) + info


class Relay:
    """Carries bytes between a port of its own and ``target``, as far as it is let."""

    def __init__(self) -> None:
        self.port = free_port()
        self.target = 0
        self.says = b""
        """Said to whoever connects, who is then hung up on."""
        self.most: int | None = None
        """Bytes of the client that pass, then the connection is reset."""
        self.pause = 0.0
        """Seconds before each byte of the server's."""
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def open(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port), backlog=16)
            self._start(self._accept, self._listener)

    def close(self) -> None:
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.reset()

    def reset(self) -> None:
        """Reset all connections there are."""
        with self._lock:
            connections, self._open = self._open, []
        for connection in connections:
            with suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # Wakes the thread that reads it; the last to let go of it sends RST.
                connection.shutdown(socket.SHUT_RD)
            connection.close()

    def stop(self) -> None:
        self.close()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _start(self, run: Callable[..., None], *sockets: socket.socket) -> None:
        thread = threading.Thread(target=run, args=sockets, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            if self.says:
                with client, suppress(OSError):
                    client.settimeout(5)
                    client.recv(65536)
                    client.sendall(self.says)
                continue
            server = socket.create_connection(("127.0.0.1", self.target))
            with self._lock:
                self._open += [client, server]
            self._start(self._up, client, server)
            self._start(self._down, server, client)

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        passed = 0
        with suppress(OSError):
            while data := client.recv(65536):
                passed += len(data)
                if self.most is not None and passed > self.most:
                    self.reset()
                    return
                server.sendall(data)
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _down(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                for piece in [bytes([one]) for one in data] if self.pause else [data]:
                    threading.Event().wait(self.pause)
                    client.sendall(piece)
        with suppress(OSError):
            client.shutdown(socket.SHUT_WR)


# -- UDP, a file ----------------------------------------------------------------------------------


class UdpSite:
    """A port that takes datagrams."""

    ca_file = None

    def __init__(self, peer: Peer) -> None:
        self.peer, self.platform = peer, peer.platform()
        self.requests = 0
        self._socket: socket.socket | None = None
        self._port = 0
        self.mend()
        self.url = f"udp://127.0.0.1:{self._port}"

    def fail(self, trouble: Trouble, *, tries: int, requests: int, for_good: bool = False) -> None:
        assert trouble is Trouble.REFUSED
        self.close()

    def refuse_larger(self, than: float) -> None:
        """The system itself takes no datagram larger than 65507 bytes."""

    def mend(self) -> None:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)
            self._socket.bind(("127.0.0.1", self._port))
            self._port = self._socket.getsockname()[1]

    def settle(self) -> None:
        # On the loopback interface what was sent is there.
        with suppress(BlockingIOError):
            while self._socket is not None:
                datagram = self._socket.recv(65536, socket.MSG_DONTWAIT)
                self.requests += 1
                self.platform.take(self.peer.read(datagram))

    def close(self) -> None:
        self.settle()
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class FileSite:
    """A file whose lines are read."""

    ca_file = None

    def __init__(self, peer: Peer, path: Path) -> None:
        self.peer, self.platform, self.path = peer, peer.platform(), path
        self.url = path.as_uri()
        self.requests = 0

    def fail(self, trouble: Trouble, *, tries: int, requests: int, for_good: bool = False) -> None:
        raise NotImplementedError(trouble)

    def refuse_larger(self, than: float) -> None:
        raise NotImplementedError

    def mend(self) -> None:
        pass

    def settle(self) -> None:
        lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        for line in lines[self.requests :]:
            self.platform.take(self.peer.read(line))
        self.requests = len(lines)


@contextmanager
def site_of(peer: Peer, directory: Path, *, tls: bool = False) -> Iterator[Site]:
    """A running place for what this exporter sends."""
    match peer.row.way:
        case Way.HTTP:
            with http.faulty_server(tls=tls) as server:
                yield HttpSite(peer, server, peer.platform())
        case Way.GRPC:
            relay = Relay()
            with ExitStack() as stack:
                stack.callback(relay.stop)
                yield GrpcSite(peer, relay, stack, tls=tls)
        case Way.UDP:
            udp = UdpSite(peer)
            try:
                yield udp
            finally:
                udp.close()
        case Way.FILE:
            yield FileSite(peer, directory / "metrics.ndjson")
