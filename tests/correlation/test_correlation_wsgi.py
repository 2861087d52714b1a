"""The middleware around WSGI applications: bare ones, Flask, Django, a real server."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any
from uuid import UUID
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import flask
import httpx
import pytest
import urllib3
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.urls import path
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from traced_requests import CALLER, SPAN, TRACE, Spans, django_of, here, tracer_into
from werkzeug.serving import make_server

from metalscope.correlating import SpanContext, current_correlation_id, current_span, within
from metalscope.propagation import WSGICorrelationMiddleware, inject
from metalscope.traces.span import SpanKind

Environ = dict[str, Any]


def environ_of(headers: dict[str, str] | None = None, **others: Any) -> Environ:
    environ: Environ = {"SCRIPT_NAME": "", "PATH_INFO": "/orders/1", "QUERY_STRING": "", **others}
    for name, value in (headers or {}).items():
        environ["HTTP_" + name.upper().replace("-", "_")] = value
    setup_testing_defaults(environ)
    return environ


class Server:
    """Calls an application as PEP 3333 says, in steps."""

    def __init__(self, app: Any, environ: Environ) -> None:
        self.started: list[tuple[str, dict[str, str]]] = []
        self.written: list[bytes] = []
        self.body = app(environ, self._start)

    def _start(self, status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], object]:
        assert type(headers) is list
        self.started.append((status, dict(headers)))
        return self.written.append

    def read(self) -> bytes:
        try:
            return b"".join(self.body)
        finally:
            self.close()

    def close(self) -> None:
        close = getattr(self.body, "close", None)
        if close is not None:
            close()


def telling(environ: Environ, start_response: Any) -> Iterable[bytes]:
    """Answers at once."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(current_correlation_id()).encode()]


def outside() -> tuple[str | None, SpanContext | None]:
    return current_correlation_id(), current_span()


def test_an_answer_comes_from_within_the_request_and_tells_its_id() -> None:
    server = Server(WSGICorrelationMiddleware(telling), environ_of(CALLER))
    assert outside() == (None, None)
    assert server.body == [b"order-17"], "the very list, which servers look at"
    assert server.started == [
        ("200 OK", {"Content-Type": "text/plain", "X-Correlation-ID": "order-17"})
    ]


@pytest.mark.parametrize("headers", [{}, {"traceparent": "garbage", "X-Correlation-ID": "\t"}])
def test_a_request_that_brings_nothing_gets_a_new_id(headers: dict[str, str]) -> None:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        assert current_span() is None
        return telling(environ, start_response)

    with within("of the server", SpanContext(1, 2)):
        server = Server(WSGICorrelationMiddleware(app), environ_of(headers))
    told = server.body[0].decode()
    assert str(UUID(told)) == told == server.started[0][1]["X-Correlation-ID"]


def test_a_request_id_is_taken_up_cleaned() -> None:
    server = Server(
        WSGICorrelationMiddleware(telling), environ_of({"X-Request-ID": "a\r\nSet-Cookie: b\xe9"})
    )
    assert server.body == [b"aSet-Cookie: b"]
    assert server.started[0][1]["X-Correlation-ID"] == "aSet-Cookie: b"


def test_strangers_are_not_believed_where_they_are_not_to_be() -> None:
    spans = Spans()
    app = WSGICorrelationMiddleware(telling, tracer_into(spans), trust_incoming=False)
    told = Server(app, environ_of(CALLER)).body[0].decode()
    assert str(UUID(told)) == told
    assert (spans[0].parent_id, spans[0].correlation_id) == (0, told)
    assert f"{spans[0].trace_id:032x}" != TRACE


def test_an_id_that_the_application_tells_itself_stands() -> None:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [("x-correlation-id", "own")])
        return [b""]

    server = Server(WSGICorrelationMiddleware(app), environ_of(CALLER))
    assert server.started[0][1] == {"x-correlation-id": "own"}


def test_a_generator_runs_within_the_request_and_the_server_does_not() -> None:
    steps: list[str] = []

    def app(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])(b"written")
        try:
            for number in range(2):
                steps.append(f"{number} {current_correlation_id()}")
                yield b"."
        finally:
            steps.append(f"closed {current_correlation_id()}")

    server = Server(WSGICorrelationMiddleware(app), environ_of(CALLER))
    assert server.started == [], "it has not begun"
    body = iter(server.body)
    assert (next(body), outside()) == (b".", (None, None))
    assert server.started[0][1]["X-Correlation-ID"] == "order-17"
    assert server.written == [b"written"]
    other = iter(Server(WSGICorrelationMiddleware(app), environ_of({})).body)
    next(other)
    assert (next(body), outside()) == (b".", (None, None))
    server.close()
    assert [one for one in steps if "order" in one] == [
        "0 order-17",
        "1 order-17",
        "closed order-17",
    ]
    assert outside() == (None, None)


def test_the_span_lasts_until_the_body_is_closed_whoever_does_that() -> None:
    spans = Spans()

    def app(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield here()["span"].encode()  # type: ignore[union-attr]

    server = Server(WSGICorrelationMiddleware(app, tracer_into(spans)), environ_of(CALLER))
    told = contextvars.copy_context().run(next, server.body)
    assert (list(server.body), list(spans)) == ([], [])
    thread = threading.Thread(target=server.close)
    thread.start()
    thread.join()
    server.close()
    (span,) = spans
    assert told == f"{span.span_id:016x}".encode()
    assert (f"{span.trace_id:032x}", f"{span.parent_id:016x}") == (TRACE, SPAN)
    assert (span.name, span.kind, span.correlation_id) == ("GET", SpanKind.SERVER, "order-17")
    assert dict(span.attributes) == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/orders/1",
        "http.response.status_code": 200,
    }
    assert outside() == (None, None)


def test_a_file_is_left_to_the_server() -> None:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](BytesIO(b"abc"))  # type: ignore[no-any-return]

    spans = Spans()
    environ = environ_of(CALLER, **{"wsgi.file_wrapper": FileWrapper})
    server = Server(WSGICorrelationMiddleware(app, tracer_into(spans)), environ)
    assert type(server.body) is FileWrapper
    assert len(spans) == 1


@pytest.mark.parametrize("when", ["call", "body", "close"])
def test_what_the_application_raises_passes_and_fails_the_span(when: str) -> None:
    class Body:
        def __iter__(self) -> Iterator[bytes]:
            if when == "body":
                raise LookupError("no such order")
            return iter([b"."])

        def close(self) -> None:
            if when == "close":
                raise LookupError("no such order")

    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        if when == "call":
            raise LookupError("no such order")
        return Body()

    spans = Spans()
    with pytest.raises(LookupError, match="no such order"):
        Server(WSGICorrelationMiddleware(app, tracer_into(spans)), environ_of(CALLER)).read()
    (span,) = spans
    assert (span.failed, span.error) == (True, "LookupError: no such order")
    assert outside() == (None, None)


def test_an_answer_that_is_changed_for_an_error_is_the_one_that_counts() -> None:
    def app(environ: Environ, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        start_response("503 Service Unavailable", [], (ValueError, ValueError(), None))
        return [b""]

    spans = Spans()
    Server(WSGICorrelationMiddleware(app, tracer_into(spans)), environ_of(CALLER))
    assert spans[0].attributes["http.response.status_code"] == 503
    assert (spans[0].failed, spans[0].error) == (True, "HTTP 503")


def test_a_checker_of_the_protocol_finds_nothing_inside_and_outside() -> None:
    def app(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return iter([b"a", b"b"])

    checked = validator(WSGICorrelationMiddleware(validator(app), tracer_into(Spans())))  # type: ignore[arg-type]
    assert Server(checked, environ_of(CALLER)).read() == b"ab"


def test_put_in_twice_it_works_once() -> None:
    spans = Spans()
    tracer = tracer_into(spans)
    app = WSGICorrelationMiddleware(WSGICorrelationMiddleware(telling, tracer), tracer)
    Server(app, environ_of(CALLER))
    assert len(spans) == 1


def test_paths_are_read_as_utf_8_and_bad_ones_harm_nothing() -> None:
    spans = Spans()
    app = WSGICorrelationMiddleware(telling, tracer_into(spans))
    for text in ("/é".encode().decode("latin-1"), "/\xff", "/\u0416"):
        Server(app, environ_of(SCRIPT_NAME="/shop", PATH_INFO=text))
    paths = [span.attributes["url.path"] for span in spans]
    assert paths == ["/shop/é", "/shop/\ufffd", "/shop/\u0416"]


def test_it_joins_opentelemetry_around_it_and_within_it(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = TracerProvider()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    spans = Spans()
    told: list[tuple[int, int, str]] = []

    def note() -> None:
        ids = trace.get_current_span().get_span_context()
        told.append((ids.trace_id, ids.span_id, inject({})["traceparent"][36:52]))

    def app(environ: Environ, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        note()
        yield b"."
        note()

    middleware = WSGICorrelationMiddleware(app, tracer_into(spans))
    with provider.get_tracer("server").start_as_current_span("outer") as outer:
        server = Server(middleware, environ_of(CALLER))
        assert trace.get_current_span() is outer
        server.read()
        assert trace.get_current_span() is outer
    assert len({*told}) == 1
    assert told[0][0] == outer.get_span_context().trace_id
    assert told[0][2] == f"{told[0][1]:016x}"


# -- frameworks, and a real server --------------------------------------------------------------


@contextmanager
def served(app: Any) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_flask_behind_a_real_server_called_by_real_clients() -> None:
    app = flask.Flask("of tests")
    spans = Spans()

    @app.get("/orders/<int:number>")
    def order(number: int) -> Any:
        if number == 0:
            flask.abort(503)
        return here()

    @app.get("/stream")
    def stream() -> Any:
        def pieces() -> Iterator[str]:
            for _ in range(2):
                yield f"{current_correlation_id()} "

        return flask.Response(pieces())

    app.wsgi_app = WSGICorrelationMiddleware(app.wsgi_app, tracer_into(spans))  # type: ignore[method-assign]
    here_ = SpanContext(int(TRACE, 16), int(SPAN, 16))
    with served(app) as address, within("order-17", here_):
        with httpx.Client(headers=inject({}), trust_env=False) as http:
            answer = http.get(f"{address}/orders/1")
        assert answer.headers["x-correlation-id"] == answer.json()["id"] == "order-17"
        assert answer.json()["trace"] == TRACE
        raw = urllib3.request("GET", f"{address}/stream", headers=inject({}))
        assert (raw.data, raw.headers["X-Correlation-ID"]) == (b"order-17 order-17 ", "order-17")
        assert urllib3.request("GET", f"{address}/orders/0", headers=inject({})).status == 503
    assert [(span.name, span.failed, f"{span.parent_id:016x}") for span in spans] == [
        ("GET /orders/<int:number>", False, SPAN),
        ("GET /stream", False, SPAN),
        ("GET /orders/<int:number>", True, SPAN),
    ]


def test_django() -> None:
    def view(_request: HttpRequest) -> JsonResponse:
        return JsonResponse(here())

    def stream(_request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(str(current_correlation_id()) for _ in range(2))

    with django_of(path("view", view), path("stream", stream)):
        app = WSGICorrelationMiddleware(WSGIHandler())
        transport = httpx.WSGITransport(app)
        with httpx.Client(transport=transport, base_url="http://test", headers=CALLER) as http:
            answer = http.get("/view")
            assert answer.headers["x-correlation-id"] == answer.json()["id"] == "order-17"
            assert answer.json()["span"] == SPAN
            assert http.get("/stream").text == "order-17" * 2
    assert outside() == (None, None)
