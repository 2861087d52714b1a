"""One open way to a syslog server, datagrams or a stream, and what is known of what arrived.

Syslog has no answer. Of a stream over TCP the system knows how much of it the peer's system has
acknowledged; of a datagram, only that it could not be sent.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import ssl
import struct
import sys
import time
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from metalscope.sending.http.deadline import remaining

__all__ = [
    "DatagramLink",
    "Link",
    "Progress",
    "RefusedError",
    "StreamLink",
    "octet_counted",
    "on_a_line",
]

_FIRST_LOOK: Final = 0.0005
_LONGEST_PAUSE: Final = 0.02
_LEAST_DOUBT: Final = 0.1
_LONGEST_DOUBT: Final = 1.0
_OF_TCP: Final = (socket.AF_INET, socket.AF_INET6)

# <sys/socket.h> of macOS: bytes of the send buffer that were not acknowledged yet.
_SO_NWRITE: Final = 0x1024


def octet_counted(message: bytes) -> bytes:
    """A frame that begins with its length (RFC 6587, 3.4.1; RFC 5425, 4.3)."""
    return b"%d %b" % (len(message), message)


def on_a_line(message: bytes) -> bytes:
    """A frame that ends with a line break (RFC 6587, 3.4.2), so there may be none within."""
    return message.replace(b"\n", b"#012") + b"\n"


class RefusedError(ConnectionResetError):
    """The peer closed a connection as soon as it was open."""


@dataclass(slots=True)
class Progress:
    """How far a sending has come: the first ``over`` messages are done with.

    Of these, the ones at the places ``too_large`` were not taken by the system.
    """

    over: int = 0
    too_large: list[int] = field(default_factory=list)


class Link(ABC):
    """An open socket. What fails raises ``OSError``; then only :meth:`close` may be called."""

    is_stream = False
    was_reset = False
    """Whether the peer closed it without having read all; known once it is not open any more."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._pid = os.getpid()

    @property
    def is_ours(self) -> bool:
        """Whether it was opened by this process, and did not come by a fork."""
        return self._pid == os.getpid()

    @abstractmethod
    def send(self, messages: Sequence[bytes], progress: Progress) -> None:
        """Send them in order, from the place ``progress.over`` on, and keep it up to date."""

    def is_open(self) -> bool:
        """Whether it is this process's, and the peer has not closed it."""
        return self.is_ours

    def close(self) -> None:
        """Let go of it. One that came by a fork is left to the parent."""
        self._socket.close()

    def abort(self) -> None:
        """Let go of it and of what has not gone out yet."""
        self._socket.close()


class DatagramLink(Link):
    """One datagram a message (RFC 5426)."""

    def send(self, messages: Sequence[bytes], progress: Progress) -> None:
        """Send each; what is too large for the system is noted, and the rest goes on."""
        for place in range(progress.over, len(messages)):
            self._socket.settimeout(remaining())
            try:
                self._socket.send(messages[place])
                _raise_pending(self._socket)
            except OSError as error:
                if error.errno != errno.EMSGSIZE:
                    raise
                progress.too_large.append(place)
            progress.over = place + 1


class StreamLink(Link):
    """Frames in a stream: over TCP, with TLS or without, or a Unix socket.

    Args:
        connection: the open socket.
        frame: makes a frame of a message.
        took: seconds it took to open it.
    """

    is_stream = True

    def __init__(
        self, connection: socket.socket, frame: Callable[[bytes], bytes], took: float = 0.0
    ) -> None:
        super().__init__(connection)
        self._frame = frame
        self._doubt = 0.0
        if connection.family in _OF_TCP:
            self._doubt = min(_LONGEST_DOUBT, _LEAST_DOUBT + 2 * took)

    def send(self, messages: Sequence[bytes], progress: Progress) -> None:
        """Send them, and wait until the peer's system has them, where that can be known."""
        frames = [self._frame(message) for message in messages[progress.over :]]
        try:
            self._write(frames, progress)
            # Who closes before all is read resets the connection, which this raises; who closes
            # in good order has read all.
            self._listen()
            if self._doubt:
                self._wait_for_refusal()
        except (ConnectionError, ssl.SSLEOFError) as error:
            if self._doubt:
                raise RefusedError(error.errno, os.strerror(errno.ECONNRESET)) from None
            raise
        self._doubt = 0.0
        progress.over = len(messages)

    def is_open(self) -> bool:
        """Whether a message may be sent: into a connection the peer has closed, it would be lost.

        What the peer says is read and let go, as syslog has no answers.
        """
        if not self.is_ours:
            return False
        try:
            return self._listen()
        except OSError:
            self.was_reset = True
            return False

    def close(self) -> None:
        """Close it, with TLS's own goodbye; what was written still goes out."""
        if self.is_ours:
            with suppress(OSError, ValueError):
                # Who closes with something unread resets the connection.
                self.is_open()
                if isinstance(self._socket, ssl.SSLSocket):
                    self._socket.unwrap()
        super().close()

    def abort(self) -> None:
        """Reset it, so that what is to be sent again does not arrive from here as well."""
        with suppress(OSError):
            if self._socket.family in _OF_TCP:
                linger = struct.pack("ii", 1, 0)
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        super().close()

    def _write(self, frames: Sequence[bytes], progress: Progress) -> None:
        written = 0
        try:
            with memoryview(b"".join(frames)) as stream:
                while written < len(stream):
                    self._socket.settimeout(remaining())
                    written += self._socket.send(stream[written:])
            self._wait_until_acknowledged()
        except OSError:
            waiting = self._unacknowledged()
            # Encrypted, its bytes are no longer those of the frames: all of it is sent again.
            if waiting is not None and not isinstance(self._socket, ssl.SSLSocket):
                ends = list(accumulate(map(len, frames)))
                progress.over += bisect_right(ends, written - waiting)
            raise

    def _listen(self) -> bool:
        """Whether it is open still; raises what has broken it."""
        self._socket.setblocking(False)
        try:
            while self._read():
                pass
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        return False

    def _read(self) -> bytes:
        # Not their own methods, which wait for as long as the deadline lets them.
        if isinstance(self._socket, ssl.SSLSocket):
            return ssl.SSLSocket.read(self._socket, 4096)
        return socket.socket.recv(self._socket, 4096)

    def _wait_for_refusal(self) -> None:
        """Give the peer the time to close a connection that is new, for all on it would be lost.

        Servers judge a client's certificate after the client has all it needs to write (RFC 8446,
        4.4.2.4 and 2); one that ends resets connections its system took for it; one that stands
        before others may find none of them.
        """
        ends = time.monotonic() + self._doubt
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            while (left := ends - time.monotonic()) > 0:
                if selector.select(min(left, remaining() or left)) and not self._listen():
                    raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))

    def _wait_until_acknowledged(self) -> None:
        pause = _FIRST_LOOK
        while self._unacknowledged():
            _raise_pending(self._socket)
            left = remaining()
            time.sleep(pause if left is None else min(pause, left))
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _unacknowledged(self) -> int | None:
        """Bytes the peer's system has not acknowledged; ``None`` where that is not known."""
        if self._socket.family not in _OF_TCP:
            return None
        try:
            if sys.platform == "darwin":
                return self._socket.getsockopt(socket.SOL_SOCKET, _SO_NWRITE)
            return _output_queue(self._socket.fileno())
        except (OSError, ImportError):
            return None


def _output_queue(descriptor: int) -> int:
    import fcntl  # noqa: PLC0415 - there is none on Windows
    import termios  # noqa: PLC0415

    # tcp(7): SIOCOUTQ, which has the number of TIOCOUTQ.
    size = struct.calcsize("i")
    answer = fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(size))
    return int(struct.unpack("i", answer)[0])


def _raise_pending(connection: socket.socket) -> None:
    # Else the error of this message would be told to the sender of the next.
    code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))
