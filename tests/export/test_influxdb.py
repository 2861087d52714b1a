"""InfluxDB's line protocol, asked back from a real VictoriaMetrics, which speaks it."""

from __future__ import annotations

import gzip
import math
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from contexts import context
from faulty_server import REFUSED, answer, faulty_server
from growing import START, STEP, grown, totals
from hypothesis import given, settings
from snapshots import HOSTILE_NAMES, full, snapshots
from victoria_metrics import running_victoria_metrics

from metalscope.errors import ConfigurationError, MissingExtraError
from metalscope.export.deltas import samples
from metalscope.export.influxdb import InfluxdbExporter
from metalscope.export.view import MetricView
from metalscope.sending.result import Reason, Verdict
from metalscope.snapshot import MetalTelemetrySnapshot
from prometheus_server import PrometheusServer

TOKEN = "very-secret-token"


@pytest.fixture(scope="module")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    with running_victoria_metrics(tmp_path_factory.mktemp("victoria")) as running:
        yield running


def exporter(url: str | None, **options: object) -> InfluxdbExporter:
    return InfluxdbExporter(context("influxdb", endpoint=url, **options))


def asked(victoria: PrometheusServer, query: str) -> list[tuple[dict[str, str], float]]:
    deadline = time.monotonic() + 20
    while True:
        with urllib.request.urlopen(f"{victoria.url}/internal/force_flush", timeout=10):
            found = victoria.query(query, at=(START + 60 * STEP).timestamp())
        if found:
            return found
        assert time.monotonic() < deadline, query
        time.sleep(0.2)


def test_every_number_of_a_snapshot_is_there(victoria: PrometheusServer) -> None:
    snapshot = replace(full(), timestamp=START + STEP, started_at=START)
    assert exporter(f"{victoria.url}/write", labels={"run": "all"}).export(snapshot).ok
    # VictoriaMetrics puts the name of the field after that of the measurement.
    found = asked(victoria, 'last_over_time({run="all", __name__=~".+"}[1h]) keep_metric_names')
    there = {
        (labels.pop("__name__").removesuffix("_value"), frozenset(labels.items())): value
        for labels, value in found
    }
    who = {"run": "all", "db": "", "job": "metalscope", "instance": "box:1"}
    sent = {}
    for family in MetricView().families(snapshot):
        for one in samples(family):
            labels = {key: value for key, value in (who | dict(one.labels)).items() if value}
            sent[one.name, frozenset(labels.items())] = one.value
    assert there.keys() == sent.keys()
    for key, value in sent.items():
        assert there[key] == pytest.approx(value), key


def test_totals_are_totals_at_the_time_of_each_snapshot(victoria: PrometheusServer) -> None:
    influx = exporter(f"{victoria.url}/write", labels={"run": "totals"})
    for steps in (1, 2, 4):
        assert influx.export(grown(steps)).ok
        assert influx.export(grown(steps)).ok
    query = 'sum(last_over_time(metal_operations_total_value{run="totals"}[1h]))'
    ((_, value),) = asked(victoria, query)
    assert value == totals(grown(4))["metal_operations_total"]
    query = 'max(tlast_over_time(metal_operations_total_value{run="totals"}[1h]))'
    ((_, value),) = asked(victoria, query)
    assert value == pytest.approx(grown(4).timestamp.timestamp(), abs=0.001)


@pytest.mark.parametrize("name", [name for name in HOSTILE_NAMES if name.strip()])
def test_any_name_of_a_kernel_arrives_as_one_tag(name: str, victoria: PrometheusServer) -> None:
    snapshot = grown(1)
    run = f"hostile{HOSTILE_NAMES.index(name)}"
    one = replace(snapshot.operations[0], name=name)
    influx = exporter(f"{victoria.url}/write", labels={"run": run})
    assert influx.export(replace(snapshot, operations=(one,))).ok
    query = f'last_over_time(metal_operations_total_value{{run="{run}", outcome="ok"}}[1h])'
    ((labels, value),) = asked(victoria, query)
    assert value == 1
    # The line protocol has no line breaks in tags, and a backslash at the end gets a space.
    written = name.translate({10: "\\n", 9: "\\t", 13: "\\r"})
    assert labels["name"].replace("\\", "").strip() == written.replace("\\", "").strip()
    assert labels["kind"] == "execute"
    assert labels["device"] == "m1"


@given(snapshots)
@settings(max_examples=25, deadline=None)
def test_any_snapshot_is_one_line_for_each_finite_number(snapshot: MetalTelemetrySnapshot) -> None:
    with faulty_server(answer(204)) as server:
        assert exporter(f"{server.url}/write").export(snapshot).ok
        lines = server.requests[0].content.decode().split("\n")
    numbers = [one for family in MetricView().families(snapshot) for one in samples(family)]
    assert len(lines) == sum(math.isfinite(one.value) for one in numbers)
    nanoseconds = str(int(snapshot.timestamp.timestamp()) * 10**9)
    for line in lines:
        assert line.endswith(f" {nanoseconds}")
        assert " value=" in line


@pytest.mark.parametrize(
    ("endpoint", "options", "asked_for"),
    [
        ("/api/v2/write?org=o&bucket=b", {}, "/api/v2/write?org=o&bucket=b&precision=ns"),
        ("", {"bucket": "b", "org": "o p"}, "/api/v2/write?org=o+p&bucket=b&precision=ns"),
        ("/", {"database": "d"}, "/write?db=d&precision=ns"),
        ("/write?db=d&precision=ns", {}, "/write?db=d&precision=ns"),
    ],
)
def test_it_is_written_where_the_options_say(
    endpoint: str, options: dict[str, object], asked_for: str
) -> None:
    with faulty_server(answer(204)) as server:
        influx = exporter(f"{server.url}{endpoint}", settings=options, api_key=TOKEN)
        assert influx.export(grown(1)).ok
        (request,) = server.requests
    assert request.path == asked_for
    assert request.headers["authorization"] == f"Token {TOKEN}"
    assert request.headers["content-encoding"] == "gzip"
    assert b"metal_operations_total," in gzip.decompress(request.body)


def test_a_user_signs_in_by_basic_authentication() -> None:
    with faulty_server(answer(204)) as server:
        exporter(f"{server.url}/write?db=d", user="u", api_key="p").export(grown(1))
        assert server.requests[0].headers["authorization"] == "Basic dTpw"


def test_points_it_drops_do_not_hold_up_the_rest() -> None:
    body = b'{"code":"unprocessable","message":"partial write: field type conflict dropped=3"}'
    with faulty_server(answer(422, body)) as server:
        result = exporter(f"{server.url}/write").export(grown(1))
        lines = server.requests[0].content.decode().split("\n")
    assert result.ok
    assert result.rejected_points == 3
    assert result.points == len(lines) - 3
    assert "field type conflict" in result.detail


@pytest.mark.parametrize(
    ("fault", "verdict", "reason"),
    [
        (answer(400, b"unable to parse"), Verdict.REJECTED, Reason.SCHEMA),
        (answer(401, TOKEN.encode()), Verdict.RETRY, Reason.UNAUTHORIZED),
        (answer(404), Verdict.RETRY, Reason.NOT_FOUND),
        (answer(503, retry_after="7"), Verdict.RETRY, Reason.SERVER_ERROR),
        (REFUSED, Verdict.RETRY, Reason.REFUSED),
    ],
    ids=str,
)
def test_a_failure_is_judged_and_shows_no_token(fault, verdict, reason) -> None:  # type: ignore[no-untyped-def]
    with faulty_server(fault) as server:
        result = exporter(f"{server.url}/write", api_key=TOKEN).export(grown(1))
    assert (result.verdict, result.reason) == (verdict, reason)
    assert TOKEN not in result.detail
    assert result.retry_after == (timedelta(seconds=7) if "503" in str(fault) else None)


def test_a_part_that_is_too_large_is_halved() -> None:
    with faulty_server(answer(413), answer(204)) as server:
        result = exporter(f"{server.url}/write").export(grown(1))
        assert result.ok
        lines = [len(gzip.decompress(one.body).splitlines()) for one in server.requests]
        refused, half, *rest = lines
        assert refused == result.points == half + sum(rest)
        assert half == refused // 2


@pytest.mark.parametrize(
    ("endpoint", "options", "said"),
    [
        (None, {}, "endpoint"),
        ("http://localhost:8086", {}, "/write"),
        ("http://localhost:8086/write?precision=s", {}, "precision"),
        ("http://localhost:8086", {"buckets": "b"}, "settings.buckets"),
        ("http://localhost:8086", {"bucket": 1}, "settings.bucket"),
    ],
)
def test_an_option_that_is_not_usable_is_named(
    endpoint: str | None, options: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        exporter(endpoint, settings=options)


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "influxdb_client.client.write.point", None)
    with pytest.raises(MissingExtraError, match=r"metalscope\[influxdb\]"):
        exporter("http://127.0.0.1:1/write")
