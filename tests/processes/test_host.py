"""A host and its processes as one: every figure once."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from metalscope.manager import MetalTelemetryManager
from metalscope.operation import Component
from metalscope.options import MetalTelemetryOptions
from metalscope.processes import ProcessFile
from metalscope.processes.host import HostWithProcesses, with_host
from metalscope.snapshot import (
    ComponentHealth,
    DeviceInfo,
    HealthReport,
    HealthStatus,
    InternalMetrics,
    MetalTelemetrySnapshot,
    ResourceKind,
    ResourceMetrics,
    SystemInfo,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)


def reading(
    kind: ResourceKind, name: str, current: float, limit: float | None = None
) -> ResourceMetrics:
    return ResourceMetrics(kind, name, "", current, None, limit)


def snapshot(at: datetime, *resources: ResourceMetrics) -> MetalTelemetrySnapshot:
    return MetalTelemetrySnapshot(at, NOW, resources=resources)


def figures(one: MetalTelemetrySnapshot) -> dict[tuple[str, str], float]:
    assert len({(r.kind, r.name, r.device) for r in one.resources}) == len(one.resources)
    return {(r.kind.value, r.name): r.current for r in one.resources}


def test_of_a_figure_that_both_read_it_is_the_newer():
    for process_at, host_at, expected in [(NOW, LATER, 2.0), (LATER, NOW, 1.0)]:
        merged = with_host(
            snapshot(process_at, reading(ResourceKind.CPU_UTILIZATION, "host", 1.0)),
            snapshot(host_at, reading(ResourceKind.CPU_UTILIZATION, "host", 2.0)),
        )
        assert figures(merged) == {("cpu_utilization", "host"): expected}


def test_of_energy_it_is_what_was_counted_longest():
    merged = with_host(
        snapshot(NOW, reading(ResourceKind.ENERGY, "gpu", 500.0)),
        snapshot(LATER, reading(ResourceKind.ENERGY, "gpu", 20.0)),
    )
    assert figures(merged) == {("energy", "gpu"): 500.0}


def test_what_the_exporter_holds_itself_is_no_part_of_the_program():
    merged = with_host(
        snapshot(NOW, reading(ResourceKind.HOST_MEMORY, "process_resident", 100.0)),
        snapshot(
            LATER,
            reading(ResourceKind.HOST_MEMORY, "process_resident", 7.0),
            reading(ResourceKind.MEMORY, "metal_allocated", 7.0),
            reading(ResourceKind.HOST_MEMORY, "used", 5.0, 10.0),
        ),
    )
    assert figures(merged) == {
        ("host_memory", "process_resident"): 100.0,
        ("host_memory", "used"): 5.0,
    }


def test_the_memory_of_the_whole_gpu_is_there_once():
    # Every process reads the same figure, so no sum of them means anything.
    merged = with_host(
        snapshot(
            NOW,
            reading(ResourceKind.GPU_MEMORY, "gpu_in_use", 8.0),
            reading(ResourceKind.MEMORY, "metal_allocated", 2.0),
        ),
        snapshot(LATER, reading(ResourceKind.GPU_MEMORY, "gpu_in_use", 9.0)),
    )
    assert figures(merged) == {
        ("gpu_memory", "gpu_in_use"): 9.0,
        ("memory", "metal_allocated"): 2.0,
    }


def test_a_figure_that_one_alone_reads_is_there():
    merged = with_host(
        snapshot(NOW, reading(ResourceKind.MEMORY, "mlx_active", 3.0)),
        snapshot(NOW, reading(ResourceKind.TEMPERATURE, "gpu", 60.0)),
    )
    assert figures(merged) == {("memory", "mlx_active"): 3.0, ("temperature", "gpu"): 60.0}


def health(status: HealthStatus) -> HealthReport:
    return HealthReport(status, (ComponentHealth(Component.MEMORY, status),))


def test_health_is_that_of_the_programs_and_without_any_that_of_the_host():
    host = replace(snapshot(NOW), health=health(HealthStatus.HEALTHY))
    programs = replace(snapshot(NOW), health=health(HealthStatus.CRITICAL))
    assert with_host(programs, host).health_status is HealthStatus.CRITICAL
    assert with_host(snapshot(NOW), host).health_status is HealthStatus.HEALTHY


def test_failures_and_devices_of_both_are_there():
    system = SystemInfo("h", 1, "Linux", "6", "x86_64", 1, "3.11", "0")
    gpu, chip = DeviceInfo("GPU", "mlx"), DeviceInfo("Chip", "system")
    programs = replace(
        snapshot(NOW),
        system=replace(system, devices=(gpu,)),
        internals=InternalMetrics(errors={"tick": 1, "sensor.a": 1}, overflowed=2),
    )
    host = replace(
        snapshot(NOW),
        system=replace(system, devices=(gpu, chip)),
        internals=InternalMetrics(errors={"sensor.a": 3}),
    )
    merged = with_host(programs, host)
    assert merged.system is not None
    assert merged.system.devices == (gpu, chip)
    assert dict(merged.internals.errors) == {"tick": 1, "sensor.a": 4}
    assert merged.internals.overflowed == 2


def test_the_report_judges_by_the_options(tmp_path):
    options = MetalTelemetryOptions(high_memory_utilization_threshold=0.0001)
    with MetalTelemetryManager(options) as host:
        source = HostWithProcesses(host, tmp_path)
        file = ProcessFile(tmp_path)
        file.write(snapshot(NOW))
        report = source.generate_report()
        file.close()
    assert any("memory" in one.lower() for one in report.recommendations)


def test_consumers_are_fed_both_together(tmp_path):
    options = MetalTelemetryOptions(tick_interval=timedelta(milliseconds=50))
    fed: list[MetalTelemetrySnapshot] = []
    with MetalTelemetryManager(options) as host:
        source = HostWithProcesses(host, tmp_path)
        end = source.subscribe(fed.append)
        source.start()
        while len(fed) < 2:
            time.sleep(0.01)
        end()
        source.stop()
    assert ("cpu_utilization", "host") in figures(fed[-1])
