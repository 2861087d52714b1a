"""Datadog: its API in versions 2 and 1, by Datadog's own client; DogStatsD is chosen here too."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from metalscope.errors import ConfigurationError
from metalscope.export.base import ExporterContext, MetricsExporter
from metalscope.export.datadog import requests
from metalscope.export.datadog.client import DatadogClient
from metalscope.export.datadog.points import Event, Series, Values
from metalscope.export.datadog.sending import DatadogSending
from metalscope.export.datadog.settings import DatadogSettings
from metalscope.sending.result import ExportResult

if TYPE_CHECKING:
    from metalscope.sending.http.transport import HttpTransport
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["DatadogExporter", "datadog_exporter"]

DEFAULT_SITE: Final = "datadoghq.com"

SERIES_IN_A_PART: Final = 1000
"""About 0.5 MB before compression; a body may have 5 MB, compressed 500 kB (Datadog API v2,
"Submit metrics")."""

VALUES_IN_A_PART: Final = 20
"""Of at most 1000 durations each."""


def datadog_exporter(context: ExporterContext) -> MetricsExporter:
    """The exporter for the protocol that the options or the endpoint say: v2, v1 or dogstatsd."""
    endpoint = context.options.endpoint or ""
    if context.options.protocol == "dogstatsd" or urlsplit(endpoint).scheme in {"udp", "unix"}:
        from metalscope.export.datadog.dogstatsd import DogStatsdExporter  # noqa: PLC0415 - only if asked

        return DogStatsdExporter(context)
    return DatadogExporter(context)


class DatadogExporter(DatadogSending):
    """Sends to ``/api/v2/series``, or to ``/api/v1/series`` where ``protocol`` is ``v1``.

    Counters go as counts of what they gained since the last snapshot that arrived, with the
    seconds since then as their interval; everything else as gauges. Distributions and events go
    to ``/api/v1/distribution_points`` and ``/api/v1/events``, which have no version 2 that takes
    them.

    The endpoint is the URL before ``/api``. Where none is set it is that of ``settings.site``, of
    ``DD_SITE``, or of datadoghq.com; where there is no key in the options it is ``DD_API_KEY``.

    Raises:
        ConfigurationError: an option is not usable, or there is no key.
        MissingExtraError: Datadog's client is not installed.
    """

    had_already = "Datadog had it already"

    def __init__(self, context: ExporterContext) -> None:
        settings = DatadogSettings.of(context, {"site", "distributions", "events", "max_age"})
        base, told = _base_and_version(context, settings)
        super().__init__(context, settings, (SERIES_IN_A_PART, VALUES_IN_A_PART, 1))
        self._is_v1 = (context.options.protocol or told or "v2") == "v1"
        self._datadog = DatadogClient(
            _http(context, base), key_is_a_header=_has_key_header(context)
        )

    def shutdown(self) -> None:
        """Close the connections."""
        self._datadog.close()

    def _send_series(
        self, snapshot: MetalTelemetrySnapshot, part: Sequence[Series]
    ) -> ExportResult:
        form = requests.series_v1 if self._is_v1 else requests.series_v2
        second, host = self._points.second(snapshot), self._points.host(snapshot)
        return self._submit(form(part, second, host))

    def _send_values(
        self, snapshot: MetalTelemetrySnapshot, part: Sequence[Values]
    ) -> ExportResult:
        second, host = self._points.second(snapshot), self._points.host(snapshot)
        return self._submit(requests.distributions(part, second, host))

    def _submit(self, request: requests.Request) -> ExportResult:
        result, answer = self._datadog.call(request)
        # Version 2 says in the answer to what it took what was wrong with it.
        complaints = [str(one) for one in (answer.get("errors") or [])] if answer else []
        if result.ok and complaints:
            detail = f"Datadog took it and says: {self._datadog.shown('; '.join(complaints))}"
            return ExportResult.delivered(detail=detail)
        return result

    def _send_event(self, snapshot: MetalTelemetrySnapshot, event: Event) -> ExportResult:
        request = requests.event(event, self._points.host(snapshot))
        return self._datadog.call(request)[0]


def _base_and_version(
    context: ExporterContext, settings: DatadogSettings
) -> tuple[str, str | None]:
    endpoint = context.options.endpoint
    if endpoint is None:
        return f"https://api.{settings.site or os.environ.get('DD_SITE') or DEFAULT_SITE}", None
    if settings.site is not None:
        raise ConfigurationError(
            f"exporter {context.name}: settings.site must not be set where endpoint is"
        )
    if urlsplit(endpoint).query:
        raise ConfigurationError(
            f"exporter {context.name}: endpoint must have no query; the key belongs in api_key"
        )
    # Old examples give the whole address of the series.
    whole = re.search(r"/api/(v[12])(?:/series)?/?$", endpoint)
    if whole is None:
        return endpoint.rstrip("/"), None
    return endpoint[: whole.start()], whole[1]


def _http(context: ExporterContext, base: str) -> HttpTransport:
    options = context.options
    has_key = options.api_key is not None or options.api_key_from is not None
    if has_key or _has_key_header(context):
        return context.open_http(base, auth="none")
    if not os.environ.get("DD_API_KEY"):
        raise ConfigurationError(
            f"exporter {context.name}: api_key is not set, nor is api_key_from or DD_API_KEY"
        )
    options = options.model_copy(update={"api_key_from": "env:DD_API_KEY"})
    return context.with_options(options).open_http(base, auth="none")


def _has_key_header(context: ExporterContext) -> bool:
    return any(name.lower() == "dd-api-key" for name in context.options.headers)
