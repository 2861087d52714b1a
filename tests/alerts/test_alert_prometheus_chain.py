"""A running program, a real Prometheus, a real Alertmanager, and somebody who is told."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_chain import chain

from metalscope.alert_options import AlertsOptions
from metalscope.manager import MetalTelemetryManager
from metalscope.options import MetalTelemetryOptions
from metalscope.server import start_server

pytestmark = pytest.mark.server

OPTIONS = AlertsOptions(
    evaluation_interval=timedelta(seconds=1),
    kernel_execution_failure_threshold=3,
    kernel_execution_failure_window=timedelta(seconds=4),
    error_rate_window=timedelta(seconds=4),
    group_wait=timedelta(),
    group_interval=timedelta(seconds=1),
    disabled_rules=("MetalErrorRateAnomaly", "MetalUnhealthy"),
)


def fail(tel: MetalTelemetryManager, times: int) -> None:
    for _ in range(times):
        with suppress(TimeoutError), tel.operation("execute", "attention", device="m1"):
            raise TimeoutError


def test_somebody_hears_that_a_kernel_fails_and_then_that_it_is_over(tmp_path: Path) -> None:
    ticks = MetalTelemetryOptions(tick_interval=timedelta(milliseconds=100))
    with MetalTelemetryManager(ticks) as tel:
        server = start_server(tel, host="127.0.0.1", port=0)
        try:
            with chain(OPTIONS, server.url.split("//")[1].rstrip("/"), tmp_path) as (prom, told):
                prom.wait_for('metalscope_start_time_seconds{job="app"}')
                # All at once, so that Prometheus never sees the counter below 3: its own increase
                # would be 0.
                fail(tel, 3)
                firing = told.next()
                resolved = told.next()
        finally:
            server.stop()
    assert (firing["status"], resolved["status"]) == ("firing", "resolved")
    (alert,) = firing["alerts"]
    assert alert["labels"]["alertname"] == "MetalKernelFailures"
    assert alert["labels"]["name"] == "attention"
    assert alert["labels"]["job"] == "app"
    assert alert["annotations"]["summary"] == "Kernel attention failed 3 times in 4s"
    (over,) = resolved["alerts"]
    assert over["labels"] == alert["labels"]
    assert firing["groupLabels"]["component"] == "kernel"
