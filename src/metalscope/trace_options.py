"""Options of traces: which operations become spans, and where those go."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from metalscope.option_types import (
    Bytes,
    Count,
    Duration,
    ExporterEndpoint,
    Milliseconds,
    Rate,
    with_different_names,
)
from metalscope.shipping_options import DeliveryOptions, ReceiverOptions

__all__ = ["SpanExporterOptions", "TracesOptions"]


class SpanExporterOptions(ReceiverOptions):
    """One OTLP endpoint that spans go to."""

    name: str = Field("otlp", min_length=1, description="The name in metrics and messages.")
    endpoint: ExporterEndpoint = Field(
        description="The collector's URL; `/v1/traces` is added where it has no path."
    )
    protocol: Literal["http/protobuf", "http/json", "grpc"] | None = Field(
        None, description="Which of OTLP's protocols; where none is set, the port and scheme tell."
    )

    @property
    def type(self) -> str:
        """What it is, as of a log sink; there is one type."""
        return "otlp"

    @property
    def who(self) -> str:
        """How errors begin that are about it."""
        return f"span exporter {self.name}"


class TracesOptions(DeliveryOptions):
    """Spans of operations: which are kept, and where they go."""

    enabled: bool = Field(False, description="Whether operations become spans.")
    sample_ratio: Rate = Field(
        0.01,
        description="Share of traces that are kept whole, 0 to 1, decided where one begins; within "
        "a trace that came from elsewhere its own decision holds.",
    )
    keep_slow: bool = Field(
        True, description="Keep the span of a slow operation whatever was decided for its trace."
    )
    keep_failed: bool = Field(
        True, description="Keep the span of a failed operation whatever was decided."
    )
    slow_threshold_ms: Milliseconds = Field(
        100.0, description="An operation or request that takes longer, in ms, is slow."
    )
    join_provider: bool = Field(
        True,
        description="Give the spans to the OpenTelemetry tracer provider of the program, where it "
        "has set one, in place of `exporters`.",
    )
    max_spans: Count = Field(
        10_000, description="Most spans that wait to be written or sent; the rest are counted."
    )
    flush_interval: Duration = Field(
        timedelta(seconds=5), description="Longest time a span waits before it goes out."
    )
    file: Path | None = Field(
        None,
        description="A file in Chrome's trace event format that all spans are written to, for "
        "Perfetto and its like.",
    )
    max_file_bytes: Bytes = Field(
        256 * 1024**2, description="Most bytes of that file; further spans are counted and left."
    )
    exporters: Annotated[tuple[SpanExporterOptions, ...], AfterValidator(with_different_names)] = (
        Field((), description="The collectors spans go to.")
    )
