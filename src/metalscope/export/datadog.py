"""Datadog: its API in versions 2 and 1, by Datadog's own client; DogStatsD is chosen here too."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from metalscope.errors import ConfigurationError
from metalscope.export import datadog_requests as requests
from metalscope.export.base import ExporterContext, MetricsExporter
from metalscope.export.datadog_client import DatadogClient
from metalscope.export.datadog_points import DatadogPoints, Event, Series, Values
from metalscope.export.datadog_settings import DatadogSettings
from metalscope.export.result import ExportResult
from metalscope.export.stages import Stage, Stages
from metalscope.export.transport import HttpTransport

if TYPE_CHECKING:
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
        from metalscope.export.dogstatsd import DogStatsdExporter  # noqa: PLC0415 - only if asked

        return DogStatsdExporter(context)
    return DatadogExporter(context)


class DatadogExporter(MetricsExporter):
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

    def __init__(self, context: ExporterContext) -> None:
        settings = DatadogSettings.of(context, {"site", "distributions", "events", "max_age"})
        base, told = _base_and_version(context, settings)
        self._settings = settings
        self._is_v1 = (context.options.protocol or told or "v2") == "v1"
        self._datadog = DatadogClient(
            _http(context, base), key_is_a_header=_has_key_header(context)
        )
        self._points = DatadogPoints(
            context.view, distributions=settings.distributions, events=settings.events
        )
        self._stages = Stages(SERIES_IN_A_PART, VALUES_IN_A_PART, 1)
        # Events that arrived are no longer new, and must keep their places until the end.
        self._events: tuple[object, list[Event]] | None = None

    def resume(self, delivered: MetalTelemetrySnapshot) -> None:
        """Count from there."""
        self._points.resume(delivered)

    def export(self, snapshot: MetalTelemetrySnapshot) -> ExportResult:
        """Send what changed, in as many requests as it takes."""
        if self._points.has_arrived(snapshot):
            return ExportResult.delivered(detail="Datadog had it already")
        refusal = self._settings.too_old(snapshot)
        if refusal is not None:
            return refusal
        points = self._points

        def send_series(part: Sequence[Series]) -> ExportResult:
            return self._taken(snapshot, part, self._submit_series(snapshot, part))

        def send_values(part: Sequence[Values]) -> ExportResult:
            return self._taken(snapshot, part, self._submit_values(snapshot, part))

        def send_event(part: Sequence[Event]) -> ExportResult:
            result = self._create_event(snapshot, part[0])
            if result.ok:
                points.event_arrived(snapshot, part[0])
            return result

        result = self._stages.send(
            snapshot,
            [
                Stage(points.series(snapshot), send_series),
                Stage(points.distributions(snapshot), send_values),
                Stage(self._events_of(snapshot), send_event),
            ],
        )
        if result.ok:
            self._events = None
            points.complete(snapshot)
        return result

    def shutdown(self) -> None:
        """Close the connections."""
        self._datadog.close()

    def _events_of(self, snapshot: MetalTelemetrySnapshot) -> list[Event]:
        of = (snapshot.started_at, snapshot.timestamp)
        if self._events is None or self._events[0] != of:
            self._events = of, self._points.events(snapshot)
        return self._events[1]

    def _taken(
        self,
        snapshot: MetalTelemetrySnapshot,
        part: Sequence[Series | Values],
        result: ExportResult,
    ) -> ExportResult:
        if result.ok:
            self._points.arrived(snapshot, part)
        return result

    def _submit_series(
        self, snapshot: MetalTelemetrySnapshot, part: Sequence[Series]
    ) -> ExportResult:
        form = requests.series_v1 if self._is_v1 else requests.series_v2
        second, host = self._points.second(snapshot), self._points.host(snapshot)
        return self._submit(form(part, second, host))

    def _submit_values(
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

    def _create_event(self, snapshot: MetalTelemetrySnapshot, event: Event) -> ExportResult:
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
    return HttpTransport.of(options, base, timeout=context.timeout, auth="none")


def _has_key_header(context: ExporterContext) -> bool:
    return any(name.lower() == "dd-api-key" for name in context.options.headers)
