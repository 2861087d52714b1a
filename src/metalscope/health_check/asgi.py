"""A health check as an ASGI application (https://asgi.readthedocs.io/en/latest/specs/www.html)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from metalscope.health_check.answer import METHODS, REFUSAL, answer_to

if TYPE_CHECKING:
    from metalscope.health_check.check import MetalBackendHealthCheck

__all__ = ["ASGIApp", "asgi_app"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


def asgi_app(check: MetalBackendHealthCheck) -> ASGIApp:
    """Answer GET and HEAD, at whatever path, with the health document."""

    async def app(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000, "reason": "no WebSocket here"})
            return
        answer = REFUSAL
        if scope["method"] in METHODS:
            client = scope.get("client")
            answer = answer_to(
                await check.acheck(),
                details=check.details,
                address=client[0] if client else None,
                header_names=[name.decode("latin-1") for name, _ in scope["headers"]],
            )
        headers = [(name.encode(), value.encode("latin-1")) for name, value in answer.headers]
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


async def _live(receive: Receive, send: Send) -> None:
    """Have nothing to do at the start and the end of the server."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
