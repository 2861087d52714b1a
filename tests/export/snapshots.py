"""Snapshots to expose: one with something in every part, and a strategy for any."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from alert_samples import CHANNEL, FIRING, PENDING
from health_samples import BREAKER, EXHAUSTED, LEAK, OBJECTIVE, RISK
from metalscope.export_status import BreakerState, ExporterStatus
from metalscope.histogram import DurationHistogram
from metalscope.operation import OK, Component, MetalError, OperationKind
from metalscope.snapshot import (
    ComponentHealth,
    CustomMetric,
    DeviceInfo,
    HealthReport,
    HealthStatus,
    InternalMetrics,
    MemoryPressure,
    MetalTelemetrySnapshot,
    OperationMetrics,
    OutcomeMetrics,
    ResourceKind,
    ResourceMetrics,
    SinkStatus,
    SystemInfo,
    ThermalState,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EARLIER = datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC)

SINK = SinkStatus(
    "splunk", "splunk", "logs", BreakerState.HALF_OPEN, 40,
    failures={"timeout": 2}, dropped={"queue_full": 1}, waiting=7, waiting_bytes=900,
    last_success=NOW, last_error="it took too long",
)  # fmt: skip

HOSTILE_NAMES = (
    'quote " inside',
    "back\\slash",
    "new\nline",
    "\\n is not a newline",
    "ends in a backslash\\",
    'all of "them"\\\n\\',
    "<script>alert('x')</script>",
    '{curly="x"} # 1 2',
    "Ünïcödé 金属 🔩 \u2028 \x85 \r \t \x00",
    "",
    " spaces ",
)


def full() -> MetalTelemetrySnapshot:
    """A snapshot in which every metric of the catalogue has a value."""
    operations = tuple(
        OperationMetrics(
            kind=kind,
            name=name,
            device="m1",
            outcomes=(
                OutcomeMetrics(
                    OK,
                    DurationHistogram.from_durations([5_000, 900_000, 1_000_000, 12_345_678]),
                    nbytes=4096,
                    gpu_ns=1_500_000_000,
                    gpu_count=3,
                ),
                OutcomeMetrics(
                    MetalError.OUT_OF_MEMORY, DurationHistogram.from_durations([60_000_000_000])
                ),
            ),
            last_updated=NOW,
        )
        for kind, name in ((OperationKind.ALLOCATE, "buffer"), (OperationKind.EXECUTE, "matmul"))
    )
    return MetalTelemetrySnapshot(
        timestamp=NOW,
        started_at=EARLIER,
        operations=operations,
        resources=(
            ResourceMetrics(ResourceKind.MEMORY, "active", "m1", 1024, peak=2048, limit=1 << 40),
            ResourceMetrics(ResourceKind.MEMORY, "cache", "m1", 0),
            ResourceMetrics(ResourceKind.GPU_MEMORY, "gpu_in_use", "m1", 4096),
            ResourceMetrics(ResourceKind.GPU_UTILIZATION, "device", "m1", 12.5),
            ResourceMetrics(ResourceKind.HOST_MEMORY, "used", "", 5e9, limit=16e9),
            ResourceMetrics(ResourceKind.CPU_UTILIZATION, "host", "", 50.0),
            ResourceMetrics(ResourceKind.FREQUENCY, "gpu", "m1", 1.2e9, limit=1.296e9),
            ResourceMetrics(ResourceKind.BANDWIDTH, "total", "m1", 5e10, limit=6.8e10),
            ResourceMetrics(ResourceKind.POWER, "gpu", "m1", 7.25),
            ResourceMetrics(ResourceKind.ENERGY, "gpu", "m1", 1234.5),
            ResourceMetrics(ResourceKind.TEMPERATURE, "gpu", "m1", 61.5),
            ResourceMetrics(ResourceKind.FAN_SPEED, "0", "", 1200, limit=5800),
            ResourceMetrics(ResourceKind.THERMAL_STATE, "system", "", ThermalState.SERIOUS),
            ResourceMetrics(ResourceKind.MEMORY_PRESSURE, "system", "", MemoryPressure.LOW),
            ResourceMetrics(ResourceKind.LOW_POWER_MODE, "system", "", 0),
            ResourceMetrics(ResourceKind.RECOVERIES, "gpu", "m1", 1),
        ),
        alerts=(FIRING, PENDING),
        health=HealthReport(
            HealthStatus.DEGRADED,
            (
                ComponentHealth(Component.MEMORY, HealthStatus.DEGRADED, ("too much",)),
                ComponentHealth(Component.KERNEL, HealthStatus.HEALTHY),
            ),
            anomalies=(LEAK,),
            breakers=(BREAKER,),
            predictions=(EXHAUSTED, RISK),
            objectives=(OBJECTIVE,),
        ),
        custom=(
            CustomMetric("jobs", "counter", (("tenant", "a"),), 3),
            CustomMetric("jobs", "counter", (("tenant", 'b"'),), 4),
            CustomMetric("queue:depth", "gauge", (), -2.5),
            CustomMetric(
                "sizes", "histogram", (("what", "x"),), 7.5, 4, ((0.5, 1), (10.0, 2), (1e6, 4))
            ),
            CustomMetric("ticks_total", "counter", (), 1),
        ),
        system=SystemInfo(
            "box", 1, "macOS", "15", "arm64", 8, "3.12.1", "0.1.0",
            devices=(
                DeviceInfo("m1", "metal", 1 << 34, 1 << 33, 1 << 32, unified_memory=True),
                DeviceInfo("lavapipe", "webgpu"),
            ),
        ),
        internals=InternalMetrics(
            {"recorder": 2},
            overflowed=3,
            dropped={"events": 4},
            exporters=(
                ExporterStatus(
                    "otlp", "opentelemetry", BreakerState.OPEN, 9, 5, 500, 2,
                    failures={"refused": 3, "timeout": 1}, dropped={"expired": 1}, waiting=3,
                    waiting_bytes=4096, seconds=1.5, last_success=EARLIER, last_error="refused",
                ),
                ExporterStatus("file", "custom"),
            ),
            channels=(CHANNEL,),
            sinks=(SINK,),
            log_records={"info": 20, "error": 3},
            spans={"sampled": 12, "slow": 2},
        ),
        retired_operations=10,
        retired_errors=1,
    )  # fmt: skip


any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    HOSTILE_NAMES
)
outcomes = st.builds(
    OutcomeMetrics,
    outcome=st.sampled_from([OK, *MetalError]),
    durations=st.lists(st.integers(0, 2**45), min_size=1, max_size=5).map(
        DurationHistogram.from_durations
    ),
    nbytes=st.integers(0, 2**60),
    gpu_ns=st.integers(0, 2**60),
    gpu_count=st.integers(0, 2),
)
operations = st.builds(
    OperationMetrics,
    kind=st.sampled_from(OperationKind),
    name=any_text,
    device=any_text,
    outcomes=st.lists(outcomes, max_size=3, unique_by=lambda o: o.outcome).map(tuple),
)
resources = st.builds(
    ResourceMetrics,
    kind=st.sampled_from(ResourceKind),
    name=any_text,
    device=any_text,
    current=st.floats(allow_nan=True) | st.integers(0, 2**53),
    peak=st.none() | st.floats(0),
    limit=st.none() | st.integers(1, 2**53),
)
devices = st.builds(
    DeviceInfo,
    name=any_text,
    backend=any_text,
    memory_bytes=st.none() | st.integers(0, 2**53),
    unified_memory=st.none() | st.booleans(),
)
snapshots = st.builds(
    MetalTelemetrySnapshot,
    timestamp=st.just(NOW),
    started_at=st.just(EARLIER),
    operations=st.lists(
        operations, max_size=4, unique_by=lambda o: (o.kind, o.name, o.device)
    ).map(tuple),
    resources=st.lists(resources, max_size=4).map(tuple),
    system=st.none()
    | st.builds(
        SystemInfo,
        host=any_text, pid=st.just(1), os=any_text, os_version=any_text, architecture=any_text,
        processors=st.none(), python=any_text, metalscope=any_text,
        devices=st.lists(devices, max_size=3).map(tuple),
    ),
    internals=st.builds(
        InternalMetrics,
        errors=st.dictionaries(any_text, st.integers(1, 9), max_size=3),
        overflowed=st.integers(0, 9),
        dropped=st.dictionaries(any_text, st.integers(0, 9), max_size=3),
        exporters=st.lists(
            st.builds(
                ExporterStatus, name=any_text, type=any_text, queued=st.integers(0, 9),
                failures=st.dictionaries(any_text, st.integers(1, 9), max_size=2),
            ),
            max_size=2,
            unique_by=lambda one: one.name,
        ).map(tuple),
    ),
)  # fmt: skip
