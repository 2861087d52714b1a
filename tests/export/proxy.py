"""A small HTTP proxy: tunnels, and requests for whole URLs."""

from __future__ import annotations

import http.client
import select
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit


@dataclass
class Proxy:
    """A running proxy, and what it was asked."""

    url: str
    asked: list[str] = field(default_factory=list)
    """Request lines."""
    headers: list[dict[str, str]] = field(default_factory=list)
    """Of each, names in lower case."""


@contextmanager
def running_proxy(
    names: Mapping[str, int],
    *,
    tls: ssl.SSLContext | None = None,
    authorization: str | None = None,
    answers: int | None = None,
) -> Iterator[Proxy]:
    """A proxy on loopback that knows the hosts in ``names``, all of this machine, by their port.

    It asks for ``authorization`` where that is set, and answers ``answers`` to all where that is.
    """

    class Handler(BaseHTTPRequestHandler):
        def refused(self) -> bool:
            proxy.asked.append(self.requestline)
            proxy.headers.append({name.lower(): value for name, value in self.headers.items()})
            if answers is not None:
                self.send_error(answers)
                return True
            if authorization not in {None, self.headers["Proxy-Authorization"]}:
                self.send_error(407)
                return True
            return False

        def do_CONNECT(self) -> None:
            if self.refused():
                return
            port = names.get(self.path.rpartition(":")[0])
            if port is None:
                self.send_error(502)
                return
            self.send_response(200)
            self.end_headers()
            with socket.create_connection(("127.0.0.1", port)) as there:
                _copy(self.connection, there)
            self.close_connection = True

        def do_POST(self) -> None:
            if self.refused():
                return
            parts = urlsplit(self.path)
            there = http.client.HTTPConnection("127.0.0.1", names[parts.hostname or ""], timeout=10)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept = {n: v for n, v in self.headers.items() if not n.lower().startswith("proxy-")}
            there.request("POST", parts.path, body, kept)
            answer = there.getresponse()
            self.send_response(answer.status)
            self.end_headers()
            self.wfile.write(answer.read())
            there.close()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    scheme = "https" if tls else "http"
    proxy = Proxy(f"{scheme}://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _copy(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while True:
            pending = isinstance(one, ssl.SSLSocket) and one.pending()
            ready = [one] if pending else select.select([one, other], [], [], 10)[0]
            if not ready:
                return
            for source in ready:
                data = source.recv(65536)
                if not data:
                    return
                (other if source is one else one).sendall(data)
