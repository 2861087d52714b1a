"""Options of sending metrics to other systems: to where, how often, what of them, how safely."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    field_validator,
)

from metalscope.option_base import Options
from metalscope.option_types import (
    Bytes,
    Count,
    Duration,
    DurationOrZero,
    ExporterEndpoint,
    with_different_names,
)
from metalscope.peer_options import ReachingOptions
from metalscope.plugins import entry_points_of
from metalscope.spelling import nearest, plain

__all__ = [
    "EXPORTER_ENTRY_POINTS",
    "Audience",
    "ExportOptions",
    "ExporterOptions",
    "ExporterType",
    "ExternalOptions",
    "HistogramForm",
    "RetryOptions",
    "SelectionOptions",
    "SpoolOptions",
    "Temporality",
]

EXPORTER_ENTRY_POINTS: Final = "metalscope.exporters"
"""Entry point group in which other packages register exporter types of their own."""


class ExporterType(StrEnum):
    """The kinds of exporter metalscope itself has a name for."""

    PROMETHEUS = "prometheus"
    OPENTELEMETRY = "opentelemetry"
    APPLICATION_INSIGHTS = "application_insights"
    DATADOG = "datadog"
    GRAFANA_CLOUD = "grafana_cloud"
    CUSTOM = "custom"
    STATSD = "statsd"
    INFLUXDB = "influxdb"


PROTOCOLS: Final[dict[ExporterType, tuple[str, ...]]] = {
    ExporterType.PROMETHEUS: ("scrape", "remote_write", "pushgateway"),
    ExporterType.OPENTELEMETRY: ("http/protobuf", "http/json", "grpc"),
    ExporterType.APPLICATION_INSIGHTS: (),
    ExporterType.DATADOG: ("v2", "v1", "dogstatsd"),
    ExporterType.GRAFANA_CLOUD: ("otlp", "remote_write"),
    ExporterType.CUSTOM: ("webhook", "file"),
    ExporterType.STATSD: (),
    ExporterType.INFLUXDB: (),
}
"""What each type can speak; the first is the default where the endpoint does not tell."""


class Temporality(StrEnum):
    """Whether a counter is sent as its total or as what came since the last export."""

    CUMULATIVE = "cumulative"
    DELTA = "delta"


class HistogramForm(StrEnum):
    """Whether durations are sent in fixed buckets, or in exponential ones of finer steps."""

    CLASSIC = "classic"
    EXPONENTIAL = "exponential"


class Audience(StrEnum):
    """Whether an endpoint is on one's own side, or beyond."""

    INTERNAL = "internal"
    EXTERNAL = "external"


def _exporter_type(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("must be the name of an exporter type")  # noqa: TRY004 - pydantic's own
    for known in ExporterType:
        if plain(value) == plain(known):
            return known
    registered = entry_points_of(EXPORTER_ENTRY_POINTS)
    if value in registered:
        return value
    names = [*ExporterType, *sorted(registered)]
    near = nearest(value, names)
    raise ValueError(
        f"must be an exporter type: {', '.join(names)}"
        + (f"; the nearest is {near}" if near else "")
    )


def _named_like_a_metric(names: dict[str, str]) -> dict[str, str]:
    # Prometheus data model, "Metric names and labels".
    wrong = [new for new in names.values() if not re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", new)]
    if wrong:
        raise ValueError(f"must rename to names of metrics, not {wrong[0]!r}")
    return names


def _named_like_a_label(names: dict[str, str]) -> dict[str, str]:
    wrong = [new for new in names.values() if not _is_label(new)]
    if wrong:
        raise ValueError(f"must rename to names of labels, not {wrong[0]!r}")
    return names


def _with_label_names(labels: dict[str, str]) -> dict[str, str]:
    wrong = [name for name in labels if not _is_label(name)]
    if wrong:
        raise ValueError(f"must have names of labels, not {wrong[0]!r}")
    return labels


def _is_label(name: str) -> bool:
    return bool(re.fullmatch(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*", name))


class SelectionOptions(Options):
    """Which metrics are sent, and as what. Patterns are shell globs such as `metal_host_*`."""

    allow: tuple[str, ...] = Field(
        (), description="Only metrics whose names match one of these globs; all where none is set."
    )
    deny: tuple[str, ...] = Field(
        (), description="No metric whose name matches one of these globs, allowed or not."
    )
    rename: Annotated[dict[str, str], AfterValidator(_named_like_a_metric)] = Field(
        default_factory=dict, description="New names of metrics, by the old one."
    )
    drop_labels: tuple[str, ...] = Field(
        (),
        description="Labels and resource attributes to leave out. Series that are then the same "
        "are added up; of gauges the highest is kept.",
    )
    rename_labels: Annotated[dict[str, str], AfterValidator(_named_like_a_label)] = Field(
        default_factory=dict, description="New names of labels, by the old one."
    )
    replace: dict[str, str] = Field(
        default_factory=dict,
        description="What is put in place of each match of a regular expression in the values of "
        "labels and of event properties.",
    )
    sanitize: bool = Field(
        False,
        description="Put `…` in place of home directories, e-mail addresses, IP addresses and "
        "what looks like a key, in the values of labels and of event properties.",
    )

    @field_validator("replace")
    @classmethod
    def _compile(cls, patterns: dict[str, str]) -> dict[str, str]:
        for pattern, text in patterns.items():
            try:
                re.compile(pattern).sub(text, "")
            except (re.error, IndexError) as error:
                raise ValueError(f"must be regular expressions: {pattern!r}: {error}") from None
        return patterns


class ExternalOptions(SelectionOptions):
    """What may leave for external endpoints, before each exporter's own `metrics`."""

    sanitize: bool = Field(
        True, description="As in `export.exporters[].metrics`; on, where nothing is said."
    )
    drop_labels: tuple[str, ...] = Field(
        ("host.id",),
        description="As in `export.exporters[].metrics`. The machine's id is not for others' "
        "networks (machine-id(5)).",
    )


class ExporterOptions(ReachingOptions):
    """One place the metrics go to."""

    type: Annotated[ExporterType | str, BeforeValidator(_exporter_type)] = Field(
        description="What it speaks: prometheus, opentelemetry, application_insights, datadog, "
        "grafana_cloud, custom, statsd, influxdb, or the name another package registered; case "
        "is ignored."
    )
    name: str = Field(
        default_factory=lambda data: str(data.get("type", "")),
        min_length=1,
        description="The name in logs and in metrics about exporting; the type where none is set.",
    )
    endpoint: ExporterEndpoint | None = Field(
        None, description="The URL it sends to; none for a Prometheus that scrapes this program."
    )
    enabled: bool = Field(True, description="Whether it exports.")
    protocol: str | None = Field(
        None,
        description="Which of its protocols; where none is set the endpoint tells, see "
        "[exporting](exporting.md).",
    )
    interval: Duration | None = Field(
        None, description="Time between two exports; where none is set, `auto_export_interval`."
    )
    timeout: Duration | None = Field(
        None, description="Longest time one export may take; where none is set, `export_timeout`."
    )
    labels: Annotated[dict[str, str], AfterValidator(_with_label_names)] = Field(
        default_factory=dict,
        description="Labels on every series: resource attributes in OTLP, tags in Datadog.",
    )
    temporality: Temporality | None = Field(
        None,
        description="Send totals (cumulative) or differences (delta), where the protocol has both.",
    )
    histograms: HistogramForm | None = Field(
        None,
        description="Durations in classic buckets, or in exponential ones, which Prometheus calls "
        "native; where the protocol has both.",
    )
    audience: Audience | None = Field(
        None,
        description="Whether the endpoint is `internal` or `external`, for which "
        "`export.external` holds; where none is set, its address tells.",
    )
    metrics: SelectionOptions = Field(
        SelectionOptions.defaults(), description="Which metrics it is sent."
    )
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="What only this protocol knows, see [exporting](exporting.md).",
    )

    @field_validator("protocol")
    @classmethod
    def _spoken(cls, protocol: str | None, info: Any) -> str | None:
        spoken = PROTOCOLS.get(info.data.get("type", ""))
        if protocol is None or spoken is None:
            return protocol
        for known in spoken:
            if plain(protocol) == plain(known):
                return known
        can = f"must be one of {', '.join(spoken)}" if spoken else "must not be set"
        raise ValueError(f"{can} for {info.data['type']}")

    @property
    def who(self) -> str:
        """How errors begin that are about it."""
        return f"exporter {self.name}"


class SpoolOptions(Options):
    """Where waits what could not be sent yet, one queue an exporter or sink."""

    directory: Path | None = Field(
        None,
        description="A directory in which they survive the end of the process; in memory where "
        "none is set.",
    )
    max_bytes: Bytes = Field(
        64 * 1024**2,
        description="Most bytes one queue takes; past it the oldest are let go.",
    )
    max_age: Duration = Field(
        timedelta(hours=24), description="How long anything waits before it is let go."
    )
    replay_interval: DurationOrZero = Field(
        timedelta(milliseconds=100),
        description="Least time between two sendings while a queue is worked off.",
    )


class RetryOptions(Options):
    """When a failed export is tried again."""

    first_delay: Duration = Field(
        timedelta(seconds=1), description="Most time before the first retry; doubled each time."
    )
    max_delay: Duration = Field(
        timedelta(minutes=5),
        description="Most time between two retries, whatever the peer's `Retry-After` says.",
    )
    circuit_breaker_threshold: Count = Field(
        5, description="Failures in a row after which only single trials are made; a count."
    )
    circuit_breaker_timeout: Duration = Field(
        timedelta(minutes=2), description="Time before each such trial."
    )


class ExportOptions(Options):
    """Sending metrics to other systems."""

    export_timeout: Duration = Field(
        timedelta(seconds=30), description="Longest time one export may take."
    )
    auto_export_interval: DurationOrZero = Field(
        timedelta(),
        description="Time between two exports; 0 exports at every `reporting_interval`.",
    )
    shutdown_timeout: DurationOrZero = Field(
        timedelta(seconds=5),
        description="How long the end of the program waits for the last exports; what has not "
        "gone by then stays in the spool, where there is one.",
    )
    service_name: str | None = Field(
        None,
        min_length=1,
        description="The name of this service, `job` in Prometheus; where none is set, what "
        "`OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` says, else `metalscope`.",
    )
    exporters: Annotated[tuple[ExporterOptions, ...], AfterValidator(with_different_names)] = Field(
        (), description="The places metrics go to."
    )
    spool: SpoolOptions = Field(SpoolOptions.defaults(), description="What could not be sent yet.")
    retry: RetryOptions = Field(RetryOptions.defaults(), description="Failed exports.")
    external: ExternalOptions = Field(
        ExternalOptions.defaults(),
        description="What may leave for external endpoints, before each exporter's own `metrics`.",
    )
