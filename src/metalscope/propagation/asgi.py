"""Correlation for ASGI applications (https://asgi.readthedocs.io/en/latest/specs/www.html)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from metalscope.propagation.headers import Incoming, header_of, incoming
from metalscope.propagation.request import begun, note_end, span_of_request

if TYPE_CHECKING:
    from metalscope.traces.tracer import Tracer

__all__ = ["CorrelationMiddleware"]

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_SEEN: Final = "metalscope.correlation"
_ID: Final = b"x-correlation-id"
_NAMES: Final = (_ID, b"x-request-id", b"traceparent", b"tracestate")
_CARRYING_HEADERS: Final = (
    "http.response.start",
    "websocket.accept",
    "websocket.http.response.start",
)


class CorrelationMiddleware:
    """Has each request and each WebSocket run in its correlation id and in the caller's span.

    The id is that of the request's ``X-Correlation-ID``, else of its ``X-Request-ID``, else a new
    one; it is told in the answer's ``X-Correlation-ID``. Bodies and exceptions pass as they are.

    Args:
        app: the application.
        tracer: has each request become a span, the child of the caller's.
        trust_incoming: whether what the request says of ids and traces is taken up. Where anybody
            may send requests it is better not to be: callers choose what is kept, and may pass off
            their work as that of others.
    """

    def __init__(
        self, app: ASGIApp, tracer: Tracer | None = None, *, trust_incoming: bool = True
    ) -> None:
        self.app = app
        self._tracer = tracer
        self._trusted = trust_incoming

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] not in ("http", "websocket") or _SEEN in scope:
            await self.app(scope, receive, send)
            return
        work = begun(_read(scope.get("headers", ())), trusted=self._trusted)
        scope[_SEEN] = work.correlation_id
        answer = _Answer(send, work.correlation_id or "")
        with work.within():
            if self._tracer is None or scope["type"] != "http":
                await self.app(scope, receive, answer.send)
                return
            method = scope["method"]
            with span_of_request(
                self._tracer, method=method, scheme=scope.get("scheme", "http"),
                path=scope["path"],
            ) as span:  # fmt: skip
                raised = True
                try:
                    await self.app(scope, receive, answer.send)
                    raised = False
                finally:
                    note_end(
                        span, method=method, route=_route(scope), status=answer.status,
                        raised=raised,
                    )  # fmt: skip


class _Answer:
    """Puts the id into the headers of an answer, and notes its status."""

    __slots__ = ("_correlation_id", "_send", "status")

    def __init__(self, send: Send, correlation_id: str) -> None:
        self._send = send
        self._correlation_id = correlation_id
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] in _CARRYING_HEADERS:
            self.status = message.get("status")
            headers = list(message.get("headers") or ())
            # An application that tells an id of its own has the last word.
            if not any(bytes(name).lower() == _ID for name, _ in headers):
                headers.append((_ID, header_of(self._correlation_id).encode("ascii")))
            message = {**message, "headers": headers}
        await self._send(message)


def _read(headers: Iterable[tuple[bytes, bytes]]) -> Incoming:
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name in _NAMES:
            found.setdefault(name, []).append(value)
    if not found:
        return Incoming()
    ids = found.get(_ID) or found.get(b"x-request-id") or [b""]
    return incoming(
        correlation_id=ids[0].decode("latin-1"),
        # RFC 9110, 5.3: so two are one that is not valid, and lists are one list.
        traceparent=b",".join(found.get(b"traceparent", ())).decode("latin-1"),
        tracestate=b",".join(found.get(b"tracestate", ())).decode("latin-1"),
    )


def _route(scope: Scope) -> str | None:
    """The template of the path, where the framework says it: FastAPI and Starlette do."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else None
