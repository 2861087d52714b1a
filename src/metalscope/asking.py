"""Asking a server over HTTP: past proxies where they cannot help, and in words where it fails."""

from __future__ import annotations

import socket
import ssl
from urllib.parse import urlsplit
from urllib.request import OpenerDirector, ProxyHandler, build_opener

from metalscope.option_types import is_loopback

__all__ = ["opener_for", "why_no_answer"]


def opener_for(url: str) -> OpenerDirector:
    """What opens addresses of the host in ``url``: past the proxies for this machine's loopback."""
    # A proxy cannot reach it, whatever http_proxy says.
    local = is_loopback(urlsplit(url).hostname or "")
    return build_opener(ProxyHandler({})) if local else build_opener()


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
