"""Which exporter the options mean: metalscope's own by type, others' by entry point."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Final

from metalscope.errors import ConfigurationError
from metalscope.export.base import ExporterContext, MetricsExporter
from metalscope.export.otlp.environment import completed
from metalscope.export.view import MetricView
from metalscope.export_options import EXPORTER_ENTRY_POINTS, Audience, ExporterType
from metalscope.plugins import entry_points_of, load_entry_point
from metalscope.sending.audience import audience_of
from metalscope.sending.http.transport import HttpTransport

if TYPE_CHECKING:
    from metalscope.export.base import ExporterFactory
    from metalscope.export_options import ExporterOptions, ExportOptions
    from metalscope.sanitizing.sanitizer import Sanitizer

__all__ = ["context_for", "create_exporter", "exporters_of"]

# Loaded when one is made: each brings the libraries of its platform.
_FACTORIES: Final[dict[str, str]] = {
    ExporterType.PROMETHEUS: "prometheus_endpoint:prometheus_exporter",
    ExporterType.OPENTELEMETRY: "otlp.exporter:OtlpExporter",
    ExporterType.APPLICATION_INSIGHTS: "application_insights.exporter:ApplicationInsightsExporter",
    ExporterType.DATADOG: "datadog.exporter:datadog_exporter",
    ExporterType.GRAFANA_CLOUD: "grafana_cloud:grafana_cloud_exporter",
    ExporterType.CUSTOM: "documents.json_exporter:json_exporter",
    ExporterType.STATSD: "statsd:StatsdExporter",
    ExporterType.INFLUXDB: "influxdb:InfluxdbExporter",
}


def exporters_of(
    options: ExportOptions, *, sanitizer: Sanitizer | None = None
) -> Iterator[tuple[ExporterOptions, MetricsExporter]]:
    """Make each enabled exporter that sends; a Prometheus that scrapes is none.

    Raises:
        ConfigurationError: an exporter's options contradict each other or lack something.
        MissingExtraError: the library of its platform is not installed.
    """
    for one in options.exporters:
        if one.enabled:
            exporter = create_exporter(one, options, sanitizer=sanitizer)
            if exporter is not None:
                yield one, exporter


def create_exporter(
    one: ExporterOptions, options: ExportOptions, *, sanitizer: Sanitizer | None = None
) -> MetricsExporter | None:
    """Make one exporter; ``None`` where it sends nothing. Raises as :func:`exporters_of` does."""
    return _factory(one)(context_for(one, options, sanitizer=sanitizer))


def context_for(
    one: ExporterOptions, options: ExportOptions, *, sanitizer: Sanitizer | None = None
) -> ExporterContext:
    """What an exporter of these options is made from.

    ``sanitizer`` does what ``sanitize`` asks for; one with the default rules where none is given.
    """
    one = completed(one, os.environ)
    external = audience_of(one) is Audience.EXTERNAL
    timeout = one.timeout or options.export_timeout
    return ExporterContext(
        options=one,
        view=MetricView(
            (options.external, one.metrics) if external else (one.metrics,),
            labels=one.labels,
            service_name=options.service_name,
            sanitizer=sanitizer,
        ),
        timeout=timeout,
        open_http=partial(HttpTransport.of, one, timeout=timeout),
    )


def _factory(one: ExporterOptions) -> ExporterFactory:
    own = _FACTORIES.get(one.type)
    if own is not None:
        module, _, name = own.partition(":")
        factory: ExporterFactory = getattr(import_module(f"metalscope.export.{module}"), name)
        return factory
    entry_point = entry_points_of(EXPORTER_ENTRY_POINTS).get(one.type)
    if entry_point is None:
        raise ConfigurationError(
            f"exporter {one.name!r}: no installed package has an exporter of type {one.type!r}"
        )
    loaded: ExporterFactory = load_entry_point(entry_point, f"exporter {one.name!r}")
    return loaded
