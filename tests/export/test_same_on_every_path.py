"""A query says the same whether series came by scrape, by remote write or through a collector."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from contexts import context
from otlp_names import underscored
from otlp_receiver import Received, grpc_receiver, points
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from remote_runs import now, taken
from rotel_agent import running_rotel

from metalscope.export.otlp.exporter import OtlpExporter
from metalscope.export.prometheus import render
from metalscope.export.remote_write import RemoteWriteExporter
from prometheus_server import PrometheusServer, Target, running_prometheus

pytestmark = pytest.mark.server

DOCS = Path(__file__).parents[2] / "docs"
PATHS = ("scraped", "written", "collected")

# What the panels of a dashboard and the rules of an alert ask for; %s is where the job goes.
QUERIES = (
    "sum by (kind, name, device, outcome) (metal_operations_total{%s})",
    "sum by (type) (metal_errors_total{%s}) / on () group_left () sum(metal_operations_total{%s})",
    "histogram_quantile(0.95, sum by (name, le) (metal_operation_duration_ms_bucket{%s}))",
    "sum by (name) (metal_operation_duration_ms_sum{%s})"
    " / sum by (name) (metal_operation_duration_ms_count{%s})",
    'sum(metal_operation_duration_ms_bucket{%s, le=~"100(.0)?"})',
    "sum by (name, category) (metal_operations_by_category_total{%s})",
    "max by (device, pool) (metal_memory_usage_bytes{%s} / metal_memory_limit_bytes{%s})",
    "max by (device, engine) (metal_gpu_utilization_percent{%s}) > 10",
    "max by (rail) (metal_power_watts{%s})",
    "max by (sensor) (metal_temperature_celsius{%s})",
    "sum by (channel) (metal_memory_bandwidth_bytes_per_second{%s})",
    "max by (state) (metal_thermal_state{%s}) == 1",
    "sum by (component, status) (metal_health_status{%s}) == 1",
    "count by (version) (metalscope_build_info{%s})",
    "sum by (scope) (metal_host_cpu_utilization_ratio{%s})",
    "max by (exporter) (metalscope_export_last_success_timestamp_seconds{%s})",
    "sum by (exporter, reason) (metalscope_export_failures_total{%s})",
    "sum by (tenant) (jobs_total{%s})",
    "histogram_quantile(0.5, sum by (le) (sizes_bucket{%s}))",
)


class Normalised:
    """What a collector that appends units and types makes of what it was sent."""

    def __init__(self, received: dict[Any, Received]) -> None:
        self._received = received

    def collect(self) -> Iterator[Metric]:
        for (_, labels), one in self._received.items():
            monotonic = one.kind == "sum" and one.data.is_monotonic
            name = underscored(
                one.metric.name, one.metric.unit, monotonic=monotonic, gauge=one.kind == "gauge"
            )
            family = Metric(name, one.metric.description, "unknown")
            said = dict(labels)
            if one.kind == "histogram":
                total = 0
                bounds = [*map(str, one.point.explicit_bounds), "+Inf"]
                for bound, count in zip(bounds, one.point.bucket_counts, strict=True):
                    total += count
                    family.add_sample(f"{name}_bucket", said | {"le": bound}, total)
                family.add_sample(f"{name}_count", said, one.point.count)
                family.add_sample(f"{name}_sum", said, one.point.sum)
            else:
                family.add_sample(name, said, one.value)
            yield family


@contextmanager
def serving(text: bytes) -> Iterator[str]:
    """An exposition at an address of its own."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def through_a_collector(snapshot: Any, directory: Path) -> bytes:
    """OTLP to a real agent, which passes it on; by the names a normalising exporter gives it."""
    with (
        grpc_receiver() as receiver,
        running_rotel(f"http://127.0.0.1:{receiver.port}", directory=directory) as agent,
    ):
        exporter = OtlpExporter(
            context("opentelemetry", endpoint=agent.http_url, settings={"hw_metrics": False})
        )
        assert exporter.export(snapshot).ok
        exporter.shutdown()
        receiver.wait_for({"metalscope_exporter_state"})
    registry = CollectorRegistry()
    registry.register(Normalised(points(receiver.requests)))  # type: ignore[arg-type]
    return generate_latest(registry)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    directory = tmp_path_factory.mktemp("paths")
    snapshot = taken(now())
    collected = through_a_collector(snapshot, directory / "rotel")
    with (
        serving(render(snapshot)[0]) as page,
        serving(collected) as collector,
        running_prometheus(
            Target("scraped", page),
            Target("collected", collector),
            directory=directory / "prometheus",
            arguments=("--web.enable-remote-write-receiver",),
        ) as server,
    ):
        writer = RemoteWriteExporter(
            context("prometheus", endpoint=f"{server.url}/api/v1/write", labels={"job": "written"})
        )
        assert writer.export(snapshot).ok
        writer.shutdown()
        for job in PATHS:
            server.wait_for(f'metalscope_build_info{{job="{job}"}}')
        yield server


def answers(server: PrometheusServer, query: str, job: str) -> dict[frozenset[Any], float]:
    found = server.query(query.replace("%s", f'job="{job}"'))
    return {frozenset(labels.items()): value for labels, value in found}


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_is_answered_the_same_on_every_path(
    prometheus: PrometheusServer, query: str
) -> None:
    scraped, written, collected = (answers(prometheus, query, job) for job in PATHS)
    assert scraped, "the query finds something"
    assert written == pytest.approx(scraped, nan_ok=True)
    assert collected == pytest.approx(scraped, nan_ok=True)


def test_every_series_has_the_same_names_and_labels_on_every_path(
    prometheus: PrometheusServer,
) -> None:
    def series(job: str) -> set[frozenset[tuple[str, str]]]:
        found = prometheus.get("series", {"match[]": f'{{job="{job}"}}'})
        return {
            frozenset(
                (label, re.sub(r"\.0$", "", value) if label == "le" else value)
                for label, value in one.items()
                # What a scrape says of itself, and where it came from.
                if label not in {"job", "instance"}
            )
            for one in found
            if not one["__name__"].startswith(("scrape_", "up"))
        }

    scraped = series("scraped")
    assert len(scraped) > 100
    assert series("written") == scraped
    assert series("collected") == scraped


def test_the_queries_of_the_documentation_are_answered(prometheus: PrometheusServer) -> None:
    blocks = [
        block
        for page in DOCS.glob("*.md")
        # Native histograms are not turned on here; that page has tests of its own.
        if page.name != "exemplars.md"
        for block in re.findall(r"```promql\n(.*?)```", page.read_text(), re.DOTALL)
    ]
    assert len(blocks) >= 3
    for block in blocks:
        assert prometheus.get("query", {"query": block})["resultType"] == "vector"
