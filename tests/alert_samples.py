"""Alerts with something in every part."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from metalscope.alert_report import (
    Acknowledgement,
    Alert,
    AlertEvidence,
    AlertState,
    ChannelStatus,
    Figure,
    Matcher,
    MatcherOperator,
    Silence,
)
from metalscope.alerts.notification import Notification, NotificationKind
from metalscope.export_status import BreakerState
from metalscope.operation import Component, ErrorSeverity

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)

FIRING = Alert(
    id="0f4e2d6c8b1a49d2",
    fingerprint="6b1f0d2e3c4a5968",
    rule="MetalKernelFailures",
    labels=(("device", "m1"), ("name", "attention")),
    severity=ErrorSeverity.HIGH,
    state=AlertState.FIRING,
    title="attention failed 7 times in 5m",
    description="The kernel attention on m1 fails again and again.",
    component=Component.KERNEL,
    value=7.0,
    active_since=NOW - timedelta(minutes=3),
    fired_at=NOW - timedelta(minutes=2),
    last_seen=NOW,
    count=3,
    evidence=AlertEvidence(
        figures=(Figure("failures in 5m", 7.0), Figure("p95", 12.5, "ms")),
        operations=("execute attention on m1: 7 of 120 failed (timeout 7), p95 12.5 ms",),
        trace_ids=("4bf92f3577b34da6a3ce929d0e0e4736",),
        correlation_ids=("req-1",),
    ),
    actions=("Look at the kernel's last change.", "Run it alone with MTL_DEBUG_LAYER=1."),
    runbook="https://example.com/runbooks#metalkernelfailures",
    link="http://127.0.0.1:9464/#alert=0f4e2d6c8b1a49d2",
)
PENDING = Alert(
    id="1a2b3c4d5e6f7081",
    fingerprint="0123456789abcdef",
    rule="MetalMemoryHigh",
    labels=(("device", "m1"), ("pool", "mlx")),
    severity=ErrorSeverity.MEDIUM,
    state=AlertState.PENDING,
    title="Memory mlx on m1 is at 88 %",
    component=Component.MEMORY,
    value=88.0,
    active_since=NOW - timedelta(seconds=30),
    last_seen=NOW,
)
RESOLVED = Alert(
    id="9988776655443322",
    fingerprint="fedcba9876543210",
    rule="MetalDeviceLost",
    labels=(("device", "m1"),),
    severity=ErrorSeverity.CRITICAL,
    state=AlertState.RESOLVED,
    title="The device m1 was lost",
    component=Component.DEVICE,
    value=1.0,
    active_since=NOW - timedelta(hours=2),
    fired_at=NOW - timedelta(hours=2),
    last_seen=NOW - timedelta(hours=1),
    resolved_at=NOW - timedelta(minutes=59),
    count=60,
    acknowledged=Acknowledgement("ada", NOW - timedelta(minutes=90), "restarting"),
    silenced_by=("weekend",),
    inhibited_by=("6b1f0d2e3c4a5968",),
    flapping=True,
    resolution="the condition no longer holds",
)
SILENCE = Silence(
    "5d7c",
    (
        Matcher("alertname", MatcherOperator.MATCHES, "Metal.*"),
        Matcher("name", MatcherOperator.NOT_EQUAL, 'quote " \\ and\nline'),
    ),
    NOW,
    NOW + timedelta(hours=1),
    "ada",
    "a new kernel is tried out",
)
CHANNEL = ChannelStatus(
    "slack",
    "slack",
    BreakerState.OPEN,
    delivered=3,
    failures={"rate_limited": 2},
    dropped={"schema": 1},
    waiting=4,
    last_success=NOW,
    last_error="hooks.slack.com:443 answered 429",
)
MESSAGE = Notification(
    id="m1",
    channel="slack",
    kind=NotificationKind.FIRING,
    created_at=NOW,
    began_at=NOW - timedelta(minutes=2),
    alerts=(FIRING,),
    group=(("component", "kernel"),),
    source="mac-studio",
    links=(("dashboard", "http://127.0.0.1:9464/"),),
)
