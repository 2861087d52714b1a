"""MetalTelemetryOptions and its parts: what can be set, in which unit, within which bounds.

Every model is frozen and refuses unknown keys. Durations are timedeltas and are read from all
forms of :func:`metalscope.durations.parse_duration`. Where options come from (files, environment,
arguments) is the business of :mod:`metalscope.config`.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Final

from pydantic import Field, ValidationInfo, field_validator

from metalscope.alert_options import (
    AlertRuleOptions,
    AlertsOptions,
    ChannelOptions,
    InhibitionOptions,
    MaintenanceOptions,
    SmtpOptions,
)
from metalscope.durations import format_duration
from metalscope.export_options import (
    EXPORTER_ENTRY_POINTS,
    ExporterOptions,
    ExporterType,
    ExportOptions,
)
from metalscope.health_options import HealthMonitorOptions, HistoryOptions, ObjectiveOptions
from metalscope.log_options import LoggingOptions, LogSinkOptions
from metalscope.option_base import Options
from metalscope.option_types import (
    Count,
    CountOrZero,
    Duration,
    Milliseconds,
    Percent,
    Rate,
    is_loopback,
    shown_endpoint,
)
from metalscope.sanitizing_options import SanitizingOptions
from metalscope.server_options import ServerLimitsOptions, ServerOptions, ServerTlsOptions
from metalscope.trace_options import SpanExporterOptions, TracesOptions

__all__ = [
    "EXPORTER_ENTRY_POINTS",
    "AlertRuleOptions",
    "AlertsOptions",
    "ChannelOptions",
    "ExportOptions",
    "ExporterOptions",
    "ExporterType",
    "HealthMonitorOptions",
    "HistoryOptions",
    "InhibitionOptions",
    "LogSinkOptions",
    "LoggingOptions",
    "MaintenanceOptions",
    "MetalTelemetryOptions",
    "ObjectiveOptions",
    "PerformanceCountersOptions",
    "SanitizingOptions",
    "ServerLimitsOptions",
    "ServerOptions",
    "ServerTlsOptions",
    "SmtpOptions",
    "SpanExporterOptions",
    "TorchOptions",
    "TracesOptions",
    "is_loopback",
    "shown_endpoint",
]

_SHORTEST_TICK: Final = timedelta(milliseconds=10)


class PerformanceCountersOptions(Options):
    """When the performance counters take a sample, and what they call slow."""

    enable_continuous_sampling: bool = Field(
        True,
        description="Take a sample each `sampling_interval`, not only when a report is asked for.",
    )
    sampling_interval: Duration = Field(
        timedelta(seconds=10),
        description="Time between two samples of readings and rates; at least a tick.",
    )
    slow_allocation_threshold_ms: Milliseconds = Field(
        50.0,
        description="An allocation that takes longer, in ms, counts as slow; "
        "[to which precision](counters.md#slow).",
    )
    slow_kernel_threshold_ms: Milliseconds = Field(
        100.0,
        description="A kernel that takes longer, in ms, counts as slow; to the same precision.",
    )


class TorchOptions(Options):
    """What is recorded of PyTorch beyond forwards, backwards, steps, compilations and reads."""

    operations_every: CountOrZero = Field(
        0,
        description="Record the single operations (`aten::mm`) within the first and then every "
        "so-manyth forward, backward and step of each name; 1 records all, 0 none. A count.",
    )
    device_time_every: CountOrZero = Field(
        100,
        description="Measure how long the Metal device takes for the first and then every "
        "so-manyth call of each name; 1 measures all, 0 none. A count.",
    )


class MetalTelemetryOptions(Options):
    """All options of telemetry. The defaults are fit for production."""

    enabled: bool = Field(True, description="Whether anything is recorded at all.")
    sample_rate: Rate = Field(
        1.0,
        description="Share of the operations of each series that `tel.operation` times, 0 to 1. "
        "All are counted, with their bytes and errors; what is not timed has no duration.",
    )
    exemplars: bool = Field(
        False,
        description="Keep, of operations in a sampled OpenTelemetry span, a few with their trace; "
        "see [exemplars](exemplars.md). They are timed whatever the `sample_rate`.",
    )
    tick_interval: Duration = Field(
        timedelta(seconds=1),
        description="Time between two collections of the counts, after which every consumer is "
        "fed; at least 10 ms.",
    )
    history_window: Duration = Field(
        timedelta(minutes=15),
        validate_default=True,
        description="How much recent activity is kept in memory for rates and trends; at least "
        "two ticks, and never more than the last 3600.",
    )
    reporting_interval: Duration = Field(
        timedelta(minutes=5), description="Time between two reports and automatic exports."
    )
    cleanup_interval: Duration = Field(
        timedelta(minutes=15), description="Time between two removals of what is past retention."
    )
    metrics_retention_period: Duration = Field(
        timedelta(hours=24),
        description="How long an operation that no longer runs keeps its own series, and how long "
        "a custom event is kept.",
    )
    auto_export_metrics: bool = Field(True, description="Export without being asked.")
    slow_operation_threshold_ms: Milliseconds = Field(
        100.0, description="The report calls an operation slow that takes longer, in ms."
    )
    high_gpu_utilization_threshold: Percent = Field(
        85.0, description="The report calls GPU utilisation above it, in percent, high."
    )
    high_memory_utilization_threshold: Percent = Field(
        80.0, description="The report calls memory utilisation above it, in percent, high."
    )
    high_resource_utilization_threshold: Percent = Field(
        85.0, description="The report calls the utilisation of any other resource above it high."
    )
    max_operation_names: Count = Field(
        1000, description="Most series of operations; the rest are counted as `other`. A count."
    )
    max_custom_series: Count = Field(
        1000, description="Most series of custom metrics; the rest are counted as `other`. A count."
    )
    max_events: Count = Field(1000, description="Most custom events kept, the latest; a count.")
    disabled_sensors: tuple[str, ...] = Field(
        (), description="Sensors that are not read, by the names `metalscope doctor` gives them."
    )
    processes_directory: Path | None = Field(
        None,
        description="A directory in which several processes count together; see "
        "[several processes](processes.md).",
    )
    performance_counters: PerformanceCountersOptions = Field(
        PerformanceCountersOptions.defaults(), description="Statistics over the sensors."
    )
    health_monitor: HealthMonitorOptions = Field(
        HealthMonitorOptions.defaults(), description="Health checks and anomalies."
    )
    history: HistoryOptions = Field(
        HistoryOptions.defaults(), description="The past, kept in a file for predictions."
    )
    logging: LoggingOptions = Field(LoggingOptions.defaults(), description="The production log.")
    traces: TracesOptions = Field(TracesOptions.defaults(), description="Spans of operations.")
    sanitizing: SanitizingOptions = Field(
        SanitizingOptions.defaults(),
        description="What is taken out of what leaves the process.",
    )
    export: ExportOptions = Field(
        ExportOptions.defaults(), description="Sending metrics to other systems."
    )
    alerts: AlertsOptions = Field(AlertsOptions.defaults(), description="Alerts and who is told.")
    server: ServerOptions = Field(ServerOptions.defaults(), description="The HTTP server.")
    torch: TorchOptions = Field(
        TorchOptions.defaults(), description="How closely PyTorch is recorded."
    )

    @field_validator("tick_interval")
    @classmethod
    def _not_too_often(cls, tick: timedelta) -> timedelta:
        if tick < _SHORTEST_TICK:
            raise ValueError(f"must be at least {format_duration(_SHORTEST_TICK)}")
        return tick

    @field_validator("history_window")
    @classmethod
    def _holds_two_ticks(cls, window: timedelta, info: ValidationInfo) -> timedelta:
        # Absent where its own value was refused.
        tick = info.data.get("tick_interval")
        if tick is not None and window < 2 * tick:
            raise ValueError(
                f"must be at least two ticks; the tick_interval is {format_duration(tick)}"
            )
        return window
