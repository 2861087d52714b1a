"""What was asked for that will not be done, or be done otherwise than one might think."""

from __future__ import annotations

from collections.abc import Iterator

from metalscope.alert_options import AlertsOptions
from metalscope.errors import ConfigurationError
from metalscope.export.prometheus_endpoint import meaning
from metalscope.export_options import ExporterOptions
from metalscope.log_options import LoggingOptions
from metalscope.option_types import endpoint_host, is_loopback, shown_endpoint
from metalscope.options import ExporterType, MetalTelemetryOptions
from metalscope.trace_options import TracesOptions

__all__ = ["unavailable_features"]


def unavailable_features(options: MetalTelemetryOptions) -> list[str]:
    """One sentence for each thing asked for that is not done, or otherwise than one might think."""
    return [
        *_exporters(options),
        *_alerts(options.alerts),
        *_logging(options.logging),
        *_traces(options.traces),
    ]


def _exporters(options: MetalTelemetryOptions) -> Iterator[str]:
    """What is to be known of exporters before anybody wonders where the data is."""
    for exporter in options.export.exporters:
        if not exporter.enabled or exporter.type != ExporterType.PROMETHEUS:
            continue
        who = f"exporter {exporter.name!r} ({exporter.type})"
        try:
            meant = meaning(exporter)
        except ConfigurationError:
            # Told when the exporter is made.
            continue
        if meant.note:
            yield f"{who}: {meant.note}"
        if meant.protocol == "scrape":
            yield from (f"{who}: {what}" for what in _of_a_scrape(exporter, options))


def _alerts(options: AlertsOptions) -> Iterator[str]:
    """What is to be known before anybody waits for a message that is not sent."""
    places = (
        ("channels", options.channels),
        ("notification_endpoints", options.notification_endpoints),
    )
    named = [f"alerts.{name}" for name, given in places if given]
    if not named:
        if options.enable_notifications:
            yield "alerts.enable_notifications is true, and no channel is named: nobody is told"
    elif not options.enabled:
        yield f"{' and '.join(named)}: alerts.enabled is false, so nobody is told"
    elif not options.enable_notifications:
        yield f"{' and '.join(named)}: alerts.enable_notifications is false, so nobody is told"


def _logging(options: LoggingOptions) -> Iterator[str]:
    """What is to be known before anybody looks for a record that is not written."""
    if options.log_operations and options.level != "debug":
        yield (
            f"logging.log_operations: logging.level is {options.level}, and the start and end of "
            "operations are logged at debug"
        )


def _traces(options: TracesOptions) -> Iterator[str]:
    """What is to be known before anybody looks for a span that is not made."""
    places = (("exporters", options.exporters), ("file", options.file))
    named = [f"traces.{name}" for name, given in places if given]
    if named and not options.enabled:
        yield f"{' and '.join(named)}: traces.enabled is false, so there are no spans"
    if options.enabled and not named and not options.join_provider:
        yield "traces.enabled is true, and no place is named: spans go nowhere"


def _of_a_scrape(exporter: ExporterOptions, options: MetalTelemetryOptions) -> Iterator[str]:
    if exporter.endpoint and not is_loopback(endpoint_host(exporter.endpoint)):
        yield (
            f"metrics are not sent to {shown_endpoint(exporter.endpoint)}; Prometheus "
            "scrapes the /metrics of this program, so name this program in its scrape_configs"
        )
    if not options.server.enabled:
        yield "nothing serves /metrics; set server.enabled to true"
    if exporter.headers or exporter.api_key:
        yield "headers and keys are not asked for at /metrics"
