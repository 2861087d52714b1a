"""For each exporter: how it is set up, how what it sends is read, and what a platform keeps of it.

A platform is modelled by what matters after a fault: which value it shows for which series and
time, and whether it adds up what it is sent.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import datadog_intake
from breeze_endpoint import KEY as AZURE_KEY
from breeze_endpoint import Breeze
from exposition import parse
from fault_outcomes import BY_KEY, Again, Row
from faulty_server import Request
from google.protobuf import json_format
from growing import grown
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from remote_runs import decompressed

from metalscope.export.view import MetricView
from metalscope.export_options import ExporterOptions

Labels = frozenset[tuple[str, str]]
Series = tuple[str, Labels]
Kind = Literal["total", "count", "gauge", "event"]
Answer = tuple[int, Mapping[str, str], bytes]


class Point(NamedTuple):
    """One value that a peer was sent; ``at`` is the time as the protocol writes it, or nothing."""

    series: Series
    at: Any
    value: float
    kind: Kind


def point(
    name: str,
    labels: Mapping[str, str] | Iterable[tuple[str, str]],
    at: Any,
    value: float,
    kind: Kind,
) -> Point:
    pairs = labels.items() if isinstance(labels, Mapping) else labels
    return Point((name, frozenset(pairs)), at, value, kind)


@dataclass
class Platform:
    """What a platform shows after all that it was sent."""

    again: Again
    values: dict[tuple[Series, Any], float] = field(default_factory=dict)
    kinds: dict[Series, Kind] = field(default_factory=dict)
    taken: Counter[tuple[Series, Any]] = field(default_factory=Counter)
    changed: list[Point] = field(default_factory=list)
    """Points of a time for which there was another value already."""

    def take(self, points: Iterable[Point]) -> None:
        if self.again is Again.REPLACED:
            self.values.clear()
        for one in points:
            key = one.series, one.at
            before = self.values.get(key)
            adds = one.kind == "count" and self.again in {Again.ADDED, Again.NO_ANSWER}
            if None not in (before, one.at) and not adds and before != one.value:
                self.changed.append(one)
            self.values[key] = one.value + (before or 0.0 if adds else 0.0)
            self.kinds[one.series] = one.kind
            self.taken[key] += 1

    def total(self, name: str) -> float:
        """What a counter of this name comes to over all its series."""
        sums: dict[Series, float] = {}
        for (series, _), value in sorted(self.values.items(), key=lambda one: str(one[0][1])):
            if series[0] == name or series[0].startswith(f"{name}."):
                is_count = self.kinds[series] == "count"
                sums[series] = value + (sums.get(series, 0.0) if is_count else 0.0)
        return sum(sums.values())

    def totals(self) -> dict[str, float]:
        """Those of all counters that are sent as differences."""
        names = {series[0] for series, kind in self.kinds.items() if kind == "count"}
        return {name: self.total(name) for name in names}


@dataclass(frozen=True)
class Peer:
    """An exporter and the platform it is for. ``read`` is given what came, in its own form."""

    key: str
    make: Callable[[str], dict[str, Any]]
    read: Callable[[Any], Iterable[Point]]
    answer: Callable[[Request], Answer] = lambda _: (200, {}, b"")

    @property
    def row(self) -> Row:
        return BY_KEY[self.key]

    def options(self, url: str, *, timeout: float, ca_file: Path | None = None) -> ExporterOptions:
        """Its options for a peer at this URL; ``timeout`` in s."""
        made: dict[str, Any] = {"timeout": f"{timeout:g}s", **self.make(url)}
        if ca_file is not None:
            made["tls"] = {"ca_file": ca_file}
        return ExporterOptions(**made)

    def platform(self) -> Platform:
        return Platform(self.row.again)


# -- Prometheus -----------------------------------------------------------------------------------


def _of_remote_write(request: Request) -> Iterator[Point]:
    for series in decompressed(request.body).timeseries:
        labels = {label.name: label.value for label in series.labels}
        name = labels.pop("__name__")
        for sample in series.samples:
            yield point(name, labels, sample.timestamp, sample.value, "total")


def _of_pushgateway(request: Request) -> Iterator[Point]:
    assert request.method == "PUT"
    for family in parse(request.body, request.headers["content-type"]).values():
        for (name, labels), value in family.samples.items():
            yield point(name, (*labels, ("group", request.path)), None, float(value), "total")


# -- OTLP -----------------------------------------------------------------------------------------


def _of_otlp(request: Request) -> Iterator[Point]:
    assert request.path.endswith("/v1/metrics")
    if request.headers["content-type"] == "application/json":
        message = json_format.Parse(request.content, ExportMetricsServiceRequest())
    else:
        message = ExportMetricsServiceRequest.FromString(request.content)
    return of_otlp_message(message)


def of_otlp_message(message: Any) -> Iterator[Point]:
    for resource in message.resource_metrics:
        instance = [(one.key, str(one.value)) for one in resource.resource.attributes]
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                data = getattr(metric, metric.WhichOneof("data"))
                for one in data.data_points:
                    labels = [
                        *instance, *((pair.key, pair.value.string_value) for pair in one.attributes)
                    ]  # fmt: skip
                    kind = _otlp_kind(data)
                    for part, value in _otlp_values(one):
                        yield point(metric.name + part, labels, one.time_unix_nano, value, kind)


def _otlp_kind(data: Any) -> Kind:
    temporality = getattr(data, "aggregation_temporality", 0)
    return ("gauge", "count", "total")[temporality]  # type: ignore[return-value]


def _otlp_values(one: Any) -> Iterator[tuple[str, float]]:
    if hasattr(one, "bucket_counts"):
        yield "#count", float(one.count)
        yield "#sum", one.sum
        for bound, count in zip([*one.explicit_bounds, "inf"], one.bucket_counts, strict=True):
            yield f"#{bound}", float(count)
    else:
        yield "", float(getattr(one, one.WhichOneof("value")))


def _otlp_answer(request: Request) -> Answer:
    content_type = request.headers["content-type"]
    return 200, {"content-type": content_type}, b"{}" if "json" in content_type else b""


# -- Azure ----------------------------------------------------------------------------------------


@cache
def _types() -> dict[str, str]:
    return {one.metric.name: one.metric.type for one in MetricView().families(grown(3))}


def _of_application_insights(request: Request) -> Iterator[Point]:
    # Checked where it is answered.
    for item in json.loads(request.content):
        data = item["data"]["baseData"]
        labels = [*data.get("properties", {}).items(), *item["tags"].items()]
        if item["data"]["baseType"] == "EventData":
            yield point(data["name"], labels, item["time"], 1.0, "count")
            continue
        (value,) = data["metrics"]
        name, at = value["name"], item["time"]
        is_gauge = _types().get(name) not in {"counter", "histogram"}
        kind: Kind = "gauge" if is_gauge else "count"
        yield point(name, labels, at, float(value["value"]), kind)
        if _types().get(name) == "histogram":
            yield point(f"{name}#count", labels, at, float(value["count"]), "count")


def _application_insights_answer(request: Request) -> Answer:
    breeze = Breeze()
    answer = breeze(request)
    assert answer[0] == 200, breeze.refused
    return answer


# -- Datadog, StatsD ------------------------------------------------------------------------------


def _of_datadog(request: Request) -> Iterator[Point]:
    path, body = datadog_intake.checked(request)
    if path == "/api/v1/events":
        tags = [(one, "") for one in body["tags"]]
        yield point(body["title"], tags, body["date_happened"], 1.0, "event")
        return
    for series in body["series"]:
        kind: Kind = "count" if series["type"] in {1, "count"} else "gauge"
        for one in series["points"]:
            at, value = one if isinstance(one, list) else (one["timestamp"], one["value"])
            yield point(series["metric"], [(tag, "") for tag in series["tags"]], at, value, kind)


def _datadog_answer(request: Request) -> Answer:
    body = b'{"errors": []}' if request.path == "/api/v2/series" else b'{"status": "ok"}'
    return 202, {"content-type": "application/json"}, body


_KINDS: Mapping[str, Kind] = {"c": "count", "g": "gauge"}


def _of_dogstatsd(datagram: bytes) -> Iterator[Point]:
    # Datadog documentation, "DogStatsD protocol", v1.3.
    for line in datagram.decode().splitlines():
        if line.startswith("_e{"):
            yield point(line.split("|")[0].partition(":")[2], (), line, 1.0, "event")
            continue
        found = re.fullmatch(r"([\w.]+):([^|]+)\|([cg])\|#([^|]*)\|T(\d+)", line)
        assert found, line
        name, value, kind, tags, at = found.groups()
        labels = [(tag, "") for tag in tags.split(",")]
        yield point(name, labels, int(at), float(value), _KINDS[kind])


def _of_statsd(datagram: bytes) -> Iterator[Point]:
    for line in datagram.decode().splitlines():
        found = re.fullmatch(r"([\w.-]+):([^|]+)\|([cg])", line)
        assert found, line
        name, value, kind = found.groups()
        yield point(name, (), None, float(value), _KINDS[kind])


# -- InfluxDB, JSON -------------------------------------------------------------------------------


def _of_influxdb(request: Request) -> Iterator[Point]:
    for line in request.content.decode().splitlines():
        # Line protocol; a space, a comma and a sign of equality in a tag are escaped.
        key, fields, at = re.split(r"(?<!\\) ", line)
        name, *tags = re.split(r"(?<!\\),", key)
        labels = [tuple(re.split(r"(?<!\\)=", tag)) for tag in tags]
        field_name, _, value = fields.partition("=")
        assert field_name == "value"
        yield point(name, labels, int(at), float(value), "total")  # type: ignore[arg-type]


def _of_document(document: Any) -> Iterator[Point]:
    assert document["schema"] == "metalscope.export/v1"
    at = document["timestamp"]
    for metric in document["metrics"]:
        for series in metric["series"]:
            values = {"": series["value"]} if "value" in series else _of_histogram(series)
            for part, value in values.items():
                yield point(metric["name"] + part, series["labels"], at, value, "total")
    for event in document["events"]:
        yield point(event["name"], (), event["timestamp"], 1.0, "event")


def _of_histogram(series: Mapping[str, Any]) -> dict[str, float]:
    buckets = {f"#{bound}": float(count) for bound, count in series["buckets"]}
    return {"#count": float(series["count"]), "#sum": float(series["sum"])} | buckets


def _of_webhook(request: Request) -> Iterator[Point]:
    document = json.loads(request.content)
    assert request.headers["idempotency-key"] == document["document_id"]
    return _of_document(document)


def _of_line(line: bytes) -> Iterator[Point]:
    return _of_document(json.loads(line))


PEERS = (
    Peer(
        "remote_write",
        lambda url: {"type": "prometheus", "endpoint": f"{url}/api/v1/write"},
        _of_remote_write,
        lambda _: (204, {}, b""),
    ),
    Peer(
        "pushgateway",
        lambda url: {"type": "prometheus", "protocol": "pushgateway", "endpoint": url},
        _of_pushgateway,
    ),
    Peer(
        "otlp_protobuf",
        lambda url: {"type": "opentelemetry", "protocol": "http/protobuf", "endpoint": url},
        _of_otlp,
        _otlp_answer,
    ),
    Peer(
        "otlp_json",
        lambda url: {"type": "opentelemetry", "protocol": "http/json", "endpoint": url},
        _of_otlp,
        _otlp_answer,
    ),
    Peer(
        "otlp_grpc",
        lambda url: {"type": "opentelemetry", "protocol": "grpc", "endpoint": url},
        of_otlp_message,
    ),
    Peer(
        "otlp_delta",
        lambda url: {
            "type": "opentelemetry",
            "protocol": "http/protobuf",
            "endpoint": url,
            "temporality": "delta",
        },
        _of_otlp,
        _otlp_answer,
    ),
    Peer(
        "grafana_otlp",
        lambda url: {"type": "grafana_cloud", "endpoint": f"{url}/otlp", "api_key": "1:glc_x"},
        _of_otlp,
        _otlp_answer,
    ),
    Peer(
        "grafana_write",
        lambda url: {
            "type": "grafana_cloud",
            "endpoint": f"{url}/api/prom/push",
            "api_key": "1:glc_x",
        },
        _of_remote_write,
    ),
    Peer(
        "application_insights",
        lambda url: {"type": "application_insights", "endpoint": url, "api_key": AZURE_KEY},
        _of_application_insights,
        _application_insights_answer,
    ),
    Peer(
        "datadog_v2",
        lambda url: {"type": "datadog", "endpoint": url, "api_key": datadog_intake.KEY},
        _of_datadog,
        _datadog_answer,
    ),
    Peer(
        "datadog_v1",
        lambda url: {
            "type": "datadog",
            "protocol": "v1",
            "endpoint": url,
            "api_key": datadog_intake.KEY,
        },
        _of_datadog,
        _datadog_answer,
    ),
    Peer("dogstatsd", lambda url: {"type": "datadog", "endpoint": url}, _of_dogstatsd),
    Peer("statsd", lambda url: {"type": "statsd", "endpoint": url}, _of_statsd),
    Peer(
        "influxdb",
        lambda url: {
            "type": "influxdb",
            "endpoint": url,
            "settings": {"bucket": "b", "org": "o"},
        },
        _of_influxdb,
        lambda _: (204, {}, b""),
    ),
    Peer("webhook", lambda url: {"type": "custom", "endpoint": f"{url}/in"}, _of_webhook),
    Peer("file", lambda url: {"type": "custom", "endpoint": url}, _of_line),
)
