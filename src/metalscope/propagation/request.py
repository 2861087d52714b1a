"""What the middlewares for ASGI and WSGI share: the span of a request (OpenTelemetry's semantic
conventions for HTTP, "HTTP server span")."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from metalscope import attributes as names
from metalscope.correlating import new_correlation_id
from metalscope.propagation.headers import Incoming
from metalscope.traces.span import SpanKind

if TYPE_CHECKING:
    from metalscope.traces.span import Span
    from metalscope.traces.tracer import Tracer

__all__ = ["begun", "name_of", "note_end", "span_of_request"]

_METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
)
"""RFC 9110, 9.3, and RFC 5789. Others are not named in spans: anybody may make some up."""

_SERVER_ERROR: Final = 500


def begun(found: Incoming, *, trusted: bool) -> Incoming:
    """What a request runs in: what it brought, if that is trusted, and in any case an id."""
    if not trusted:
        return Incoming(new_correlation_id())
    return found if found.correlation_id else Incoming(new_correlation_id(), found.parent)


def span_of_request(
    tracer: Tracer, *, method: str, scheme: str, path: str
) -> AbstractContextManager[Span]:
    """The span of a request, entered where it comes in; within what is current there."""
    attributes = {"url.scheme": scheme, "url.path": path}
    if method in _METHODS:
        attributes["http.request.method"] = method
    else:
        attributes["http.request.method"] = "_OTHER"
        attributes["http.request.method_original"] = method[:32]
    return tracer.span(name_of(method, None), kind=SpanKind.SERVER, attributes=attributes)


def name_of(method: str, route: str | None) -> str:
    """``GET /orders/{id}``; the method alone where the route is not known, as a path is no name:
    there are as many as there are orders."""
    verb = method if method in _METHODS else "HTTP"
    return f"{verb} {route}" if route else verb


def note_end(
    span: Span, *, method: str, route: str | None, status: int | None, raised: bool
) -> None:
    """Say of a span what is known when the request is over.

    ``raised`` is whether an exception ends it: that says more of a failure than a status does.
    """
    if route:
        span.name = name_of(method, route)
        span.set_attribute("http.route", route)
    if status is None:
        return
    span.set_attribute("http.response.status_code", status)
    if status >= _SERVER_ERROR and not raised:
        span.set_attribute(names.ERROR_TYPE, str(status))
        span.set_error(f"HTTP {status}")
