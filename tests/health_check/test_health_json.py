"""The application/health+json document of a report in which there is something of everything."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from metalscope.export_status import BreakerState
from metalscope.health_json import NOTHING_KNOWN, Verdict, health_document, verdict_of
from metalscope.health_report import (
    Anomaly,
    AnomalyKind,
    BreakerStatus,
    ComponentHealth,
    HealthEvent,
    HealthEventKind,
    HealthReport,
    HealthStatus,
    ObjectiveStatus,
    Prediction,
    PredictionKind,
)
from metalscope.operation import Component, ErrorSeverity
from metalscope.readings import ResourceKind, ResourceMetrics
from metalscope.snapshot import MetalTelemetrySnapshot, SystemInfo

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)

FULL = MetalTelemetrySnapshot(
    timestamp=NOW,
    started_at=NOW - timedelta(seconds=90),
    resources=(
        ResourceMetrics(ResourceKind.MEMORY, "pool", "gpu:0", 75.0, limit=100.0),
        ResourceMetrics(ResourceKind.HOST_MEMORY, "host", "", 8.0, limit=16.0),
        ResourceMetrics(ResourceKind.MEMORY, "unbounded", "gpu:0", 5.0),
        ResourceMetrics(ResourceKind.GPU_UTILIZATION, "gpu", "gpu:0", 99.0),
    ),
    health=HealthReport(
        HealthStatus.DEGRADED,
        (
            ComponentHealth(Component.MEMORY, HealthStatus.DEGRADED, ("75 % in use", "a leak")),
            ComponentHealth(Component.DEVICE, HealthStatus.HEALTHY, ("1 timeout",)),
            ComponentHealth(Component.KERNEL, HealthStatus.UNKNOWN, ("no operation",)),
            ComponentHealth(Component.SYSTEM, HealthStatus.HEALTHY),
        ),
        anomalies=(
            Anomaly(
                AnomalyKind.LEAK,
                Component.MEMORY,
                "pool",
                ErrorSeverity.HIGH,
                NOW,
                "pool grows by 3 MB/min",
            ),
        ),
        breakers=(
            BreakerStatus("device", BreakerState.OPEN, component=Component.DEVICE, opened=1),
            BreakerStatus("kernel"),
        ),
        predictions=(
            Prediction(PredictionKind.MEMORY_EXHAUSTED, "pool", "pool is full in 2 h", at=NOW),
        ),
        objectives=(ObjectiveStatus("inference", 0.99, 3600.0, 60.0, 99, 100),),
        events=(HealthEvent(1, NOW, HealthEventKind.STATUS, ErrorSeverity.LOW, "it changed"),),
    ),
    system=SystemInfo("mini", 42, "macOS", "26.1", "arm64", 10, "3.13", "0.1.0"),
)


def document(snapshot: MetalTelemetrySnapshot | None = FULL, **how: Any) -> dict[str, Any]:
    status = snapshot.health_status if snapshot else HealthStatus.UNKNOWN
    settings: dict[str, Any] = {"reason": "because", "time": NOW, "checks": {}, **how}
    verdict = settings.pop("verdict", verdict_of(status))
    return health_document(status, verdict, snapshot=snapshot, **settings)


@pytest.mark.parametrize("snapshot", [FULL, MetalTelemetrySnapshot(NOW, NOW), None])
def test_it_has_the_form_that_the_http_description_says(
    snapshot: MetalTelemetrySnapshot | None,
) -> None:
    description = json.loads(files("metalscope").joinpath("assets", "openapi.json").read_text())
    schema = {
        "$ref": "#/components/schemas/Health",
        "components": description["components"],
    }
    data = json.loads(json.dumps(document(snapshot), allow_nan=False))
    Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(data)


def test_what_is_no_pass_says_why_and_what_is_one_does_not() -> None:
    assert document()["output"] == "because"
    assert "output" not in document(verdict=Verdict.PASS)
    checks = document()["checks"]
    assert checks["memory:status"][0]["output"] == "75 % in use; a leak"
    assert "output" not in checks["device:status"][0]


def test_each_memory_with_a_limit_has_its_share_and_no_made_up_status() -> None:
    assert document()["checks"]["memory:utilization"] == [
        {
            "componentId": "gpu:0:pool",
            "componentType": "component",
            "observedValue": 75.0,
            "observedUnit": "percent",
            "time": "2026-05-04T12:00:00.000000Z",
        },
        {
            "componentId": "host",
            "componentType": "system",
            "observedValue": 50.0,
            "observedUnit": "percent",
            "time": "2026-05-04T12:00:00.000000Z",
        },
    ]


def test_an_open_breaker_is_a_warning_and_uptime_is_in_seconds() -> None:
    checks = document()["checks"]
    states = {
        one["componentId"]: (one["observedValue"], one["status"]) for one in checks["breaker:state"]
    }
    assert states == {"device": ("open", "warn"), "kernel": ("closed", "pass")}
    assert checks["uptime"][0]["observedValue"] == 90.0


def test_anomalies_and_predictions_are_notes_and_all_parts_are_there_whole() -> None:
    data = document()
    assert data["notes"] == ["pool grows by 3 MB/min", "pool is full in 2 h"]
    assert data["serviceId"] == "mini:42"
    for part in ("components", "anomalies", "breakers", "predictions", "objectives"):
        assert data[part] == FULL.health.to_dict()[part]


def test_that_nothing_is_known_is_noted() -> None:
    data = document(MetalTelemetrySnapshot(NOW, NOW))
    assert (data["status"], data["health_status"]) == ("warn", "unknown")
    assert data["notes"] == [NOTHING_KNOWN]


def test_checks_of_the_application_stand_beside_the_others() -> None:
    mine = {"probe:responseTime": [{"componentType": "component"}]}
    assert set(document(checks=mine)["checks"]) > {"probe:responseTime", "memory:status"}
