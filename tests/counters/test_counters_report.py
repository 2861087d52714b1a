"""The counters in the report, as a person reads them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from counter_bench import NOW, energy, gpu, level, memory

from metalscope.amounts import amount
from metalscope.readings import DeviceInfo, ResourceKind, ResourceMetrics, ThermalState
from metalscope.report import MetalProductionReport
from metalscope.snapshot import MetalTelemetrySnapshot, SystemInfo

GIB = 2**30


def report(bench, **more: object) -> MetalProductionReport:
    return MetalProductionReport.of(
        MetalTelemetrySnapshot(NOW, NOW - timedelta(seconds=60), counters=bench.now(), **more)
    )


def row(text: str, beginning: str) -> str:
    (line,) = (line for line in text.splitlines() if line.startswith(beginning))
    return " ".join(line.split())


def test_the_section_tells_rates_bands_limits_power_and_heat(bench):
    bandwidth = ResourceMetrics(ResourceKind.BANDWIDTH, "total", "gpu:0", 90 * GIB, limit=100 * GIB)
    power = ResourceMetrics(ResourceKind.POWER, "gpu", "", 12.5)
    heat = level(ResourceKind.THERMAL_STATE, ThermalState.SERIOUS)
    bench.record("execute", times=30, nbytes=2**20, duration_ns=200_000_000)
    bench.record("allocate", error="out_of_memory")
    bench.counters.allocated(2**31)
    everything = (memory(95 * GIB, limit=100 * GIB), gpu(10), bandwidth, power, heat)
    bench.after(10, *everything, energy(0))
    bench.after(10, *everything, energy(125))
    text = report(bench).to_text()
    assert row(text, "kernels a second") == (
        "kernels a second 0.00 1.50 0.00 3.00 30 (0 failed, 30 above 100 ms)"
    )
    assert row(text, "bytes of kernels").endswith("30.0 MiB")
    assert "1 (1 failed, 0 above 50 ms), 1 huge" in row(text, "allocations a second")
    assert row(text, "errors a second").endswith("1 memory")
    assert "near exhaustion; high (high 100 % of samples)" in row(text, "memory pool")
    assert "idle (idle 100 % of samples)" in row(text, "gpu utilization")
    assert "90.0 GiB/s" in row(text, "bandwidth total")
    assert "12.5 W" in row(text, "power gpu")
    assert "12.50 joules a second" in row(text, "energy gpu")
    assert row(text, "thermal state") == (
        "thermal state system serious — — — serious (serious 100 % of samples)"
    )
    assert "- memory pool was near exhaustion in 2 of 2 samples." in text


def test_what_went_away_is_absent_in_the_section(bench):
    bench.after(10, gpu(10), level(ResourceKind.THERMAL_STATE, 0))
    bench.after(10)
    text = report(bench).to_text()
    assert "— 10.0 %" in row(text, "gpu utilization")
    assert row(text, "thermal state").startswith("thermal state system — — — — absent now")


def test_a_snapshot_without_counters_has_no_section(bench):
    text = MetalProductionReport.of(MetalTelemetrySnapshot(NOW, NOW)).to_text()
    assert "Performance counters" not in text
    assert "Devices" not in text
    assert MetalTelemetrySnapshot(NOW, NOW).to_dict()["counters"] is None


def test_devices_are_told_with_what_they_can_take(bench):
    device = DeviceInfo(
        "Apple M3", "metal", 16 * GIB, max_buffer_bytes=9 * GIB, max_threads_per_threadgroup=1024
    )
    system = SystemInfo("host", 1, "macOS", "15", "arm64", 8, "3.12", "0", devices=(device,))
    text = report(bench, system=system).to_text()
    assert row(text, "Apple M3") == "Apple M3 metal 16.0 GiB — 9.0 GiB 1024"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "watts", "—"),
        (0, "bytes", "0 B"),
        (1023, "bytes", "1023 B"),
        (1024, "bytes", "1.0 KiB"),
        (5 * 2**50, "bytes", "5120.0 TiB"),
        (3 * 2**30, "bytes_per_second", "3.0 GiB/s"),
        (1_398_000_000, "hertz", "1.4 GHz"),
        (-12.5, "celsius", "-12.5 °C"),
        (12.34, "joules", "12.3 J"),
        (99.95, "percent", "100.0 %"),
        (2, "level", "2"),
        (3, "count", "3"),
        (1250.4, "rpm", "1250 rpm"),
    ],
)
def test_amounts_are_told_in_their_own_unit(value, unit, text):
    assert amount(value, unit) == text
