"""A health check of the Metal back end for the application's own probes and pages.

:class:`MetalBackendHealthCheck` answers within its timeout whatever hangs, and mounts in FastAPI,
Starlette, Django, Flask, or anything that speaks ASGI or WSGI. None of them is loaded for it.
"""

from __future__ import annotations

from metalscope.health_check.check import MetalBackendHealthCheck
from metalscope.health_check.result import HealthCheckResult, ProbeResult

__all__ = ["HealthCheckResult", "MetalBackendHealthCheck", "ProbeResult"]
