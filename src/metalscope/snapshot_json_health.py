"""The health of a snapshot from its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metalscope.export_status import BreakerState
from metalscope.health_report import (
    Anomaly,
    BreakerStatus,
    BurnRate,
    ComponentHealth,
    HealthEvent,
    HealthEventKind,
    HealthReport,
    HealthStatus,
    ObjectiveStatus,
    Prediction,
)
from metalscope.json_values import (
    maybe,
    read_known,
    read_number,
    read_text,
    read_time,
    read_whole,
)
from metalscope.operation import Component, ErrorSeverity

__all__ = ["health_from_dict"]

Data = Mapping[str, Any]


def health_from_dict(data: Data) -> HealthReport:
    """What ``HealthReport.to_dict()`` was made of; parts without a word here are left out.

    Raises:
        ValueError, TypeError, KeyError: it is no such data.
    """
    return HealthReport(
        read_known(HealthStatus, data.get("status")) or HealthStatus.UNKNOWN,
        tuple(_component(one) for one in data.get("components", ()) if _component_of(one)),
        tuple(_anomaly(one) for one in data.get("anomalies", ()) if _component_of(one)),
        tuple(map(_breaker, data.get("breakers", ()))),
        tuple(map(_prediction, data.get("predictions", ()))),
        tuple(map(_objective, data.get("objectives", ()))),
        tuple(
            _event(one)
            for one in data.get("events", ())
            if read_known(HealthEventKind, one["kind"]) is not None
        ),
    )


def _component_of(data: Data) -> Component | None:
    return read_known(Component, data.get("component"))


def _component(data: Data) -> ComponentHealth:
    return ComponentHealth(
        Component(data["component"]),
        read_known(HealthStatus, data["status"]) or HealthStatus.UNKNOWN,
        tuple(map(read_text, data.get("reasons", ()))),
    )


def _anomaly(data: Data) -> Anomaly:
    return Anomaly(
        kind=read_text(data["kind"]),
        component=Component(data["component"]),
        subject=read_text(data["subject"]),
        severity=ErrorSeverity(data["severity"]),
        since=read_time(data["since"]),
        reason=read_text(data["reason"]),
        cause=read_text(data.get("cause", "")),
        value=maybe(read_number, data.get("value")),
        expected=maybe(read_number, data.get("expected")),
        unit=read_text(data.get("unit", "")),
        detector=read_text(data.get("detector", "")),
    )


def _breaker(data: Data) -> BreakerStatus:
    return BreakerStatus(
        name=read_text(data["name"]),
        state=BreakerState(data["state"]),
        since=maybe(read_time, data.get("since")),
        component=_component_of(data),
        failures=read_whole(data.get("failures", 0)),
        calls=read_whole(data.get("calls", 0)),
        opened=read_whole(data.get("opened", 0)),
        rejected=read_whole(data.get("rejected", 0)),
        retry_at=maybe(read_time, data.get("retry_at")),
        last_error=read_text(data.get("last_error", "")),
    )


def _prediction(data: Data) -> Prediction:
    return Prediction(
        kind=read_text(data["kind"]),
        subject=read_text(data["subject"]),
        message=read_text(data["message"]),
        component=_component_of(data),
        at=maybe(read_time, data.get("at")),
        earliest=maybe(read_time, data.get("earliest")),
        latest=maybe(read_time, data.get("latest")),
        confidence=maybe(read_number, data.get("confidence")),
        value=maybe(read_number, data.get("value")),
        lower=maybe(read_number, data.get("lower")),
        upper=maybe(read_number, data.get("upper")),
        unit=read_text(data.get("unit", "")),
        evidence=tuple(map(read_text, data.get("evidence", ()))),
    )


def _objective(data: Data) -> ObjectiveStatus:
    return ObjectiveStatus(
        name=read_text(data["name"]),
        target=read_number(data["target"]),
        window_seconds=read_number(data["window_seconds"]),
        covered_seconds=read_number(data["covered_seconds"]),
        good=read_whole(data["good"]),
        total=read_whole(data["total"]),
        burn_rates=tuple(
            BurnRate(
                read_number(one["seconds"]),
                maybe(read_number, one["rate"]),
                read_whole(one.get("good", 0)),
                read_whole(one.get("total", 0)),
            )
            for one in data.get("burn_rates", ())
        ),
        burning=maybe(ErrorSeverity, data.get("burning")),
    )


def _event(data: Data) -> HealthEvent:
    return HealthEvent(
        sequence=read_whole(data["sequence"]),
        timestamp=read_time(data["timestamp"]),
        kind=HealthEventKind(data["kind"]),
        severity=ErrorSeverity(data["severity"]),
        message=read_text(data["message"]),
        component=_component_of(data),
        properties=dict(data.get("properties", {})),
    )
