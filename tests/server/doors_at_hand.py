"""Keys of every role, and raw requests that no HTTP library would send."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from metalscope.access.key_changes import KeyChanges
from metalscope.access.roles import Role


def keys_of(file: Path) -> dict[Role, str]:
    """A key of each role, in a file of keys."""
    changes = KeyChanges(file)
    return {role: changes.create(f"the {role}", role)[1].text for role in Role}


@dataclass(frozen=True)
class Answer:
    """What came back over a connection until it was closed."""

    raw: bytes

    @property
    def status(self) -> int:
        """Of the first answer; 0 where there is none."""
        return int(self.raw.split(b" ", 2)[1]) if self.raw else 0

    @property
    def statuses(self) -> list[int]:
        """Of all answers."""
        return [int(part.split(b" ", 1)[0]) for part in self.raw.split(b"HTTP/1.1 ")[1:]]

    @property
    def head(self) -> str:
        """The first head, in lower case."""
        return self.raw.partition(b"\r\n\r\n")[0].decode("latin-1").lower()

    @property
    def body(self) -> bytes:
        """What follows the first head."""
        return self.raw.partition(b"\r\n\r\n")[2]


def send(port: int, request: bytes, *, tls: ssl.SSLContext | None = None) -> Answer:
    """Send these very bytes; read until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        peer = tls.wrap_socket(plain, server_hostname="localhost") if tls else plain
        received = bytearray()
        try:
            peer.sendall(request)
            while part := peer.recv(65_536):
                received += part
        except (ConnectionResetError, BrokenPipeError, ssl.SSLError):
            pass  # it was cut off
        finally:
            peer.close()
        return Answer(bytes(received))


def request(path: str, *heads: str, method: str = "GET", host: str = "localhost") -> bytes:
    """A request after which the server closes."""
    lines = (f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *heads)
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n"
