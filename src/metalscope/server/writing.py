"""Who may change something over HTTP, and how what they send is read.

Where nobody is asked for a key only programs of this machine may. A browser on this machine is one,
and whatever page it shows can make it send a request: what comes from another site is refused by
what the browser says of it, and by asking for a type that no form can send. With a key, its role
says who may, from wherever (:mod:`metalscope.access.roles`); a browser sends none by itself.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from metalscope.health_check.audience import may_see
from metalscope.option_types import is_loopback
from metalscope.server.door import decision_of
from metalscope.server.security import MOST_BYTES, problem

__all__ = ["MOST_BYTES", "RefusedError", "check_writer", "read_object", "refused"]

BODY_SECONDS: Final = 10.0
"""How long a body may take to arrive."""

_PORTS: Final = {"http": 80, "https": 443}
_OWN_SITES: Final = {"same-origin", "none"}


class RefusedError(Exception):
    """The request is answered with an error: the status code, and why, for the one who asked."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


async def refused(_request: Request, error: Exception) -> JSONResponse:
    """The answer to a :class:`RefusedError`, for Starlette."""
    if not isinstance(error, RefusedError):
        raise error
    return problem(error.status, HTTPStatus(error.status).phrase, error.detail)


def check_writer(request: Request) -> None:
    """Let through a request from this machine, or with a key, that no other site caused.

    Raises:
        RefusedError: it may not change anything.
    """
    decision = decision_of(request)
    if decision is not None and decision.principal is not None:
        # The door has looked at the role. What a browser says is all there is to say of its page.
        if any(site not in _OWN_SITES for site in request.headers.getlist("sec-fetch-site")):
            raise RefusedError(403, "a page of another site may not change anything")
        return
    address = request.client.host if request.client else None
    # Under a name that leads here by DNS, a foreign page would be of this same site.
    is_local = may_see("local", address, request.headers.keys()) and is_loopback(
        urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    )
    if not is_local:
        raise RefusedError(403, "only programs of this machine may change anything")
    if _is_cross_site(request):
        raise RefusedError(403, "a page of another site may not change anything")


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object in the body.

    Raises:
        RefusedError: there is none, or too much.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RefusedError(415, f"content-type must be application/json, not {kind or 'absent'}")
    try:
        found = json.loads(await _body(request), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise RefusedError(400, "the body must be a JSON object")
    return found


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > MOST_BYTES:
                    raise RefusedError(413, f"the body must be at most {MOST_BYTES} bytes")
    except TimeoutError:
        raise RefusedError(408, f"the body must arrive within {BODY_SECONDS:g} s") from None
    except ClientDisconnect:
        raise RefusedError(400, "the body must arrive in full") from None
    return bytes(body)


def _no_constant(word: str) -> None:
    raise ValueError(word)


def _is_cross_site(request: Request) -> bool:
    """By what browsers say: Fetch Metadata (W3C), and Origin (RFC 6454) where they lack it."""
    sites = request.headers.getlist("sec-fetch-site")
    if any(site not in _OWN_SITES for site in sites):
        return True
    own = _origin(f"{request.url.scheme}://{request.headers.get('host', '')}")
    return any(_origin(one) != own for one in request.headers.getlist("origin"))


def _origin(text: str) -> tuple[str, str, int | None] | None:
    try:
        parts = urlsplit(text)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname else None
