"""The three services of OTLP: where each is asked, and by which messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metalscope.errors import MissingExtraError

if TYPE_CHECKING:
    from google.protobuf.message import Message

__all__ = ["OtlpService", "logs_service", "metrics_service", "traces_service"]


@dataclass(frozen=True, slots=True)
class OtlpService:
    """One service of ``opentelemetry.proto.collector``.

    ``path`` is put after a base endpoint of OTLP/HTTP (OTLP specification, "OTLP/HTTP Request"),
    ``method`` is what gRPC calls. ``rejected`` is the field of its partial success that counts what
    was refused, ``one`` the word for one of what is sent.
    """

    path: str
    method: str
    request: type[Message]
    response: type[Message]
    rejected: str
    one: str

    def rejected_in(self, response: Any, count: int) -> int:
        """How many of ``count`` a response says were refused."""
        return min(max(int(getattr(response.partial_success, self.rejected)), 0), count)


def metrics_service() -> OtlpService:
    """That of metrics.

    Raises:
        MissingExtraError: ``metalscope[otlp]`` is not installed.
    """
    try:
        from opentelemetry.proto.collector.metrics.v1 import (  # noqa: PLC0415 - an extra
            metrics_service_pb2 as of,
        )
    except ImportError as missing:
        raise _missing(missing) from missing
    return OtlpService(
        path="/v1/metrics",
        method="/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        request=of.ExportMetricsServiceRequest,
        response=of.ExportMetricsServiceResponse,
        rejected="rejected_data_points",
        one="point",
    )


def logs_service() -> OtlpService:
    """That of logs.

    Raises:
        MissingExtraError: ``metalscope[otlp]`` is not installed.
    """
    try:
        from opentelemetry.proto.collector.logs.v1 import (  # noqa: PLC0415 - an extra
            logs_service_pb2 as of,
        )
    except ImportError as missing:
        raise _missing(missing) from missing
    return OtlpService(
        path="/v1/logs",
        method="/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        request=of.ExportLogsServiceRequest,
        response=of.ExportLogsServiceResponse,
        rejected="rejected_log_records",
        one="record",
    )


def traces_service() -> OtlpService:
    """That of spans.

    Raises:
        MissingExtraError: ``metalscope[otlp]`` is not installed.
    """
    try:
        from opentelemetry.proto.collector.trace.v1 import (  # noqa: PLC0415 - an extra
            trace_service_pb2 as of,
        )
    except ImportError as missing:
        raise _missing(missing) from missing
    return OtlpService(
        path="/v1/traces",
        method="/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        request=of.ExportTraceServiceRequest,
        response=of.ExportTraceServiceResponse,
        rejected="rejected_spans",
        one="span",
    )


def _missing(cause: ImportError) -> MissingExtraError:
    return MissingExtraError("OTLP", "otlp", cause=str(cause))
