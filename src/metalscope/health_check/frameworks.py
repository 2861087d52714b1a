"""A health check in the forms of Starlette, FastAPI, Django and Flask.

Whoever calls these has the framework loaded already.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from metalscope.health_check.answer import METHODS, REFUSAL, Answer, answer_to
from metalscope.health_check.wsgi import header_names

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from metalscope.health_check.check import MetalBackendHealthCheck
    from metalscope.health_check.result import HealthCheckResult

__all__ = ["django_async_view", "django_view", "flask_view", "starlette_endpoint"]


def starlette_endpoint(
    check: MetalBackendHealthCheck,
) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint for a route of Starlette or FastAPI."""
    from starlette.requests import Request  # noqa: PLC0415 - not where another framework is used
    from starlette.responses import Response  # noqa: PLC0415

    async def health(request: Request) -> Response:
        """Health of the Metal back end as application/health+json."""
        answer = answer_to(
            await check.acheck(),
            details=check.details,
            address=request.client.host if request.client else None,
            header_names=request.headers.keys(),
        )
        return Response(answer.body, answer.status, dict(answer.headers))

    # FastAPI reads it to know what to pass; as text it would look in this module for the name.
    health.__annotations__ = {"request": Request}
    return health


def django_view(check: MetalBackendHealthCheck, request: Any) -> Any:
    """Answer a request of Django with an ``HttpResponse``."""
    result = check.check() if request.method in METHODS else None
    return _django_response(_answer(check, result, request.META), request)


async def django_async_view(check: MetalBackendHealthCheck, request: Any) -> Any:
    """As :func:`django_view`, without holding up the event loop."""
    result = await check.acheck() if request.method in METHODS else None
    return _django_response(_answer(check, result, request.META), request)


def flask_view(check: MetalBackendHealthCheck) -> Any:
    """Answer the request that Flask is serving with a ``Response``."""
    flask = import_module("flask")
    request = flask.request
    result = check.check() if request.method in METHODS else None
    answer = _answer(check, result, request.environ)
    return flask.Response(answer.body, status=answer.status, headers=dict(answer.headers))


def _django_response(answer: Answer, request: Any) -> Any:
    response = import_module("django.http").HttpResponse
    body = b"" if request.method == "HEAD" else answer.body
    return response(body, status=answer.status, headers=dict(answer.headers))


def _answer(
    check: MetalBackendHealthCheck, result: HealthCheckResult | None, environ: Any
) -> Answer:
    if result is None:
        return REFUSAL
    return answer_to(
        result,
        details=check.details,
        address=environ.get("REMOTE_ADDR"),
        header_names=header_names(environ),
    )
