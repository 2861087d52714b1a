"""A service of its own: python hop_server.py PORT. It tells what it sees, and asks itself again."""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import urllib3
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from traced_requests import Spans, here, tracer_into

import metalscope
from metalscope.propagation import CorrelationMiddleware, inject

metalscope.instrument("threads", metalscope.MetalTelemetryManager())
spans = Spans()
tracer = tracer_into(spans)
pool = ThreadPoolExecutor(4)


def ask(url: str) -> Any:
    """Ask a service, as one does by hand."""
    return urllib3.request("GET", url, headers=inject({}), retries=False, timeout=30.0).json()


async def hop(request: Request) -> Response:
    """What is seen here, in a thread, and by the next service that is asked from a thread."""
    loop = asyncio.get_running_loop()
    with tracer.span("work"):
        found = {
            "here": here(),
            "thread": await loop.run_in_executor(pool, here),
            "next": await loop.run_in_executor(pool, ask, str(request.url_for("leaf"))),
        }
    return JSONResponse(found)


async def leaf(_request: Request) -> Response:
    """What is seen here."""
    return JSONResponse(here())


def told() -> Response:
    """The spans that are over, by their ids: name, parent, trace, correlation id."""
    return JSONResponse(
        {
            f"{span.span_id:016x}": [
                span.name,
                f"{span.parent_id:016x}",
                f"{span.trace_id:032x}",
                span.correlation_id,
            ]
            for span in [*spans]
        }
    )


services = Starlette(routes=[Route("/hop/{name}", hop), Route("/leaf", leaf, name="leaf")])


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The services, and beside them what is not to be counted."""
    if scope["type"] == "http" and scope["path"] == "/spans":
        await told()(scope, receive, send)
        return
    await traced(scope, receive, send)


traced = CorrelationMiddleware(services, tracer)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_config=None)
