"""Who speaks: the service and its instance, by OpenTelemetry's resource conventions."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["DEFAULT_SERVICE_NAME", "resource_here", "resource_of"]

DEFAULT_SERVICE_NAME: Final = "metalscope"


def resource_of(
    snapshot: MetalTelemetrySnapshot,
    service_name: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> dict[str, str | int]:
    """The attributes of the host and process the snapshot is of, and of the service.

    ``service.name`` is ``service_name``, else what ``OTEL_SERVICE_NAME``, else what
    ``OTEL_RESOURCE_ATTRIBUTES`` says, else :data:`DEFAULT_SERVICE_NAME`. ``service.instance.id``
    is the host and the process id, so that no two processes share a series, and a counter that
    begins anew is a new series; ``OTEL_RESOURCE_ATTRIBUTES`` may say another.
    """
    environment = os.environ if environment is None else environment
    said = _said(environment.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    system = snapshot.system
    attributes: dict[str, str | int] = dict(system.resource) if system else {}
    instance = f"{system.host}:{system.pid}" if system else "unknown"
    attributes["service.instance.id"] = instance
    attributes |= said
    attributes["service.name"] = (
        service_name
        or environment.get("OTEL_SERVICE_NAME")
        or str(said.get("service.name", DEFAULT_SERVICE_NAME))
    )
    return attributes


def resource_here(service_name: str | None = None) -> dict[str, str | int]:
    """The same of this process, where there is no snapshot at hand."""
    from metalscope.sensors.host import HostSensor  # noqa: PLC0415 - where it is asked for
    from metalscope.snapshot import MetalTelemetrySnapshot  # noqa: PLC0415

    now = datetime.now(UTC)
    here = MetalTelemetrySnapshot(now, now, system=HostSensor().system(()))
    return resource_of(here, service_name)


def _said(text: str) -> dict[str, str]:
    # OpenTelemetry specification, "Resource SDK": key=value, comma-separated, percent-encoded.
    pairs = (part.partition("=") for part in text.split(",") if "=" in part)
    return {key.strip(): unquote(value.strip()) for key, _, value in pairs if key.strip()}
