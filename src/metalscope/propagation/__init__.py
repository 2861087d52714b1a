"""Correlation over process borders: HTTP headers in and out, middleware, environment variables."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metalscope.propagation.asgi import CorrelationMiddleware
    from metalscope.propagation.headers import Incoming, extract, inject
    from metalscope.propagation.traceparent import parse_traceparent, traceparent_of
    from metalscope.propagation.variables import environment, from_environment
    from metalscope.propagation.wsgi import WSGICorrelationMiddleware

__all__ = [
    "CorrelationMiddleware",
    "Incoming",
    "WSGICorrelationMiddleware",
    "environment",
    "extract",
    "from_environment",
    "inject",
    "parse_traceparent",
    "traceparent_of",
]

_HOME = {
    "CorrelationMiddleware": "asgi",
    "Incoming": "headers",
    "WSGICorrelationMiddleware": "wsgi",
    "environment": "variables",
    "extract": "headers",
    "from_environment": "variables",
    "inject": "headers",
    "parse_traceparent": "traceparent",
    "traceparent_of": "traceparent",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
