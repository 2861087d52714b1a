"""A server that says given lines, one after each line it hears, and then closes or is silent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class RawServer:
    """What a running server has heard, without line ends and without the content of mails."""

    port: int
    heard: list[bytes] = field(default_factory=list)


@contextmanager
def raw_server(
    lines: Sequence[str], *, silent: bool = False, trickle: float = 0.0
) -> Iterator[RawServer]:
    """Run it on 127.0.0.1.

    Args:
        lines: what it says: the first at once, each other after a line.
        silent: whether the connection then stays open until the other side closes it.
        trickle: seconds between two bytes of what it says.
    """
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        server = RawServer(listener.getsockname()[1])

        def serve() -> None:
            while not over.is_set():
                try:
                    taken, _ = listener.accept()
                except TimeoutError:
                    continue
                taken.settimeout(10)
                with taken:
                    try:
                        _talk(server, taken, lines, silent=silent, trickle=trickle, over=over)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            over.set()
            thread.join(10)


def _talk(
    server: RawServer,
    taken: socket.socket,
    lines: Sequence[str],
    *,
    silent: bool,
    trickle: float,
    over: threading.Event,
) -> None:
    with taken.makefile("rb") as reader:
        for number, line in enumerate(lines):
            if number:
                heard = reader.readline()
                if not heard:
                    return
                server.heard.append(heard.rstrip(b"\r\n"))
                if lines[number - 1].startswith("354"):
                    while heard != b".\r\n":
                        heard = reader.readline()
            said = line.encode() + b"\r\n"
            if trickle:
                for place in range(len(said)):
                    taken.sendall(said[place : place + 1])
                    if over.wait(trickle):
                        return
            else:
                taken.sendall(said)
        if silent:
            while reader.read(1024):
                pass
