"""Datadog's API v1, asked back from a real VictoriaMetrics, which speaks it."""

from __future__ import annotations

import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import timedelta

import pytest
from contexts import context
from datadog_intake import KEY, Intake, checked
from faulty_server import answer, faulty_server
from growing import START, STEP, durations_ns, grown, totals
from victoria_metrics import running_victoria_metrics

from metalscope.errors import MissingExtraError
from metalscope.export.datadog.exporter import DatadogExporter, datadog_exporter
from metalscope.sending.result import Reason
from prometheus_server import PrometheusServer


@pytest.fixture(scope="module")
def victoria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    with running_victoria_metrics(tmp_path_factory.mktemp("victoria")) as running:
        yield running


def exporter(url: str, **options: object) -> DatadogExporter:
    # VictoriaMetrics takes series of version 1 only, and no events.
    given = {"protocol": "v1", "api_key": KEY, "settings": {"events": False}} | options
    made = datadog_exporter(context("datadog", endpoint=url, **given))
    assert isinstance(made, DatadogExporter)
    return made


def asked(victoria: PrometheusServer, query: str) -> list[tuple[dict[str, str], float]]:
    with urllib.request.urlopen(f"{victoria.url}/internal/force_flush", timeout=10):
        return victoria.query(query, at=(START + 60 * STEP).timestamp())


def one(victoria: PrometheusServer, query: str) -> float:
    deadline = time.monotonic() + 20
    while not (found := asked(victoria, query)):
        assert time.monotonic() < deadline, query
        time.sleep(0.2)
    ((_, value),) = found
    return value


def test_the_counts_it_has_add_up_to_the_totals(victoria: PrometheusServer) -> None:
    datadog = exporter(f"{victoria.url}/datadog", labels={"run": "sums"})
    for steps in range(1, 6):
        result = datadog.export(grown(steps))
        assert result.ok, result
    for metric, total in totals(grown(5)).items():
        if metric != "metal_gpu_recoveries_total":
            query = f'sum(sum_over_time({metric}{{run="sums"}}[1h]))'
            assert one(victoria, query) == pytest.approx(total), metric
    of_all = 'sum(sum_over_time(metal_operation_duration_ms_bucket{run="sums", le="inf"}[1h]))'
    assert one(victoria, of_all) == totals(grown(5))["metal_operations_total"]


def test_the_counts_add_up_after_failures_restarts_and_in_a_new_process(
    victoria: PrometheusServer,
) -> None:
    url = f"{victoria.url}/datadog"
    labels = {"run": "faults"}
    with faulty_server(answer(503)) as broken:
        datadog = exporter(url, labels=labels)
        assert datadog.export(grown(1)).ok
        unreachable = exporter(broken.url, labels=labels)
        unreachable.resume(grown(1))
        assert unreachable.export(grown(2)).reason is Reason.SERVER_ERROR
    again = exporter(url, labels=labels)
    again.resume(grown(1))
    assert again.export(grown(3)).ok
    later = START + timedelta(minutes=5)
    assert again.export(grown(2, started_at=later, pid=2)).ok
    expected = totals(grown(3))["jobs_total"] + totals(grown(2))["jobs_total"]
    assert one(victoria, 'sum(sum_over_time(jobs_total{run="faults"}[1h]))') == expected


def test_gauges_have_the_values_and_times_of_the_snapshots(victoria: PrometheusServer) -> None:
    datadog = exporter(f"{victoria.url}/datadog", labels={"run": "gauges"})
    for steps in (1, 2):
        assert datadog.export(grown(steps)).ok
    assert one(victoria, 'sum(last_over_time(depth{run="gauges"}[1h]))') == -0.5
    last = one(victoria, 'max(tlast_over_time(depth{run="gauges"}[1h]))')
    assert last == int(grown(2).timestamp.timestamp())


def test_labels_are_tags(victoria: PrometheusServer) -> None:
    datadog = exporter(f"{victoria.url}/datadog", labels={"run": "tags"})
    assert datadog.export(grown(1)).ok
    query = 'sum_over_time(metal_operations_total{run="tags", outcome="ok"}[1h])'
    one(victoria, query)
    ((labels, value),) = asked(victoria, query)
    assert value == len(durations_ns(0))
    assert labels == labels | {
        "kind": "execute", "name": "matmul", "device": "m1", "outcome": "ok",
        "service": "metalscope", "instance": "box:1",
    }  # fmt: skip


def test_what_is_sent_is_what_datadogs_models_allow() -> None:
    intake = Intake()
    with faulty_server(intake.answers()) as server:
        datadog = exporter(server.url, settings={"distributions": True})
        for steps in (1, 2):
            assert datadog.export(grown(steps, events=steps)).ok
        paths = [checked(request)[0] for request in server.requests]
    assert set(paths) == {"/api/v1/series", "/api/v1/distribution_points", "/api/v1/events"}
    for metric, total in totals(grown(2)).items():
        if metric != "metal_gpu_recoveries_total":
            assert intake.total(metric) == pytest.approx(total), metric


def test_the_address_of_the_series_themselves_is_understood() -> None:
    intake = Intake()
    with faulty_server(intake.answers()) as server:
        for version in ("v1", "v2"):
            made = exporter(f"{server.url}/api/{version}/series", protocol=None)
            assert made.export(grown(1)).ok
        assert [r.path for r in server.requests] == ["/api/v1/series", "/api/v2/series"]


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datadog_api_client", None)
    with pytest.raises(MissingExtraError, match=r"metalscope\[datadog\]"):
        exporter("http://127.0.0.1:1")
