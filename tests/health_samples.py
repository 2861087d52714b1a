"""A report of health with something in every part."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from metalscope.export_status import BreakerState
from metalscope.health_report import AnomalyKind, HealthEventKind, PredictionKind
from metalscope.operation import Component, ErrorSeverity
from metalscope.snapshot import (
    Anomaly,
    BreakerStatus,
    BurnRate,
    ComponentHealth,
    HealthEvent,
    HealthReport,
    HealthStatus,
    ObjectiveStatus,
    Prediction,
)

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)

LEAK = Anomaly(
    AnomalyKind.LEAK,
    Component.MEMORY,
    "mlx",
    ErrorSeverity.HIGH,
    NOW - timedelta(minutes=9),
    "grows by 3.0 MiB a minute",
    cause="never shrinks",
    value=3.0,
    expected=0.0,
    unit="MiB/min",
    detector="robust",
)
BREAKER = BreakerStatus(
    "kernel",
    BreakerState.OPEN,
    NOW,
    Component.KERNEL,
    failures=5,
    calls=40,
    opened=2,
    rejected=7,
    retry_at=NOW + timedelta(minutes=2),
    last_error="OperationTimeoutError",
)
EXHAUSTED = Prediction(
    PredictionKind.MEMORY_EXHAUSTED,
    "mlx",
    "mlx memory is full in about 2 h",
    Component.MEMORY,
    NOW + timedelta(hours=2),
    NOW + timedelta(hours=1),
    None,
    0.9,
    16e9,
    unit="bytes",
    evidence=("grew for 9 of 9 minutes",),
)
RISK = Prediction(
    PredictionKind.FAILURE_RISK,
    "device",
    "the device is likely to fail within 24 h",
    Component.DEVICE,
    value=0.4,
    evidence=("lost 2 times in 7 days",),
)
LOAD = Prediction(PredictionKind.LOAD, "operations", "at most 900 a second at 18:00", value=900.0)
OBJECTIVE = ObjectiveStatus(
    "quick",
    0.99,
    86_400.0,
    3600.0,
    980,
    1000,
    (BurnRate.of(300.0, 90, 100, 0.99), BurnRate.of(60.0, 0, 0, 0.99)),
    ErrorSeverity.HIGH,
)
EVENT = HealthEvent(
    4,
    NOW,
    HealthEventKind.ANOMALY,
    ErrorSeverity.HIGH,
    "leak in mlx",
    Component.MEMORY,
    {"value": 3.0},
)
FULL = HealthReport(
    HealthStatus.CRITICAL,
    (
        ComponentHealth(Component.MEMORY, HealthStatus.CRITICAL, ("95 % in use",)),
        ComponentHealth(Component.KERNEL, HealthStatus.DEGRADED, ("breaker kernel is open",)),
        ComponentHealth(Component.DEVICE, HealthStatus.HEALTHY),
    ),
    (LEAK,),
    (BREAKER,),
    (EXHAUSTED, LOAD),
    (OBJECTIVE,),
    (EVENT,),
)
