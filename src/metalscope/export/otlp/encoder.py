"""Metrics data as the message of OTLP, in a fraction of the official encoder's time.

The encoder of ``opentelemetry-exporter-otlp-proto-common`` makes each attribute of each point
anew, of four messages. The same few attributes are on thousands of points, so here each is made
once a request. The message is equal to the official one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from metalscope.errors import MissingExtraError
from metalscope.export.otlp.metrics import ZeroedDataPoint

try:
    from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
    from opentelemetry.sdk.metrics import export as sdk
except ImportError as missing:
    raise MissingExtraError("exporting by OTLP", "otlp", cause=str(missing)) from missing

if TYPE_CHECKING:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )
    from opentelemetry.sdk.metrics import Exemplar

__all__ = ["request_of"]

Fields = dict[str, Any]

_KINDS: Final = {
    sdk.Gauge: "gauge",
    sdk.Sum: "sum",
    sdk.Histogram: "histogram",
    sdk.ExponentialHistogram: "exponential_histogram",
}


def request_of(data: sdk.MetricsData) -> ExportMetricsServiceRequest:
    """The request that sends ``data``; attributes of its points must be text.

    :class:`~metalscope.export.otlp.metrics.ZeroedDataPoint` has its zero threshold there, for which
    the official encoder has no place.
    """
    # Resources, scopes and what is said of each metric are few, and left to the official encoder.
    request = encode_metrics(_without_points(data))
    attributes = _Attributes()
    for resource, in_resource in zip(data.resource_metrics, request.resource_metrics, strict=True):
        scopes = zip(resource.scope_metrics, in_resource.scope_metrics, strict=True)
        for scope, in_scope in scopes:
            for metric, message in zip(scope.metrics, in_scope.metrics, strict=True):
                if metric.data.data_points:
                    _put(metric.data, message, attributes)
    return request


def _without_points(data: sdk.MetricsData) -> sdk.MetricsData:
    def bare(metric: sdk.Metric) -> sdk.Metric:
        empty: Any = metric.data
        return replace(metric, data=replace(empty, data_points=()))

    return sdk.MetricsData(
        [
            replace(
                resource,
                scope_metrics=[
                    replace(scope, metrics=[bare(metric) for metric in scope.metrics])
                    for scope in resource.scope_metrics
                ],
            )
            for resource in data.resource_metrics
        ]
    )


class _Attributes(dict[tuple[str, str], KeyValue]):
    """The message of each attribute, made when it is first asked for."""

    def __missing__(self, pair: tuple[str, str]) -> KeyValue:
        name, value = pair
        made = self[pair] = KeyValue(key=name, value=AnyValue(string_value=value))
        return made

    def of(self, attributes: Mapping[str, Any] | None) -> list[KeyValue]:
        return [self[pair] for pair in attributes.items()] if attributes else []


def _put(data: Any, message: Any, attributes: _Attributes) -> None:
    kind = _KINDS[type(data)]
    into = getattr(message, kind)
    if kind != "gauge":
        into.aggregation_temporality = data.aggregation_temporality
    if kind == "sum":
        into.is_monotonic = data.is_monotonic
    add = into.data_points.add
    if kind in ("gauge", "sum"):
        for point in data.data_points:
            made = add(
                attributes=attributes.of(point.attributes),
                # Null is as if it were not there; what a gauge is of did not begin.
                start_time_unix_nano=point.start_time_unix_nano if kind == "sum" else None,
                time_unix_nano=point.time_unix_nano,
                exemplars=_exemplars(point.exemplars, attributes) if point.exemplars else None,
            )
            if isinstance(point.value, int):
                made.as_int = point.value
            else:
                made.as_double = point.value
        return
    own = _buckets if kind == "histogram" else _exponential
    for point in data.data_points:
        add(
            attributes=attributes.of(point.attributes),
            start_time_unix_nano=point.start_time_unix_nano,
            time_unix_nano=point.time_unix_nano,
            count=point.count,
            sum=point.sum,
            min=point.min,
            max=point.max,
            exemplars=_exemplars(point.exemplars, attributes),
            **own(point),
        )


def _buckets(point: sdk.HistogramDataPoint) -> Fields:
    return {"bucket_counts": point.bucket_counts, "explicit_bounds": point.explicit_bounds}


def _exponential(point: sdk.ExponentialHistogramDataPoint) -> Fields:
    fields: Fields = {
        "scale": point.scale,
        "zero_count": point.zero_count,
        "flags": point.flags,
        "zero_threshold": point.zero_threshold if isinstance(point, ZeroedDataPoint) else 0.0,
    }
    for name in ("positive", "negative"):
        buckets = getattr(point, name)
        if buckets.bucket_counts:
            fields[name] = {"offset": buckets.offset, "bucket_counts": buckets.bucket_counts}
    return fields


def _exemplars(exemplars: Iterable[Exemplar], attributes: _Attributes) -> list[Fields]:
    return [
        {
            "time_unix_nano": one.time_unix_nano,
            "filtered_attributes": attributes.of(one.filtered_attributes),
            **dict(_trace(one)),
            "as_int" if isinstance(one.value, int) else "as_double": one.value,
        }
        for one in exemplars
    ]


def _trace(exemplar: Exemplar) -> Iterator[tuple[str, bytes]]:
    if exemplar.span_id is not None and exemplar.trace_id is not None:
        yield "span_id", exemplar.span_id.to_bytes(8, "big")
        yield "trace_id", exemplar.trace_id.to_bytes(16, "big")
