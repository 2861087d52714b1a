"""Connections of urllib3 that keep to one deadline and show nothing secret. Imports urllib3."""

from __future__ import annotations

import socket
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection

from metalscope.sending.http.sockets import open_socket

__all__ = ["PlainConnection", "TlsConnection", "TunnelError"]


class TunnelError(Exception):
    """The proxy did not open a tunnel; ``__cause__`` says why."""


class _Connecting(HTTPConnection):
    """How a connection is opened, and what it shows of its request."""

    target = ""
    """What is asked for, query and all; urllib3 is told of another, which it may log."""

    connected = False
    """Whether there was a connection at all, and a tunnel where one was needed."""

    def _new_conn(self) -> socket.socket:
        return open_socket(self.host, self.port)

    def _tunnel(self) -> None:
        try:
            super()._tunnel()
        except Exception as error:
            raise TunnelError from error

    def putrequest(self, method: str, url: str, *args: Any, **options: Any) -> None:
        super().putrequest(method, self.target or url, *args, **options)


class PlainConnection(_Connecting):
    """A connection without TLS."""


class TlsConnection(_Connecting, HTTPSConnection):
    """A connection with TLS."""
