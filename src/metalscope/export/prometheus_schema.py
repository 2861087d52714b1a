"""Prometheus's protobuf messages: of remote write, and of the exposition format.

No library for Python ships them, so they are declared here, in a descriptor pool of their own that
clashes with nobody's. Sources: ``prompb/remote.proto`` and ``prompb/types.proto`` of
prometheus/prometheus (remote write 1.0), and ``io/prometheus/client/metrics.proto`` of
prometheus/client_model. Fields this program never sets are left out; what is declared has their
names and numbers. Everything is optional (proto2), so a value that is set to 0 is written, as the
oneofs of the originals would have it; on the wire it is the same.

Messages take their fields as keywords, nested ones as dicts, enumeration values by name. Of a
timestamp give ``seconds`` and ``nanos``: not every release of protobuf takes a ``datetime``. ::

    write_request(timeseries=[{"labels": [{"name": "__name__", "value": "up"}], ...}])
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from metalscope.errors import MissingExtraError

__all__ = ["message_class", "metric_family", "write_request"]


def write_request(**fields: Any) -> Any:
    """Make a ``prometheus.WriteRequest``, the body of remote write 1.0 before compression.

    Raises:
        MissingExtraError: protobuf is not installed.
    """
    return message_class("prometheus.WriteRequest")(**fields)


def metric_family(**fields: Any) -> Any:
    """Make an ``io.prometheus.client.MetricFamily``, of which an exposition in protobuf is made.

    Raises:
        MissingExtraError: protobuf is not installed.
    """
    return message_class("io.prometheus.client.MetricFamily")(**fields)


@cache
def message_class(full_name: str) -> Any:
    """The class of a message, by its full name such as ``prometheus.Histogram``.

    Raises:
        MissingExtraError: protobuf is not installed.
    """
    try:
        from google.protobuf import message_factory  # noqa: PLC0415 - an optional library
    except ImportError as error:
        raise MissingExtraError(
            "Prometheus's protobuf formats", "prometheus", cause=str(error)
        ) from error
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(full_name))


# prompb/remote.proto, prompb/types.proto
_REMOTE_WRITE: Final = """
message WriteRequest { repeated TimeSeries timeseries = 1; repeated MetricMetadata metadata = 3; }
message TimeSeries {
  repeated Label labels = 1; repeated Sample samples = 2;
  repeated Exemplar exemplars = 3; repeated Histogram histograms = 4;
}
message Label { optional string name = 1; optional string value = 2; }
message Sample { optional double value = 1; optional int64 timestamp = 2; }
message Exemplar {
  repeated Label labels = 1; optional double value = 2; optional int64 timestamp = 3;
}
message Histogram {
  optional uint64 count_int = 1; optional double sum = 3;
  optional sint32 schema = 4; optional double zero_threshold = 5;
  optional uint64 zero_count_int = 6;
  repeated BucketSpan positive_spans = 11; repeated sint64 positive_deltas = 12;
  optional ResetHint reset_hint = 14; optional int64 timestamp = 15;
}
message BucketSpan { optional sint32 offset = 1; optional uint32 length = 2; }
message MetricMetadata {
  optional MetricType type = 1; optional string metric_family_name = 2;
  optional string help = 4; optional string unit = 5;
}
enum ResetHint { RESET_UNKNOWN = 0; RESET_YES = 1; RESET_NO = 2; RESET_GAUGE = 3; }
enum MetricType {
  UNKNOWN = 0; COUNTER = 1; GAUGE = 2; HISTOGRAM = 3;
  GAUGEHISTOGRAM = 4; SUMMARY = 5; INFO = 6; STATESET = 7;
}
"""

# io/prometheus/client/metrics.proto
_EXPOSITION: Final = """
message MetricFamily {
  optional string name = 1; optional string help = 2; optional MetricType type = 3;
  repeated Metric metric = 4; optional string unit = 5;
}
message Metric {
  repeated LabelPair label = 1; optional Gauge gauge = 2; optional Counter counter = 3;
  optional Untyped untyped = 5; optional Histogram histogram = 7; optional int64 timestamp_ms = 6;
}
message LabelPair { optional string name = 1; optional string value = 2; }
message Gauge { optional double value = 1; }
message Counter {
  optional double value = 1; optional Exemplar exemplar = 2;
  optional google.protobuf.Timestamp created_timestamp = 3;
}
message Untyped { optional double value = 1; }
message Histogram {
  optional uint64 sample_count = 1; optional double sample_sum = 2; repeated Bucket bucket = 3;
  optional google.protobuf.Timestamp created_timestamp = 15;
  optional sint32 schema = 5; optional double zero_threshold = 6; optional uint64 zero_count = 7;
  repeated BucketSpan positive_span = 12; repeated sint64 positive_delta = 13;
  repeated Exemplar exemplars = 16;
}
message Bucket {
  optional uint64 cumulative_count = 1; optional double upper_bound = 2;
  optional Exemplar exemplar = 3;
}
message BucketSpan { optional sint32 offset = 1; optional uint32 length = 2; }
message Exemplar {
  repeated LabelPair label = 1; optional double value = 2;
  optional google.protobuf.Timestamp timestamp = 3;
}
enum MetricType {
  COUNTER = 0; GAUGE = 1; SUMMARY = 2; UNTYPED = 3; HISTOGRAM = 4; GAUGE_HISTOGRAM = 5;
}
"""

_DECLARATION: Final = re.compile(r"(message|enum) (\w+) \{([^}]*)\}")
_FIELD: Final = re.compile(r"(optional|repeated) ([\w.]+) (\w+) = (\d+);")
_ENUM_VALUE: Final = re.compile(r"(\w+) = (\d+);")


@cache
def _pool() -> Any:
    from google.protobuf import descriptor_pool, timestamp_pb2  # noqa: PLC0415

    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    for package, text in (("prometheus", _REMOTE_WRITE), ("io.prometheus.client", _EXPOSITION)):
        pool.AddSerializedFile(_file(package, text).SerializeToString())
    return pool


def _file(package: str, text: str) -> Any:
    """The descriptor of a file whose messages are declared one after another, none in another."""
    from google.protobuf import descriptor_pb2  # noqa: PLC0415

    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package)
    file.dependency.append("google/protobuf/timestamp.proto")
    declarations = _DECLARATION.findall(text)
    kinds = {name: what for what, name, _ in declarations}
    for what, name, body in declarations:
        if what == "enum":
            values = [{"name": n, "number": int(i)} for n, i in _ENUM_VALUE.findall(body)]
            file.enum_type.add(name=name, value=values)
        else:
            file.message_type.add(name=name, field=_fields(package, body, kinds))
    return file


def _fields(package: str, body: str, kinds: dict[str, str]) -> Iterator[dict[str, Any]]:
    for label, kind, name, number in _FIELD.findall(body):
        field: dict[str, Any] = {"name": name, "number": int(number)}
        field["label"] = f"LABEL_{label.upper()}"
        if kind in kinds:
            field["type"] = f"TYPE_{kinds[kind].upper()}"
            field["type_name"] = f".{package}.{kind}"
        elif "." in kind:
            field |= {"type": "TYPE_MESSAGE", "type_name": f".{kind}"}
        else:
            field["type"] = f"TYPE_{kind.upper()}"
            if label == "repeated":
                field["options"] = {"packed": True}
        yield field
