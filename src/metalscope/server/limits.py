"""What one peer may take of the server: connections, header bytes, and time.

A thread of the host program reads what strangers send. Whoever sends nothing, or a byte a minute,
is cut off; whoever opens thousands of connections finds no more than a share of the program's file
descriptors.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from uvicorn.protocols.http.h11_impl import H11Protocol

from metalscope.server.security import SECURITY_HEADERS

if TYPE_CHECKING:
    from metalscope.server_options import ServerLimitsOptions

__all__ = [
    "EVENTS_PATH",
    "HANDSHAKE_SECONDS",
    "CountingListener",
    "LimitedLoop",
    "LimitedProtocol",
    "Limits",
    "limits_of",
    "most_connections",
]

HANDSHAKE_SECONDS: Final = 10.0
"""How long a TLS handshake may take."""

SWEEP_SECONDS: Final = 1.0

EVENTS_PATH: Final = "/api/v1/events"
"""The one answer that has no end, so that no time limits it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may take.

    Args:
        max_connections: open at once; the next one is closed unheard.
        header_seconds: from the first byte of a request, or the connection's begin, to the end of
            its headers.
        request_seconds: from then to the end of the answer, other than the event stream's.
    """

    max_connections: int = 1000
    header_seconds: float = 10.0
    request_seconds: float = 30.0


def limits_of(options: ServerLimitsOptions | None) -> Limits:
    """The limits that the options ask for."""
    if options is None:
        return Limits()
    return Limits(
        options.max_connections,
        options.header_timeout.total_seconds(),
        options.request_timeout.total_seconds(),
    )


def most_connections(wanted: int) -> int:
    """``wanted``, or half of the files this process may have open where that is less."""
    try:
        import resource  # noqa: PLC0415 - not on every system
    except ImportError:
        return wanted
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, soft // 2))


class CountingListener(socket.socket):
    """A listening socket that closes what comes while as many connections are open as may be.

    It counts before any TLS handshake, which the server learns of only when it is done.
    """

    most = 0
    """Connections open at once; 0 for any number."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._open: WeakSet[socket.socket] = WeakSet()
        self._swept_at = float("-inf")
        self.turned_away = 0
        """Connections that were closed unheard."""

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept one.

        Raises:
            ConnectionAbortedError: there were too many; event loops take it for one that its peer
                gave up, as accept(2) tells it.
        """
        connection, address = super().accept()
        if self.most and len(self._open) >= self.most and not self._has_room():
            connection.close()
            self.turned_away += 1
            raise ConnectionAbortedError
        self._open.add(connection)
        return connection, address

    def _has_room(self) -> bool:
        """Whether there is room without those that were closed and something still refers to."""
        now = time.monotonic()
        if now - self._swept_at < SWEEP_SECONDS:
            return False  # whoever floods must not have all be looked through each time
        self._swept_at = now
        for one in [one for one in self._open if one.fileno() < 0]:
            self._open.discard(one)
        return len(self._open) < self.most


class LimitedLoop(asyncio.SelectorEventLoop):
    """An event loop whose servers give a TLS handshake less time than the minute it is given."""

    async def create_server(self, *arguments: Any, **more: Any) -> asyncio.Server:
        """Create a server as asyncio does."""
        if more.get("ssl") is not None:
            more.setdefault("ssl_handshake_timeout", HANDSHAKE_SECONDS)
        return await super().create_server(*arguments, **more)


class LimitedProtocol(H11Protocol):
    """uvicorn's, which waits for the headers of a request for ever, with an end to patience.

    Args:
        limits: how long is waited.
        on_malformed: told of the peer's address when what it sent was no HTTP.
        more: what uvicorn gives.
    """

    def __init__(
        self,
        *,
        limits: Limits,
        on_malformed: Callable[[str | None], None],
        **more: Any,
    ) -> None:
        super().__init__(**more)
        self._limits = limits
        self._on_malformed = on_malformed
        self._patience: asyncio.TimerHandle | None = None
        self._waits_for_headers = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn's own is narrower
        name = _certificate_name(transport.get_extra_info("peercert"))
        if name is not None:
            # uvicorn hands it to each request of the connection as its state.
            self.app_state = {**self.app_state, "client_certificate": name}
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; it does not buy the peer time."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request, if there is one."""
        self._stop_waiting()
        super().on_response_complete()
        self._look()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, as everything is answered: with the security headers."""
        del msg
        self._on_malformed(self.client[0] if self.client else None)
        body = b"the request is not HTTP/1.1\n"
        heads = {
            **SECURITY_HEADERS,
            "content-type": "text/plain; charset=utf-8",
            "cache-control": "no-store",
            "content-length": str(len(body)),
            "connection": "close",
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in heads.items())
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(f"HTTP/1.1 400 Bad Request\r\n{lines}\r\n".encode() + body)
        # Within an answer a second one would be taken for a part of the first.
        self.transport.close()

    def _look(self) -> None:
        """Wait for what is outstanding now: the rest of a request's headers, or of its answer."""
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            if not self._waits_for_headers:
                self._await_headers()
        elif self._waits_for_headers or self._patience is None:
            self._stop_waiting()
            if not self.scope["path"].endswith(EVENTS_PATH):
                self._patience = self.loop.call_later(self._limits.request_seconds, self._cut)

    def _await_headers(self) -> None:
        self._stop_waiting()
        self._waits_for_headers = True
        self._patience = self.loop.call_later(self._limits.header_seconds, self._cut)

    def _stop_waiting(self) -> None:
        self._waits_for_headers = False
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _cut(self) -> None:
        # Not closed: that would wait until a peer that does not read has read.
        with suppress(RuntimeError):
            self.transport.abort()


def _certificate_name(certificate: dict[str, Any] | None) -> str | None:
    """Who a client's certificate is for: its common name, or else the first of its other names."""
    if not certificate:
        return None
    for part in certificate.get("subject", ()):
        for name, value in part:
            if name == "commonName":
                return str(value)
    for _, value in certificate.get("subjectAltName", ()):
        return str(value)
    return "unnamed certificate"
