"""A fleet whose every operation is known, as a real Prometheus or VictoriaMetrics has it.

Real managers record what :func:`a_fleet` has them record; what each says of it, every half minute
of the last 40, is put into the server with the moment it was said.
"""

from __future__ import annotations

import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from snapshots import HOSTILE_NAMES
from victoria_metrics import running_victoria_metrics

from alert_samples import FIRING
from metalscope import MetalTelemetryManager
from metalscope.export.prometheus import render
from metalscope.operation import Component
from metalscope.options import MetalTelemetryOptions
from metalscope.snapshot import (
    ComponentHealth,
    HealthReport,
    HealthStatus,
    MetalTelemetrySnapshot,
    ResourceKind,
    ResourceMetrics,
)
from peers import require_peer
from prometheus_server import PrometheusServer, running_prometheus

EVERY = 30
"""Seconds between two scrapes."""

TICKS = 80
RESTART = 30
"""Before this tick one begins and one is restarted: no whole step of the last three knows of it."""

STEP = 300
"""Seconds; ten scrapes."""

ALWAYS, LATE, RESTARTED = "always:9464", "late:9464", "restarted:9464"
FLEET = (ALWAYS, LATE, RESTARTED)
HOSTILE = (*(name for name in HOSTILE_NAMES if name), "a.c", "abc", "a*c", "${x}", "]|.*|[")


@dataclass
class Happened:
    """What happened on one host: how often, by when, what, how it ended, and how long it took."""

    counts: Counter[tuple[float, str, str, float]] = field(default_factory=Counter)

    def durations(
        self, since: float, until: float, name: str | None, outcome: str | None
    ) -> list[float]:
        """Those from ``since`` until before ``until``, ms."""
        return [
            ms
            for (at, its_name, its_outcome, ms), count in self.counts.items()
            if since <= at < until and name in {None, its_name} and outcome in {None, its_outcome}
            for _ in range(count)
        ]


@dataclass
class Fleet:
    """What happened, and the bodies of all scrapes: (host, moment, text)."""

    first: float
    last: float
    happened: dict[str, Happened]
    scrapes: list[tuple[str, float, bytes]]

    def durations(
        self,
        since: float,
        until: float,
        name: str | None = None,
        *,
        host: str = "",
        outcome: str | None = None,
    ) -> list[float]:
        """How long each took that happened from ``since`` until before ``until``, ms, in order."""
        hosts = [host] if host else FLEET
        each = (self.happened[one].durations(since, until, name, outcome) for one in hosts)
        return sorted(ms for durations in each for ms in durations)

    def count(self, since: float, until: float, name: str | None = None, **which: str) -> int:
        """How many these are."""
        return len(self.durations(since, until, name, **which))


def a_fleet() -> Fleet:
    """40 minutes of three processes, up to now.

    One runs all the time and did a lot before; one begins later; one is restarted then.
    """
    now = int(time.time())
    last = now - now % EVERY
    first = last - EVERY * (TICKS - 1)
    fleet = Fleet(first, last, {host: Happened() for host in FLEET}, [])
    middle = first + EVERY * RESTART - 10
    for host, started in (
        (ALWAYS, (first - 86400,)),
        (LATE, (middle,)),
        (RESTARTED, (first - 3600, middle)),
    ):
        for number, begins in enumerate(started):
            ends = started[number + 1] if number + 1 < len(started) else last + 1
            _a_life(fleet, host, begins, ends)
    return fleet


def _a_life(fleet: Fleet, host: str, begins: float, ends: float) -> None:
    tel = MetalTelemetryManager(MetalTelemetryOptions())
    happened = fleet.happened[host]

    def ran(at: float, kind: str, name: str, *, count: int, ms: float, error: str = "") -> None:
        for _ in range(count):
            tel.record(
                kind,
                name,
                duration_ns=round(ms * 1_000_000),
                device="m1",
                error=error or None,
                nbytes=4096 if name == "copy" else 0,
                gpu_ns=1_000_000 if name == "matmul" else None,
            )
        happened.counts[at, name, error or "ok", ms] += count

    if begins < fleet.first:
        ran(begins, "execute", "matmul", count=5000, ms=2.0)
    for tick in range(TICKS):
        at = fleet.first + EVERY * tick
        if not begins <= at < ends:
            continue
        # At the moment of the scrape that tells of it.
        ran(at, "execute", "matmul", count=3 + tick % 4, ms=0.6 + 0.2 * (tick % 8))
        ran(at, "transfer", "copy", count=1, ms=30.0)
        if tick % 10 == 5:
            ran(at, "execute", "matmul", count=1, ms=700.0, error="timeout")
        if host == ALWAYS and tick == 60:
            ran(at, "allocate", "buffer", count=1, ms=0.02, error="out_of_memory")
            for name in HOSTILE:
                ran(at, "compile", name, count=2, ms=4.0)
        tel.record_custom_metric("jobs", 2, kind="counter", labels={"tenant": 'a"b'})
        tel.record_custom_metric("queue_depth", tick % 5, kind="gauge")
        snapshot = _at(tel.get_snapshot(), at, begins, tick)
        fleet.scrapes.append((host, at, render(snapshot, "application/openmetrics-text")[0]))


def _at(
    snapshot: MetalTelemetrySnapshot, at: float, begins: float, tick: int
) -> MetalTelemetrySnapshot:
    """As if taken then, with sensors that every machine has."""
    heat = tick % 4
    bad = HealthStatus.DEGRADED if tick > 70 else HealthStatus.HEALTHY
    return replace(
        snapshot,
        timestamp=datetime.fromtimestamp(at, UTC),
        started_at=datetime.fromtimestamp(begins, UTC),
        resources=(
            ResourceMetrics(ResourceKind.MEMORY, "mlx_active", "m1", 1000 + tick, limit=1 << 30),
            ResourceMetrics(ResourceKind.MEMORY, "mlx_cache", "m1", 10),
            ResourceMetrics(ResourceKind.GPU_MEMORY, "gpu_in_use", "m1", 4096),
            ResourceMetrics(ResourceKind.GPU_UTILIZATION, "device", "m1", 10.0 + tick % 10),
            ResourceMetrics(ResourceKind.HOST_MEMORY, "used", "", 5e9, limit=16e9),
            ResourceMetrics(ResourceKind.CPU_UTILIZATION, "host", "", 50.0),
            ResourceMetrics(ResourceKind.FREQUENCY, "gpu", "m1", 1.2e9, limit=1.296e9),
            ResourceMetrics(ResourceKind.BANDWIDTH, "total", "m1", 5e10, limit=6.8e10),
            ResourceMetrics(ResourceKind.POWER, "gpu", "m1", 7.25),
            ResourceMetrics(ResourceKind.POWER, "cpu", "m1", 3.0),
            ResourceMetrics(ResourceKind.ENERGY, "gpu", "m1", 10.0 * tick),
            ResourceMetrics(ResourceKind.TEMPERATURE, "gpu", "m1", 61.5),
            ResourceMetrics(ResourceKind.FAN_SPEED, "0", "", 1200, limit=5800),
            ResourceMetrics(ResourceKind.THERMAL_STATE, "system", "", heat),
            ResourceMetrics(ResourceKind.MEMORY_PRESSURE, "system", "", 1),
            ResourceMetrics(ResourceKind.LOW_POWER_MODE, "system", "", 0),
            ResourceMetrics(ResourceKind.RECOVERIES, "gpu", "m1", 1),
        ),
        health=HealthReport(bad, (ComponentHealth(Component.MEMORY, bad),)),
        alerts=(FIRING,) if tick > 70 else (),
    )


@contextmanager
def prometheus_of(fleet: Fleet, directory: Path) -> Iterator[PrometheusServer]:
    """A Prometheus whose blocks are made of the scrapes."""
    promtool = require_peer("promtool")
    text = directory / "scrapes.txt"
    directory.mkdir(parents=True, exist_ok=True)
    by_family: dict[bytes, list[bytes]] = {}
    for host, at, body in fleet.scrapes:
        family = b""
        for line in body.split(b"\n"):
            if line.startswith(b"# TYPE"):
                family = line
            if line and not line.startswith(b"#"):
                sample = _with(line, f'job="ours",instance="{host}"', f"{at:.3f}")
                by_family.setdefault(family, []).append(sample)
    lines = (line for family, samples in by_family.items() for line in (family, *samples))
    text.write_bytes(b"\n".join(lines) + b"\n# EOF\n")
    command = [
        promtool,
        "tsdb",
        "create-blocks-from",
        "openmetrics",
        "-q",
        text,
        directory / "data",
    ]
    subprocess.run(command, check=True, capture_output=True)
    with running_prometheus(directory=directory) as server:
        yield server


@contextmanager
def victoria_metrics_of(fleet: Fleet, directory: Path) -> Iterator[PrometheusServer]:
    """A VictoriaMetrics that the scrapes were imported into."""
    with running_victoria_metrics(directory) as server:
        lines = [
            _with(line, f'job="ours",instance="{host}"', str(int(at * 1000)))
            for host, at, body in fleet.scrapes
            for line in body.split(b"\n")
            if line and not line.startswith(b"#")
        ]
        address = f"{server.url}/api/v1/import/prometheus"
        urllib.request.urlopen(address, data=b"\n".join(lines), timeout=10).close()
        # What came is asked for only when all of it has been written out.
        urllib.request.urlopen(f"{server.url}/internal/force_flush", timeout=10).close()
        server.wait_for(f'count(metalscope_start_time_seconds{{job="ours"}}) == {len(FLEET)}')
        yield server


def _with(line: bytes, labels: str, moment: str) -> bytes:
    """A sample's line with more labels and its moment."""
    series, _, value = line.rpartition(b" ")
    more = labels.encode()
    if series.endswith(b"}"):
        return b"%b,%b} %b %b" % (series[:-1], more, value, moment.encode())
    return b"%b{%b} %b %b" % (series, more, value, moment.encode())


SERVERS: dict[str, Callable[[Fleet, Path], object]] = {
    "prometheus": prometheus_of,
    "victoria-metrics": victoria_metrics_of,
}
