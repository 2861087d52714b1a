"""The engine's time never goes back, and a leap of the clock counts little."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from metalscope.alerts.engine.clock import LEAP, SteadyClock
from metalscope.alerts.engine.flapping import Flapping

START = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SECOND = 1_000_000


def clock_after(*seconds):
    clock, at = SteadyClock(MINUTE), START
    clock.turn(at)
    for step in seconds:
        at += timedelta(seconds=step)
        clock.turn(at)
    return clock


def test_time_adds_up():
    assert clock_after(60, 61.5, 0).elapsed == 121.5 * SECOND


def test_a_clock_that_goes_back_adds_nothing():
    assert clock_after(60, -3600, 60).elapsed == 120 * SECOND


def test_a_leap_counts_as_one_interval():
    assert clock_after(60, 8 * 3600, 60).elapsed == 180 * SECOND


def test_evaluations_that_are_merely_late_count_in_full():
    assert clock_after(60, LEAP * 60).elapsed == (60 + LEAP * 60) * SECOND


def test_after_a_leap_a_window_is_to_be_filled_again():
    window = 300 * SECOND
    assert clock_after(60).has_seen(window)
    assert not clock_after(60, 3600).has_seen(window)
    assert not clock_after(60, 3600, 60, 60).has_seen(window)
    assert clock_after(60, 3600, *[60] * 5).has_seen(window)
    assert not clock_after(60, -3600).has_seen(window)


def test_a_window_longer_than_the_leap_has_samples_still():
    assert clock_after(60, 3600).has_seen(7200 * SECOND)
    assert clock_after(60, 3600).has_seen(0)


@given(st.lists(st.floats(-1e6, 1e6), max_size=30), st.integers(0, 30))
def test_it_goes_on_where_it_was(steps, cut):
    whole = clock_after(*steps)
    first = clock_after(*steps[:cut])
    second = SteadyClock(MINUTE)
    second.restore(json.loads(json.dumps(first.to_dict())))
    at = START
    for number, step in enumerate(steps):
        at += timedelta(seconds=step)
        if number >= cut:
            second.turn(at)
    assert second.to_dict() == whole.to_dict()


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30)), max_size=40))
def test_an_alert_flaps_when_it_fires_often_enough_within_the_window(steps):
    flapping, now, fired = Flapping(threshold=3, window=60, most=100), 0, []
    for name, step in steps:
        now += step
        fired.append((name, now))
        lately = [at for one, at in fired if one == name and now - at <= 60]
        assert flapping.fires(name, now) == (len(lately) >= 3)
        flapping.forget(now)
        assert len(flapping) <= 3
        restored = Flapping(threshold=3, window=60, most=100)
        restored.restore(json.loads(json.dumps(flapping.to_dict())))
        flapping = restored


def test_only_so_many_fingerprints_are_remembered():
    flapping = Flapping(threshold=3, window=1000, most=5)
    for number in range(100):
        flapping.fires(str(number), number)
    assert list(flapping.to_dict()) == ["95", "96", "97", "98", "99"]
