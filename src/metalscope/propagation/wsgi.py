"""Correlation for WSGI applications (PEP 3333)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from metalscope.correlating import CURRENT_SPAN, SpanContext, within
from metalscope.propagation.headers import CORRELATION_ID, Incoming, header_of, incoming
from metalscope.propagation.request import begun, note_end, span_of_request

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from metalscope.traces.span import Span
    from metalscope.traces.tracer import Tracer

__all__ = ["WSGICorrelationMiddleware"]

_SEEN: Final = "metalscope.correlation"

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class WSGICorrelationMiddleware:
    """The same as :class:`~metalscope.propagation.asgi.CorrelationMiddleware` for WSGI.

    The application's code runs in the id and the span: when it is called, while its body is read,
    and when that is closed. The server's does not.
    """

    def __init__(
        self, app: WSGIApplication, tracer: Tracer | None = None, *, trust_incoming: bool = True
    ) -> None:
        self.app = app
        self._tracer = tracer
        self._trusted = trust_incoming

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request."""
        if _SEEN in environ:
            return self.app(environ, start_response)
        work = begun(_read(environ), trusted=self._trusted)
        environ[_SEEN] = work.correlation_id
        request = _Request(environ, start_response, work, self._tracer)
        try:
            with request.within():
                body = self.app(environ, request.start_response)
        except BaseException:
            request.end(*sys.exc_info())
            raise
        if isinstance(body, (list, tuple)) or _is_file(environ, body):
            # None of the application's code runs from here on; and servers look at which it is.
            request.end()
            return body
        return _Body(body, request)


class _Request:
    """One request: what it runs in, from its beginning to its end."""

    __slots__ = (
        "_answered_id", "_context", "_correlation_id", "_environ", "_manager", "_route", "_span",
        "_span_context", "_start_response", "_status", "_tracer",
    )  # fmt: skip

    def __init__(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        work: Incoming,
        tracer: Tracer | None,
    ) -> None:
        self._environ = environ
        self._start_response = start_response
        self._correlation_id = work.correlation_id or ""
        self._answered_id = header_of(self._correlation_id)
        self._status: int | None = None
        self._route: str | None = None
        self._span: Span | None = None
        self._span_context: SpanContext | None = work.parent
        self._tracer = tracer
        if tracer is None:
            return
        # The span begins and ends in a context of its own: the server may read the body, and close
        # it, in another than the one it called the application in.
        self._context = copy_context()
        self._manager = span_of_request(
            tracer, method=environ["REQUEST_METHOD"],
            scheme=environ.get("wsgi.url_scheme", "http"), path=_path(environ),
        )  # fmt: skip
        self._context.run(CURRENT_SPAN.set, None)
        self._context.run(work.take_up)
        self._span = self._context.run(self._manager.__enter__)
        self._span_context = self._context.run(CURRENT_SPAN.get)

    def within(self) -> within:
        joined = getattr(self._span, "joined", None)
        if joined is None or self._tracer is None:
            return within(self._correlation_id, self._span_context)
        return _Joined(self._correlation_id, self._span_context, self._tracer, joined)

    def start_response(
        self, status: str, headers: list[tuple[str, str]], *exc_info: Any, **named: Any
    ) -> Callable[[bytes], object]:
        code = status[:3]
        self._status = int(code) if code.isdecimal() else None
        # Flask takes it out of the environment before it returns.
        self._route = _route(self._environ)
        # An application that tells an id of its own has the last word.
        if not any(name.lower() == CORRELATION_ID.lower() for name, _ in headers):
            headers = [*headers, (CORRELATION_ID, self._answered_id)]
        return self._start_response(status, headers, *exc_info, **named)

    def end(
        self,
        exc_type: type[BaseException] | None = None,
        exc: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        span, self._span = self._span, None
        if span is None:
            return
        method = self._environ["REQUEST_METHOD"]
        note_end(
            span, method=method, route=self._route, status=self._status,
            raised=exc is not None,
        )  # fmt: skip
        self._context.run(self._manager.__exit__, exc_type, exc, traceback)


class _Joined(within):
    """Also in the request's span at the program's own OpenTelemetry."""

    __slots__ = ("_attached", "_neighbour", "_theirs")

    def __init__(
        self, correlation_id: str, span: SpanContext | None, tracer: Tracer, theirs: object
    ) -> None:
        super().__init__(correlation_id, span)
        self._neighbour = tracer.neighbour
        self._theirs = theirs

    def __enter__(self) -> None:
        super().__enter__()
        self._attached = self._neighbour.attach(self._theirs)

    def __exit__(self, *exc_info: Any) -> None:
        if self._attached is not None:
            self._neighbour.detach(self._attached)
        super().__exit__(*exc_info)


class _Body:
    """A body whose chunks are made within the request."""

    __slots__ = ("_body", "_error", "_iterator", "_request")

    def __init__(self, body: Iterable[bytes], request: _Request) -> None:
        self._body = body
        self._request = request
        self._iterator: Iterator[bytes] | None = None
        self._error: BaseException | None = None

    def __iter__(self) -> _Body:
        return self

    def __next__(self) -> bytes:
        try:
            with self._request.within():
                if self._iterator is None:
                    self._iterator = iter(self._body)
                return next(self._iterator)
        except StopIteration:
            raise
        except BaseException as error:
            self._error = error
            raise

    def close(self) -> None:
        """Called by the server in any case (PEP 3333, "Specification Details")."""
        close = getattr(self._body, "close", None)
        error, self._error = self._error, None
        try:
            if close is not None:
                with self._request.within():
                    close()
        except BaseException as failure:
            error = failure
            raise
        finally:
            if error is None:
                self._request.end()
            else:
                self._request.end(type(error), error, error.__traceback__)


def _read(environ: WSGIEnvironment) -> Incoming:
    get = environ.get
    return incoming(
        correlation_id=get("HTTP_X_CORRELATION_ID") or get("HTTP_X_REQUEST_ID") or "",
        traceparent=get("HTTP_TRACEPARENT") or "",
        tracestate=get("HTTP_TRACESTATE") or "",
    )


def _path(environ: WSGIEnvironment) -> str:
    """The path as text; PEP 3333 has its bytes as if they were Latin-1."""
    raw = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    try:
        return str(raw).encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return str(raw)


def _route(environ: WSGIEnvironment) -> str | None:
    """The template of the path, where the framework says it: Flask does."""
    rule = getattr(getattr(environ.get("werkzeug.request"), "url_rule", None), "rule", None)
    return rule if isinstance(rule, str) else None


def _is_file(environ: WSGIEnvironment, body: object) -> bool:
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)
