"""Azure's SDK as the writer of Application Insights' protocol, with our transport under it.

The SDK makes the telemetry items and knows the protocol. It does not get to the network itself:
its requests go through :class:`Wire`, so that TLS, proxy, headers and deadline are those of every
other exporter, and what the peer answered is known here to the letter.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from metalscope.errors import ConfigurationError, MissingExtraError
from metalscope.export.documents.json_document import strict_json
from metalscope.sending.http.outcome import HttpAnswer, TransportError
from metalscope.sending.result import Reason

try:
    import requests
    from azure.core.pipeline.transport import RequestsTransport
    from azure.monitor.opentelemetry.exporter import (
        AzureMonitorLogExporter,
        AzureMonitorMetricExporter,
    )
    from opentelemetry._logs import LogRecord
    from opentelemetry.sdk._logs import ReadableLogRecord
except ImportError as missing:
    raise MissingExtraError("Application Insights", "azure", cause=str(missing)) from missing

from metalscope.export.otlp.metrics import nanoseconds

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.resources import Resource

    from metalscope.sending.http.transport import HttpTransport
    from metalscope.snapshot import TelemetryEvent

__all__ = ["Sdk", "Wire"]

_REDIRECTS: Final = {307, 308}
_TAKEN: Final = {"itemsReceived": 0, "itemsAccepted": 0, "errors": []}
_EVENT_NAME: Final = "microsoft.custom_event.name"
# Attributes of a log record by which the SDK tells other kinds of telemetry, or fills tags of its
# own, begin with these.
_MEANT_FOR_THE_SDK: Final = (
    "APPLICATION_INSIGHTS_", "ai.", "client.", "enduser.", "exception.", "http.", "microsoft.",
    "net.", "session.", "user_agent.",
)  # fmt: skip


class Wire(requests.adapters.BaseAdapter):
    """Carries the SDK's requests, and keeps what became of the last one in ``outcome``.

    The SDK is told no more than it acts upon: that all is well, that it is to go elsewhere, or
    that it failed. It follows a redirect (HTTP 307, 308) to its own host or among Azure's own; it
    is not let go from HTTPS to HTTP.

    Args:
        open_http: makes a transport to a URL.
    """

    def __init__(self, open_http: Callable[[str], HttpTransport]) -> None:
        super().__init__()
        self._open_http = open_http
        self._origin = ""
        self._http: HttpTransport | None = None
        self.outcome: HttpAnswer | TransportError | None = None
        self.redirected = False

    def send(
        self,
        request: requests.PreparedRequest,
        *_: object,
        **__: object,
    ) -> requests.Response:
        """Called by the SDK."""
        parts = urlsplit(request.url or "")
        body = request.body or b""
        try:
            http = self._to(f"{parts.scheme}://{parts.netloc}")
            if http is None:
                return _said(request, 503)
            self.outcome = http.send(
                body if isinstance(body, bytes) else str(body).encode(),
                content_type="application/json",
                path=parts.path,
                headers={"Accept": "application/json"},
                compress=True,
            )
        except TransportError as error:
            self.outcome = error
            return _said(request, 503)
        status = self.outcome.status
        if status in _REDIRECTS:
            self.redirected = True
            location = {"Location": self.outcome.headers.get("location", "")}
            return _said(request, status, location)
        return _said(request, 200 if 200 <= status < 300 else 503)

    def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            self._http.close()

    def _to(self, origin: str) -> HttpTransport | None:
        if origin != self._origin:
            if self._origin.startswith("https:") and not origin.startswith("https:"):
                return None
            try:
                http = self._open_http(origin)
            except ConfigurationError as error:
                raise TransportError(Reason.REDIRECTED, str(error)) from None
            self.close()
            self._origin, self._http = origin, http
        return self._http


class Sdk:
    """The two exporters of the SDK, for one resource of Application Insights.

    Args:
        key: the instrumentation key, a UUID.
        endpoint: the ingestion endpoint, without a path of the protocol.
        wire: what they send by.
    """

    def __init__(self, key: str, endpoint: str, wire: Wire) -> None:
        session = requests.Session()
        session.trust_env = False
        for scheme in ("http://", "https://"):
            session.mount(scheme, wire)
        shared: dict[str, Any] = {
            "connection_string": f"InstrumentationKey={key};IngestionEndpoint={endpoint}",
            "transport": RequestsTransport(session=session, session_owner=False),
            # What could not be sent waits in our own spool, and is tried again by our own pace.
            "disable_offline_storage": True,
            "retry_total": 0,
            "max_envelopes_per_second": 0,
            "instrumentation_collection": True,
        }
        self._metrics = _MetricExporter(**shared)
        self._events = _LogExporter(**shared)

    def send_metrics(self, data: MetricsData) -> None:
        """Send these points; what became of it is in the wire's ``outcome``."""
        self._metrics.export(data)

    def send_events(self, events: Iterable[TelemetryEvent], resource: Resource) -> None:
        """Send these as telemetry of type Event."""
        self._events.export([_record(event, resource) for event in events])


class _Quiet:
    """Keeps the SDK from speaking for itself.

    As an exporter of the SDK's own statistics would, it sends no statistics about itself to
    Microsoft, asks no remote configuration of them, looks for no credentials and does not log
    each failure, which is told once by whoever runs the exporter.
    """

    def _is_stats_exporter(self) -> bool:
        return True

    def _is_statsbeat_initializing_state(self) -> bool:
        return False


class _MetricExporter(_Quiet, AzureMonitorMetricExporter):
    pass


class _LogExporter(_Quiet, AzureMonitorLogExporter):
    pass


def _record(event: TelemetryEvent, resource: Resource) -> ReadableLogRecord:
    attributes = {_EVENT_NAME: event.name}
    for key, value in event.properties.items():
        # Else a property called exception.type would make the event an exception.
        name = f"event.{key}" if key.startswith(_MEANT_FOR_THE_SDK) else key
        attributes[name] = value if isinstance(value, str) else strict_json(value)
    record = LogRecord(timestamp=nanoseconds(event.timestamp), attributes=attributes)
    return ReadableLogRecord(record, resource)


def _said(
    request: requests.PreparedRequest, status: int, headers: Mapping[str, str] | None = None
) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response.request = request
    response.url = request.url or ""
    response.headers.update({"Content-Type": "application/json", **(headers or {})})
    response.raw = io.BytesIO(json.dumps(_TAKEN).encode())
    return response
