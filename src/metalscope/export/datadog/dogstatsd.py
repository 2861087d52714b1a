"""DogStatsD: the Datadog Agent's protocol, by Datadog's own client."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from metalscope.errors import MissingExtraError
from metalscope.export.datadog.points import Event, Series, Values
from metalscope.export.datadog.sending import DatadogSending
from metalscope.export.datadog.settings import DatadogSettings
from metalscope.export.datagrams import DEFAULT_PORT, Link
from metalscope.sending.result import ExportResult

if TYPE_CHECKING:
    from metalscope.export.base import ExporterContext
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["DogStatsdExporter"]

SERIES_IN_A_PART: Final = 20
"""A few datagrams: what is sent again after a failure within a part."""

VALUES_IN_A_LINE: Final = 40
"""Values of a distribution in one line (DogStatsD protocol v1.1, "value packing")."""

MAX_TEXT_BYTES: Final = 4000
"""Of an event: the Agent reads 8 KiB a datagram (``dogstatsd_buffer_size``)."""


class DogStatsdExporter(DatadogSending):
    """Sends to a Datadog Agent at ``udp://host:port`` or ``unix:///path``.

    The same series, tags and events as by the API, without units, which the protocol lacks. Counts
    and gauges have the snapshot's own time (protocol v1.3, Agent 7.40) unless
    ``settings.timestamps`` is off. UDP has no answer: delivered means that the system took the
    datagrams and had heard of no failure.

    Where no endpoint is set it is that of ``DD_DOGSTATSD_URL``, else of ``DD_AGENT_HOST``, else
    of this machine.

    Raises:
        ConfigurationError: an option is not usable.
        MissingExtraError: Datadog's client is not installed.
    """

    had_already = "it was sent already"

    def __init__(self, context: ExporterContext) -> None:
        known = {"distributions", "events", "timestamps", "max_age"}
        settings = DatadogSettings.of(context, known)
        super().__init__(context, settings, (SERIES_IN_A_PART, 1, 1))
        self._link = Link(context, context.options.endpoint or _default_endpoint())
        self._client = _client_of(self._link)

    def shutdown(self) -> None:
        """Close the socket."""
        self._link.close()

    def _send_series(
        self, snapshot: MetalTelemetrySnapshot, part: Sequence[Series]
    ) -> ExportResult:
        second = self._points.second(snapshot)
        return self._through(lambda: self._write_series(part, second), len(part))

    def _send_values(
        self,
        snapshot: MetalTelemetrySnapshot,  # noqa: ARG002 - distributions have no time here
        part: Sequence[Values],
    ) -> ExportResult:
        return self._through(lambda: self._write_values(part), len(part))

    def _send_event(self, snapshot: MetalTelemetrySnapshot, event: Event) -> ExportResult:
        host = self._points.host(snapshot)
        return self._through(lambda: self._write_event(event, host), 1)

    def _through(self, write: Any, points: int) -> ExportResult:
        opened = self._link.open()
        if opened is not None:
            # Told anew each time: the client forgets it when a packet fails.
            self._client.socket = opened
            with self._client:
                write()
        return self._link.result(points)

    def _write_series(self, part: Sequence[Series], second: int) -> None:
        client = self._client
        for one in part:
            # The client writes numbers as Python does.
            value, tags = float(one.value), list(one.tags)
            if not self._settings.timestamps:
                write = client.count if one.kind == "count" else client.gauge
                write(one.metric, value, tags=tags)
            elif one.kind == "count":
                client.count_with_timestamp(one.metric, value, second, tags=tags)
            else:
                client.gauge_with_timestamp(one.metric, value, second, tags=tags)

    def _write_values(self, part: Sequence[Values]) -> None:
        for one in part:
            for start in range(0, len(one.values), VALUES_IN_A_LINE):
                packed = ":".join(map(repr, one.values[start : start + VALUES_IN_A_LINE]))
                self._client.distribution(one.metric, packed, tags=list(one.tags))

    def _write_event(self, event: Event, host: str | None) -> None:
        text = event.text.encode()[:MAX_TEXT_BYTES].decode(errors="ignore")
        self._client.event(
            event.title, text, date_happened=event.second, tags=list(event.tags), hostname=host
        )


def _client_of(link: Link) -> Any:
    try:
        from datadog.dogstatsd.base import DogStatsd  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("the DogStatsD exporter", "datadog", cause=str(error)) from error

    class Client(DogStatsd):  # type: ignore[misc,unused-ignore]
        """Sends over the link's socket only, so that each failure is known."""

        def get_socket(self, telemetry: bool = False) -> Any:  # noqa: ARG002
            return link.current

    # It is used by one thread at a time and is closed before a fork matters: no need to track it.
    return Client(disable_telemetry=True, disable_buffering=True, track_instance=False)


def _default_endpoint() -> str:
    environment = os.environ
    host = environment.get("DD_AGENT_HOST") or "127.0.0.1"
    port = environment.get("DD_DOGSTATSD_PORT") or DEFAULT_PORT
    return environment.get("DD_DOGSTATSD_URL") or f"udp://{host}:{port}"
