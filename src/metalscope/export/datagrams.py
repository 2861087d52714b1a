"""Datagrams to a StatsD server, over UDP or a Unix socket, and what can be known of them.

UDP has no answer. What this machine learns of it is reported: a name that does not resolve, no
route, and a port nobody listens on, for which the peer's system sends an ICMP message that a
connected socket is told of. On the loopback interface that is known when ``send`` returns; from
further away it comes later, and a datagram lost on the way is never known.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from metalscope.errors import ConfigurationError
from metalscope.sending.result import ExportResult, Reason

if TYPE_CHECKING:
    from metalscope.export.base import ExporterContext

__all__ = ["DEFAULT_PORT", "Link"]

DEFAULT_PORT: Final = 8125
"""Of StatsD and of the Datadog Agent."""


class Link:
    """One way to one server. The socket is made at the first send, and anew after a failure.

    Raises:
        ConfigurationError: the endpoint is neither ``udp://host:port`` nor ``unix:///path``.
    """

    def __init__(self, context: ExporterContext, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        self._timeout = context.timeout.total_seconds()
        self._path = parts.path if parts.scheme == "unix" else None
        self._address = parts.hostname or "", parts.port or DEFAULT_PORT
        if parts.scheme not in {"udp", "unix"}:
            raise ConfigurationError(
                f"exporter {context.name}: endpoint must be 'udp://host:port' or 'unix:///path', "
                f"not {parts.scheme}://"
            )
        self.peer = self._path or f"{self._address[0]}:{self._address[1]}"
        self.failure: OSError | None = None
        self._socket: _WatchedSocket | None = None

    def open(self) -> _WatchedSocket | None:
        """The socket, connected; ``None`` where that failed, and then :attr:`failure` says why."""
        if self._socket is not None and self._socket.failure is None and self._socket.fileno() >= 0:
            return self._socket
        self.close()
        self.failure = None
        try:
            self._socket = self._connected()
        except OSError as error:
            self.failure = error
        return self._socket

    @property
    def current(self) -> _WatchedSocket | None:
        """The socket of the last :meth:`open`, even if it has failed since."""
        return self._socket

    def result(self, points: int) -> ExportResult:
        """What became of what was sent since :meth:`open`."""
        failure = self.failure or (self._socket.failure if self._socket else None)
        if failure is None:
            return ExportResult.delivered(points)
        self.close()
        reason, what = _reason_of(failure)
        detail = f"{self.peer}: {what}"
        if reason is Reason.TOO_LARGE:
            return ExportResult.rejected(reason, detail)
        return ExportResult.retry(reason, detail)

    def close(self) -> None:
        """Close the socket, if there is one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> _WatchedSocket:
        if self._path is not None:
            return self._connected_to_path(self._path)
        last: OSError = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        for family, kind, protocol, _, address in socket.getaddrinfo(
            *self._address, type=socket.SOCK_DGRAM
        ):
            try:
                return _WatchedSocket.to(address, self._timeout, family, kind, protocol)
            except OSError as error:
                last = error
        raise last

    def _connected_to_path(self, path: str) -> _WatchedSocket:
        try:
            return _WatchedSocket.to(path, self._timeout, socket.AF_UNIX, socket.SOCK_DGRAM)
        except OSError as error:
            if error.errno != errno.EPROTOTYPE:
                raise
        # The Agent can listen on a stream as well.
        return _WatchedSocket.to(path, self._timeout, socket.AF_UNIX, socket.SOCK_STREAM)


class _WatchedSocket(socket.socket):
    """A connected socket that keeps its first failure, after which it sends nothing more.

    To the one who sends, any failure is a :class:`TimeoutError`: clients take it for a full
    buffer, let the packet go and do not log each.
    """

    failure: OSError | None = None

    @classmethod
    def to(
        cls, address: Any, timeout: float, family: int, kind: int, protocol: int = 0
    ) -> _WatchedSocket:
        made = cls(family, kind, protocol)
        try:
            made.settimeout(timeout)
            made.connect(address)
        except OSError:
            made.close()
            raise
        return made

    def send(self, data: Any, flags: int = 0, /) -> int:
        self._fail_again()
        try:
            sent = super().send(data, flags)
            self._ask_for_errors()
        except OSError as error:
            self.failure = error
            raise TimeoutError from error
        return sent

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        self._fail_again()
        try:
            super().sendall(data, flags)
        except OSError as error:
            self.failure = error
            raise TimeoutError from error

    def _fail_again(self) -> None:
        if self.failure is not None:
            raise TimeoutError

    def _ask_for_errors(self) -> None:
        # Else the error of this datagram would be told to the sender of the next.
        code = self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))


def _reason_of(error: OSError) -> tuple[Reason, str]:
    if isinstance(error, socket.gaierror):
        return Reason.DNS, "the name does not resolve"
    if isinstance(error, TimeoutError) or error.errno in {errno.EAGAIN, errno.ENOBUFS}:
        return Reason.TIMEOUT, "its queue is full and did not empty in time"
    known = {
        errno.ECONNREFUSED: (Reason.REFUSED, "nobody listens there"),
        errno.ENOENT: (Reason.REFUSED, "there is no such socket"),
        errno.ECONNRESET: (Reason.RESET, "the connection was closed"),
        errno.EPIPE: (Reason.RESET, "the connection was closed"),
        errno.ENOTCONN: (Reason.RESET, "the connection was closed"),
        errno.EACCES: (Reason.FORBIDDEN, "this user may not write to it"),
        errno.EMSGSIZE: (Reason.TOO_LARGE, "the datagram is too large"),
    }
    what = os.strerror(error.errno) if error.errno else type(error).__name__
    return known.get(error.errno or 0, (Reason.NETWORK, what))
