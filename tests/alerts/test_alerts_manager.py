"""Alerts from end to end: what happens in a program, and what people hear of it."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from metalscope import MetalAlertsManager, MetalTelemetryManager
from metalscope.alert_report import AlertState
from metalscope.alerts.memory_store import MemoryStore
from metalscope.alerts.notification import Notification, NotificationKind
from metalscope.alerts.notify.base import Notifier
from metalscope.alerts.sqlite_store import SqliteStore
from metalscope.histogram import DurationHistogram
from metalscope.operation import OK, ErrorSeverity, MetalError, OperationKind
from metalscope.options import AlertsOptions, ChannelOptions, MetalTelemetryOptions
from metalscope.sending.result import ExportResult
from metalscope.snapshot import (
    MetalTelemetrySnapshot,
    OperationMetrics,
    OutcomeMetrics,
    ResourceKind,
    ResourceMetrics,
)

T0 = datetime(2026, 5, 4, 12, tzinfo=UTC)
QUICK = {
    "evaluation_interval": "1m",
    "sampling_interval": "15s",
    "enable_notifications": True,
}


class Heard(Notifier):
    """A channel whose messages a test can wait for."""

    def __init__(self) -> None:
        self.messages: queue.Queue[Notification] = queue.Queue()

    def send(self, notification: Notification) -> ExportResult:
        self.messages.put(notification)
        return ExportResult.delivered()

    def next(self) -> Notification:
        return self.messages.get(timeout=20)


def told(heard: Heard) -> list[tuple[NotificationKind, list[str]]]:
    found = []
    while not heard.messages.empty():
        one = heard.messages.get()
        found.append((one.kind, [alert.rule for alert in one.alerts]))
    return found


def raising(_room: str, error: BaseException) -> None:
    raise error


def manager(heard: Heard, store: Any = None, **options: Any) -> MetalAlertsManager:
    channel = ChannelOptions(name="people", type="webhook", target="http://127.0.0.1:1/")
    return MetalAlertsManager(
        AlertsOptions(**{**QUICK, "channels": (channel,), **options}),
        on_error=raising,
        store=store,
        notifiers={"people": heard},
    )


def snapshot(
    seconds: float, *, failures: int = 0, memory: float = 0.5, started_at: datetime = T0
) -> MetalTelemetrySnapshot:
    outcomes = [OutcomeMetrics(OK, DurationHistogram.from_durations([1_000_000] * 50))]
    if failures:
        durations = DurationHistogram.from_durations([2_000_000] * failures)
        outcomes.append(OutcomeMetrics(MetalError.TIMEOUT, durations))
    return MetalTelemetrySnapshot(
        timestamp=T0 + timedelta(seconds=seconds),
        started_at=started_at,
        operations=(OperationMetrics(OperationKind.EXECUTE, "attention", "m1", tuple(outcomes)),),
        resources=(ResourceMetrics(ResourceKind.MEMORY, "mlx", "m1", memory * 2**30, None, 2**30),),
    )


def play(alerts: MetalAlertsManager, begin: float, end: float, **what: Any) -> None:
    for second in range(int(begin), int(end), 5):
        show(alerts, snapshot(second, **what))


def show(alerts: MetalAlertsManager, one: MetalTelemetrySnapshot) -> None:
    """Simulated time stands still until the channels have taken what they were sent."""
    alerts.observe(one)
    while any(channel.waiting for channel in alerts.channels()):
        sleep(0.001)


def test_an_incident_costs_two_messages_one_when_it_begins_and_one_when_it_is_over() -> None:
    heard = Heard()
    alerts = manager(heard)
    play(alerts, 0, 300)
    play(alerts, 300, 1200, failures=7)
    first = heard.next()
    assert first.kind is NotificationKind.FIRING
    (alert,) = first.alerts
    assert (alert.rule, dict(alert.labels)["name"]) == ("MetalKernelFailures", "attention")
    assert alert.severity is ErrorSeverity.HIGH
    assert alert.value == 7
    assert alert.actions
    assert any("attention" in line for line in alert.evidence.operations)
    last = heard.next()
    assert last.kind is NotificationKind.RESOLVED
    assert last.incident == first.incident
    play(alerts, 1200, 3600, failures=7)
    alerts.close()
    assert told(heard) == []
    assert alerts.active == ()
    (past,) = alerts.history()
    assert past.state is AlertState.RESOLVED
    assert alerts.get(past.id) == past


def test_a_blip_tells_nobody() -> None:
    heard = Heard()
    alerts = manager(heard)
    for minute in range(0, 3600, 60):
        play(alerts, minute, minute + 60, memory=0.97 if minute % 600 == 0 else 0.4)
    alerts.close()
    assert told(heard) == []


def test_what_gets_worse_is_told_once_more_and_then_that_it_is_over() -> None:
    heard = Heard()
    alerts = manager(heard)
    play(alerts, 0, 1200, memory=0.87)
    play(alerts, 1200, 2400, memory=0.97)
    play(alerts, 2400, 3600, memory=0.5)
    alerts.close()
    kinds = [kind for kind, _ in told(heard)]
    assert kinds == [NotificationKind.FIRING, NotificationKind.UPDATE, NotificationKind.RESOLVED]


def test_a_silence_keeps_it_quiet_and_the_alert_lives_on() -> None:
    heard = Heard()
    alerts = manager(heard)
    alerts.observe(snapshot(0))
    silence = alerts.silence(['name="attention"'], duration="1h", created_by="ada", comment="known")
    play(alerts, 60, 240, failures=9)
    (active,) = alerts.active
    assert active.silenced_by == (silence.id,)
    alerts.expire_silence(silence.id)
    alerts.close()
    assert [one for one, _ in told(heard)] in ([], [NotificationKind.FIRING])


def test_acknowledged_it_is_not_repeated() -> None:
    heard, other = Heard(), Heard()
    noisy, quiet = (manager(one, repeat_interval="10m") for one in (heard, other))
    for one in (noisy, quiet):
        play(one, 0, 900, memory=0.9)
    (alert,) = quiet.active
    assert quiet.acknowledge(alert.id, by="ada").acknowledged.by == "ada"
    for one in (noisy, quiet):
        play(one, 900, 3600, memory=0.9)
        one.close()
    repeats = [sum(kind is NotificationKind.REPEAT for kind, _ in told(o)) for o in (heard, other)]
    assert repeats[0] >= 3
    assert repeats[1] <= 1


@pytest.mark.parametrize("bad", [{}, {"duration": "1h", "ends_at": T0}, {"ends_at": T0}])
def test_a_silence_without_a_sensible_end_is_refused(bad) -> None:
    alerts = manager(Heard())
    alerts.observe(snapshot(60))
    with pytest.raises(ValueError, match=r"duration|later than now"):
        alerts.silence(['a="b"'], created_by="ada", **bad)
    with pytest.raises(ValueError, match="at least one"):
        alerts.silence([], duration="1h", created_by="ada")
    alerts.close()


@pytest.mark.parametrize("at", [330, 420, 600, 905])
def test_a_restart_changes_nothing(tmp_path: Path, at: int) -> None:
    def life(store: Any, heard: Heard, *, restart: Any = None) -> list[tuple[Any, ...]]:
        alerts = manager(heard, store)
        for second in range(0, 2400, 5):
            if second == at and restart is not None:
                # As one that is killed: nothing is closed but the file.
                store.close(10)
                store = restart()
                alerts = manager(heard, store)
            failures = 0 if second < 300 else 7
            show(alerts, snapshot(second, failures=failures))
        past = [
            (one.rule, one.labels, one.severity, one.fired_at, one.resolved_at)
            for one in alerts.history()
        ]
        alerts.close()
        return past

    def file() -> SqliteStore:
        return SqliteStore(tmp_path / "alerts.db", on_error=raising)

    once, twice = Heard(), Heard()
    without = life(MemoryStore(), once)
    assert without
    assert life(file(), twice, restart=file) == without
    assert told(twice) == told(once)


@contextmanager
def receiver() -> Iterator[tuple[str, queue.Queue[dict[str, Any]]]]:
    got: queue.Queue[dict[str, Any]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            got.put(body["data"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", got
    finally:
        server.shutdown()
        server.server_close()


def test_a_program_whose_kernel_fails_is_heard_of_and_so_is_the_end(tmp_path: Path) -> None:
    with receiver() as (url, got):
        options = MetalTelemetryOptions(
            tick_interval="20ms",
            history={"path": tmp_path / "history.db"},
            alerts={
                "evaluation_interval": "100ms",
                "sampling_interval": "50ms",
                "group_wait": 0,
                "kernel_execution_failure_window": "1s",
                "error_rate_window": "1s",
                "enable_notifications": True,
                "notification_endpoints": [url],
            },
        )
        with MetalTelemetryManager(options) as telemetry:
            for _ in range(6):
                telemetry.record("execute", "attention", duration_ns=1000, error="timeout")
            first = got.get(timeout=20)
            assert first["status"] == "firing"
            assert [one["rule"] for one in first["alerts"]] == ["MetalKernelFailures"]
            last = got.get(timeout=20)
            assert last["status"] == "resolved"
            assert last["incident"] == first["incident"]
            assert telemetry.alerts is not None
            (channel,) = telemetry.get_snapshot().internals.channels
            assert (channel.name, channel.type) == ("webhook", "webhook")
        assert (tmp_path / "history.db.alerts").exists()


def test_what_fires_at_the_end_of_a_program_is_told_before_it_ends() -> None:
    with receiver() as (url, got):
        options = MetalTelemetryOptions(
            alerts={"enable_notifications": True, "notification_endpoints": [url]},
        )
        with MetalTelemetryManager(options) as telemetry:
            telemetry.record("execute", "step", duration_ns=1000, error="device_lost")
        message = got.get(timeout=5)
        assert message["severity"] == "critical"
        assert "MetalDeviceLost" in [one["rule"] for one in message["alerts"]]


def test_alerts_that_are_off_are_not_there() -> None:
    with MetalTelemetryManager(MetalTelemetryOptions(alerts={"enabled": False})) as telemetry:
        assert telemetry.alerts is None
        assert telemetry.get_snapshot().alerts == ()
