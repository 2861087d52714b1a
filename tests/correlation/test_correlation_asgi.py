"""The middleware around ASGI applications: bare ones, Starlette, FastAPI, Django."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, JsonResponse
from django.urls import path
from fastapi import FastAPI, HTTPException
from opentelemetry.sdk.trace import TracerProvider
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket
from traced_requests import CALLER, SPAN, TRACE, Spans, django_of, here, tracer_into

from metalscope.correlating import SpanContext, current_correlation_id, current_span, within
from metalscope.propagation import CorrelationMiddleware
from metalscope.traces.span import SpanKind


def client_of(app: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def tell(_request: Request) -> Response:
    return JSONResponse(here())


def app_of(endpoint: Any = tell, **options: Any) -> CorrelationMiddleware:
    app = Starlette(routes=[Route("/orders/{number}", endpoint, methods=["GET", "POST"])])
    return CorrelationMiddleware(app, **options)


async def test_a_request_runs_in_the_callers_id_and_span() -> None:
    async with client_of(app_of()) as http:
        answer = await http.get("/orders/1", headers=CALLER)
    assert answer.json() == {
        "id": "order-17", "trace": TRACE, "span": SPAN, "sampled": True, "state": "congo=1",
    }  # fmt: skip
    assert answer.headers.get_list("x-correlation-id") == ["order-17"]
    assert (current_correlation_id(), current_span()) == (None, None)


async def test_a_trace_that_the_caller_does_not_keep_is_not_kept() -> None:
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-00"}
    async with client_of(app_of()) as http:
        assert (await http.get("/orders/1", headers=headers)).json()["sampled"] is False


@pytest.mark.parametrize(
    "headers", [{}, {"traceparent": "garbage", "X-Correlation-ID": " "}, {"tracestate": "a=1"}]
)
async def test_a_request_that_brings_nothing_gets_a_new_id(headers: dict[str, str]) -> None:
    async with client_of(app_of()) as http:
        with within("of the server", SpanContext(1, 2)):
            answer = await http.get("/orders/1", headers=headers)
    told = answer.json()
    assert str(UUID(told["id"])) == told["id"] == answer.headers["x-correlation-id"]
    assert told["trace"] is None


async def test_the_id_of_a_request_is_taken_up_cleaned() -> None:
    async with client_of(app_of()) as http:
        raw = [(b"X-Request-ID", "a\x1b\u00e9".encode("latin-1") + b"b" * 200)]
        answer = await http.get("/orders/1", headers=raw)
    assert answer.headers["x-correlation-id"] == "a" + "b" * 127
    assert answer.json()["id"] == "a" + "b" * 127


async def test_two_parents_are_none_and_two_lists_are_one() -> None:
    parent = ("traceparent", CALLER["traceparent"])
    states = [("tracestate", "a=1"), ("tracestate", "b=2")]
    async with client_of(app_of()) as http:
        assert (await http.get("/orders/1", headers=[parent, *states])).json()["state"] == "a=1,b=2"
        assert (await http.get("/orders/1", headers=[parent, parent])).json()["trace"] is None


async def test_strangers_are_not_believed_where_they_are_not_to_be() -> None:
    spans = Spans()
    app = app_of(tracer=tracer_into(spans), trust_incoming=False)
    async with client_of(app) as http:
        answer = await http.get("/orders/1", headers=CALLER)
    told = answer.json()
    assert str(UUID(told["id"])) == answer.headers["x-correlation-id"]
    assert told["trace"] not in (None, TRACE)
    assert (spans[0].parent_id, spans[0].trace_state) == (0, "")


async def test_requests_at_once_stay_apart() -> None:
    together = asyncio.Barrier(8)

    async def meet(_request: Request) -> Response:
        await together.wait()
        return JSONResponse(here())

    async with client_of(app_of(meet)) as http:
        answers = await asyncio.gather(
            *(http.get("/orders/1", headers={"X-Correlation-ID": f"id-{n}"}) for n in range(8))
        )
    assert [one.json()["id"] for one in answers] == [f"id-{n}" for n in range(8)]


async def test_an_id_that_the_application_tells_itself_stands() -> None:
    async def own(_request: Request) -> Response:
        return Response(headers={"X-Correlation-ID": "own"})

    async with client_of(app_of(own)) as http:
        answer = await http.get("/orders/1", headers=CALLER)
    assert answer.headers.get_list("x-correlation-id") == ["own"]


async def test_a_stream_is_passed_on_piece_by_piece_within_the_request() -> None:
    sent: list[str] = []

    async def stream(_request: Request) -> Response:
        async def pieces() -> AsyncIterator[str]:
            for number in range(3):
                sent.append(f"made {number}")
                yield f"{number}:{current_correlation_id()} "

        return StreamingResponse(pieces())

    messages: list[Any] = []

    async def send(message: Any) -> None:
        if message.get("body"):
            sent.append(f"sent {message['body'].decode()}")
        messages.append(message)

    async def receive() -> Any:
        await asyncio.Event().wait()

    scope = {
        "type": "http", "method": "GET", "path": "/orders/1", "query_string": b"",
        "headers": [(b"x-correlation-id", b"a")],
    }  # fmt: skip
    await app_of(stream)(scope, receive, send)
    assert sent == ["made 0", "sent 0:a ", "made 1", "sent 1:a ", "made 2", "sent 2:a "]
    assert messages[0]["headers"] == [(b"x-correlation-id", b"a")]


async def test_what_the_application_raises_passes_and_fails_the_span() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError("no such order")

    spans = Spans()
    scope = {"type": "http", "method": "GET", "path": "/orders/1", "headers": []}
    with pytest.raises(LookupError, match="no such order"):
        await CorrelationMiddleware(broken, tracer_into(spans))(scope, None, None)  # type: ignore[arg-type]
    assert (spans[0].failed, spans[0].error) == (True, "LookupError: no such order")
    assert spans[0].attributes["error.type"] == "LookupError"
    assert (current_correlation_id(), current_span()) == (None, None)


async def test_around_the_application_it_tells_the_id_of_what_nobody_handled() -> None:
    async def broken(_request: Request) -> Response:
        raise LookupError("no such order")

    spans = Spans()
    async with client_of(app_of(broken, tracer=tracer_into(spans))) as http:
        answer = await http.get("/orders/1", headers=CALLER)
    assert (answer.status_code, answer.headers["x-correlation-id"]) == (500, "order-17")
    (span,) = spans
    assert (span.name, span.error) == ("GET /orders/{number}", "LookupError: no such order")
    assert span.attributes["http.response.status_code"] == 500
    assert span.attributes["error.type"] == "LookupError"


def test_a_websocket_runs_in_it_too_and_lifespan_is_not_touched() -> None:
    lived: list[str] = []

    async def talk(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_json(here())
        await socket.close()

    async def lifespan(_app: Any) -> AsyncIterator[None]:
        lived.append(f"up {current_correlation_id()}")
        yield
        lived.append("down")

    app = Starlette(routes=[WebSocketRoute("/talk", talk)], lifespan=asynccontextmanager(lifespan))
    with (
        TestClient(CorrelationMiddleware(app, tracer_into(Spans()))) as http,
        http.websocket_connect("/talk", headers=CALLER) as socket,
    ):
        told = socket.receive_json()
        assert (told["id"], told["span"]) == ("order-17", SPAN)
        assert dict(socket.extra_headers or [])[b"x-correlation-id"] == b"order-17"
    assert lived == ["up None", "down"]


# -- spans of requests --------------------------------------------------------------------------


async def test_a_request_is_a_span_within_the_callers() -> None:
    spans = Spans()
    async with client_of(app_of(tracer=tracer_into(spans))) as http:
        told = (await http.get("/orders/1?secret=2", headers=CALLER)).json()
    (span,) = spans
    assert (f"{span.trace_id:032x}", f"{span.parent_id:016x}") == (TRACE, SPAN)
    assert (told["trace"], told["span"]) == (TRACE, f"{span.span_id:016x}")
    assert (span.kind, span.correlation_id) == (SpanKind.SERVER, "order-17")
    assert (span.name, span.failed, span.trace_state) == ("GET /orders/{number}", False, "congo=1")
    assert dict(span.attributes) == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/orders/1",
        "http.route": "/orders/{number}",
        "http.response.status_code": 200,
    }


@pytest.mark.parametrize(
    ("status", "failed"), [(200, False), (404, False), (500, True), (503, True)]
)
async def test_what_the_server_fails_at_is_a_failed_span(status: int, failed: bool) -> None:
    async def answer(_request: Request) -> Response:
        return Response(status_code=status)

    spans = Spans()
    async with client_of(app_of(answer, tracer=tracer_into(spans))) as http:
        await http.get("/orders/1")
    (span,) = spans
    assert (span.failed, span.attributes["http.response.status_code"]) == (failed, status)
    assert span.attributes.get("error.type") == (str(status) if failed else None)
    assert span.error == (f"HTTP {status}" if failed else "")


async def test_a_request_without_a_route_is_named_by_its_method_alone() -> None:
    spans = Spans()
    async with client_of(app_of(tracer=tracer_into(spans))) as http:
        await http.get("/nowhere/4711")
        await http.request("BREW", "/nowhere/4711")
    assert [span.name for span in spans] == ["GET", "HTTP"]
    assert spans[1].attributes["http.request.method"] == "_OTHER"
    assert spans[1].attributes["http.request.method_original"] == "BREW"


async def test_put_in_twice_it_works_once() -> None:
    spans = Spans()
    tracer = tracer_into(spans)
    app = CorrelationMiddleware(app_of(tracer=tracer), tracer)
    async with client_of(app) as http:
        answer = await http.get("/orders/1", headers=CALLER)
    assert answer.headers.get_list("x-correlation-id") == ["order-17"]
    assert [answer.json()["span"]] == [f"{span.span_id:016x}" for span in spans]


async def test_within_a_span_of_opentelemetry_it_is_its_child() -> None:
    spans = Spans()
    app = app_of(tracer=tracer_into(spans, join_provider=False))
    theirs = TracerProvider().get_tracer("server")
    async with client_of(app) as http:
        with theirs.start_as_current_span("GET") as outer:
            await http.get("/orders/1", headers=CALLER)
    ids = outer.get_span_context()
    assert (spans[0].trace_id, spans[0].parent_id) == (ids.trace_id, ids.span_id)


# -- frameworks ---------------------------------------------------------------------------------


async def test_fastapi_with_and_without_async() -> None:
    app = FastAPI()

    @app.get("/async/{number}")
    async def with_async(number: int) -> dict[str, Any]:
        return here()

    @app.get("/sync/{number}")
    def without(number: int) -> dict[str, Any]:
        if number == 0:
            raise HTTPException(503)
        return here()

    spans = Spans()
    app.add_middleware(CorrelationMiddleware, tracer=tracer_into(spans))
    async with client_of(app) as http:
        for where in ("async", "sync"):
            answer = await http.get(f"/{where}/1", headers=CALLER)
            assert answer.headers["x-correlation-id"] == answer.json()["id"] == "order-17"
            assert answer.json()["trace"] == TRACE
        assert (await http.get("/sync/0")).status_code == 503
    assert [(span.name, span.failed) for span in spans] == [
        ("GET /async/{number}", False),
        ("GET /sync/{number}", False),
        ("GET /sync/{number}", True),
    ]


async def test_django_with_and_without_async() -> None:
    async def with_async(_request: HttpRequest) -> JsonResponse:
        return JsonResponse(here())

    def without(_request: HttpRequest) -> JsonResponse:
        return JsonResponse(here())

    with django_of(path("async", with_async), path("sync", without)):
        async with client_of(CorrelationMiddleware(ASGIHandler())) as http:
            for where in ("async", "sync"):
                answer = await http.get(f"/{where}", headers=CALLER)
                assert answer.headers["x-correlation-id"] == answer.json()["id"] == "order-17"
                assert answer.json()["span"] == SPAN
