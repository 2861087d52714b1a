"""What a real Prometheus makes of our exposition, in both formats."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from snapshots import HOSTILE_NAMES, full

from metalscope import semconv
from metalscope.export.prometheus import render
from metalscope.histogram import DurationHistogram
from metalscope.operation import OK, OperationKind
from metalscope.snapshot import MetalTelemetrySnapshot, OperationMetrics, OutcomeMetrics
from prometheus_server import PrometheusServer, Target, running_prometheus

pytestmark = pytest.mark.server


def hostile() -> MetalTelemetrySnapshot:
    outcome = OutcomeMetrics(OK, DurationHistogram.from_durations([2_000_000]))
    named = [
        OperationMetrics(OperationKind.TRANSFER, name, "", (outcome,)) for name in HOSTILE_NAMES
    ]
    return replace(full(), operations=(*full().operations, *named))


@contextmanager
def served(snapshot: MetalTelemetrySnapshot) -> Iterator[str]:
    """Serve ``/asked`` by the Accept header and ``/classic`` whatever it says; yield host:port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            accept = self.headers["Accept"] if self.path == "/asked" else None
            body, content_type = render(snapshot, accept)
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    with (
        served(hostile()) as address,
        running_prometheus(
            Target("openmetrics", address, "/asked"),
            Target("classic", address, "/classic"),
            directory=tmp_path_factory.mktemp("prometheus"),
        ) as server,
    ):
        server.wait_for('up{job="openmetrics"} == 1')
        server.wait_for('up{job="classic"} == 1')
        yield server


both_formats = pytest.mark.parametrize("job", ["openmetrics", "classic"])


@both_formats
def test_prometheus_accepts_every_line(prometheus: PrometheusServer, job: str) -> None:
    (target,) = (t for t in prometheus.targets() if t["labels"]["job"] == job)
    assert (target["health"], target["lastError"]) == ("up", "")


@both_formats
def test_prometheus_knows_every_metric_of_the_catalogue(
    prometheus: PrometheusServer, job: str
) -> None:
    for metric in semconv.BUILT_IN:
        name = metric.name + ("_bucket" if metric.type == "histogram" else "")
        assert prometheus.query(f'{name}{{job="{job}"}}'), name


@both_formats
def test_prometheus_reads_hostile_names_as_they_were(
    prometheus: PrometheusServer, job: str
) -> None:
    answer = prometheus.query(f'metal_operations_total{{job="{job}",kind="transfer"}}')
    # An empty label and an absent one are the same thing to Prometheus.
    assert {labels.get("name", "") for labels, _ in answer} == set(HOSTILE_NAMES)
    assert len(answer) == len(HOSTILE_NAMES)


@both_formats
def test_the_types_arrive_as_metadata(prometheus: PrometheusServer, job: str) -> None:
    listed = prometheus.get("targets/metadata", {"match_target": f'{{job="{job}"}}'})
    types = {entry["metric"]: entry["type"] for entry in listed}
    for metric in semconv.BUILT_IN:
        if job == "openmetrics":
            assert types[metric.stem] == metric.type
        else:
            assert types[metric.name] == ("gauge" if metric.type == "info" else metric.type)
