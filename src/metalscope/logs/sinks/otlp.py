"""Log records to whoever speaks OTLP: a collector, or a platform that takes it as it is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from metalscope.errors import ConfigurationError
from metalscope.logs.formats.otel import SEVERITY_TEXT, otel_attributes
from metalscope.logs.sinks.base import LogSink
from metalscope.sending.otlp.address import GRPC_PORT, HTTP_PORT, PROTOCOLS, protocol_of
from metalscope.sending.otlp.sender import OtlpSender
from metalscope.sending.otlp.service import logs_service
from metalscope.sending.otlp.values import any_value, key_values, legible
from metalscope.sending.settings import Settings

if TYPE_CHECKING:
    from metalscope.log_options import LogSinkOptions
    from metalscope.logs.record import LogRecord
    from metalscope.logs.sinks.base import SinkContext
    from metalscope.sending.result import ExportResult
    from metalscope.sending.shipping.base import Batch, Shipment

__all__ = ["LOGGER", "OtlpLogSink"]

LOGGER: Final = "logger.name"
"""The attribute that holds who said it; the scope of all records is metalscope."""


class OtlpLogSink(LogSink):
    """Sends log records by OTLP/gRPC or OTLP/HTTP, the latter in protobuf or JSON.

    Raises:
        ConfigurationError: an option or a setting cannot be used.
        MissingExtraError: ``metalscope[otlp]`` is not installed.
    """

    def __init__(self, context: SinkContext) -> None:
        from opentelemetry.proto.logs.v1 import logs_pb2  # noqa: PLC0415 - `values` found it there

        self._message = logs_pb2.LogRecord
        settings = Settings(context.options, ("protocol", "path"))
        protocol = None
        if settings.get("protocol") is not None:
            protocol = settings.choice("protocol", PROTOCOLS)
        self._sender = OtlpSender(
            logs_service(),
            _with_endpoint(context.options, protocol),
            protocol=protocol,
            compress=context.options.compress,
            timeout=context.options.timeout,
            resource=context.resource,
            path=settings.text("path", r"(/[!-~]*)?", such_as="/v1/logs"),
        )

    def encode(self, record: LogRecord) -> bytes:
        """A ``LogRecord`` of ``opentelemetry/proto/logs/v1``, serialized."""
        fields: dict[str, Any] = {
            "time_unix_nano": record.timestamp_ns,
            "observed_time_unix_nano": time.time_ns(),
            "severity_number": record.severity.value,
            "severity_text": SEVERITY_TEXT[record.severity],
            "body": any_value(record.body),
            "attributes": key_values({**otel_attributes(record), LOGGER: record.logger}),
            "event_name": legible(record.event),
        }
        if record.trace_id is not None:
            fields["trace_id"] = bytes.fromhex(record.trace_id)
            # W3C Trace Context, "trace-flags": the lowest bit says that it is sampled.
            fields["flags"] = int(record.sampled)
            if record.span_id is not None:
                fields["span_id"] = bytes.fromhex(record.span_id)
        return self._message(**fields).SerializeToString()

    def send(self, batch: Batch) -> Shipment | ExportResult | None:
        """Send a batch; of a partial success OTLP says how many were refused, not which."""
        return self._sender.send(batch)

    def close(self) -> None:
        """Close the connection."""
        self._sender.close()


def _with_endpoint(options: LogSinkOptions, protocol: str | None) -> LogSinkOptions:
    if options.endpoint is None:
        port = GRPC_PORT if protocol == "grpc" else HTTP_PORT
        return options.model_copy(update={"endpoint": f"http://localhost:{port}"})
    if protocol is not None and protocol != "grpc" and protocol_of(options.endpoint) == "grpc":
        scheme = options.endpoint.partition(":")[0]
        if scheme not in {"http", "https"}:
            raise ConfigurationError(
                f"{options.who}: settings.protocol is {protocol}, and the endpoint's scheme "
                f"{scheme}; must be http or https"
            )
    return options
