"""Real MLX work and this machine's sensors, through a running manager."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import mlx.core as mx
import pytest

from metalscope import MetalAccelerator, MetalTelemetryManager, instrument, uninstrument
from metalscope.counter_statistics import SizeCategory, UtilizationBand
from metalscope.instrument import settle
from metalscope.options import MetalTelemetryOptions
from metalscope.readings import ResourceKind
from metalscope.report import MetalProductionReport


@pytest.fixture
def tel():
    options = MetalTelemetryOptions(
        tick_interval="20ms",
        history_window="1m",
        performance_counters={"sampling_interval": "40ms", "slow_kernel_threshold_ms": 0.001},
    )
    with MetalTelemetryManager(options) as manager:
        instrument("mlx", manager)
        yield manager
        uninstrument("mlx")


def work_until(tel, samples):
    end = time.monotonic() + 30
    while tel.get_snapshot().counters.samples < samples:
        assert time.monotonic() < end, "it did not sample in time"
        matrix = mx.random.uniform(shape=(256, 256))
        mx.eval(matrix @ matrix)


def test_mlx_work_and_this_machine_are_counted_sampled_and_reported(tel):
    kept = mx.ones((1024, 1024))
    mx.eval(kept)
    work_until(tel, samples=4)
    assert settle(30)
    tel.shutdown()
    snapshot = tel.get_snapshot()
    counters = snapshot.counters
    evals = sum(one.executions for one in snapshot.operations if one.kind == "execute")
    assert counters.kernels.count == evals > 0
    assert counters.kernels.slow == evals
    assert counters.kernels.slow_above_ms == pytest.approx(0.001, rel=0.05)
    assert counters.kernels.rate.windows >= 3
    assert 0 < counters.kernels.rate.mean <= counters.kernels.rate.maximum
    assert counters.errors.total == snapshot.total_errors == 0
    (active,) = (one for one in counters.of(ResourceKind.MEMORY) if one.name == "mlx_active")
    assert active.current >= kept.nbytes
    assert active.peak >= active.maximum >= active.mean >= active.minimum
    assert active.limit == mx.get_memory_limit()
    (cpu,) = counters.of(ResourceKind.CPU_UTILIZATION)
    # The first samples may come before there was time to measure the processors.
    assert 1 <= cpu.samples <= counters.samples
    used = next(one for one in counters.of(ResourceKind.HOST_MEMORY) if one.name == "used")
    assert used.samples == counters.samples
    assert cpu.band.current in set(UtilizationBand)
    assert dict(snapshot.internals.errors) == {}
    assert json.loads(snapshot.to_json())["counters"]["kernels"]["count"] == evals

    report = MetalProductionReport.of(snapshot, tel.report_thresholds)
    text = report.to_text()
    section = text.partition("Performance counters")[2].partition("Trends")[0]
    for fact in ("kernels a second", f"{evals} (0 failed", "cpu utilization host", "mlx_active"):
        assert fact in section
    assert report.performance.score.overall is not None


def test_the_allocations_of_an_accelerator_are_counted(tel):
    with MetalAccelerator("mlx", telemetry=tel) as acc:
        acc.allocate(4096)
        acc.allocate(100)
        with pytest.raises(ValueError, match="positive"):
            acc.allocate(-1)
    allocations = tel.get_snapshot().counters.allocations
    assert (allocations.count, allocations.failures, allocations.nbytes) == (3, 1, 4196)
    assert allocations.by_size[SizeCategory.TINY] == 1
    assert allocations.by_size[SizeCategory.SMALL] == 1


def test_options_that_sample_on_request_alone_leave_the_tick_alone():
    options = MetalTelemetryOptions(
        tick_interval="10ms",
        history_window="1m",
        performance_counters={"enable_continuous_sampling": False},
    )
    ticks = []
    with MetalTelemetryManager(options) as tel:
        tel.subscribe(ticks.append)
        end = time.monotonic() + 30
        while len(ticks) < 3 and time.monotonic() < end:
            time.sleep(0.01)
        assert tel.get_snapshot().counters is None
        assert tel.generate_report().snapshot.counters.samples == 1
    assert tel.get_snapshot().counters.samples == 1


def test_a_program_that_ends_within_an_interval_is_sampled_at_its_end():
    with MetalTelemetryManager(MetalTelemetryOptions(tick_interval="20ms")) as tel:
        end = time.monotonic() + 30
        while tel.get_snapshot().counters.samples < 1:
            assert time.monotonic() < end, "it did not sample in time"
        tel.record("execute", "k", duration_ns=1)
    counters = tel.get_snapshot().counters
    assert (counters.samples, counters.kernels.rate.windows) == (2, 1)
    assert counters.kernels.rate.mean > 0


def test_a_series_past_its_retention_stays_in_the_counters():
    tel = MetalTelemetryManager(MetalTelemetryOptions(metrics_retention_period="1us"))
    tel.record("allocate", "old", duration_ns=60_000_000, nbytes=5, error="out_of_memory")
    before = tel.get_snapshot().counters
    time.sleep(0.001)
    tel._clean_up()
    tel.counters.ask()
    after = tel.get_snapshot()
    assert after.operations == ()
    assert after.counters.allocations.by_name == ()
    assert before.allocations.by_name != ()
    for counters in (before, after.counters):
        work = counters.allocations
        assert (work.count, work.failures, work.slow, work.nbytes) == (1, 1, 1, 5)
        assert {error.value: n for error, n in counters.errors.by_type.items()} == {
            "out_of_memory": 1
        }


def test_the_counters_load_nothing_heavy():
    program = (
        "import sys, metalscope.counters, metalscope.manager; "
        "sys.exit(' '.join({'pydantic', 'numpy', 'mlx', 'starlette'} & set(sys.modules)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert ran.stderr.strip() == ""
