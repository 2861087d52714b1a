"""What stands between a browser on this machine and the telemetry: host check and headers.

A server on the loopback address is still within reach of every page the user's browser opens. A
page cannot read an answer of another origin, unless its own name is made to resolve to 127.0.0.1
(DNS rebinding); then the Host header carries that name, and the request is refused here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["ANY_HOST", "LOOPBACK_HOSTS", "SECURITY_HEADERS", "Guard", "problem"]

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
    """Lets requests with a known Host through, and lets no exception out.

    Args:
        app: what is guarded.
        allowed_hosts: names a Host header may carry, with any port; :data:`ANY_HOST` for no check.
        on_error: told of every exception of ``app``.
    """

    def __init__(
        self,
        app: ASGIApp,
        allowed_hosts: Collection[str],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._app = app
        self._allowed = frozenset(host.casefold() for host in allowed_hosts)
        self._on_error = on_error

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
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_guarded)
            return
        try:
            await self._app(scope, receive, send_guarded)
        except Exception as error:  # noqa: BLE001 - law: nothing of ours reaches the host program
            self._on_error(error)
            if not started:
                answer = _failure(error)
                await answer(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        if "*" in self._allowed:
            return None
        hosts = Headers(scope=scope).getlist("host")
        if len(hosts) != 1:
            return problem(400, "Bad Request", "the request must have one Host header")
        if _without_port(hosts[0]).casefold() not in self._allowed:
            return problem(
                421,
                "Misdirected Request",
                "this server answers only to the names it is known by, such as localhost",
            )
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
