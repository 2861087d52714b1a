"""Checks of the user's own, and the free disk, each on a thread of its own."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from standing import Standing, lately, part, wait_until

from metalscope.errors import InvalidNameError
from metalscope.health.checks import MAX_TEXT, CheckResult, FreeDisk
from metalscope.health_report import HealthStatus
from metalscope.operation import Component
from metalscope.snapshot import RecentActivity

HEALTHY, DEGRADED, CRITICAL, UNKNOWN = (
    HealthStatus.HEALTHY,
    HealthStatus.DEGRADED,
    HealthStatus.CRITICAL,
    HealthStatus.UNKNOWN,
)


@pytest.fixture
def disk(monkeypatch):
    """The disk as it is made to be; half of it is free at first."""
    usage = SimpleNamespace(total=1000, free=500)
    monkeypatch.setattr(psutil, "disk_usage", lambda path: usage)
    return usage


@pytest.fixture
def standing(disk):
    return Standing(health_check_interval=10)


def answered(standing, component, **tick):
    """The component once every check that was due has answered."""
    standing.tick(**tick)
    wait_until(lambda: not standing.monitor._checks.asking())
    return part(standing.monitor.report(lately(), []), component)


def failing():
    raise LookupError("the password is hunter2")


@pytest.mark.parametrize(
    ("check", "status", "reason"),
    [
        (lambda: True, HEALTHY, "check 'mine' passed"),
        (lambda: None, HEALTHY, "check 'mine' passed"),
        (lambda: False, DEGRADED, "check 'mine' failed"),
        (failing, DEGRADED, "check 'mine' raised LookupError"),
        (lambda: CheckResult(CRITICAL, "3 of 4 links down"), CRITICAL,
         "check 'mine': 3 of 4 links down"),
        (lambda: CheckResult(HEALTHY), HEALTHY, "check 'mine'"),
        (lambda: CheckResult("no such word"), DEGRADED, "check 'mine' raised ValueError"),
        (lambda: 1, DEGRADED, "check 'mine' returned int, not a CheckResult, bool or None"),
    ],
)  # fmt: skip
def test_what_a_check_answers_is_a_finding_with_its_name(standing, check, status, reason):
    standing.monitor.add_check("mine", Component.KERNEL, check)
    kernel = answered(standing, Component.KERNEL)
    assert (kernel.status, kernel.reasons) == (status, (reason,))
    assert standing.errors == [], "what a check raises is its answer and no error of ours"


def test_what_a_check_raises_is_logged_once_in_a_row_and_its_text_is_no_reason(standing, caplog):
    answers = [failing, failing, lambda: True, failing]

    def check():
        return answers.pop(0)()

    standing.monitor.add_check("mine", "kernel", check)
    for _ in range(4):
        kernel = answered(standing, Component.KERNEL, seconds=10)
        assert "hunter2" not in str(kernel)
    assert [record.message for record in caplog.records] == ["check 'mine' raised"] * 2


def test_a_check_that_ends_its_thread_has_answered(standing):
    def leave():
        raise SystemExit

    standing.monitor.add_check("mine", "kernel", leave)
    assert answered(standing, Component.KERNEL).reasons == ("check 'mine' raised SystemExit",)


def test_a_check_is_asked_each_interval_and_not_on_the_ticks_thread(standing):
    threads = []
    standing.monitor.add_check("mine", "system", lambda: threads.append(threading.current_thread()))
    for _ in range(31):
        standing.tick()
    wait_until(lambda: not standing.monitor._checks.asking())
    assert len(threads) == 4, "at 1, 11, 21 and 31 s"
    assert all(thread.daemon and thread is not threading.main_thread() for thread in threads)


def test_a_check_that_hangs_degrades_holds_nothing_up_and_is_never_asked_twice_at_once(standing):
    release, calls, others = threading.Event(), [], []

    def hang():
        calls.append(1)
        release.wait(30)
        return True

    standing.monitor.add_check("slow", Component.DEVICE, hang, time_limit=5)
    standing.monitor.add_check("other", Component.KERNEL, lambda: others.append(1))
    standing.hanging = True
    standing.tick()
    wait_until(lambda: calls and others)
    assert part(standing.tick(5), Component.DEVICE).status is HEALTHY, "it is within its time"
    device = part(standing.tick(7), Component.DEVICE)
    assert device.status is DEGRADED
    assert device.reasons == ("check 'slow' has not answered for 12 s",)
    standing.tick(88)
    wait_until(lambda: len(others) >= 2)
    assert len(calls) == 1
    release.set()
    wait_until(lambda: not standing.monitor._checks.asking())
    standing.hanging = False
    standing.tick()
    assert part(standing.tick(30), Component.DEVICE).reasons == ("check 'slow' passed",)
    assert part(standing.tick(), Component.DEVICE).status is HEALTHY


def test_while_a_check_is_asked_again_its_last_answer_stands(standing):
    release, calls = threading.Event(), []

    def check():
        calls.append(1)
        if len(calls) > 1:
            release.wait(30)
        return False

    standing.monitor.add_check("mine", "kernel", check)
    assert answered(standing, Component.KERNEL).reasons == ("check 'mine' failed",)
    standing.hanging = True
    assert part(standing.tick(10), Component.KERNEL).reasons == ("check 'mine' failed",)
    release.set()


def test_a_check_that_is_removed_says_nothing_more_also_where_it_was_just_asked(standing):
    release, started = threading.Event(), threading.Event()

    def check():
        started.set()
        release.wait(30)
        return False

    remove = standing.monitor.add_check("mine", "kernel", check)
    standing.hanging = True
    standing.tick()
    assert started.wait(20)
    remove()
    remove()
    release.set()
    assert part(standing.tick(100), Component.KERNEL).reasons == ()
    standing.monitor.add_check("mine", "kernel", lambda: True)
    remove()
    assert answered(standing, Component.KERNEL).reasons == ("check 'mine' passed",)


@pytest.mark.parametrize("name", ["", "  ", "x" * (MAX_TEXT + 1), 3, "mine", "disk"])
def test_a_name_is_text_and_is_taken_once(standing, name):
    standing.monitor.add_check("mine", "kernel", lambda: True)
    with pytest.raises(InvalidNameError):
        standing.monitor.add_check(name, "kernel", lambda: True)


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf")])
def test_a_time_limit_is_above_zero(standing, limit):
    with pytest.raises(ValueError, match="time limit"):
        standing.monitor.add_check("mine", "kernel", lambda: True, time_limit=limit)


def test_a_check_is_of_a_component_there_is(standing):
    with pytest.raises(ValueError, match="gearbox"):
        standing.monitor.add_check("mine", "gearbox", lambda: True)


def test_what_a_check_says_is_cut_to_a_length(standing):
    standing.monitor.add_check("mine", "kernel", lambda: CheckResult(HEALTHY, "x" * 100_000))
    (reason,) = answered(standing, Component.KERNEL).reasons
    assert len(reason) == MAX_TEXT


def test_where_no_thread_can_be_had_the_check_is_asked_later(standing, monkeypatch):
    def no_thread(thread):
        raise RuntimeError("can't start new thread")

    standing.monitor.add_check("mine", "kernel", lambda: True)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        standing.tick()
    assert [room for room, _ in standing.errors] == ["health", "health"]
    assert answered(standing, Component.KERNEL, seconds=10).reasons == ("check 'mine' passed",)


# -- the disk -------------------------------------------------------------------------------------


def test_a_disk_with_less_than_a_tenth_free_degrades_the_system(standing, disk):
    assert answered(standing, Component.SYSTEM).reasons == (
        "check 'disk': 50.0 % of the working directory's disk is free",
    )
    disk.free = 99
    system = answered(standing, Component.SYSTEM, seconds=10)
    assert system.status is DEGRADED
    assert system.reasons == (
        "check 'disk': 9.9 % of the working directory's disk is free, below 10 %",
    )
    disk.free = 140
    system = answered(standing, Component.SYSTEM, seconds=10)
    assert system.status is DEGRADED
    assert system.reasons[0].endswith("was below 10 % and is not yet above 15 %")
    disk.free = 151
    assert answered(standing, Component.SYSTEM, seconds=10).reasons[0].startswith("was degraded")
    standing.tick()
    assert answered(standing, Component.SYSTEM, seconds=30).status is HEALTHY


def test_a_full_disk_alone_is_not_critical(disk):
    disk.free = 0
    assert FreeDisk()().status is DEGRADED


def test_a_disk_that_cannot_be_asked_is_unknown(disk, monkeypatch):
    disk.total = 0
    assert FreeDisk()() == CheckResult(UNKNOWN, "the working directory's disk has no size")
    monkeypatch.undo()
    monkeypatch.setattr("psutil.disk_usage", lambda path: failing_disk())
    assert FreeDisk()() == CheckResult(
        UNKNOWN, "the working directory's disk cannot be asked: FileNotFoundError"
    )


def failing_disk():
    raise FileNotFoundError


def test_the_disk_of_this_machine_is_read():
    usage = shutil.disk_usage(Path.cwd())
    said = float(FreeDisk()().reason.split(" %")[0])
    assert said == pytest.approx(100 * usage.free / usage.total, abs=1)


def test_a_program_that_does_nothing_still_knows_of_its_disk(standing):
    standing.tick(recent=RecentActivity())
    wait_until(lambda: not standing.monitor._checks.asking())
    report = standing.monitor.report(RecentActivity(), [])
    assert part(report, Component.SYSTEM).status is HEALTHY
    assert part(report, Component.KERNEL).status is UNKNOWN
