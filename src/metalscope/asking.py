"""Asking a server over HTTP: past proxies where they cannot help, and in words where it fails."""

from __future__ import annotations

import os
import socket
import ssl
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import (
    BaseHandler,
    HTTPRedirectHandler,
    OpenerDirector,
    ProxyHandler,
    build_opener,
)

from metalscope.option_types import is_loopback

__all__ = ["KEY_VARIABLE", "opener_for", "why_no_answer"]

KEY_VARIABLE: Final = "METALSCOPE_API_KEY"
"""Holds the key that is sent to a server that asks for one."""


class _Staying(HTTPRedirectHandler):
    """Follows no redirect: it would carry the key to another host."""

    def redirect_request(self, *_args: Any) -> None:
        return None


def opener_for(url: str) -> OpenerDirector:
    """What opens addresses of the host in ``url``, with the key of :data:`KEY_VARIABLE`.

    For this machine's loopback it goes past the proxies.
    """
    # A proxy cannot reach it, whatever http_proxy says.
    local = is_loopback(urlsplit(url).hostname or "")
    handlers: list[BaseHandler] = [ProxyHandler({})] if local else []
    opener = build_opener(*handlers, _Staying())
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if key:
        opener.addheaders.append(("X-API-Key", key))
    return opener


def why_no_answer(cause: object, timeout: float) -> str | None:
    """What ended an ask in words; ``None`` where it was no error of the network.

    ``cause`` is the error itself, or the ``reason`` in it: urllib wraps some errors and not others.
    """
    match cause:
        case TimeoutError():
            return f"no answer within {timeout:g} s"
        case ConnectionRefusedError():
            return "nothing listens there"
        case socket.gaierror():
            return f"no such host ({cause.strerror})"
        case ssl.SSLError():
            return f"no secure connection ({cause.reason or cause}); is it http, not https?"
        case OSError():
            return cause.strerror or str(cause)
        case _:
            return None
