"""Sockets that keep to the deadline of the export, in every step of every read and write."""

from __future__ import annotations

import socket
import ssl
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from metalscope.sending.http.deadline import remaining

if TYPE_CHECKING:
    from _socket import _Address

__all__ = ["TlsSocket", "open_socket"]

_Found = tuple[int, int, int, str, Any]


# A timeout of a socket is one of each call: a peer that sends a byte now and then holds it up for
# ever. So what is left of the deadline is set before each.
class _PlainSocket(socket.socket):
    def recv(self, *args: Any) -> bytes:
        self.settimeout(remaining())
        return super().recv(*args)

    def recv_into(self, *args: Any) -> int:
        self.settimeout(remaining())
        return super().recv_into(*args)

    def send(self, *args: Any) -> int:
        self.settimeout(remaining())
        return super().send(*args)

    def sendall(self, *args: Any) -> None:
        self.settimeout(remaining())
        super().sendall(*args)


class TlsSocket(ssl.SSLSocket):
    """For :attr:`ssl.SSLContext.sslsocket_class`: keeps to the deadline in every step."""

    def do_handshake(self, block: bool = False) -> None:
        """Agree on keys, and check the peer's certificate."""
        self.settimeout(remaining())
        super().do_handshake(block)

    def read(self, *args: Any) -> Any:
        """Read and decrypt."""
        self.settimeout(remaining())
        return super().read(*args)

    def send(self, *args: Any) -> int:
        """Encrypt and write; :meth:`sendall` does it in a loop."""
        self.settimeout(remaining())
        return super().send(*args)


def open_socket(host: str, port: int, *, datagrams: bool = False) -> socket.socket:
    """A TCP connection to the first of the host's addresses that takes it.

    With ``datagrams`` it is a socket of UDP that sends to that address alone.

    Raises:
        OSError: none does, or there is no such host; a ``TimeoutError`` at the deadline.
    """
    found = _look_up(host, port, socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM)
    error: OSError | None = None
    for place, (family, kind, protocol, _, address) in enumerate(found):
        try:
            return _connected(family, kind, protocol, address, share=1 / (len(found) - place))
        except OSError as failed:
            # The first is the one the system prefers, and tells most.
            error = error or failed
    raise error or OSError("the name has no address")


def _connected(
    family: int, kind: int, protocol: int, address: _Address, *, share: float
) -> socket.socket:
    """Connect to one of several addresses, for which it has this share of the time left."""
    made = _PlainSocket(family, kind, protocol)
    try:
        if kind == socket.SOCK_STREAM:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        left = remaining()
        made.settimeout(None if left is None else left * share)
        made.connect(address)
    except BaseException:
        made.close()
        raise
    return made


def _look_up(host: str, port: int, kind: int) -> list[_Found]:
    """The addresses of a host. The system's own function knows no timeout, so a thread waits."""
    answers: SimpleQueue[list[_Found] | Exception] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(list(socket.getaddrinfo(host, port, 0, kind)))
        except Exception as error:  # noqa: BLE001 - raised again by the one who waits
            answers.put(error)

    left = remaining()
    try:
        threading.Thread(target=ask, name="metalscope-lookup", daemon=True).start()
    except RuntimeError:
        # At the end of the interpreter no thread may be started.
        ask()
    try:
        answer = answers.get(timeout=left)
    except Empty:
        raise TimeoutError("the name was not looked up in time") from None
    if isinstance(answer, UnicodeError):
        raise socket.gaierror(socket.EAI_NONAME, "it is no name of a host")
    if isinstance(answer, Exception):
        raise answer
    return answer
