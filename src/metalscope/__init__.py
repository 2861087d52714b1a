"""Production telemetry and monitoring for Metal GPU work in Python.

``import metalscope`` loads no exporter, no server and no GPU library; what is named here is
loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from metalscope._version import __version__
from metalscope.operation import Component, MetalError, OperationKind, PerformanceCategory

if TYPE_CHECKING:
    from metalscope.accelerator import MetalAccelerator
    from metalscope.alerts.manager import MetalAlertsManager
    from metalscope.builder import MetalTelemetryBuilder
    from metalscope.correlating import correlation, current_correlation_id
    from metalscope.default import add_metal_telemetry, get_telemetry
    from metalscope.health.monitor import MetalHealthMonitor
    from metalscope.health_check import MetalBackendHealthCheck
    from metalscope.instrument import instrument, uninstrument
    from metalscope.logs.logger import MetalProductionLogger
    from metalscope.manager import MetalTelemetryManager
    from metalscope.options import MetalTelemetryOptions
    from metalscope.report import MetalProductionReport
    from metalscope.snapshot import HealthStatus, MetalTelemetrySnapshot

__all__ = [
    "Component",
    "HealthStatus",
    "MetalAccelerator",
    "MetalAlertsManager",
    "MetalBackendHealthCheck",
    "MetalError",
    "MetalHealthMonitor",
    "MetalProductionLogger",
    "MetalProductionReport",
    "MetalTelemetryBuilder",
    "MetalTelemetryManager",
    "MetalTelemetryOptions",
    "MetalTelemetrySnapshot",
    "OperationKind",
    "PerformanceCategory",
    "__version__",
    "add_metal_telemetry",
    "correlation",
    "current_correlation_id",
    "get_telemetry",
    "instrument",
    "uninstrument",
]

_HOME = {
    "HealthStatus": "snapshot",
    "MetalAccelerator": "accelerator",
    "MetalAlertsManager": "alerts.manager",
    "MetalBackendHealthCheck": "health_check",
    "MetalHealthMonitor": "health.monitor",
    "MetalProductionLogger": "logs.logger",
    "MetalProductionReport": "report",
    "MetalTelemetryBuilder": "builder",
    "MetalTelemetryManager": "manager",
    "MetalTelemetryOptions": "options",
    "MetalTelemetrySnapshot": "snapshot",
    "add_metal_telemetry": "default",
    "correlation": "correlating",
    "current_correlation_id": "correlating",
    "get_telemetry": "default",
    "instrument": "instrument",
    "uninstrument": "instrument",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
