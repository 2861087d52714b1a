"""The ASGI application: which address answers with what."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from metalscope.page.data import PageData
from metalscope.server.alerts import AlertRoutes
from metalscope.server.door import Access, Door, decision_of
from metalscope.server.files import Asset, load_assets, load_description
from metalscope.server.health import HealthRoutes
from metalscope.server.negotiation import preferred
from metalscope.server.pages import PagesRoutes
from metalscope.server.past import PastRoutes
from metalscope.server.questions import PastQuestions
from metalscope.server.security import LOOPBACK_HOSTS, Guard, problem
from metalscope.server.source import Asker
from metalscope.server.sse import (
    EventHub,
    EventStream,
    HubClosedError,
    TooManyViewersError,
    history,
)
from metalscope.server.tails import TailRoutes
from metalscope.server.writing import RefusedError, check_writer, refused

if TYPE_CHECKING:
    from metalscope.export.view import MetricView
    from metalscope.health_check.audience import HealthDetails
    from metalscope.report import MetalProductionReport
    from metalscope.server.source import TelemetrySource
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["MAX_VIEWERS", "create_app"]

MAX_VIEWERS: Final = 500
"""Open event streams; the next one is answered with 503."""

QUESTIONS_AT_ONCE: Final = 8
"""Collections that run together for requests; the rest take turns."""

PATIENCE_SECONDS: Final = 10.0
"""How long a request waits for its collection before it is answered with 503."""

READINGS_AT_ONCE: Final = 4
"""Readings of the past that run together; apart from collections, which are quick."""

READING_SECONDS: Final = 20.0
"""How long a request waits for what it asks of the past."""

NO_PAST: Final = PageData(None, "no past is kept here: the application was made without one")

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
    access: Access | None = None,
    external: MetricView | None = None,
    headers: Mapping[str, str] | None = None,
    page: PageData | None = None,
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
        access: who is asked for a key, and the audit log; nobody and none where it is not given,
            as where the outer application asks.
        external: the metrics as those see them whose role is external; all where it is not given.
        headers: sent with every response besides the security headers.
        page: where the page's past comes from, and pages of one's own; whoever made it closes it.
            Without it the page shows what is now and no past.
    """
    access = access or Access()
    api = _Api(telemetry, max_viewers, access, external)
    tails = TailRoutes(telemetry, api.asker)
    past = PastQuestions(
        NO_PAST if page is None else page,
        Asker(at_once=READINGS_AT_ONCE, patience=READING_SECONDS),
    )
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
            Route("/api/v1/tickets", api.ticket, methods=["POST"]),
            *api.alerts.routes(),
            *PastRoutes(past, tails.describe).routes(),
            *PagesRoutes(past).routes(),
            *tails.routes(),
            *(Route(f"/{path}", _file(asset)) for path, asset in assets.items()),
        ],
        middleware=[
            Middleware(
                Guard,
                allowed_hosts=allowed_hosts,
                on_error=api.failed,
                on_refused=access.refused if access.is_on else None,
                headers=headers,
            ),
            *([Middleware(Door, access=access, asker=api.asker)] if access.is_on else []),
        ],
        exception_handlers={HTTPException: _http_problem, RefusedError: refused},
    )
    # A redirect would name the host that the request named, and answer before the table of roles.
    app.router.redirect_slashes = False
    app.state.hub = api.hub
    return app


class _Api:
    """The answers that are made from telemetry."""

    def __init__(
        self,
        telemetry: TelemetrySource,
        max_viewers: int,
        access: Access,
        external: MetricView | None,
    ) -> None:
        self._telemetry = telemetry
        self._gate = access.gate
        self._external = external
        self.asker = Asker(at_once=QUESTIONS_AT_ONCE, patience=PATIENCE_SECONDS)
        self.alerts = AlertRoutes(telemetry, self.asker)
        self.hub = EventHub(telemetry, self.asker, max_viewers=max_viewers)

    def failed(self, error: BaseException) -> None:
        self._telemetry.internal_error("server", error)

    async def metrics(self, request: Request) -> Response:
        accept = request.headers.get("accept")
        decision = decision_of(request)
        external = decision is not None and decision.audience == "external"
        view = self._external if external else None
        body, content_type = await self.asker.ask(
            lambda: _exposition(self._telemetry.get_snapshot(), accept, view)
        )
        return Response(body, headers={"content-type": content_type, **NO_STORE})

    async def snapshot(self, _request: Request) -> Response:
        body = await self.asker.ask(lambda: self._telemetry.get_snapshot().to_json())
        return Response(body, media_type="application/json", headers=NO_STORE)

    async def recent(self, _request: Request) -> Response:
        snapshot = await self.asker.ask(self._telemetry.get_snapshot)
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
        body = await self.asker.ask(lambda: _report(self._telemetry.generate_report(), media_type))
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
            last_seen = request.headers.get("last-event-id")
            return EventStream(self.hub, viewer, last_seen, may_stay=self._may_stay(request))
        return problem(503, "Service Unavailable", detail, {"retry-after": "5"})

    async def ticket(self, request: Request) -> Response:
        """One entrance to the event stream, which a browser opens without a header of ours."""
        decision = decision_of(request)
        principal = decision.principal if decision is not None else None
        if self._gate is None or principal is None:
            raise RefusedError(404, "nobody is asked for a key here, so that none needs a ticket")
        check_writer(request)
        ticket = self._gate.mint_ticket(principal)
        return JSONResponse({"ticket": ticket.text, "expires_in": ticket.expires_in}, 201, NO_STORE)

    def _may_stay(self, request: Request) -> Callable[[], bool]:
        decision = decision_of(request)
        gate, principal = self._gate, decision.principal if decision is not None else None
        if gate is None or principal is None:
            return lambda: True
        return lambda: gate.still_allowed(principal)


def _exposition(
    snapshot: MetalTelemetrySnapshot, accept: str | None, view: MetricView | None
) -> tuple[bytes, str]:
    from metalscope.export.prometheus import render, render_families  # noqa: PLC0415 - no page

    if view is None:
        return render(snapshot, accept)
    from metalscope.export.prometheus_negotiation import OPENMETRICS, negotiate  # noqa: PLC0415

    form, content_type = negotiate(accept or "")
    body = render_families(view.families(snapshot), openmetrics=form is OPENMETRICS)
    return body, content_type


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
