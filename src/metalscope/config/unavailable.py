"""What can be configured and does nothing yet, or not what one might think.

The one list of what nothing reads: as a room comes to read an option, its entry here goes, and with
it the warning at start and the mark in the documentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from metalscope.alert_options import AlertsOptions
from metalscope.config.schema import dotted, options_of
from metalscope.errors import ConfigurationError
from metalscope.export.prometheus_endpoint import meaning
from metalscope.export_options import ExporterOptions
from metalscope.option_types import endpoint_host, is_loopback, shown_endpoint
from metalscope.options import ExporterType, MetalTelemetryOptions

__all__ = ["NOT_READ_YET", "is_read", "unavailable_features"]

NOT_READ_YET: Final = frozenset({"logging"})
"""Options, and whole groups, that nothing reads in this version."""

# Each of them has a sentence of its own.
_EXPORTERS: Final = ("export", "exporters")


def is_read(option: str) -> bool:
    """Whether an option, named as in ``server.port``, has an effect in this version."""
    group = option.partition(".")[0]
    return option not in NOT_READ_YET and group not in NOT_READ_YET


def unavailable_features(options: MetalTelemetryOptions) -> list[str]:
    """One sentence for each thing asked for that this version does not do, or does otherwise."""
    return [*_unread(options), *_exporters(options), *_alerts(options.alerts)]


def _unread(options: MetalTelemetryOptions) -> Iterator[str]:
    changed: dict[str, list[str]] = {}
    for keys, field in options_of(MetalTelemetryOptions):
        if keys == _EXPORTERS:
            continue
        value: object = options
        for key in keys:
            value = getattr(value, key)
        option = dotted(keys)
        if value != field.get_default(call_default_factory=True) and not is_read(option):
            changed.setdefault(keys[0], []).append(option)
    for names in changed.values():
        yield f"{', '.join(names)}: this version of metalscope does not read this yet"


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
