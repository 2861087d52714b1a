"""The messages of OTLP: metrics data to bytes and in parts, and what a peer answers to them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import groupby
from typing import Any, Final, NamedTuple

from metalscope.errors import MissingExtraError
from metalscope.sending.result import ExportResult, Reason

try:
    from google.protobuf import json_format
    from google.protobuf.duration_pb2 import Duration
    from google.protobuf.empty_pb2 import Empty
    from google.protobuf.message import DecodeError
    from google.protobuf.unknown_fields import UnknownFieldSet
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
        ExportMetricsServiceResponse,
    )
    from opentelemetry.sdk.metrics.export import Metric, MetricsData
except ImportError as missing:
    raise MissingExtraError("exporting by OTLP", "otlp", cause=str(missing)) from missing

__all__ = [
    "GarbageError",
    "Point",
    "Status",
    "data_of",
    "json_of",
    "points_of",
    "response_from",
    "result_of",
    "status_from",
]

JSON: Final = "application/json"
PROTOBUF: Final = "application/x-protobuf"
_RETRY_INFO: Final = "google.rpc.RetryInfo"


class GarbageError(ValueError):
    """What a peer answered is no message of OTLP."""


class Point(NamedTuple):
    """One point, and the metric it is of, as the data hold it."""

    metric: Metric
    point: Any


def points_of(data: MetricsData) -> list[Point]:
    """All points, in order."""
    return [
        Point(metric, point)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    ]


def data_of(points: Sequence[Point], like: MetricsData) -> MetricsData:
    """These points alone, under the resource and scope of ``like``, which has one of each."""
    [resource] = like.resource_metrics
    [scope] = resource.scope_metrics
    metrics = []
    for _, group in groupby(points, key=lambda point: id(point.metric)):
        members = list(group)
        data: Any = members[0].metric.data
        some = replace(data, data_points=[member.point for member in members])
        metrics.append(replace(members[0].metric, data=some))
    return MetricsData([replace(resource, scope_metrics=[replace(scope, metrics=metrics)])])


def json_of(request: ExportMetricsServiceRequest) -> bytes:
    """The request in OTLP's own mapping to JSON.

    OTLP specification, "JSON Protobuf Encoding": protobuf's mapping (64-bit integers as text),
    but enums are numbers, and the ids of traces and spans hexadecimal.
    """
    message = json_format.MessageToDict(request, use_integers_for_enums=True)
    values = (
        exemplar
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in _points(metric)
        for exemplar in point.exemplars
    )
    for place, exemplar in zip(_exemplars(message), values, strict=True):
        for name, value in (("traceId", exemplar.trace_id), ("spanId", exemplar.span_id)):
            if value:
                place[name] = value.hex()
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


def response_from(body: bytes, content_type: str) -> ExportMetricsServiceResponse:
    """Read the body of a success.

    Raises:
        GarbageError: it is none.
    """
    try:
        if content_type.partition(";")[0].strip().lower() == JSON:
            message = json.loads(body.decode() or "{}")
            if not isinstance(message, dict):
                raise GarbageError("it is no object")
            return json_format.ParseDict(
                message, ExportMetricsServiceResponse(), ignore_unknown_fields=True
            )
        return ExportMetricsServiceResponse.FromString(body)
    except (DecodeError, json_format.ParseError, ValueError, RecursionError) as error:
        raise GarbageError(str(error)) from error


def result_of(response: ExportMetricsServiceResponse, points: int, says: str = "") -> ExportResult:
    """What a success means for a request of ``points`` points.

    A peer that took none of them refused the whole. ``says`` is its message, fit to be shown; it
    may come with a full success too (OTLP specification, "Partial Success").
    """
    refused = min(max(response.partial_success.rejected_data_points, 0), points)
    if refused and refused == points:
        return ExportResult.rejected(
            Reason.SCHEMA, f"the peer refused every point{': ' + says if says else ''}"
        )
    return ExportResult.delivered(points - refused, rejected_points=refused, detail=says)


class Status(NamedTuple):
    """A ``google.rpc.Status``: what a peer says of a failure, and when to come again."""

    message: str = ""
    retry_after: timedelta | None = None


def status_from(body: bytes) -> Status:
    """Read a ``google.rpc.Status`` (google/rpc/status.proto); an empty one where it is none."""
    message, retry_after = "", None
    try:
        for number, value in _fields(body):
            if number == 2:
                message = value.decode("utf-8", "replace")
            elif number == 3:
                # google.protobuf.Any: its type's URL, and the message.
                detail = dict(_fields(value))
                if detail.get(1, b"").decode("utf-8", "replace").endswith(f"/{_RETRY_INFO}"):
                    retry_after = _retry_delay(detail.get(2, b""))
    except DecodeError:
        return Status()
    return Status(message, retry_after)


def _retry_delay(info: bytes) -> timedelta | None:
    # google/rpc/error_details.proto: RetryInfo has one field, retry_delay.
    for number, value in _fields(info):
        if number == 1:
            delay: timedelta = Duration.FromString(value).ToTimedelta()
            return max(delay, timedelta())
    return timedelta()


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The fields of a message that are bytes, text or messages, without its description."""
    length_delimited = 2
    found: Any = UnknownFieldSet(Empty.FromString(message))
    for field in found:
        if field.wire_type == length_delimited:
            yield field.field_number, field.data


def _points(metric: Any) -> Any:
    kind = metric.WhichOneof("data")
    return getattr(metric, kind).data_points if kind else ()


def _exemplars(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in message.get("resourceMetrics", ()):
        for scope in resource.get("scopeMetrics", ()):
            for metric in scope.get("metrics", ()):
                for kind in ("gauge", "sum", "histogram", "exponentialHistogram"):
                    for point in metric.get(kind, {}).get("dataPoints", ()):
                        yield from point.get("exemplars", ())
