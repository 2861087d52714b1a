"""Options of the production log: what is logged, in which form, and where it goes."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from metalscope.option_types import Count, Duration, LogEndpoint, Milliseconds, with_different_names
from metalscope.shipping_options import DeliveryOptions, ReceiverOptions

__all__ = ["SINK_ENTRY_POINTS", "LogFormat", "LogLevel", "LogSinkOptions", "LoggingOptions"]

SINK_ENTRY_POINTS: Final = "metalscope.log_sinks"
"""Entry points of this group make sink types of other packages known by name."""

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json", "ecs", "otel"]


class LogSinkOptions(ReceiverOptions):
    """One place the log goes to."""

    type: str | None = Field(
        None,
        description="What it is: stdout, stderr, file, elasticsearch, opensearch, splunk, loki, "
        "otlp, syslog, or the name another package registered; where none is set, the endpoint "
        "tells.",
    )
    name: str = Field(
        default_factory=lambda data: str(data.get("type") or ""),
        description="The name in metrics and messages; the type where none is set.",
    )
    endpoint: LogEndpoint | None = Field(
        None, description="The URL it is sent to; `file:///path` for a file."
    )
    level: LogLevel | None = Field(
        None, description="Records milder than this do not go here; `logging.level` where not set."
    )
    format: LogFormat | None = Field(
        None,
        description="The form of a line, where the sink leaves a choice; see "
        "[formats](logging.md#formats).",
    )
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="What only this type knows, see [log sinks](logging-sinks.md).",
    )

    @model_validator(mode="after")
    def _tells_its_type(self) -> Self:
        if self.type is None and self.endpoint is None:
            raise ValueError("needs a type, or an endpoint that tells it")
        return self

    @property
    def who(self) -> str:
        """How errors begin that are about it."""
        return f"log sink {self.name or self.type or 'without a name'}"


class LoggingOptions(DeliveryOptions):
    """The production log: what is logged, its form, its buffer, and where it goes."""

    enabled: bool | None = Field(
        None,
        description="Whether events of operations, health, alerts and exports are logged; where "
        "nothing is set, they are where `sinks` or `external_log_endpoints` name a place.",
    )
    level: LogLevel = Field("info", description="Records milder than this are not kept.")
    enable_buffering: bool = Field(
        True, description="Collect records and write them in batches; else each goes at once."
    )
    enable_correlation_tracking: bool = Field(
        True, description="Give the records of one piece of work one correlation id."
    )
    correlation_ids: Literal["uuid4", "uuid7"] = Field(
        "uuid4",
        description="How a correlation id is made where none came from elsewhere: random, or "
        "random and in the order of time.",
    )
    enable_performance_logging: bool = Field(True, description="Log operations that were slow.")
    enable_stack_trace_logging: bool = Field(
        False, description="Add the stack trace to the record of an error."
    )
    log_operations: bool = Field(
        False,
        description="Log the start and the end of every operation, at the level debug; dear.",
    )
    use_json_format: bool = Field(False, description="One JSON object a line in place of text.")
    buffer_flush_interval: Duration = Field(
        timedelta(seconds=10),
        description="Longest time a record waits in the buffer; an error never waits.",
    )
    max_buffer_size: Count = Field(1000, description="Most records in the buffer; a count.")
    overflow: Literal["drop_oldest", "drop_newest"] = Field(
        "drop_oldest", description="Which records a full buffer lets go of; they are counted."
    )
    slow_operation_threshold_ms: Milliseconds = Field(
        100.0, description="An operation that takes longer, in ms, is logged as slow."
    )
    events_per_second: Count = Field(
        10,
        description="Most records a second of one event and operation, a count; the next says "
        "how many were left out.",
    )
    capture: tuple[str, ...] = Field(
        (),
        description="Loggers of Python's `logging`, by name, whose records are kept too; `root` is "
        "all of them.",
    )
    external_log_endpoints: tuple[LogEndpoint, ...] = Field(
        (),
        description="URLs of the systems that receive the log as well; the URL tells the type, see "
        "[log sinks](logging-sinks.md).",
    )
    sinks: Annotated[tuple[LogSinkOptions, ...], AfterValidator(with_different_names)] = Field(
        (), description="The places the log goes to; the standard error where there is none."
    )

    @property
    def is_on(self) -> bool:
        """Whether events are logged by themselves."""
        if self.enabled is not None:
            return self.enabled
        return bool(self.sinks or self.external_log_endpoints or self.capture)
