"""The three services of OTLP: where each is asked, and by which messages."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
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
    return _service("/v1/metrics", "Metrics", "rejected_data_points", "point")


def logs_service() -> OtlpService:
    """That of logs.

    Raises:
        MissingExtraError: ``metalscope[otlp]`` is not installed.
    """
    return _service("/v1/logs", "Logs", "rejected_log_records", "record")


def traces_service() -> OtlpService:
    """That of spans.

    Raises:
        MissingExtraError: ``metalscope[otlp]`` is not installed.
    """
    return _service("/v1/traces", "Trace", "rejected_spans", "span")


def _service(path: str, name: str, rejected: str, one: str) -> OtlpService:
    """That of a signal, by the name its messages have in the protocol."""
    package = f"opentelemetry.proto.collector.{name.lower()}.v1"
    try:
        of = import_module(f"{package}.{name.lower()}_service_pb2")
    except ImportError as missing:
        raise _missing(missing) from missing
    return OtlpService(
        path=path,
        method=f"/{package}.{name}Service/Export",
        request=getattr(of, f"Export{name}ServiceRequest"),
        response=getattr(of, f"Export{name}ServiceResponse"),
        rejected=rejected,
        one=one,
    )


def _missing(cause: ImportError) -> MissingExtraError:
    return MissingExtraError("OTLP", "otlp", cause=str(cause))
