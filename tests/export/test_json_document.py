from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from math import inf, isfinite, nan
from pathlib import Path
from typing import Any, get_args

import pytest
from contexts import context
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from snapshots import EARLIER, NOW, full
from snapshots import snapshots as any_snapshot

import metalscope
from metalscope import semconv
from metalscope.export.documents.json_document import Document, strict_json
from metalscope.export.view import MetricView
from metalscope.families import families
from metalscope.operation import Component
from metalscope.snapshot import (
    CustomMetric,
    Exemplar,
    HealthStatus,
    MetalTelemetrySnapshot,
    ResourceKind,
    ResourceMetrics,
    SystemInfo,
    TelemetryEvent,
)

SCHEMA_FILE = Path(metalscope.__file__).parent / "assets" / "schema" / "export-v1.schema.json"
SCHEMA = json.loads(SCHEMA_FILE.read_text())
VALIDATOR = Draft202012Validator(SCHEMA)

VIEW = MetricView()
TRACED = Exemplar(0.9, NOW, "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


def with_everything() -> MetalTelemetrySnapshot:
    """``full()`` with what is optional: exemplars, and events with any property."""
    snapshot = full()
    first = snapshot.operations[0]
    traced = replace(first.outcomes[0], exemplars=(TRACED,))
    operations = (replace(first, outcomes=(traced, *first.outcomes[1:])), *snapshot.operations[1:])
    properties = {"tenant": "a", "n": 1, "deep": {"list": [1, None, True]}}
    return replace(snapshot, operations=operations, events=events(1, 2, properties=properties))


def events(*numbers: int, **more: Any) -> tuple[TelemetryEvent, ...]:
    return tuple(TelemetryEvent(number, NOW, f"event {number}", **more) for number in numbers)


def document(
    snapshot: MetalTelemetrySnapshot, view: MetricView = VIEW, **more: Any
) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(strict_json(Document(snapshot, view, **more).to_dict()))
    return read


def series(made: dict[str, Any], name: str) -> list[dict[str, Any]]:
    (metric,) = [metric for metric in made["metrics"] if metric["name"] == name]
    found: list[dict[str, Any]] = metric["series"]
    return found


# -- the schema ----------------------------------------------------------------------------------


def test_the_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_has_every_word_of_the_code_and_no_other() -> None:
    parts = SCHEMA["$defs"]
    metric = parts["metric"]["properties"]
    assert metric["unit"]["enum"] == list(get_args(semconv.Unit))
    assert metric["type"]["enum"] == list(get_args(semconv.MetricType))
    assert parts["status"]["enum"] == [status.value for status in HealthStatus]
    component = parts["health"]["properties"]["components"]["items"]["properties"]["component"]
    assert component["enum"] == [component.value for component in Component]


def test_a_document_of_everything_is_of_the_schema() -> None:
    made = document(with_everything())
    VALIDATOR.validate(made)
    assert made["events"]
    assert "exemplars" in series(made, "metal_operation_duration_ms")[0]


def test_a_part_of_a_document_is_of_the_schema() -> None:
    VALIDATOR.validate(json.loads(strict_json(Document(with_everything(), VIEW).to_dict(3, 4))))


@settings(max_examples=30)
@given(any_snapshot)
def test_the_document_of_any_snapshot_is_of_the_schema(snapshot: MetalTelemetrySnapshot) -> None:
    VALIDATOR.validate(document(snapshot))


def delete(*path: str | int) -> Callable[[dict[str, Any]], None]:
    def change(made: dict[str, Any]) -> None:
        *way, last = path
        for step in way:
            made = made[step]  # type: ignore[index]
        del made[last]  # type: ignore[arg-type]

    return change


def put(value: Any, *path: str | int) -> Callable[[dict[str, Any]], None]:
    def change(made: dict[str, Any]) -> None:
        *way, last = path
        for step in way:
            made = made[step]  # type: ignore[index]
        made[last] = value  # type: ignore[index]

    return change


GAUGE, HISTOGRAM = 3, 2
BREAKS = {
    "another version": put("metalscope.export/v2", "schema"),
    "a key nobody knows": put(1, "more"),
    "no time": delete("timestamp"),
    "a local time": put("2026-01-02T03:04:05+01:00", "timestamp"),
    "no instance": delete("resource", "service.instance.id"),
    "no id": delete("document_id"),
    "a random id": put("7b7c9b9c-3c59-4c7b-8f0a-7d1d6b1b0c5e", "document_id"),
    "an unknown status": put("fine", "health", "status"),
    "no name": delete("metrics", GAUGE, "name"),
    "a name with a dash": put("metal-memory", "metrics", GAUGE, "name"),
    "an unknown type": put("summary", "metrics", GAUGE, "type"),
    "a metric without series": put([], "metrics", GAUGE, "series"),
    "a value in words": put("12", "metrics", GAUGE, "series", 0, "value"),
    "no value": delete("metrics", GAUGE, "series", 0, "value"),
    "a label that is no text": put(1, "metrics", GAUGE, "series", 0, "labels", "pool"),
    "a histogram called a gauge": put("gauge", "metrics", HISTOGRAM, "type"),
    "a gauge called a histogram": put("histogram", "metrics", GAUGE, "type"),
    "a bucket without a count": put([1.0], "metrics", HISTOGRAM, "series", 0, "buckets", 0),
    "a count of a half": put(0.5, "metrics", HISTOGRAM, "series", 0, "count"),
    "a short trace id": put("0af7", "metrics", HISTOGRAM, "series", 0, "exemplars", 0, "trace_id"),
    "an event without a number": delete("events", 0, "sequence"),
    "an empty part": put({"offset": 0, "points": 0, "total": 5}, "part"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_the_schema_takes_no_document_with(name: str) -> None:
    made = document(with_everything())
    broken = copy.deepcopy(made)
    BREAKS[name](broken)
    assert broken != made
    assert not VALIDATOR.is_valid(broken)


# -- what is in it -------------------------------------------------------------------------------


def numbers(made: dict[str, Any]) -> Iterator[tuple[str, frozenset[tuple[str, str]], Any]]:
    for metric in made["metrics"]:
        for one in metric["series"]:
            value = one["value"] if "value" in one else (one["count"], one["sum"], one["buckets"])
            yield metric["name"], frozenset(one["labels"].items()), value


@settings(max_examples=30)
@given(any_snapshot)
def test_every_finite_number_of_the_snapshot_is_in_the_document_under_its_name(
    snapshot: MetalTelemetrySnapshot,
) -> None:
    expected = {}
    for family in families(snapshot):
        metric = family.metric
        for labels, value in family.values:
            if isfinite(value):
                key = metric.name, frozenset(zip(metric.labels, labels, strict=True))
                expected[key] = value
        for labels, one in family.distributions:
            key = metric.name, frozenset(zip(metric.labels, labels, strict=True))
            buckets = [[bound, count] for bound, count in one.buckets]
            expected[key] = (one.count, one.sum, buckets)
    assert {
        (name, labels): value for name, labels, value in numbers(document(snapshot))
    } == expected


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_a_value_that_is_no_number_is_absent_and_so_is_a_metric_without_any(value: float) -> None:
    snapshot = replace(
        full(),
        resources=(ResourceMetrics(ResourceKind.POWER, "gpu", "m1", value),),
        custom=(
            CustomMetric("depth", "gauge", (("q", "a"),), value),
            CustomMetric("depth", "gauge", (("q", "b"),), 2.0),
        ),
    )
    made = document(snapshot)
    assert "metal_power_watts" not in {metric["name"] for metric in made["metrics"]}
    assert series(made, "depth") == [{"labels": {"q": "b"}, "value": 2.0}]


def test_a_sum_that_is_no_number_is_null_and_the_count_stays() -> None:
    endless = CustomMetric("sizes", "histogram", (), inf, 2, ((1.0, 1),))
    made = document(replace(full(), custom=(endless,)))
    assert series(made, "sizes") == [{"labels": {}, "count": 2, "sum": None, "buckets": [[1.0, 1]]}]


@given(st.text(st.characters()))
@example("\ud800 alone")
def test_any_text_comes_through_on_one_line(text: str) -> None:
    snapshot = replace(full(), custom=(CustomMetric("depth", "gauge", (("q", text),), 1),))
    line = strict_json(Document(snapshot, VIEW).to_dict()).encode()
    assert b"\n" not in line
    (one,) = series(json.loads(line), "depth")
    assert one["labels"]["q"] == text.encode("utf-8", "replace").decode()


def test_properties_json_has_no_word_for_are_text() -> None:
    odd = events(1, properties={"a": nan, "b": {1}, "c": (1, inf)})
    (event,) = document(replace(full(), events=odd))["events"]
    assert event["properties"] == {"a": "nan", "b": "{1}", "c": [1, "inf"]}


def test_labels_of_the_options_are_on_the_resource() -> None:
    made = document(full(), context(labels={"team": "vision"}).view)
    assert made["resource"]["team"] == "vision"
    assert made["resource"]["service.instance.id"] == "box:1"


# -- what the view leaves out or changes ---------------------------------------------------------


def view_of(**metrics: Any) -> MetricView:
    return context(metrics=metrics).view


def test_health_is_shown_as_its_metric_is() -> None:
    shown = document(full())["health"]
    assert shown == {
        "status": "degraded",
        "components": [
            {"component": "memory", "status": "degraded", "reasons": ["too much"]},
            {"component": "kernel", "status": "healthy", "reasons": []},
        ],
    }
    assert document(full(), view_of(rename={"metal_health_status": "state"}))["health"] == shown
    assert "health" not in document(full(), view_of(deny=["metal_health_status"]))
    assert "health" not in document(full(), view_of(allow=["metal_operations_total"]))


def test_reasons_of_health_are_cleaned_as_labels_are() -> None:
    view = view_of(replace={"too m": "s"})
    assert document(full(), view)["health"]["components"][0]["reasons"] == ["such"]


def test_renamed_and_filtered_metrics_are_so_in_the_document() -> None:
    view = view_of(allow=["metal_operations_total"], rename={"metal_operations_total": "ops"})
    made = document(full(), view)
    assert [metric["name"] for metric in made["metrics"]] == ["ops_total"]
    VALIDATOR.validate(made)


# -- events, each once ---------------------------------------------------------------------------


def sequences(made: dict[str, Any]) -> list[int]:
    return [event["sequence"] for event in made["events"]]


def test_events_that_arrived_before_are_left_out() -> None:
    before = replace(full(), events=events(1, 2))
    after = replace(full(), timestamp=NOW + timedelta(seconds=10), events=events(2, 3, 4))
    assert sequences(document(before)) == [1, 2]
    assert sequences(document(after, since=before)) == [3, 4]


def test_events_of_another_process_are_all_new() -> None:
    last = replace(full(), events=events(1, 2))
    restarted = replace(full(), started_at=EARLIER + timedelta(hours=1), events=events(1))
    assert sequences(document(restarted, since=last)) == [1]
    assert last.system is not None
    forked = replace(last, system=replace(last.system, pid=2))
    assert sequences(document(forked, since=last)) == [1, 2]


# -- which document it is ------------------------------------------------------------------------


def test_the_same_snapshot_gives_the_same_bytes() -> None:
    one, other = (strict_json(Document(with_everything(), VIEW).to_dict()) for _ in range(2))
    assert one == other


def test_no_two_documents_have_one_id() -> None:
    snapshot = with_everything()
    system = snapshot.system
    assert isinstance(system, SystemInfo)
    whole = Document(snapshot, VIEW)
    later = replace(snapshot, timestamp=NOW + timedelta(microseconds=1))
    ids = {
        made["document_id"]
        for made in (
            whole.to_dict(),
            whole.to_dict(0, 10),
            whole.to_dict(10, 10),
            whole.to_dict(0, 20),
            Document(later, VIEW).to_dict(),
            Document(replace(snapshot, system=replace(system, pid=2)), VIEW).to_dict(),
        )
    }
    assert len(ids) == 6


@given(st.integers(1, 100))
def test_the_parts_are_the_whole(size: int) -> None:
    whole = Document(with_everything(), VIEW)
    total = len(whole.points)
    parts = [whole.to_dict(offset, size) for offset in range(0, total, size)]
    got = [number for part in parts for number in numbers(part)]
    assert sorted(map(repr, got)) == sorted(map(repr, numbers(whole.to_dict())))
    assert [event for part in parts for event in part["events"]] == whole.to_dict()["events"]
    if len(parts) > 1:
        assert [part["part"]["offset"] for part in parts] == [*range(0, total, size)]
        assert sum(part["part"]["points"] for part in parts) == total
        assert {part["part"]["total"] for part in parts} == {total}
