"""MetalBackendHealthCheck: what it finds, that it answers in time, and that it is never two."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

import metalscope
from health_source import Source, report_of
from metalscope import default
from metalscope.health_check import HealthCheckResult, MetalBackendHealthCheck
from metalscope.health_json import Verdict
from metalscope.health_report import HealthStatus
from metalscope.manager import MetalTelemetryManager

HASTY = 0.05
"""A timeout, s, of checks that are to run into it."""


def threads_of_checks() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "metalscope-health-check"]


@pytest.mark.parametrize(
    ("status", "fail_on", "verdict", "code"),
    [
        (HealthStatus.HEALTHY, "critical", Verdict.PASS, 200),
        (HealthStatus.DEGRADED, "critical", Verdict.WARN, 200),
        (HealthStatus.DEGRADED, "degraded", Verdict.FAIL, 503),
        (HealthStatus.CRITICAL, "critical", Verdict.FAIL, 503),
        (HealthStatus.CRITICAL, "degraded", Verdict.FAIL, 503),
        (HealthStatus.UNKNOWN, "degraded", Verdict.WARN, 200),
    ],
)
def test_a_status_passes_warns_or_fails_as_asked_for(
    status: HealthStatus, fail_on: Any, verdict: Verdict, code: int
) -> None:
    result = MetalBackendHealthCheck(Source(report_of(status)), fail_on=fail_on).check()
    assert (result.status, result.verdict, result.http_status) == (status, verdict, code)
    assert result.to_dict()["status"] == verdict.value
    assert result.to_dict()["checks"]["device:status"][0].get("status") == (
        None if status is HealthStatus.UNKNOWN else verdict.value
    )


def test_it_checks_a_real_program_and_says_so_in_json(monkeypatch: pytest.MonkeyPatch) -> None:
    with MetalTelemetryManager() as tel:
        tel.record("execute", "matmul", duration_ns=1_000)
        result = MetalBackendHealthCheck(tel)()
    document = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert document["releaseId"] == metalscope.__version__
    assert document["health_status"] == result.status.value
    assert {one["component"] for one in document["components"]} == {
        "memory",
        "device",
        "kernel",
        "compiler",
        "system",
    }
    assert document["checks"]["uptime"][0]["observedUnit"] == "s"
    assert result.report == result.snapshot.health  # type: ignore[union-attr]


def test_it_looks_at_the_default_of_the_process_at_the_time_of_the_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(default, "_default", None)
    check = MetalBackendHealthCheck()
    before = check.check()
    monkeypatch.setattr(default, "_default", Source())
    after = check.check()

    assert (before.verdict, before.status) == (Verdict.FAIL, HealthStatus.UNKNOWN)
    assert "add_metal_telemetry() has not been called" in before.reason
    assert (after.verdict, after.reason) == (Verdict.PASS, "")


def test_a_probe_that_works_is_timed(source: Source) -> None:
    result = MetalBackendHealthCheck(source, probe=lambda: None).check()
    probe = result.to_dict()["checks"]["probe:responseTime"][0]
    assert (result.verdict, probe["status"], probe["observedUnit"]) == (Verdict.PASS, "pass", "ms")
    assert probe["observedValue"] >= 0
    assert "[+]probe ok" in result.to_lines()


def failing() -> None:
    raise RuntimeError("a secret")


async def asynchronous() -> bool:
    return True


@pytest.mark.parametrize(
    ("probe", "why"),
    [
        (failing, "it raised RuntimeError"),
        (lambda: False, "it returned False"),
        (lambda: sys.exit(3), "it raised SystemExit"),
    ],
)
def test_a_probe_that_fails_makes_a_healthy_back_end_critical(
    probe: Any, why: str, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    result = MetalBackendHealthCheck(source, probe=probe).check()
    assert (result.status, result.verdict) == (HealthStatus.CRITICAL, Verdict.FAIL)
    assert result.reason == f"probe: {why}"
    assert f"[-]probe failed: {why}" in result.to_lines()
    assert "secret" not in json.dumps(result.to_dict())


def test_a_failing_probe_is_logged_once_until_it_works_again(
    source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes = iter([failing, failing, lambda: None, failing])

    def probe() -> None:
        next(outcomes)()

    check = MetalBackendHealthCheck(source, probe=probe)
    for _ in range(4):
        check.check()
    assert [record.message for record in caplog.records] == [
        "the health check's probe fails",
        "the health check's probe fails",
    ]


@pytest.mark.filterwarnings("ignore:coroutine")
def test_an_asynchronous_probe_never_counts_as_one_that_worked(source: Source) -> None:
    with pytest.raises(TypeError, match="not async"):
        MetalBackendHealthCheck(source, probe=asynchronous)

    class Hidden:
        def __call__(self) -> object:
            return asynchronous()

    hidden = MetalBackendHealthCheck(source, probe=Hidden())
    assert hidden.check().verdict is Verdict.FAIL


def test_a_collection_that_fails_is_told_by_type_and_counted(source: Source) -> None:
    source.error = LookupError("a secret")
    result = MetalBackendHealthCheck(source).check()
    assert (result.status, result.verdict) == (HealthStatus.UNKNOWN, Verdict.FAIL)
    assert result.reason == "telemetry cannot be collected: LookupError"
    assert source.errors == [("health_check", "LookupError")]


def test_a_collection_that_hangs_is_one_thread_however_often_it_is_asked_for(
    source: Source,
) -> None:
    source.go_on.clear()
    check = MetalBackendHealthCheck(source, timeout=HASTY)
    results = [check.check() for _ in range(100)]

    assert {one.verdict for one in results} == {Verdict.FAIL}
    assert {one.status for one in results} == {HealthStatus.UNKNOWN}
    assert results[0].reason == "collecting telemetry has not ended within 0.05 s"
    assert (len(threads_of_checks()), source.collections) == (1, 1)
    # A run that is overdue already is not waited for again.
    assert check._flight._run
    assert check._flight._run.seconds_left() == 0

    source.go_on.set()
    for thread in threads_of_checks():
        thread.join()
    assert check.check().verdict is Verdict.PASS


def test_a_probe_that_hangs_is_one_thread_and_critical(source: Source) -> None:
    go_on = threading.Event()
    check = MetalBackendHealthCheck(source, timeout=HASTY, probe=go_on.wait)
    results = [check.check() for _ in range(20)]
    assert len(threads_of_checks()) == 1
    assert {one.status for one in results} == {HealthStatus.CRITICAL}
    assert results[0].reason == "the probe has not ended within 0.05 s"
    told = results[0].to_dict()["checks"]["probe:responseTime"][0]
    assert told["status"] == "fail"
    assert "observedValue" not in told
    go_on.set()
    for thread in threads_of_checks():
        thread.join()
    assert check.check().verdict is Verdict.PASS


def test_callers_at_once_share_one_check(source: Source) -> None:
    source.go_on.clear()
    running = {"now": 0, "most": 0}

    def probe() -> None:
        running["now"] += 1
        running["most"] = max(running["most"], running["now"])
        running["now"] -= 1

    check = MetalBackendHealthCheck(source, timeout=30, probe=probe)
    with ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(check.check) for _ in range(16)]
        source.entered.acquire()
        source.go_on.set()
        results = {id(one.result()) for one in asked}
    assert running["most"] == 1
    assert len(results) == source.collections <= 16


async def test_a_thread_and_tasks_that_ask_at_once_share_one_check(source: Source) -> None:
    source.go_on.clear()
    check = MetalBackendHealthCheck(source, timeout=30)
    tasks = [asyncio.create_task(check.acheck()) for _ in range(50)]
    thread = asyncio.create_task(asyncio.to_thread(check.check))
    await asyncio.to_thread(source.entered.acquire)
    source.go_on.set()
    results = await asyncio.gather(*tasks)
    assert len({id(one) for one in results}) == 1
    assert (await thread).verdict is Verdict.PASS


async def test_the_event_loop_goes_on_while_a_check_hangs_and_nothing_piles_up(
    source: Source,
) -> None:
    source.go_on.clear()
    check = MetalBackendHealthCheck(source, timeout=HASTY)
    first = asyncio.create_task(check.acheck())
    await asyncio.to_thread(source.entered.acquire)
    run = check._flight._run
    assert run is not None
    later = await asyncio.gather(*(check.acheck() for _ in range(200)))
    assert {one.verdict for one in [await first, *later]} == {Verdict.FAIL}
    assert run.waiting == set()
    assert len(threads_of_checks()) == 1


async def test_a_caller_that_gives_up_takes_nothing_from_the_others(source: Source) -> None:
    source.go_on.clear()
    check = MetalBackendHealthCheck(source, timeout=30)
    impatient, patient = (asyncio.create_task(check.acheck()) for _ in range(2))
    await asyncio.to_thread(source.entered.acquire)
    impatient.cancel()
    source.go_on.set()
    assert (await patient).verdict is Verdict.PASS
    with pytest.raises(asyncio.CancelledError):
        await impatient


def test_a_stuck_tick_is_found_where_that_is_asked_for() -> None:
    tel = MetalTelemetryManager()  # not started: it never ticks
    tel._started_at -= timedelta(seconds=90)
    patient = MetalBackendHealthCheck(tel).check()
    strict = MetalBackendHealthCheck(tel, stale_after=60).check()
    assert patient.verdict is not Verdict.FAIL
    assert (strict.verdict, strict.status) == (Verdict.FAIL, HealthStatus.UNKNOWN)
    assert strict.reason == "the last tick was 90 s ago, more than 60 s"
    assert strict.to_lines()[0] == f"[-]telemetry failed: {strict.reason}"


def test_a_result_cannot_be_changed(source: Source) -> None:
    result = MetalBackendHealthCheck(source).check()
    assert isinstance(result, HealthCheckResult)
    with pytest.raises(AttributeError):
        result.reason = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout": 0},
        {"timeout": float("nan")},
        {"stale_after": -1},
        {"fail_on": "healthy"},
        {"details": "all"},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MetalBackendHealthCheck(**wrong)


def test_it_loads_no_framework_and_holds_no_program_open() -> None:
    program = """
import sys, threading
from metalscope.health_check import MetalBackendHealthCheck
class Hung:
    def get_snapshot(self):
        threading.Event().wait()
check = MetalBackendHealthCheck(Hung(), timeout=0.05)
assert check().http_status == 503
check.asgi, check.wsgi
heavy = {"asyncio", "ssl", "starlette", "django", "flask", "fastapi", "pydantic", "numpy"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_a_forked_child_checks_anew_though_a_check_hangs_in_the_parent() -> None:
    program = """
import os, threading
from metalscope.health_check import MetalBackendHealthCheck
entered, hang = threading.Event(), True
def probe():
    if hang:
        entered.set()
        threading.Event().wait()
from metalscope.manager import MetalTelemetryManager
check = MetalBackendHealthCheck(MetalTelemetryManager(), timeout=5, probe=probe)
threading.Thread(target=check.check, daemon=True).start()
entered.wait()
hang = False
child = os.fork()
if child == 0:
    os._exit(0 if check.check().http_status == 200 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("0\n", 0), done.stderr
