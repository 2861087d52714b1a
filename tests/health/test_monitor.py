from __future__ import annotations

import os
import sys
import threading
from datetime import timedelta
from functools import partial
from types import SimpleNamespace

import pytest
from standing import START, Standing, lately, part, snapshot, wait_until

from metalscope.export_status import BreakerState
from metalscope.health.rules import HealthThresholds, assess
from metalscope.health_report import (
    BurnRate,
    HealthEventKind,
    HealthStatus,
    ObjectiveStatus,
    Prediction,
    PredictionKind,
)
from metalscope.operation import Component, ErrorSeverity
from metalscope.readings import ResourceKind, ResourceMetrics, ThermalState
from metalscope.snapshot import RecentActivity

HEALTHY, DEGRADED, CRITICAL, UNKNOWN = (
    HealthStatus.HEALTHY,
    HealthStatus.DEGRADED,
    HealthStatus.CRITICAL,
    HealthStatus.UNKNOWN,
)


@pytest.fixture(autouse=True)
def half_full_disk(monkeypatch):
    monkeypatch.setattr("psutil.disk_usage", lambda path: SimpleNamespace(total=100, free=50))


@pytest.fixture
def standing():
    return Standing()


def memory(percent):
    return ResourceMetrics(ResourceKind.MEMORY, "pool", "gpu:0", percent, limit=100.0)


def recoveries(count):
    return ResourceMetrics(ResourceKind.RECOVERIES, "gpu", "gpu:0", count)


def fail(breaker, times, error=RuntimeError):
    for _ in range(times):
        with pytest.raises(error), breaker:
            raise error


# -- before and between ticks ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recent", "resources"),
    [
        (RecentActivity(), []),
        (lately(), []),
        (lately(device_lost=1, invalid_argument=2), [memory(75), memory(95)]),
        (lately(5, out_of_memory=5), [memory(10)]),
    ],
)
def test_before_the_first_tick_it_says_what_the_rules_say(standing, recent, resources):
    assert standing.monitor.report(recent, resources) == assess(
        recent, resources, HealthThresholds(error_rate=0.1, errors=5)
    )


def test_the_rules_take_their_figures_from_the_options():
    standing = Standing(circuit_breaker_threshold=2, anomaly_error_rate_threshold=0.9)
    assert standing.tick(invalid_argument=2).status is DEGRADED
    standing = Standing(anomaly_error_rate_threshold=0.9)
    assert standing.tick(invalid_argument=4).status is HEALTHY


def test_to_ask_between_two_ticks_changes_nothing(standing):
    standing.tick(device_lost=1)
    standing.tick()
    before = standing.monitor._seen
    for _ in range(3):
        report = standing.monitor.report(lately(out_of_memory=50), [memory(95)])
        assert part(report, Component.MEMORY).status is CRITICAL
        assert part(report, Component.DEVICE).status is CRITICAL, "it waits still"
    assert standing.monitor._seen is before
    assert part(standing.tick(), Component.MEMORY).status is HEALTHY


def test_the_wait_also_ends_between_two_ticks(standing):
    standing.tick(device_lost=1)
    standing.tick()
    standing.clock.seconds += 30
    assert standing.monitor.report(lately(), []).status is HEALTHY


# -- getting better and worse ---------------------------------------------------------------------


def test_a_component_gets_worse_at_once_and_better_when_the_better_state_lasted(standing):
    assert standing.tick().status is HEALTHY
    assert part(standing.tick(device_lost=1), Component.DEVICE).status is CRITICAL
    standing.ticks(13)
    device = part(standing.monitor.report(lately(), []), Component.DEVICE)
    assert device.status is CRITICAL
    assert device.reasons == (
        "was critical until 12 s ago: 1 device_lost in 100 operations over the last 60 s (1.0%)",
    )
    assert part(standing.ticks(17), Component.DEVICE).status is CRITICAL
    assert part(standing.tick(), Component.DEVICE).status is HEALTHY
    assert standing.messages(HealthEventKind.STATUS) == [
        "device is critical, was healthy: 1 device_lost in 100 operations over the last 60 s "
        "(1.0%)",
        "device is healthy, was critical",
    ]


def test_a_lost_device_that_nothing_ran_after_becomes_unknown_and_is_not_critical_for_ever(
    standing,
):
    assert standing.tick(device_lost=1).status is CRITICAL
    report = standing.ticks(31, recent=RecentActivity(900.0))
    assert part(report, Component.DEVICE).status is UNKNOWN
    assert standing.messages(HealthEventKind.STATUS)[-1] == (
        "device is unknown, was critical: no operation in the window"
    )


def test_that_work_begins_and_ends_is_no_event(standing):
    for _ in range(5):
        standing.tick()
        standing.tick(recent=RecentActivity())
    assert standing.messages() == []


def test_memory_that_wanders_around_a_threshold_changes_the_status_once(standing):
    statuses = {standing.tick(resources=[memory(70 + (-1) ** n * 3)]).status for n in range(300)}
    assert statuses == {DEGRADED}
    assert len(standing.messages(HealthEventKind.STATUS)) == 1


def test_the_severity_of_an_event_is_that_of_the_status(standing):
    standing.tick(device_lost=1, compilation_error=50)
    standing.ticks(31)
    assert [(e.component, e.severity) for e in standing.monitor.latest_events(9)] == [
        (Component.DEVICE, ErrorSeverity.CRITICAL),
        (Component.COMPILER, ErrorSeverity.MEDIUM),
        (Component.DEVICE, ErrorSeverity.LOW),
        (Component.COMPILER, ErrorSeverity.LOW),
    ]


# -- GPU restarts and heat ------------------------------------------------------------------------


def test_a_restart_of_the_gpu_degrades_the_device_for_the_window_and_not_for_ever(standing):
    assert part(standing.tick(resources=[recoveries(4)]), Component.DEVICE).status is HEALTHY
    device = part(standing.tick(resources=[recoveries(6)]), Component.DEVICE)
    assert device.status is DEGRADED
    assert device.reasons == ("GPU restarts within the last 900 s: 2; since boot: 6",)
    device = part(standing.tick(898, resources=[recoveries(6)]), Component.DEVICE)
    assert device.status is DEGRADED
    standing.tick(2, resources=[recoveries(6)])
    assert part(standing.tick(30, resources=[recoveries(6)]), Component.DEVICE).status is HEALTHY


def test_a_restart_is_seen_between_two_ticks_too(standing):
    standing.tick(resources=[recoveries(4)])
    report = standing.monitor.report(lately(), [recoveries(5)])
    assert part(report, Component.DEVICE).status is DEGRADED


def test_restarts_from_before_the_first_tick_and_a_counter_that_begins_anew_say_nothing(standing):
    for count in (7, 7, 0, 0):
        assert standing.tick(resources=[recoveries(count)]).status is HEALTHY
    assert standing.tick(resources=[recoveries(1)]).status is DEGRADED


def test_what_is_kept_of_restarts_is_bounded(standing):
    for count in range(500):
        report = standing.tick(resources=[recoveries(count)])
    assert part(report, Component.DEVICE).status is DEGRADED
    (changes,) = standing.monitor._seen.recoveries.changes.values()
    assert len(changes) <= 32


def test_heat_is_a_reason_while_it_lasts(standing):
    hot = ResourceMetrics(ResourceKind.THERMAL_STATE, "system", "", ThermalState.SERIOUS)
    device = part(standing.tick(resources=[hot]), Component.DEVICE)
    assert (device.status, device.reasons) == (DEGRADED, ("thermal state serious",))


# -- circuit breakers -----------------------------------------------------------------------------


def test_an_open_breaker_is_critical_for_the_device_until_a_trial_goes_well(standing):
    breaker = standing.monitor.breaker("gpu", Component.DEVICE)
    from metalscope.errors import DeviceLostError

    fail(breaker, 5, DeviceLostError)
    device = part(standing.tick(), Component.DEVICE)
    assert device.status is CRITICAL
    assert device.reasons == (
        "circuit breaker 'gpu' is open after 5 failures in a row, the last with DeviceLostError",
    )
    standing.clock.seconds += 120
    with breaker:
        device = part(standing.tick(), Component.DEVICE)
        assert (device.status, device.reasons[1:]) == (
            CRITICAL,
            ("circuit breaker 'gpu' is on trial",),
        )
    assert part(standing.ticks(31), Component.DEVICE).status is HEALTHY
    assert standing.messages(HealthEventKind.BREAKER) == [
        "circuit breaker 'gpu' is open: 5 failures in a row, the last with DeviceLostError",
        "circuit breaker 'gpu' lets a trial through",
        "circuit breaker 'gpu' is closed",
    ]


def test_an_open_breaker_degrades_other_components_and_none_where_it_has_none(standing):
    fail(standing.monitor.breaker("mine", None), 5)
    report = standing.tick()
    assert report.status is HEALTHY
    assert [(b.name, b.state) for b in report.breakers] == [("mine", BreakerState.OPEN)]
    from metalscope.errors import CompilationError

    fail(standing.monitor.breaker("compiler"), 5, CompilationError)
    assert part(standing.tick(), Component.COMPILER).status is DEGRADED


def test_an_open_breaker_that_nobody_calls_any_more_does_not_degrade_for_ever(standing):
    from metalscope.errors import CompilationError

    fail(standing.monitor.breaker("compiler"), 5, CompilationError)
    standing.tick(119)
    assert part(standing.tick(900), Component.COMPILER).status is DEGRADED
    standing.tick(2)
    compiler = part(standing.tick(30), Component.COMPILER)
    assert compiler.status is HEALTHY
    why = "circuit breaker 'compiler' is open, and nothing has called it for 93"
    assert why in str(compiler.reasons), "the seconds are those of the clock on the wall"


def test_a_breaker_that_opens_between_ticks_is_in_the_next_report(standing):
    standing.tick()
    fail(standing.monitor.breaker("kernel", Component.KERNEL), 5, TimeoutError)
    assert part(standing.monitor.report(lately(), []), Component.KERNEL).status is DEGRADED


# -- predictions and objectives -------------------------------------------------------------------


def prediction(subject, kind=PredictionKind.MEMORY_EXHAUSTED):
    return Prediction(kind, subject, f"{subject} is full in 2 h", Component.MEMORY)


def objective(burning, name="fast"):
    rates = (BurnRate(3600.0, 14.6), BurnRate(300.0, None))
    return ObjectiveStatus(name, 0.99, 86_400.0, 3600.0, 90, 100, rates, burning)


def test_a_prediction_is_told_of_when_it_is_new(standing):
    now = [prediction("pool")]
    standing.monitor.predicted_by(lambda: now)
    standing.ticks(3)
    now = [prediction("pool"), prediction("execute", PredictionKind.LOAD)]
    report = standing.ticks(3)
    assert report.predictions == tuple(now)
    assert [(e.message, e.severity) for e in standing.monitor.latest_events(9)] == [
        ("pool is full in 2 h", ErrorSeverity.MEDIUM),
        ("execute is full in 2 h", ErrorSeverity.LOW),
    ]
    assert standing.monitor.report(lately(), []).predictions == tuple(now)


def test_an_objective_is_told_of_when_it_begins_to_burn_burns_faster_and_ceases(standing):
    for burning in (None, ErrorSeverity.MEDIUM, ErrorSeverity.CRITICAL, ErrorSeverity.MEDIUM, None):
        standing.monitor.objectives_by(partial(list, [objective(burning)]))
        standing.ticks(2)
    assert [(e.message, e.severity) for e in standing.monitor.latest_events(9)] == [
        (
            "error budget of 'fast' burns too fast: 14.6 over 3600 s",
            ErrorSeverity.MEDIUM,
        ),
        (
            "error budget of 'fast' burns too fast: 14.6 over 3600 s",
            ErrorSeverity.CRITICAL,
        ),
        ("error budget of 'fast' no longer burns too fast", ErrorSeverity.LOW),
    ]


def test_a_source_that_fails_leaves_what_it_said_last_and_is_counted(standing):
    said = [[prediction("pool")]]

    def source():
        return said.pop()

    standing.monitor.predicted_by(source)
    standing.tick()
    report = standing.tick()
    assert [one.subject for one in report.predictions] == ["pool"]
    ((room, error),) = standing.errors
    assert (room, type(error)) == ("health", IndexError)
    assert len(standing.messages(HealthEventKind.PREDICTION)) == 1


# -- bounds, threads, processes -------------------------------------------------------------------


def test_events_are_bounded_and_the_report_has_the_latest():
    standing = Standing(max_health_events=150, event_retention_period=timedelta(days=1))
    names = iter(range(10_000))
    standing.monitor.predicted_by(lambda: [prediction(f"pool {next(names)}")])
    report = standing.ticks(400)
    assert len(standing.monitor.latest_events(10_000)) == 150
    assert standing.monitor.dropped()["health_events"] == 250
    assert len(report.events) == 100
    assert [event.sequence for event in report.events] == list(range(301, 401))


def test_any_thread_may_ask_while_it_ticks(standing):
    failures, done = [], threading.Event()

    def ask():
        try:
            while not done.is_set():
                report = standing.monitor.report(lately(device_lost=1), [memory(95)])
                assert part(report, Component.DEVICE).status is CRITICAL
                standing.monitor.latest_events(10)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(200):
        standing.tick(resources=[memory(number % 100), recoveries(number)])
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_begins_anew_and_keeps_the_checks(standing):
    standing.monitor.add_check("mine", "system", lambda: False)
    standing.tick(device_lost=1)
    wait_until(lambda: "'mine' failed" in str(standing.monitor.report(lately(), [])))
    pid = os.fork()
    if pid == 0:
        fresh = standing.monitor.report(lately(), []).status is HEALTHY
        no_events = standing.monitor.latest_events(9) == ()
        standing.tick()
        wait_until(lambda: "'mine' failed" in str(standing.monitor.report(lately(), [])))
        os._exit(0 if fresh and no_events else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert part(standing.tick(), Component.DEVICE).status is CRITICAL


def test_to_import_it_loads_nothing_heavy():
    import subprocess

    code = (
        "import sys, metalscope.health.monitor\n"
        "heavy = {'pydantic', 'shutil', 'sqlite3', 'psutil', 'numpy', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_report_goes_into_a_snapshot_and_out_as_json(standing):
    from dataclasses import replace

    standing.tick(device_lost=1)
    report = standing.tick()
    text = replace(snapshot(START), health=report).to_json()
    assert "was critical until 0 s ago" in text
