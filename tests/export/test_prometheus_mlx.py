"""A real Prometheus scrapes a real MLX script under ``metalscope run``.

The script counts for itself; what Prometheus answers is held against that count.
"""

from __future__ import annotations

import subprocess
import sys
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import pytest

from metalscope.histogram import CLASSIC_BOUNDS_MS
from peers import free_port
from prometheus_server import PrometheusServer, Target, running_prometheus

pytest.importorskip("mlx.core")
pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]

PROGRAM = Path(__file__).parent / "programs" / "mlx_workload.py"
WORK_SECONDS = 15.0


@dataclass(frozen=True)
class Done:
    """One operation as the script saw it; ``at`` is its end in Unix seconds."""

    at: float
    kind: str
    ms: float
    failed: bool


@dataclass(frozen=True)
class Scraped:
    """The script's own count, the server, and a moment after which nothing more was counted."""

    done: list[Done]
    prometheus: PrometheusServer
    at: float

    def scrape_times(self) -> tuple[float, float]:
        """The first and the last moment at which the counters of errors were read."""
        series = self.prometheus.get(
            "query", {"query": "metal_errors_total[1m]", "time": f"{self.at:.3f}"}
        )["result"]
        moments = [moment for one in series for moment, _ in one["values"]]
        return min(moments), max(moments)


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    directory = tmp_path_factory.mktemp("scraped")
    log, stop, output = directory / "own.log", directory / "stop", directory / "output"
    port = free_port()
    arguments = [str(PROGRAM), str(log), str(stop), str(WORK_SECONDS)]
    command = [sys.executable, "-m", "metalscope", "run", "--port", str(port), "--", *arguments]
    with (
        running_prometheus(
            Target("mlx", f"127.0.0.1:{port}"), directory=directory / "prometheus"
        ) as prometheus,
        output.open("wb") as sink,
        subprocess.Popen(command, cwd=directory, stdout=sink, stderr=subprocess.STDOUT) as process,
    ):
        try:
            deadline = time.monotonic() + 90
            while not (log.exists() and log.read_text().endswith("done\n")):
                assert process.poll() is None, f"the script ended early: {output.read_text()}"
                assert time.monotonic() < deadline, f"the script hangs: {output.read_text()}"
                time.sleep(0.1)
            finished = time.time()
            # timestamp() is that of the scrape only over a bare selector.
            prometheus.wait_for(f'timestamp(metal_operations_total{{job="mlx"}}) > {finished}')
            yield Scraped(_read(log), prometheus, time.time())
        finally:
            stop.touch()
            try:
                assert process.wait(30) == 0, output.read_text()
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def _read(log: Path) -> list[Done]:
    *lines, last = log.read_text().splitlines()
    assert last == "done"
    rows = (line.split() for line in lines)
    return [Done(float(at), kind, float(ms), failed == "1") for at, kind, ms, failed in rows]


def test_operations_by_kind_are_those_the_script_counted(scraped: Scraped) -> None:
    answer = scraped.prometheus.query("sum by (kind) (metal_operations_total)", scraped.at)
    counted = Counter(one.kind for one in scraped.done)
    assert counted.keys() == {"execute", "synchronize", "transfer"}
    assert {labels["kind"]: count for labels, count in answer} == counted


def test_errors_by_type_are_those_the_script_counted(scraped: Scraped) -> None:
    answer = scraped.prometheus.query("sum by (kind) (metal_errors_total)", scraped.at)
    failed = Counter(one.kind for one in scraped.done if one.failed)
    assert failed["transfer"] > 10
    assert {labels["kind"]: count for labels, count in answer} == failed


def test_the_rate_of_errors_is_the_one_the_script_had(scraped: Scraped) -> None:
    answer = scraped.prometheus.query("sum(rate(metal_errors_total[1m]))", scraped.at)
    first, last = scraped.scrape_times()
    between = sum(one.failed for one in scraped.done if first <= one.at <= last)
    ((_, rate),) = answer
    # Prometheus reaches at most one scrape beyond its first and last reading.
    assert between > 10
    assert between / 60 * 0.9 <= rate <= between / 60 * 1.25


def test_the_quantile_of_durations_is_in_the_bucket_the_script_measured(scraped: Scraped) -> None:
    ((_, p95),) = scraped.prometheus.query(
        "histogram_quantile(0.95, sum by (le) (rate(metal_operation_duration_ms_bucket[1m])))",
        scraped.at,
    )
    percentiles = quantiles([one.ms for one in scraped.done], n=100)
    p92, p98 = percentiles[91], percentiles[97]
    bounds = (0.0, *CLASSIC_BOUNDS_MS)
    assert bounds[bisect_left(bounds, p92) - 1] <= p95 <= bounds[bisect_left(bounds, p98)]


def test_no_utilization_is_invented_where_no_gpu_sensor_is(scraped: Scraped) -> None:
    if sys.platform == "darwin":
        pytest.skip("a Mac has the sensor")
    assert scraped.prometheus.query("metal_gpu_utilization_percent", scraped.at) == []
