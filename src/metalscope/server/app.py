"""The ASGI application: which address answers with what."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from metalscope.server.alerts import AlertRoutes
from metalscope.server.files import Asset, load_assets, load_description
from metalscope.server.health import HealthRoutes
from metalscope.server.negotiation import preferred
from metalscope.server.security import LOOPBACK_HOSTS, Guard, problem
from metalscope.server.source import Asker
from metalscope.server.sse import (
    EventHub,
    EventStream,
    HubClosedError,
    TooManyViewersError,
    history,
)
from metalscope.server.writing import RefusedError, refused

if TYPE_CHECKING:
    from metalscope.health_check.audience import HealthDetails
    from metalscope.report import MetalProductionReport
    from metalscope.server.source import TelemetrySource

__all__ = ["MAX_VIEWERS", "create_app"]

MAX_VIEWERS: Final = 500
"""Open event streams; the next one is answered with 503."""

QUESTIONS_AT_ONCE: Final = 8
"""Collections that run together for requests; the rest take turns."""

PATIENCE_SECONDS: Final = 10.0
"""How long a request waits for its collection before it is answered with 503."""

REPORT_FORMATS: Final = {
    "json": "application/json",
    "markdown": "text/markdown",
    "text": "text/plain",
}

NO_STORE: Final = {"cache-control": "no-store"}

METHODS: Final = ("GET", "HEAD", "POST", "DELETE")
"""All that are served anywhere, in the order in which an answer names them."""


def create_app(
    telemetry: TelemetrySource,
    *,
    allowed_hosts: Collection[str] = LOOPBACK_HOSTS,
    max_viewers: int = MAX_VIEWERS,
    health_details: HealthDetails = "local",
) -> Starlette:
    """Make the application that serves one manager's telemetry, to run or to mount.

    It mounts like any other, ``Mount("/telemetry", create_app(tel, allowed_hosts=...))``: the
    page's own addresses are relative. It needs asyncio. An outer application calls
    ``app.state.hub.close()`` when it stops, which ends the open event streams.

    Args:
        telemetry: a :class:`~metalscope.manager.MetalTelemetryManager`, or what looks like one.
        allowed_hosts: names, without port, that a request's Host header may carry;
            :data:`~metalscope.server.security.ANY_HOST` where the outer application checks it.
        max_viewers: open event streams; the next one is answered with 503.
        health_details: who is told which component is unwell and why: programs of this machine
            (``local``), everybody (``always``) or nobody (``never``).
    """
    api = _Api(telemetry, max_viewers)
    health = HealthRoutes(telemetry, health_details)
    assets = load_assets()
    app = Starlette(
        routes=[
            Route("/", _file(assets["index.html"])),
            Route("/metrics", api.metrics),
            Route("/openapi.json", _file(load_description())),
            *health.routes(),
            Route("/api/v1/snapshot", api.snapshot),
            Route("/api/v1/recent", api.recent),
            Route("/api/v1/report", api.report),
            Route("/api/v1/events", api.events),
            *api.alerts.routes(),
            *(Route(f"/{path}", _file(asset)) for path, asset in assets.items()),
        ],
        middleware=[Middleware(Guard, allowed_hosts=allowed_hosts, on_error=api.failed)],
        exception_handlers={HTTPException: _http_problem, RefusedError: refused},
    )
    app.state.hub = api.hub
    return app


class _Api:
    """The answers that are made from telemetry."""

    def __init__(self, telemetry: TelemetrySource, max_viewers: int) -> None:
        self._telemetry = telemetry
        self._asker = Asker(at_once=QUESTIONS_AT_ONCE, patience=PATIENCE_SECONDS)
        self.alerts = AlertRoutes(telemetry, self._asker)
        self.hub = EventHub(telemetry, self._asker, max_viewers=max_viewers)

    def failed(self, error: BaseException) -> None:
        self._telemetry.internal_error("server", error)

    async def metrics(self, request: Request) -> Response:
        from metalscope.export.prometheus import render  # noqa: PLC0415 - no page needs it

        accept = request.headers.get("accept")
        body, content_type = await self._asker.ask(
            lambda: render(self._telemetry.get_snapshot(), accept)
        )
        return Response(body, headers={"content-type": content_type, **NO_STORE})

    async def snapshot(self, _request: Request) -> Response:
        body = await self._asker.ask(lambda: self._telemetry.get_snapshot().to_json())
        return Response(body, media_type="application/json", headers=NO_STORE)

    async def recent(self, _request: Request) -> Response:
        snapshot = await self._asker.ask(self._telemetry.get_snapshot)
        return JSONResponse(history(snapshot), headers=NO_STORE)

    async def report(self, request: Request) -> Response:
        wanted = request.query_params.get("format")
        if wanted is not None and wanted not in REPORT_FORMATS:
            known = ", ".join(REPORT_FORMATS)
            return problem(400, "Bad Request", f"format must be one of {known}")
        accepted = preferred(request.headers.get("accept"), list(REPORT_FORMATS.values()))
        media_type = REPORT_FORMATS[wanted] if wanted else accepted
        if media_type is None:
            types = ", ".join(REPORT_FORMATS.values())
            return problem(406, "Not Acceptable", f"the report comes as {types}")
        body = await self._asker.ask(lambda: _report(self._telemetry.generate_report(), media_type))
        return Response(body, media_type=media_type, headers={"vary": "accept", **NO_STORE})

    async def events(self, request: Request) -> Response | EventStream:
        if request.method == "HEAD":
            return Response(media_type="text/event-stream", headers=NO_STORE)
        try:
            viewer = self.hub.enter()
        except TooManyViewersError:
            detail = "as many viewers as are allowed have the event stream open"
        except HubClosedError:
            detail = "the server is stopping"
        else:
            return EventStream(self.hub, viewer, request.headers.get("last-event-id"))
        return problem(503, "Service Unavailable", detail, {"retry-after": "5"})


def _report(report: MetalProductionReport, media_type: str) -> str:
    if media_type == "text/markdown":
        return report.to_markdown()
    if media_type == "text/plain":
        return report.to_text()
    return json.dumps(report.to_dict(), allow_nan=False)


def _file(asset: Asset) -> Callable[[Request], Awaitable[Response]]:
    # A browser asks each time whether its copy is still good: an upgrade shows at once.
    headers = {"etag": asset.etag, "cache-control": "no-cache"}

    async def answer(request: Request) -> Response:
        known = request.headers.get("if-none-match", "")
        if asset.etag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
            return Response(status_code=304, headers=headers)
        return Response(asset.body, media_type=asset.media_type, headers=headers)

    return answer


async def _http_problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == 404:
        return problem(404, "Not Found", f"nothing is served at {request.url.path}")
    if error.status_code == 405:
        there = (error.headers or {}).get("Allow", "")
        allowed = [method for method in METHODS if method in there.split(", ")]
        names = ", ".join(allowed)
        return problem(405, "Method Not Allowed", f"this address serves {names}", {"allow": names})
    return problem(error.status_code, error.detail, error.detail, error.headers)
