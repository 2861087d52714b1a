"""The server that a program's options ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metalscope.server.runner import RunningServer, start_server

if TYPE_CHECKING:
    from metalscope.export.view import MetricView
    from metalscope.options import MetalTelemetryOptions
    from metalscope.server.source import TelemetrySource

__all__ = ["server_of"]


def server_of(source: TelemetrySource, options: MetalTelemetryOptions) -> RunningServer:
    """Serve ``source`` as ``options.server`` says.

    Raises:
        ConfigurationError: the address or a file it needs may not or cannot be used.
        MissingExtraError: the server's libraries are not installed.
    """
    wanted = options.server
    return start_server(
        source,
        host=wanted.host,
        port=wanted.port,
        insecure_no_auth=wanted.insecure_no_auth,
        insecure_no_tls=wanted.insecure_no_tls,
        health_details=wanted.health_details,
        tls=wanted.tls,
        access=wanted.access,
        external=_external(options) if wanted.access.external_roles else None,
        allowed_hosts=wanted.allowed_hosts,
        limits=wanted.limits,
        page=wanted.page,
        forecaster=options.health_monitor.forecaster,
    )


def _external(options: MetalTelemetryOptions) -> MetricView:
    """The metrics as an exporter to another's network would send them."""
    from metalscope.export.view import MetricView  # noqa: PLC0415 - where a role is external
    from metalscope.sanitizing import sanitizer_of  # noqa: PLC0415

    return MetricView((options.export.external,), sanitizer=sanitizer_of(options))
