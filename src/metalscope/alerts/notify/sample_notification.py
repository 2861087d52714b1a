"""A message with something in every part, to try templates and channels on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from metalscope.alert_report import Acknowledgement, Alert, AlertEvidence, AlertState, Figure
from metalscope.alerts.notification import Notification, NotificationKind
from metalscope.operation import Component, ErrorSeverity

__all__ = ["sample_notification"]

_NOW: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)


def sample_notification(channel: str) -> Notification:
    """A message of one alert that fires and one that is over, of no real program."""
    firing = Alert(
        id="0123456789abcdef",
        fingerprint="fedcba9876543210",
        rule="MetalKernelFailures",
        labels=(("device", "m1"), ("name", "attention")),
        severity=ErrorSeverity.HIGH,
        state=AlertState.FIRING,
        title="attention failed 7 times in 5m",
        description="The kernel attention fails again and again.",
        component=Component.KERNEL,
        value=7.0,
        active_since=_NOW - timedelta(minutes=3),
        fired_at=_NOW - timedelta(minutes=2),
        last_seen=_NOW,
        evidence=AlertEvidence(
            figures=(Figure("p95", 12.5, "ms"),),
            operations=("execute attention on m1: 7 of 120 failed",),
            trace_ids=("0af7651916cd43dd8448eb211c80319c",),
            correlation_ids=("request-1",),
        ),
        actions=("Look at the kernel's last change.",),
        runbook="https://example.com/runbooks#metalkernelfailures",
        link="https://example.com/#alert=0123456789abcdef",
        acknowledged=Acknowledgement("somebody", _NOW - timedelta(minutes=1), "looking"),
    )
    over = Alert(
        id="1123456789abcdef",
        fingerprint="eedcba9876543210",
        rule="MetalMemoryHigh",
        labels=(("device", "m1"),),
        severity=ErrorSeverity.MEDIUM,
        state=AlertState.RESOLVED,
        title="Memory on m1 is at 88 %",
        description="Memory is nearly used up.",
        component=Component.MEMORY,
        value=88.0,
        active_since=_NOW - timedelta(hours=2),
        fired_at=_NOW - timedelta(hours=2),
        last_seen=_NOW - timedelta(hours=1),
        resolved_at=_NOW - timedelta(hours=1),
        resolution="the condition no longer holds",
    )
    return Notification(
        id="sample",
        channel=channel,
        kind=NotificationKind.FIRING,
        created_at=_NOW,
        began_at=_NOW - timedelta(minutes=2),
        alerts=(firing, over),
        group=(("component", "kernel"),),
        source="host",
        links=(("dashboard", "https://example.com/"),),
    )
