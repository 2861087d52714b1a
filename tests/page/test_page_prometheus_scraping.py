"""The same with a Prometheus that scrapes, among others, a program that runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from faulty_server import Request, answer, answer_by, faulty_server

from metalscope import MetalTelemetryManager
from metalscope.export.prometheus import render
from metalscope.page.prometheus import PrometheusSource
from metalscope.page.source import TimeRange, Wanted
from metalscope.page_options import PageSourceOptions
from prometheus_server import Target, running_prometheus

pytestmark = pytest.mark.server

AT_ONCE = 5
"""Operations between two scrapes."""


@pytest.fixture
def telemetry() -> Iterator[MetalTelemetryManager]:
    with MetalTelemetryManager() as tel:
        yield tel


def test_a_program_that_is_scraped_is_on_the_page_and_nothing_else_is(
    telemetry: MetalTelemetryManager, tmp_path: Path
) -> None:
    scraped: list[float] = []

    def scrape(request: Request) -> tuple[int, dict[str, str], bytes]:
        for _ in range(AT_ONCE):
            telemetry.record("execute", "matmul", duration_ns=3_000_000, device="m1")
        telemetry.record_custom_metric("queue_depth", 7, kind="gauge")
        scraped.append(time.time())
        body, content_type = render(telemetry.get_snapshot(), request.headers.get("accept"))
        return 200, {"content-type": content_type}, body

    other = answer(200, b"queue_depth 5\nother_depth 5\n", content_type="text/plain")
    began = time.time()
    with faulty_server(answer_by(scrape)) as program, faulty_server(other) as another:
        host = f"127.0.0.1:{program.port}"
        targets = Target("ours", host), Target("other", f"127.0.0.1:{another.port}")
        with running_prometheus(*targets, directory=tmp_path, scrape_interval="500ms") as server:
            server.wait_for('count_over_time(metal_operations_total{name="matmul"}[1m]) >= 5')
            server.wait_for("other_depth")
            now = time.time()
            source = PrometheusSource.of(
                PageSourceOptions(address=f"prometheus={server.url}"), now=lambda: now
            )
            assert source.describe().hosts == (host,)
            totals = source.operations(
                datetime.fromtimestamp(began - 60, UTC), datetime.fromtimestamp(now, UTC),
                host="", limit=5,
            )  # fmt: skip
            # From its start on, which was before the first scrape.
            assert totals.total is not None
            known = [at for at in scraped if at < now]
            assert totals.total.operations in {AT_ONCE * (len(known) - n) for n in (-1, 0, 1)}
            assert totals.total.mean_ms == pytest.approx(3)
            times = TimeRange(
                datetime.fromtimestamp(now - 3, UTC),
                datetime.fromtimestamp(now, UTC),
                timedelta(seconds=1),
            )
            # Nothing is looked at for less than four seconds here.
            (line,) = source.lines(Wanted("operations"), times).lines
            assert line.values[-1] == pytest.approx(2 * AT_ONCE, rel=0.6)
            (custom,) = source.lines(Wanted("custom"), times).lines
            assert (custom.name, custom.host, custom.values[-1]) == ("queue_depth", host, 7)
            (row,) = source.hosts()
            assert (row.host, row.health) == (host, "healthy")
            assert row.operations is not None
            source.close()
