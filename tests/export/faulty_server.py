"""An HTTP server that fails as it is told to, on real sockets, and keeps what it was sent."""

from __future__ import annotations

import gzip
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO

import trustme


@dataclass(frozen=True)
class Request:
    """One whole request; header names are in lower case."""

    method: str
    path: str
    """The target as it was asked for, query and all."""
    headers: dict[str, str]
    body: bytes
    client_certificate: Mapping[str, Any] | None = None

    @property
    def content(self) -> bytes:
        """The body, decompressed."""
        encoding = self.headers.get("content-encoding", "identity")
        assert encoding in {"gzip", "identity"}, encoding
        return gzip.decompress(self.body) if encoding == "gzip" else self.body


@dataclass(frozen=True)
class Fault:
    """What the server does; those below are ready to be used."""

    name: str

    def __str__(self) -> str:
        return self.name


Answerer = Callable[[Request], tuple[int, Mapping[str, str], bytes]]


@dataclass(frozen=True)
class Answer(Fault):
    """A whole answer of HTTP."""

    answer: Answerer = lambda _: (200, {}, b"")


@dataclass(frozen=True)
class Drip(Fault):
    """A good answer, a byte at a time from ``where`` on: ``status``, ``headers`` or ``body``."""

    where: str = "status"
    every: float = 0.2
    """Seconds."""


@dataclass(frozen=True)
class Raw(Fault):
    """These bytes in place of an answer; then the connection is closed."""

    sent: bytes = b""


@dataclass(frozen=True)
class Early(Raw):
    """The same as soon as the headers have come; the body is not read."""


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    """Always the same; ``retry_after="5"`` is the header ``retry-after``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(f"{status}", lambda _: (status, named, body))


def answer_by(answerer: Answerer) -> Answer:
    """What the function says."""
    return Answer("answer_by", answerer)


def redirect(to: str, status: int = 308) -> Answer:
    """To another URL."""
    return answer(status, location=to)


GOOD = answer(200)
REFUSED = Fault("refused")
"""Nothing listens on the port, until other answers are set."""
RESET_MID_REQUEST = Fault("reset_mid_request")
"""RST after the headers and 1 KiB of the body."""
RESET_AFTER_REQUEST = Fault("reset_after_request")
CLOSED_AFTER_REQUEST = Fault("closed_after_request")
CUT_ANSWER = Raw("cut_answer", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
EARLY_413 = Early("early_413", b"HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\n\r\ntoo much")
NEVER_ANSWERS = Fault("never_answers")
SILENT_HANDSHAKE = Fault("silent_handshake")
"""The connection is taken, and not a byte is said or read."""
GARBAGE = Raw("garbage", b"\x00\xff\xfe no HTTP \x01\x02\r\n\r\n")
GARBAGE_PAGE = answer(
    200,
    b"<!DOCTYPE html><html><head><title>Log in</title></head><body>Wi-Fi</body></html>",
    content_type="text/html",
)
HUGE_ANSWER = answer(200, b"x" * (2 * 1024 * 1024))
DRIP_STATUS = Drip("drip_status", "status")
DRIP_HEADERS = Drip("drip_headers", "headers")
DRIP_BODY = Drip("drip_body", "body")
EXPIRED_CERTIFICATE = Fault("expired_certificate")
OTHER_HOST = Fault("other_host")
UNKNOWN_CA = Fault("unknown_ca")
PLAIN_HTTP = Fault("plain_http")
"""HTTP without TLS on an https URL."""

# What is decided when a connection is opened, not when a request has come.
_OF_TLS = {EXPIRED_CERTIFICATE, OTHER_HOST, UNKNOWN_CA, PLAIN_HTTP, SILENT_HANDSHAKE}


@cache
def authority() -> trustme.CA:
    """Signs the certificates of all these servers, and of their clients."""
    return trustme.CA()


@cache
def _ca_file() -> tuple[tempfile.TemporaryDirectory[str], Path]:
    directory = tempfile.TemporaryDirectory(prefix="faulty-server-")
    path = Path(directory.name) / "ca.pem"
    authority().cert_pem.write_to_path(str(path))
    return directory, path


@cache
def _context(fault: Fault | None) -> ssl.SSLContext:
    return server_context(_certificate(fault))


def _certificate(fault: Fault | None) -> trustme.LeafCert:
    now = datetime.now(UTC)
    if fault == EXPIRED_CERTIFICATE:
        return authority().issue_cert(
            "127.0.0.1", not_before=now - timedelta(days=9), not_after=now - timedelta(days=2)
        )
    if fault == OTHER_HOST:
        return authority().issue_cert("other.example")
    if fault == UNKNOWN_CA:
        return trustme.CA().issue_cert("127.0.0.1")
    return authority().issue_cert("127.0.0.1", "localhost", "collector.example")


def server_context(certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
    """The TLS of a server with this certificate, or a good one; may be changed before use."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (certificate or _certificate(None)).configure_cert(context)
    return context


@dataclass
class FaultyServer:
    """A running server. Of ``answers`` each is given once, the last one from then on."""

    url: str
    port: int
    ca_file: Path
    tls: ssl.SSLContext | None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    """How many were taken."""
    bytes_read: int = 0
    """Of request bodies, whole or not."""
    _answers: list[Fault] = field(default_factory=list)
    _listener: socket.socket | None = None
    _open: list[socket.socket] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _stopped: threading.Event = field(default_factory=threading.Event)

    @property
    def answers(self) -> Sequence[Fault]:
        """What comes next."""
        with self._lock:
            return tuple(self._answers)

    @answers.setter
    def answers(self, answers: Sequence[Fault]) -> None:
        assert answers
        assert REFUSED not in answers or len(answers) == 1, "a port is refused or it is not"
        with self._lock:
            self._answers = list(answers)
            self._hang_up()
            if REFUSED in answers:
                self._close_listener()
            elif self._listener is None:
                self._listen()

    def stop(self) -> None:
        """Close all sockets and wait for the threads."""
        self._stopped.set()
        with self._lock:
            self._close_listener()
            self._hang_up()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def _listen(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self._listener = listener
        self._start(self._accept, listener)

    def _close_listener(self) -> None:
        if self._listener is not None:
            # Without it the thread in accept() keeps the port open.
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def _hang_up(self) -> None:
        for connection in self._open:
            # Not closed: that is for the thread that reads it.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def _start(self, run: Callable[..., None], *sockets: socket.socket) -> None:
        thread = threading.Thread(target=run, args=sockets, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                if self._listener is not listener:
                    connection.close()
                    return
                self.connections += 1
                # Wrapped in TLS the socket is another object; this one still hangs up on both.
                duplicate = connection.dup()
                self._open.append(duplicate)
                self._start(self._serve, connection, duplicate)

    def _serve(self, raw: socket.socket, duplicate: socket.socket) -> None:
        try:
            with raw, suppress(OSError, _HungUpError):
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._talk(raw)
        finally:
            duplicate.close()

    def _talk(self, raw: socket.socket) -> None:
        fault = self._next(take=self.answers[0] in _OF_TLS)
        connection = raw
        if fault == SILENT_HANDSHAKE:
            self._wait_for_the_end(raw)
            return
        if self.tls is not None and fault != PLAIN_HTTP:
            context = _context(fault) if fault in _OF_TLS else self.tls
            connection = context.wrap_socket(raw, server_side=True)
        with connection, connection.makefile("rb") as stream:
            if fault == PLAIN_HTTP and stream.peek(1)[:1] == b"\x16":
                # The first byte of a TLS record; servers answer it like any bad request.
                connection.sendall(b"".join(_answer(400, {}, b"", close=True)))
                return
            while self._one(connection, stream):
                pass

    def _next(self, *, take: bool) -> Fault:
        with self._lock:
            if take and len(self._answers) > 1:
                return self._answers.pop(0)
            return self._answers[0]

    def _one(self, connection: socket.socket, stream: BinaryIO) -> bool:
        """Take one request; whether another may come on this connection."""
        method, path, headers = _head(stream)
        fault = self._next(take=True)
        if fault in _OF_TLS - {PLAIN_HTTP}:
            return False
        if headers.get("expect", "").lower() == "100-continue":
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if isinstance(fault, Early):
            connection.sendall(fault.sent)
            return False
        if fault == RESET_MID_REQUEST:
            self.bytes_read += len(stream.read(min(1024, int(headers.get("content-length", 0)))))
            _reset(connection)
            return False
        body = _body(stream, headers)
        self.bytes_read += len(body)
        certificate = connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None
        request = Request(method, path, headers, body, certificate)
        self.requests.append(request)
        return self._answer(connection, fault, request)

    def _answer(self, connection: socket.socket, fault: Fault, request: Request) -> bool:
        match fault:
            case Answer():
                with self._lock:
                    close = self._answers[0] in _OF_TLS
                close = close or request.headers.get("connection", "").lower() == "close"
                connection.sendall(b"".join(_answer(*fault.answer(request), close=close)))
                return not close
            case Drip():
                self._drip(connection, fault)
            case Raw():
                connection.sendall(fault.sent)
            case _ if fault == RESET_AFTER_REQUEST:
                _reset(connection)
            case _ if fault == NEVER_ANSWERS:
                self._wait_for_the_end(connection)
        return False

    def _drip(self, connection: socket.socket, fault: Drip) -> None:
        parts = _answer(200, {"x-long": "y" * 100}, b"z" * 100, close=True)
        place = ("status", "headers", "body").index(fault.where)
        connection.sendall(b"".join(parts[:place]))
        for byte in b"".join(parts[place:]):
            connection.sendall(bytes([byte]))
            if self._stopped.wait(fault.every):
                return

    def _wait_for_the_end(self, connection: socket.socket) -> None:
        connection.settimeout(60)
        while connection.recv(65536):
            pass


class _HungUpError(Exception):
    """The client has gone, or said what is no HTTP."""


def _head(stream: BinaryIO) -> tuple[str, str, dict[str, str]]:
    try:
        method, path, version = stream.readline(65536).decode("latin-1").split()
    except ValueError:
        raise _HungUpError from None
    if not version.startswith("HTTP/1."):
        raise _HungUpError
    headers: dict[str, str] = {}
    while line := stream.readline(65536).decode("latin-1").strip():
        name, _, value = line.partition(":")
        assert name.lower() not in headers, f"{name} is there twice"
        headers[name.lower()] = value.strip()
    return method, path, headers


def _body(stream: BinaryIO, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        size = int(headers.get("content-length", 0))
        body = stream.read(size)
        if len(body) < size:
            raise _HungUpError
        return body
    chunks: list[bytes] = []
    while size := int(stream.readline().split(b";")[0], 16):
        chunks.append(stream.read(size))
        stream.readline()
    while stream.readline().strip():
        pass  # trailers
    return b"".join(chunks)


def _answer(
    status: int, headers: Mapping[str, str], body: bytes, *, close: bool
) -> tuple[bytes, bytes, bytes]:
    """Status line, headers and body."""
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "?"
    own = {} if status == HTTPStatus.NO_CONTENT else {"Content-Length": str(len(body))}
    own |= {"Connection": "close"} if close else {}
    lines = [f"{name}: {value}\r\n" for name, value in {**own, **headers}.items()]
    return (
        f"HTTP/1.1 {status} {phrase}\r\n".encode("latin-1"),
        ("".join(lines) + "\r\n").encode("latin-1"),
        body,
    )


def _reset(connection: socket.socket) -> None:
    # Lingering for no time, close() sends RST in place of FIN.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def faulty_server(
    *answers: Fault, tls: bool | ssl.SSLContext = False, port: int = 0, path: str = ""
) -> Iterator[FaultyServer]:
    """A server on a loopback port, ``server.url``; a good one where nothing else is said.

    ``tls`` may be a context to serve with. Faults of TLS imply it.
    """
    answers = answers or (GOOD,)
    secure = bool(tls) or any(one in _OF_TLS for one in answers)
    context = tls if isinstance(tls, ssl.SSLContext) else _context(None) if secure else None
    if not port:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
    url = f"{'https' if secure else 'http'}://127.0.0.1:{port}{path}"
    server = FaultyServer(url, port, _ca_file()[1], context)
    server.answers = answers
    try:
        yield server
    finally:
        server.stop()
