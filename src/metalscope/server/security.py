"""What every request and every answer goes through: host check, sizes and security headers.

A server on the loopback address is still within reach of every page the user's browser opens. A
page cannot read an answer of another origin, unless its own name is made to resolve to 127.0.0.1
(DNS rebinding); then the Host header carries that name, and the request is refused here.

No answer carries a CORS header, so that no page of another origin may read one, and a preflight is
refused like every other OPTIONS.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = [
    "ANY_HOST",
    "HSTS",
    "LOOPBACK_HOSTS",
    "MOST_BYTES",
    "SECURITY_HEADERS",
    "Guard",
    "problem",
]

MOST_BYTES: Final = 64 * 1024
"""The largest body that is read."""

MOST_TARGET_BYTES: Final = 8 * 1024
"""The longest path with its query; RFC 9110, 4.1 asks for at least 8000."""

MOST_HEADER_BYTES: Final = 16 * 1024
"""All header names and values of a request together."""

MOST_HEADERS: Final = 100

HSTS: Final[Mapping[str, str]] = {"strict-transport-security": "max-age=31536000"}
"""A year without plain HTTP (RFC 6797), by a server that speaks TLS itself. Not for names below:
those are not this server's."""

LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""Host names, without port, by which a browser reaches a server on this machine."""

ANY_HOST: Final = frozenset({"*"})
"""No host check: for an application that checks the Host header itself."""

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""Sent with every response."""

Refused = Callable[[Scope, int, str], None]


def problem(
    status: int, title: str, detail: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An error as JSON, by RFC 9457."""
    return JSONResponse(
        {"title": title, "status": status, "detail": detail},
        status_code=status,
        headers={"cache-control": "no-store", **(headers or {})},
        media_type="application/problem+json",
    )


class Guard:
    """Lets requests with a known Host and of a decent size through, and lets no exception out.

    Args:
        app: what is guarded.
        allowed_hosts: names a Host header may carry, with any port; :data:`ANY_HOST` for no check.
        on_error: told of every exception of ``app``.
        on_refused: told of every request that was refused here: its scope, the status and why.
        headers: sent with every response besides :data:`SECURITY_HEADERS`.
    """

    def __init__(
        self,
        app: ASGIApp,
        allowed_hosts: Collection[str],
        on_error: Callable[[BaseException], None],
        on_refused: Refused | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._app = app
        self._allowed = frozenset(host.casefold() for host in allowed_hosts)
        self._on_error = on_error
        self._on_refused = on_refused
        self._headers = {**SECURITY_HEADERS, **(headers or {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as ASGI asks."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000, "reason": "no WebSocket here"})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
            await send(message)

        refusal = self._wrong_host(scope) or _unfit(scope)
        if refusal is not None:
            status, detail = refusal
            if self._on_refused is not None:
                self._on_refused(scope, status, detail)
            # What is left of it is not read: the connection is of no more use.
            closing = {"connection": "close"} if status in {413, 415} else None
            answer = problem(status, HTTPStatus(status).phrase, detail, closing)
            await answer(scope, receive, send_guarded)
            return
        try:
            await self._app(scope, receive, send_guarded)
        except Exception as error:  # noqa: BLE001 - law: nothing of ours reaches the host program
            self._on_error(error)
            if not started:
                answer = _failure(error)
                await answer(scope, receive, send_guarded)

    def _wrong_host(self, scope: Scope) -> tuple[int, str] | None:
        if "*" in self._allowed:
            return None
        hosts = Headers(scope=scope).getlist("host")
        if len(hosts) != 1:
            return 400, "the request must have one Host header"
        if _without_port(hosts[0]).casefold() not in self._allowed:
            return 421, "this server answers only to the names it is known by, such as localhost"
        return None


def _unfit(scope: Scope) -> tuple[int, str] | None:
    """Why a request is refused whatever it asks for: the status, and the reason; or ``None``."""
    target = len(scope.get("raw_path") or scope["path"]) + len(scope.get("query_string", b""))
    if target > MOST_TARGET_BYTES:
        return 414, f"the address must be at most {MOST_TARGET_BYTES} bytes"
    fields: list[tuple[bytes, bytes]] = scope["headers"]
    size = sum(len(name) + len(value) for name, value in fields)
    if size > MOST_HEADER_BYTES or len(fields) > MOST_HEADERS:
        most = f"{MOST_HEADERS} headers of {MOST_HEADER_BYTES} bytes in all"
        return 431, f"a request may have {most}"
    headers = Headers(scope=scope)
    # Two ways to tell where the body ends are one too many: RFC 9112, 6.1.
    if "transfer-encoding" in headers and "content-length" in headers:
        return 400, "the request must not have both Content-Length and Transfer-Encoding"
    # Small as it comes, it may be large as it is read.
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        return 415, "a body must not be compressed or otherwise encoded"
    length = headers.get("content-length", "0")
    if length.isdecimal() and (len(length) > 18 or int(length) > MOST_BYTES):
        return 413, f"the body must be at most {MOST_BYTES} bytes"
    return None


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and (port.isdecimal() or not port) else host


def _failure(error: Exception) -> JSONResponse:
    # The text of the error may hold what is nobody else's business; its type is enough to find it.
    if isinstance(error, TimeoutError):
        return problem(
            503,
            "Service Unavailable",
            "collecting took too long: a sensor may be stuck",
            {"retry-after": "5"},
        )
    return problem(
        500,
        "Internal Server Error",
        f"{type(error).__name__}; counted in metalscope_internal_errors_total and logged",
    )
