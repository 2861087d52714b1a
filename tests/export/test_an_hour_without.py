"""The store is down for an hour, by the lane's clock; then every point of the hour is there."""

from __future__ import annotations

from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from contexts import context

from metalscope.export.base import MetricsExporter
from metalscope.export.codec import encode
from metalscope.export.datadog.exporter import DatadogExporter
from metalscope.export.lane import Lane, LaneTiming, Offer
from metalscope.export.remote_write import RemoteWriteExporter
from metalscope.histogram import DurationHistogram
from metalscope.operation import OK, OperationKind
from metalscope.sending.clock import Clock
from metalscope.sending.pace import Pace
from metalscope.sending.result import ExportResult
from metalscope.sending.spool.slots import SpoolSlots
from metalscope.snapshot import (
    MetalTelemetrySnapshot,
    OperationMetrics,
    OutcomeMetrics,
    SystemInfo,
)
from peer_process import running
from peers import free_port, require_peer
from prometheus_server import PrometheusServer

pytestmark = pytest.mark.server

EVERY = 20
"""Seconds between two snapshots."""
SNAPSHOTS = 3600 // EVERY


class Here:
    """Calls an exporter on the thread that asks."""

    def __init__(self, exporter: MetricsExporter) -> None:
        self.exporter = exporter
        self.results: list[ExportResult] = []

    def export(self, snapshot: MetalTelemetrySnapshot) -> Future[ExportResult]:
        result = self.exporter.export(snapshot)
        assert isinstance(result, ExportResult)
        self.results.append(result)
        future: Future[ExportResult] = Future()
        future.set_result(result)
        return future

    def resume(self, delivered: MetalTelemetrySnapshot) -> None:
        self.exporter.resume(delivered)

    def close(self, timeout: float) -> None:
        self.exporter.shutdown()


class Hour:
    """An hour that ended just now, gone through as fast as the machine can."""

    def __init__(self) -> None:
        self.began = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=3600)
        self.at = 0.0

    def monotonic(self) -> float:
        return self.at

    def now(self) -> datetime:
        return self.began + timedelta(seconds=self.at)


def snapshot_at(hour: Hour, operations: int) -> MetalTelemetrySnapshot:
    durations = DurationHistogram.from_durations([1_000_000] * operations)
    outcome = OutcomeMetrics(OK, durations)
    return MetalTelemetrySnapshot(
        timestamp=hour.now(),
        started_at=hour.began - timedelta(seconds=1),
        operations=(OperationMetrics(OperationKind.EXECUTE, "matmul", "m1", (outcome,)),),
        system=SystemInfo("box", 1, "Linux", "6", "x86_64", 2, "3.11", "0"),
    )


@pytest.mark.parametrize("kind", ["remote_write", "datadog"])
def test_after_an_hour_without_the_store_every_point_is_there_in_order(
    kind: str, tmp_path: Path
) -> None:
    program = require_peer("victoria-metrics")
    url = f"http://127.0.0.1:{free_port()}"
    if kind == "remote_write":
        exporter: MetricsExporter = RemoteWriteExporter(
            context("prometheus", endpoint=f"{url}/api/v1/write")
        )
    else:
        exporter = DatadogExporter(
            context(
                "datadog",
                endpoint=f"{url}/datadog",
                protocol="v1",
                api_key="k",
                settings={"events": False, "max_age": "3h"},
            )
        )
    hour, here = Hour(), Here(exporter)
    slots = SpoolSlots(
        tmp_path / "spool", "x", max_bytes=10**7, max_age=timedelta(days=1),
        now=hour.now, elapsed=hour.monotonic,
    )  # fmt: skip
    lane = Lane(
        "x",
        "x",
        spool=slots.open(),
        attempts=here,
        pace=Pace(
            first_delay=timedelta(seconds=1),
            max_delay=timedelta(minutes=5),
            threshold=5,
            open_for=timedelta(minutes=2),
        ),
        timing=LaneTiming(timedelta(seconds=10), timedelta(milliseconds=100)),
        clock=Clock(hour.monotonic, hour.now),
    )
    offered = []
    for number in range(1, SNAPSHOTS + 1):
        snapshot = snapshot_at(hour, number)
        offered.append(snapshot)
        lane.offer(Offer(snapshot, cache(lambda one=snapshot: encode(one))))
        _until(lane, hour, hour.at + EVERY)
    assert not any(result.ok for result in here.results)
    assert lane.status().waiting == SNAPSHOTS

    command = [program, f"-storageDataPath={tmp_path / 'data'}", "-retentionPeriod=100y",
               f"-httpListenAddr={url.removeprefix('http://')}", "-memory.allowedBytes=64MB",
               "-search.disableCache", "-loggerLevel=WARN"]  # fmt: skip
    with running(command, ready=f"{url}/health", directory=tmp_path / "vm"):
        lane.urge()
        _until(lane, hour, hour.at + SNAPSHOTS)
        assert lane.status().waiting == 0
        assert lane.status().dropped == {}
        delivered = [result for result in here.results if result.ok]
        assert len(delivered) == SNAPSHOTS
        found = _points(PrometheusServer(url), offered[0], offered[-1])
    lane.close(5)
    values = [float(number) for number in range(1, SNAPSHOTS + 1)]
    if kind == "datadog":
        # What came in each interval: one operation.
        values = [1.0] * SNAPSHOTS
    assert found == list(zip((one.timestamp.timestamp() for one in offered), values, strict=True))


def _until(lane: Lane, hour: Hour, end: float) -> None:
    while hour.at + (wait := lane.turn()) <= end:
        hour.at += wait
    hour.at = end


def _points(
    server: PrometheusServer, first: MetalTelemetrySnapshot, last: MetalTelemetrySnapshot
) -> list[tuple[float, float]]:
    """Every raw point of the counter, as the store has it."""
    import json
    import urllib.request

    urllib.request.urlopen(f"{server.url}/internal/force_flush", timeout=10).read()
    query = (
        f"{server.url}/api/v1/export?match[]=metal_operations_total"
        f"&start={first.timestamp.timestamp() - 1}&end={last.timestamp.timestamp() + 1}"
    )
    with urllib.request.urlopen(query, timeout=10) as answer:
        series = [json.loads(line) for line in answer.read().splitlines()]
    (only,) = series
    stamps = [stamp / 1000 for stamp in only["timestamps"]]
    assert stamps == sorted(stamps)
    return list(zip(stamps, only["values"], strict=True))
