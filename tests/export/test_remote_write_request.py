"""Remote write as it goes over the wire, and answers no server here gives."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from contexts import context
from exposition import parse
from faulty_server import answer, faulty_server
from hypothesis import given, settings
from remote_runs import DURATION, Run, decompressed, many, now
from snapshots import full, snapshots

from metalscope.errors import ConfigurationError
from metalscope.export.prometheus import render_families
from metalscope.export.prometheus_schema import message_class
from metalscope.export.prometheus_series import scraped_labels, series_of
from metalscope.export.remote_write import RemoteWriteExporter
from metalscope.families import families
from metalscope.sending.result import Reason, Verdict
from metalscope.snapshot import CustomMetric, MetalTelemetrySnapshot


def test_a_request_is_as_the_specification_says() -> None:
    with faulty_server() as server:
        Run(server.url).exporter.export(full())
    [request] = server.requests
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/x-protobuf"
    assert request.headers["content-encoding"] == "snappy"
    assert request.headers["x-prometheus-remote-write-version"] == "0.1.0"
    assert request.headers["user-agent"].startswith("metalscope/")
    for series in decompressed(request.body).timeseries:
        names = [label.name for label in series.labels]
        assert names == sorted(set(names))
        assert all(label.value for label in series.labels)
        assert len(series.samples) == 1


def test_type_help_and_unit_go_with_the_first_request() -> None:
    with faulty_server() as server:
        Run(server.url).exporter.export(full())
    metadata = {
        one.metric_family_name: one for one in decompressed(server.requests[0].body).metadata
    }
    types = message_class("prometheus.MetricMetadata").DESCRIPTOR.fields_by_name["type"].enum_type
    told = {
        name: (types.values_by_number[one.type].name.lower(), one.help)
        for name, one in metadata.items()
    }
    sent = [family for family in families(full()) if family.values or family.distributions]
    assert told == {family.metric.name: (family.metric.type, family.metric.help) for family in sent}
    assert metadata["metal_memory_usage_bytes"].unit == "bytes"
    # A collector would put it after the name.
    assert metadata[DURATION].unit == ""


@settings(max_examples=60)
@given(snapshots)
def test_any_snapshot_gives_the_series_of_its_text(snapshot: MetalTelemetrySnapshot) -> None:
    found = {}
    for series in series_of(families(snapshot), {}, native=False):
        key = frozenset(series.labels)
        assert key not in found
        found[key] = repr(series.value)
    text = render_families(families(snapshot), openmetrics=False)
    assert found == {
        frozenset([("__name__", name), *((k, v) for k, v in labels if v)]): value
        for family in parse(text, "text/plain").values()
        for (name, labels), value in family.samples.items()
    }


def test_labels_of_the_target_win_and_a_series_keeps_its_own_under_another_name() -> None:
    own = {"job": "a", "exported_job": "b", "instance": "", "kind": "execute"}
    assert scraped_labels(own, {"job": "metalscope", "instance": "box:1", "zone": ""}) == {
        "job": "metalscope",
        "instance": "box:1",
        "exported_exported_job": "a",
        "exported_job": "b",
        "kind": "execute",
    }


def test_a_value_that_is_no_number_is_written_as_such() -> None:
    custom = tuple(
        CustomMetric(f"value_{n}", "gauge", (), value)
        for n, value in enumerate((math.nan, math.inf, -math.inf))
    )
    with faulty_server() as server:
        Run(server.url).exporter.export(replace(full(), custom=custom))
    values = {
        series.labels[0].value: series.samples[0].value
        for series in decompressed(server.requests[0].body).timeseries
    }
    assert math.isnan(values["value_0"])
    assert (values["value_1"], values["value_2"]) == (math.inf, -math.inf)


# The words of Mimir, pkg/distributor and pkg/ingester, errors catalogue.
@pytest.mark.parametrize(
    "words",
    [
        b"failed pushing to ingester: user=1: the sample has been rejected because another sample "
        b"with a more recent timestamp has already been ingested (err-mimir-sample-out-of-order)",
        b"the sample has been rejected because its timestamp is too old "
        b"(err-mimir-sample-timestamp-too-old). The affected sample has timestamp 2026-01-02",
        b"out of order sample\n",
    ],
)
def test_words_for_too_late_are_known_from_other_servers_too(words: bytes) -> None:
    with faulty_server(answer(400, words)) as server:
        result = Run(server.url).exporter.export(full())
    assert (result.verdict, result.reason) == (Verdict.REJECTED, Reason.SCHEMA)
    assert "newer" in result.detail


def test_another_400_is_told_in_the_words_of_the_server() -> None:
    with faulty_server(answer(400, b"label name too long")) as server:
        result = Run(server.url).exporter.export(full())
    assert (result.verdict, result.reason) == (Verdict.REJECTED, Reason.SCHEMA)
    assert "label name too long" in result.detail


def test_parts_that_arrived_are_not_sent_again() -> None:
    snapshot = many(now())
    with faulty_server(answer(204), answer(503), answer(204)) as server:
        run = Run(server.url)
        assert run.exporter.export(snapshot).reason is Reason.SERVER_ERROR
        result = run.exporter.export(snapshot)
    sent = [
        {tuple((label.name, label.value) for label in one.labels) for one in request.timeseries}
        for request in (decompressed(request.body) for request in server.requests)
    ]
    assert sent[1] == sent[2]
    arrived = [sent[0], *sent[2:]]
    assert len(set().union(*arrived)) == sum(map(len, arrived)) == result.points > 4000


# -- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"endpoint": None}, "endpoint"),
        ({"endpoint": "udp://127.0.0.1:9"}, "endpoint"),
        ({"settings": {"stale": True}}, "stale_markers"),
        ({"settings": {"stale_markers": "yes"}}, "true or false"),
    ],
)
def test_options_that_cannot_be_are_told(options: dict[str, Any], said: str) -> None:
    given = {"endpoint": "http://127.0.0.1:9/api/v1/write", "name": "mimir"} | options
    with pytest.raises(ConfigurationError, match=f"mimir.*{said}"):
        RemoteWriteExporter(context("prometheus", **given))
