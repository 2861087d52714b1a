from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta

import pytest

from metalscope.health.events import STORM_EVENTS, STORM_SECONDS, Happening, HealthEvents
from metalscope.health_report import HealthEventKind
from metalscope.operation import Component, ErrorSeverity

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds

    @property
    def wall(self):
        return NOW + timedelta(seconds=self.seconds)


@pytest.fixture
def clock():
    return Clock()


def store(clock, max_events=1000, retention=timedelta(hours=24)):
    return HealthEvents(max_events=max_events, retention=retention, clock=clock)


def happening(subject="x", message="it happened", component=None):
    return Happening(
        HealthEventKind.BREAKER, ErrorSeverity.HIGH, message, component, subject, {"of": subject}
    )


def test_events_are_numbered_and_the_latest_come_oldest_first(clock):
    events = store(clock)
    for number in range(10):
        events.add(happening(f"b{number}"), clock.wall)
    latest = events.latest(3)
    assert [(e.sequence, e.properties["of"]) for e in latest] == [(8, "b7"), (9, "b8"), (10, "b9")]
    assert events.latest(0) == ()
    assert latest[0].to_dict()["severity"] == "high"


def test_the_oldest_go_where_there_are_too_many_and_are_counted(clock):
    events = store(clock, max_events=4)
    for number in range(10):
        events.add(happening(f"b{number}"), clock.wall)
    assert [e.sequence for e in events.latest(100)] == [7, 8, 9, 10]
    assert events.dropped == 6


def test_an_event_past_its_retention_goes_and_is_not_counted_as_dropped(clock):
    events = store(clock, retention=timedelta(seconds=100))
    for seconds in (0, 60, 120):
        clock.seconds = seconds
        events.add(happening(f"at {seconds}"), clock.wall)
    events.tidy(clock.wall)
    assert [e.properties["of"] for e in events.latest(9)] == ["at 60", "at 120"]
    assert events.dropped == 0


def test_an_event_without_a_time_is_of_now(clock):
    events = store(clock)
    before = datetime.now(UTC)
    events.add(happening())
    assert before <= events.latest(1)[0].timestamp <= datetime.now(UTC)


def test_the_same_event_over_and_over_is_no_flood_and_the_rest_are_told_in_one(clock):
    events = store(clock)
    for number in range(1000):
        clock.seconds = number * 0.01
        events.add(happening(message=f"number {number}"), clock.wall)
    assert len(events.latest(10_000)) == STORM_EVENTS
    events.tidy(clock.wall)
    assert len(events.latest(10_000)) == STORM_EVENTS, "the storm is not over yet"
    clock.seconds = STORM_SECONDS
    events.tidy(clock.wall)
    last = events.latest(10_000)[-1]
    assert last.message == "number 999 (995 times more within 60 s)"
    assert last.properties == {"of": "x", "repeated": 1000 - STORM_EVENTS}
    events.tidy(clock.wall)
    assert len(events.latest(10_000)) == STORM_EVENTS + 1


def test_a_storm_that_goes_on_is_told_of_each_minute(clock):
    events = store(clock)
    for second in range(600):
        clock.seconds = second
        events.add(happening(), clock.wall)
    kept = events.latest(10_000)
    assert len(kept) == 10 * STORM_EVENTS + 9
    repeated = sum(event.properties.get("repeated", 1) for event in kept)
    assert repeated == 600 - (60 - STORM_EVENTS), "all but those of the minute that still runs"


@pytest.mark.parametrize(
    "other",
    [
        happening("y"),
        happening(component=Component.DEVICE),
        Happening(HealthEventKind.STATUS, ErrorSeverity.HIGH, "it happened", None, "x"),
    ],
)
def test_what_is_not_the_same_is_kept_beside_a_storm(clock, other):
    events = store(clock)
    for _ in range(100):
        events.add(happening(), clock.wall)
    events.add(other, clock.wall)
    assert events.latest(1)[0].kind is other.kind
    assert len(events.latest(1000)) == STORM_EVENTS + 1


def test_rare_events_are_each_kept(clock):
    events = store(clock)
    for number in range(20):
        clock.seconds = number * STORM_SECONDS
        events.tidy(clock.wall)
        events.add(happening(), clock.wall)
    assert [e.properties for e in events.latest(99)] == [{"of": "x"}] * 20


def test_what_is_remembered_of_storms_is_bounded_too(clock):
    events = store(clock, max_events=50)
    for number in range(1000):
        events.add(happening(f"b{number}"), clock.wall)
    assert len(events._bursts) == 50


def test_no_number_is_given_twice_by_threads(clock):
    events = store(clock, max_events=10_000)
    start = threading.Barrier(8)

    def add(thread):
        start.wait()
        for number in range(250):
            events.add(happening(f"{thread}:{number}"), clock.wall)

    threads = [threading.Thread(target=add, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [e.sequence for e in events.latest(10_000)] == list(range(1, 2001))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_begins_without_events_even_where_a_thread_held_the_lock(clock):
    events = store(clock)
    events.add(happening(), clock.wall)
    held, release = threading.Event(), threading.Event()

    def hold():
        with events._lock:
            held.set()
            release.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    pid = os.fork()
    if pid == 0:
        events.add(happening("child"), clock.wall)
        os._exit(0 if [e.sequence for e in events.latest(9)] == [1] else 1)
    release.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert events.latest(1)[0].properties["of"] == "x"
