"""Custom JSON: to a webhook, or to a file on this machine, as the endpoint says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metalscope.errors import ConfigurationError
from metalscope.export.documents.ndjson_file import NdjsonFileExporter
from metalscope.export.documents.webhook import WebhookExporter
from metalscope.option_types import shown_endpoint

if TYPE_CHECKING:
    from metalscope.export.base import ExporterContext, MetricsExporter

__all__ = ["json_exporter"]


def json_exporter(context: ExporterContext) -> MetricsExporter:
    """The exporter for ``http(s)://…``, a webhook, or ``file:///…``.

    Raises:
        ConfigurationError: the endpoint is missing, of another scheme, or not of the protocol.
    """
    options = context.options
    scheme = (options.endpoint or "").partition("://")[0]
    kinds = {"http": "webhook", "https": "webhook", "file": "file"}
    kind = kinds.get(scheme)
    if kind is None:
        shown = shown_endpoint(options.endpoint) if options.endpoint else "none"
        raise ConfigurationError(
            f"exporter {options.name!r}: endpoint must be an http or https URL, or "
            f"file:///path/metrics.ndjson, not {shown}"
        )
    if options.protocol not in {None, kind}:
        raise ConfigurationError(
            f"exporter {options.name!r}: protocol {options.protocol} does not fit an endpoint "
            f"of {scheme}://"
        )
    return NdjsonFileExporter(context) if kind == "file" else WebhookExporter(context)
