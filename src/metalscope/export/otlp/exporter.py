"""OTLP: to an OpenTelemetry collector, or to any platform that takes its protocol.

Over gRPC, and over HTTP in protobuf or JSON (OTLP specification 1.10). Where the options say
nothing, OpenTelemetry's environment variables do (:mod:`metalscope.export.otlp.environment`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

from metalscope.export.base import ExporterContext, MetricsExporter
from metalscope.export.batches import Batches
from metalscope.export.otlp import messages
from metalscope.export.otlp.encoder import request_of
from metalscope.export.otlp.environment import METRICS_PATH, completed
from metalscope.export.otlp.hardware import hardware_families
from metalscope.export.otlp.metrics import metrics_data
from metalscope.export_options import HistogramForm, Temporality
from metalscope.sending.http.transport import HttpTransport, TransportError, judge, result_of_error
from metalscope.sending.result import ExportResult, Reason
from metalscope.sending.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    from metalscope.families import Family
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["OtlpExporter"]

_SETTINGS: Final = ("batch_points", "compression", "hw_metrics", "path")
_BATCH_POINTS: Final = 2000
"""Points in one request: under 1 MiB of protobuf, where collectors take 4 MiB over gRPC."""


class Sender(Protocol):
    """Carries one request to the peer."""

    def send(
        self, request: ExportMetricsServiceRequest, points: int, seconds: float
    ) -> ExportResult:
        """Send ``points`` points within so many s."""

    def close(self) -> None:
        """Let go of connections."""


class OtlpExporter(MetricsExporter):
    """Sends snapshots by OTLP.

    Totals may be sent twice without harm: the points of a snapshot have its time. Differences
    (``temporality`` delta) count from the last snapshot that arrived in whole.

    Raises:
        ConfigurationError: an option, a setting or a variable of the environment is not usable.
        MissingExtraError: a library of ``metalscope[otlp]`` is not installed.
    """

    def __init__(self, context: ExporterContext) -> None:
        options = completed(context.options, os.environ)
        if options is not context.options:
            said = options.timeout if context.options.timeout is None else None
            context = context.with_options(options, timeout=said)
        self._view = context.view
        self._timeout = context.timeout
        settings = Settings(context.options, _SETTINGS)
        self._hardware = settings.flag("hw_metrics", default=True)
        self._temporality = options.temporality or Temporality.CUMULATIVE
        self._histograms = options.histograms or HistogramForm.CLASSIC
        self._batches: Batches[messages.Point] = Batches(
            settings.whole("batch_points", _BATCH_POINTS, least=1, most=1_000_000)
        )
        compress = settings.choice("compression", ("gzip", "none")) == "gzip"
        path = settings.get("path")
        if path is not None and not isinstance(path, str):
            raise settings.wrong("path", f"must be text such as {METRICS_PATH!r}, not {path!r}")
        if options.protocol == "grpc":
            from metalscope.export.otlp.grpc import GrpcSender  # noqa: PLC0415 - loads grpcio

            self._sender: Sender = GrpcSender(context, compress=compress)
        else:
            self._sender = _HttpSender(
                context.open_http(),
                as_json=options.protocol == "http/json",
                path=METRICS_PATH if path is None else path,
                compress=compress,
            )
        self._since: MetalTelemetrySnapshot | None = None

    def export(self, snapshot: MetalTelemetrySnapshot) -> ExportResult:
        """Send one snapshot, in parts of ``settings.batch_points``."""
        ends = monotonic() + self._timeout.total_seconds()
        data = metrics_data(
            snapshot,
            self._view,
            temporality=self._temporality,
            histograms=self._histograms,
            since=self._since,
            more=self._hardware_of if self._hardware else None,
        )

        def send(part: Sequence[messages.Point]) -> ExportResult:
            seconds = ends - monotonic()
            if seconds <= 0:
                return ExportResult.retry(
                    Reason.TIMEOUT,
                    f"not all parts arrived within {self._timeout.total_seconds():g} s",
                )
            request = request_of(messages.data_of(part, data))
            return self._sender.send(request, len(part), seconds)

        result = self._batches.send(snapshot, messages.points_of(data), send)
        if result.ok and self._temporality is Temporality.DELTA:
            self._since = snapshot
        return result

    def resume(self, delivered: MetalTelemetrySnapshot) -> None:
        """Count differences from this snapshot on."""
        self._since = delivered

    def shutdown(self) -> None:
        """Close the connection."""
        self._sender.close()

    def _hardware_of(self, snapshot: MetalTelemetrySnapshot) -> Iterator[Family]:
        return hardware_families(snapshot, self._view)


class _HttpSender:
    """OTLP/HTTP."""

    def __init__(self, http: HttpTransport, *, as_json: bool, path: str, compress: bool) -> None:
        self._http = http
        self._json = as_json
        # A base endpoint or the metrics' own, as people copy either from a platform's page.
        base = http.url.partition("?")[0].rstrip("/")
        self._path = "" if path and base.endswith(path.rstrip("/")) else path
        self._compress = compress

    def send(
        self,
        request: ExportMetricsServiceRequest,
        points: int,
        seconds: float,  # noqa: ARG002 - the transport keeps its own time
    ) -> ExportResult:
        content_type = messages.JSON if self._json else messages.PROTOBUF
        try:
            answer = self._http.send(
                messages.json_of(request) if self._json else request.SerializeToString(),
                content_type=content_type,
                path=self._path,
                compress=self._compress,
            )
        except TransportError as error:
            return result_of_error(error)
        result = judge(answer)
        answered = answer.headers.get("content-type", content_type)
        if not result.ok:
            says = self._refusal(answer.body, answered)
            if says:
                detail = f"{answer.peer} answered {answer.status}: {says}"
                result = replace(result, detail=detail)
            return result
        try:
            response = messages.response_from(answer.body, answered)
        except messages.GarbageError:
            return ExportResult.retry(
                Reason.GARBAGE, f"{answer.peer} answered {answer.status} with what is no OTLP"
            )
        says = self._http.shown(response.partial_success.error_message)
        return messages.result_of(response, points, says)

    def close(self) -> None:
        self._http.close()

    def _refusal(self, body: bytes, content_type: str) -> str:
        # OTLP specification, "Failures": a google.rpc.Status. In JSON its words are legible as is.
        if content_type.partition(";")[0].strip().lower() != messages.PROTOBUF:
            return ""
        return self._http.shown(messages.status_from(body).message)
