"""OTLP: to an OpenTelemetry collector, or to any platform that takes its protocol.

Over gRPC, and over HTTP in protobuf or JSON (OTLP specification 1.10). Where the options say
nothing, OpenTelemetry's environment variables do (:mod:`metalscope.export.otlp.environment`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
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
from metalscope.sending.otlp.http import HttpSender
from metalscope.sending.otlp.service import metrics_service
from metalscope.sending.result import ExportResult, Reason
from metalscope.sending.settings import Settings

if TYPE_CHECKING:
    from metalscope.families import Family
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["OtlpExporter"]

_SETTINGS: Final = ("batch_points", "compression", "hw_metrics", "path")
_BATCH_POINTS: Final = 2000
"""Points in one request: under 1 MiB of protobuf, where collectors take 4 MiB over gRPC."""


class Sender(Protocol):
    """Carries one request to the peer."""

    def send(self, request: bytes, count: int, seconds: float) -> ExportResult:
        """Send so many points within so many s."""

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
        service = metrics_service()
        if options.protocol == "grpc":
            from metalscope.sending.otlp.grpc import GrpcSender  # noqa: PLC0415 - loads grpcio

            self._sender: Sender = GrpcSender(service, context.options, compress=compress)
        else:
            self._sender = HttpSender(
                service,
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
            return self._sender.send(request.SerializeToString(), len(part), seconds)

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
