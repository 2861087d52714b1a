"""The way to one syslog server: opened when it is needed, kept, and opened anew when it broke."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from metalscope.logs.sinks.syslog_link import DatagramLink, Link, Progress, RefusedError, StreamLink
from metalscope.sending.http.deadline import remaining, within
from metalscope.sending.http.outcome import TransportError
from metalscope.sending.http.sockets import open_socket
from metalscope.sending.http.tls import Tls
from metalscope.sending.result import Reason

if TYPE_CHECKING:
    from metalscope.log_options import LogSinkOptions

__all__ = ["PORTS", "Outcome", "Wire"]

PORTS: Final = {"udp": 514, "tcp": 514, "tls": 6514}
"""RFC 5426, 3.3, and 5425, 4.1; that of plain TCP is custom (RFC 6587, 3.1)."""

# OpenSSL's words where the other side speaks no TLS at all.
_NO_TLS: Final = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}

_SURELY_READ: Final = 5.0
"""Seconds in which a server has read what it was sent, if it reads at all."""

_OF_PATHS: Final = {
    errno.ENOENT: (Reason.REFUSED, "there is no such socket"),
    errno.ECONNREFUSED: (Reason.REFUSED, "nobody listens there"),
    errno.ENOTSOCK: (Reason.REFUSED, "it is no socket"),
    errno.ECONNRESET: (Reason.RESET, "the connection was closed"),
    errno.ENOTCONN: (Reason.RESET, "the connection was closed"),
    errno.EPIPE: (Reason.RESET, "the connection was closed"),
    errno.EACCES: (Reason.FORBIDDEN, "this user may not write to it"),
    errno.EPERM: (Reason.FORBIDDEN, "this user may not write to it"),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of messages: the first ``over`` are done with, all where nothing failed.

    Those at the places ``too_large`` did not go. ``reason`` and ``detail`` say what failed.
    """

    over: int
    too_large: Sequence[int] = field(default_factory=list)
    reason: Reason | None = None
    detail: str = ""


class Wire:
    """Sends messages to one server.

    Args:
        options: those of the sink; its endpoint is ``udp``, ``tcp``, ``tls`` or ``unix``.
        endpoint: that endpoint, or the default one.
        frame: makes a frame in a stream of a message.

    Raises:
        ConfigurationError: a file of TLS is not usable.
    """

    def __init__(
        self, options: LogSinkOptions, endpoint: str, frame: Callable[[bytes], bytes]
    ) -> None:
        parts = urlsplit(endpoint)
        self._scheme = parts.scheme
        self._path = parts.path
        self._host = parts.hostname or ""
        self._port = parts.port or PORTS.get(parts.scheme, 0)
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.peer = self._path if self._scheme == "unix" else f"{host}:{self._port}"
        self._tls = Tls(options.tls, options.who) if self._scheme == "tls" else None
        self._lowest_tls = options.tls.min_version
        self._frame = frame
        self._seconds = options.timeout.total_seconds()
        self._link: Link | None = None
        self._last: Sequence[bytes] = []
        self._unread: Sequence[bytes] = []
        self._sent_at = 0.0

    def send(self, messages: Sequence[bytes]) -> Outcome:
        """Send them in order, within the timeout.

        A server that ends resets a connection of which it has not read all. Then the messages that
        were sent before these, at once and a moment ago, are sent again first: they may be lost.
        """
        progress = Progress()
        connected = False
        try:
            with within(self._seconds):
                kept = self._kept()
                if kept is not None:
                    connected = True
                    if self._went(kept, messages, progress):
                        return self._outcome(messages, progress)
                connected = False
                self._link = self._open()
                connected = True
                self._link.send([*self._unread, *messages], progress)
        except TransportError as error:
            return self._outcome(messages, progress, error.reason, error.detail)
        except OSError as error:
            self._break(error, progress)
            reason, words = self._failure(error, connected=connected)
            return self._outcome(messages, progress, reason, f"{self.peer}: {words}")
        return self._outcome(messages, progress)

    def close(self) -> None:
        """Close the connection, if there is one."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def _kept(self) -> Link | None:
        link = self._link
        if link is None or link.is_open():
            return link
        if not link.is_ours:
            self._unread, self._last = [], []
        elif link.was_reset or self._tls is not None:
            # One with TLS may have decrypted more than it came to look at.
            self._doubt_the_last()
        self.close()
        return None

    def _went(self, link: Link, messages: Sequence[bytes], progress: Progress) -> bool:
        """Whether all went over the link there was; else it is opened anew, which may help."""
        try:
            link.send([*self._unread, *messages], progress)
        except TimeoutError:
            raise
        except OSError as error:
            self._break(error, progress)
            return False
        return True

    def _break(self, error: OSError, progress: Progress) -> None:
        link, self._link = self._link, None
        if link is None:
            return
        link.abort()
        if link.is_stream and not isinstance(error, TimeoutError):
            # What was acknowledged need not have been read.
            self._doubt_the_last()
            progress.over = 0

    def _doubt_the_last(self) -> None:
        if time.monotonic() - self._sent_at < _SURELY_READ:
            self._unread = [*self._last, *self._unread]
        self._last = []

    def _outcome(
        self,
        messages: Sequence[bytes],
        progress: Progress,
        reason: Reason | None = None,
        detail: str = "",
    ) -> Outcome:
        before = len(self._unread)
        if reason is None:
            self._unread, self._last, self._sent_at = [], messages, time.monotonic()
        else:
            self._unread = self._unread[progress.over :]
        too_large = [place - before for place in progress.too_large if place >= before]
        return Outcome(max(0, progress.over - before), too_large, reason, detail)

    def _open(self) -> Link:
        if self._scheme == "unix":
            return self._open_path()
        if self._scheme == "udp":
            return DatagramLink(open_socket(self._host, self._port, datagrams=True))
        context = self._tls.context() if self._tls is not None else None
        began = time.monotonic()
        plain = open_socket(self._host, self._port)
        if context is None:
            return StreamLink(plain, self._frame, time.monotonic() - began)
        try:
            secure = context.wrap_socket(plain, server_hostname=self._host)
            return StreamLink(secure, self._frame, time.monotonic() - began)
        except BaseException:
            plain.close()
            raise

    def _open_path(self) -> Link:
        try:
            return DatagramLink(_connected(self._path, socket.SOCK_DGRAM))
        except OSError as error:
            if error.errno != errno.EPROTOTYPE:
                raise
        return StreamLink(_connected(self._path, socket.SOCK_STREAM), self._frame)

    def _failure(self, error: OSError, *, connected: bool) -> tuple[Reason, str]:
        if isinstance(error, TimeoutError):
            did = "took no connection" + (" with TLS" if self._tls is not None else "")
            did = "did not take all" if connected else did
            return Reason.TIMEOUT, f"it {did} within {self._seconds:.3g} s"
        if self._scheme == "unix":
            what = os.strerror(error.errno) if error.errno else type(error).__name__
            return _OF_PATHS.get(error.errno or 0, (Reason.NETWORK, what))
        if isinstance(error, ssl.SSLError) and error.reason in _NO_TLS:
            return Reason.TLS, "it does not speak TLS; is the URL tcp, not tls?"
        return self._network_failure(error, connected=connected)

    def _network_failure(self, error: OSError, *, connected: bool) -> tuple[Reason, str]:
        from metalscope.sending.http.errors import transport_error  # noqa: PLC0415 - loads urllib3

        if isinstance(error, RefusedError):
            words = "it closed the connection at once"
            if self._tls is None:
                return Reason.RESET, words
            return Reason.TLS, f"{words}; it may want another client certificate (tls.cert_file)"
        if connected and isinstance(
            error, ConnectionError | ssl.SSLEOFError | ssl.SSLZeroReturnError
        ):
            if isinstance(error, ConnectionRefusedError):
                return Reason.REFUSED, "nothing listens there"
            return Reason.RESET, "the connection was closed before all was taken"
        known = transport_error(
            error,
            peer="",
            proxy=None,
            connected=connected,
            seconds=self._seconds,
            tls=self._lowest_tls,
        )
        if known is None:
            return Reason.NETWORK, type(error).__name__
        return known.reason, known.detail.removeprefix(": ")


def _connected(path: str, kind: socket.SocketKind) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, kind)
    try:
        made.settimeout(remaining())
        made.connect(path)
    except BaseException:
        made.close()
        raise
    return made
