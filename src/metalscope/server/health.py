"""The addresses that say how the process is: for people, load balancers and Kubernetes.

They have a thread of their own and never share it with the API's questions, so that they answer
within their time whatever else is asked, and whatever hangs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from metalscope.health_check import HealthCheckResult, MetalBackendHealthCheck
from metalscope.health_check.answer import answer_to
from metalscope.health_check.audience import HealthDetails, may_see
from metalscope.health_json import Verdict

if TYPE_CHECKING:
    from metalscope.server.source import TelemetrySource
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["HEALTH_SECONDS", "HealthRoutes"]

HEALTH_SECONDS: Final = 2.0
"""How long one check may take; all who ask meanwhile share its answer."""

_NO_STORE: Final = {"cache-control": "no-store"}


class HealthRoutes:
    """``/health``, ``/livez``, ``/readyz`` and ``/startupz`` of one source.

    Args:
        telemetry: what is checked.
        details: who is told more than the status.
        timeout: how long, in s, one check may take.
    """

    def __init__(
        self,
        telemetry: TelemetrySource,
        details: HealthDetails,
        *,
        timeout: float = HEALTH_SECONDS,
    ) -> None:
        self._check = MetalBackendHealthCheck(telemetry, timeout=timeout, details=details)
        self._start = _Start(telemetry)

    def routes(self) -> list[Route]:
        """The routes, for GET and HEAD."""
        return [
            Route("/health", self._health),
            Route("/livez", self._live),
            Route("/readyz", self._ready),
            Route("/startupz", self._started),
        ]

    async def _health(self, request: Request) -> Response:
        url = request.url.replace(query="", fragment="")
        description = url.path.removesuffix("health") + "openapi.json"
        answer = answer_to(
            await self._check.acheck(),
            details=self._check.details,
            address=request.client.host if request.client else None,
            header_names=request.headers.keys(),
            # RFC 8631: where the service is described for machines.
            links={"self": str(url), "service-desc": str(url.replace(path=description))},
        )
        return Response(answer.body, answer.status, dict(answer.headers))

    async def _live(self, request: Request) -> Response:
        # By answering it has said everything: nothing that may hang is asked.
        return self._text(request, "livez", ["[+]ping ok"], ok=True)

    async def _ready(self, request: Request) -> Response:
        result = await self._check.acheck()
        ok = result.verdict is not Verdict.FAIL
        return self._text(request, "readyz", result.to_lines(), ok=ok)

    async def _started(self, request: Request) -> Response:
        if self._start.seen:
            return self._text(request, "startupz", ["[+]start ok"], ok=True)
        if self._start.is_told:
            lines = ["[-]start failed: telemetry has not ticked yet"]
            return self._text(request, "startupz", lines, ok=False)
        result: HealthCheckResult = await self._check.acheck()
        if result.snapshot is not None:
            self._start.seen = True
            return self._text(request, "startupz", ["[+]start ok"], ok=True)
        lines = [f"[-]start failed: {result.telemetry_failure}"]
        return self._text(request, "startupz", lines, ok=False)

    def _text(self, request: Request, name: str, lines: list[str], *, ok: bool) -> Response:
        """Plain text as Kubernetes' own endpoints give it.

        (https://kubernetes.io/docs/reference/using-api/health-checks/)
        """
        address = request.client.host if request.client else None
        shown = may_see(self._check.details, address, request.headers.keys())
        if ok and not (shown and "verbose" in request.query_params):
            body = "ok\n"
        else:
            verdict = f"{name} check {'passed' if ok else 'failed'}"
            body = "".join(f"{line}\n" for line in ([*lines, verdict] if shown else [verdict]))
        return PlainTextResponse(body, 200 if ok else 503, _NO_STORE)


class _Start:
    """Whether the source has begun: its first tick, where it says that it has a beginning."""

    def __init__(self, telemetry: TelemetrySource) -> None:
        self.seen = False
        # What has no such property is there or not: it has begun when it can be collected.
        self.is_told = hasattr(telemetry, "is_running")
        self._unsubscribe = telemetry.subscribe(self._on_tick) if self.is_told else None

    def _on_tick(self, _snapshot: MetalTelemetrySnapshot) -> None:
        self.seen = True
        # Not there yet where the tick was quicker than the constructor; then the next one does it.
        unsubscribe = getattr(self, "_unsubscribe", None)
        if unsubscribe is not None:
            unsubscribe()
