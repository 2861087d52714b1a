"""A health check as a WSGI application (PEP 3333)."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

from metalscope.health_check.answer import METHODS, REFUSAL, answer_to

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from metalscope.health_check.check import MetalBackendHealthCheck

    WSGIApp = WSGIApplication

__all__ = ["header_names", "wsgi_app"]

_PREFIX = "HTTP_"


def wsgi_app(check: MetalBackendHealthCheck) -> WSGIApp:
    """Answer GET and HEAD, at whatever path, with the health document."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        answer = REFUSAL
        if method in METHODS:
            answer = answer_to(
                check.check(),
                details=check.details,
                address=environ.get("REMOTE_ADDR"),
                header_names=header_names(environ),
            )
        phrase = HTTPStatus(answer.status).phrase
        start_response(f"{answer.status} {phrase}", list(answer.headers))
        return [b"" if method == "HEAD" else answer.body]

    return app


def header_names(environ: WSGIEnvironment) -> list[str]:
    """The names of a request's headers, from the names of WSGI's variables."""
    return [
        name.removeprefix(_PREFIX).replace("_", "-") for name in environ if name.startswith(_PREFIX)
    ]
