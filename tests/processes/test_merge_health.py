"""The health of several processes as one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from health_samples import BREAKER, EVENT, EXHAUSTED, FULL, LEAK, NOW, OBJECTIVE
from metalscope.export_status import BreakerState
from metalscope.operation import ErrorSeverity
from metalscope.processes.event_order import EventOrder
from metalscope.processes.merge_health import health_of
from metalscope.snapshot import (
    BurnRate,
    HealthEvent,
    HealthReport,
    HealthStatus,
    MetalTelemetrySnapshot,
    SystemInfo,
)


def process(pid: int, health: HealthReport) -> MetalTelemetrySnapshot:
    system = SystemInfo("host", pid, "Linux", "6", "x86_64", 2, "3.11", "0.1")
    return MetalTelemetrySnapshot(NOW, NOW, health=health, system=system)


def test_an_anomaly_of_two_processes_is_one_the_gravest_since_the_first():
    milder = replace(
        LEAK, severity=ErrorSeverity.LOW, since=LEAK.since - timedelta(hours=1), reason="grows"
    )
    first = process(1, replace(FULL, anomalies=(milder,)))
    (one,) = health_of([first, process(2, FULL)]).anomalies
    assert (one.severity, one.since) == (ErrorSeverity.HIGH, milder.since)
    assert one.reason == "process 1: grows; process 2: grows by 3.0 MiB a minute"


def test_breakers_of_one_name_have_the_worst_state_and_all_counts():
    closed = replace(BREAKER, state=BreakerState.CLOSED, failures=0, retry_at=None)
    first = process(1, replace(FULL, breakers=(closed,)))
    (one,) = health_of([first, process(2, FULL)]).breakers
    assert one.state is BreakerState.OPEN
    assert (one.failures, one.calls, one.opened, one.rejected) == (5, 80, 4, 14)
    assert one.retry_at == BREAKER.retry_at


def test_of_predictions_of_one_thing_the_soonest_stands():
    sooner = replace(EXHAUSTED, at=NOW + timedelta(minutes=5))
    never = replace(EXHAUSTED, at=None)
    group = [process(n, replace(FULL, predictions=(p,))) for n, p in enumerate((never, sooner))]
    assert health_of([*group, process(3, FULL)]).predictions[0] == sooner


def test_objectives_are_added_up_and_burn_by_what_all_counted():
    other = replace(
        OBJECTIVE, good=0, total=10, burn_rates=(BurnRate.of(300.0, 0, 10, 0.99),), burning=None
    )
    first = process(1, replace(FULL, objectives=(other,)))
    (one,) = health_of([first, process(2, FULL)]).objectives
    assert (one.good, one.total, one.burning) == (980, 1010, ErrorSeverity.HIGH)
    # 10 + 10 of 110 failed where 1 % may.
    assert one.burn_rates[0].rate == pytest.approx(20 / 110 / 0.01)


def test_the_worst_status_of_any_process_stands():
    well = process(1, HealthReport(HealthStatus.HEALTHY))
    assert health_of([well, process(2, FULL)]).status is HealthStatus.CRITICAL


def test_events_of_processes_are_numbered_anew_in_the_order_of_their_time():
    later = replace(EVENT, sequence=1, timestamp=NOW + timedelta(seconds=1), message="later")
    order: EventOrder[HealthEvent] = EventOrder(keep=2)
    order.take({"a": [later], "b": [EVENT]})
    assert [(one.sequence, one.message) for one in order.latest] == [
        (1, "leak in mlx"),
        (2, "later"),
    ]
    order.take({"a": [later], "b": [EVENT, replace(EVENT, sequence=5, message="new")]})
    assert [(one.sequence, one.message) for one in order.latest] == [(2, "later"), (3, "new")]
