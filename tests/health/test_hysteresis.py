"""A status gets worse at once and better late, against a model that looks at all of the past."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalscope.health.hysteresis import Hold, Level
from metalscope.health_report import BADNESS, HealthStatus, worst

UNKNOWN, HEALTHY, DEGRADED, CRITICAL = (
    HealthStatus.UNKNOWN,
    HealthStatus.HEALTHY,
    HealthStatus.DEGRADED,
    HealthStatus.CRITICAL,
)
PERIOD = 30.0

# Whole seconds, so that times add up exactly.
looks = st.lists(
    st.tuples(st.integers(0, 45), st.sampled_from([UNKNOWN, HEALTHY, DEGRADED, CRITICAL])),
    min_size=1,
    max_size=60,
)


def shown(seen):
    """What the hold tells at each look, which is a time and a raw status."""
    hold, told = Hold(PERIOD), []
    for at, raw in seen:
        hold = hold.after(raw, (f"{raw} at {at}",), at)
        told.append(hold.status(raw, at)[0])
    return told


def at_times(steps):
    at, seen = 0, []
    for step, raw in steps:
        at += step
        seen.append((at, raw))
    return seen


def by_the_whole_past(seen, now):
    """The worst status that was not yet better for a whole period, looked for in all looks."""
    for status in (CRITICAL, DEGRADED):
        bad = [i for i in range(now + 1) if BADNESS[seen[i][1]] >= BADNESS[status]]
        if bad and (bad[-1] == now or seen[now][0] - seen[bad[-1] + 1][0] < PERIOD):
            return status
    return seen[now][1]


@given(looks)
def test_a_status_is_the_worst_that_was_not_better_for_a_whole_period(steps):
    seen = at_times(steps)
    assert shown(seen) == [by_the_whole_past(seen, now) for now in range(len(seen))]


@given(looks)
def test_what_is_told_is_never_better_than_what_is_seen(steps):
    seen = at_times(steps)
    for told, (_, raw) in zip(shown(seen), seen, strict=True):
        assert BADNESS[told] >= BADNESS[raw]


@given(looks, st.sampled_from([UNKNOWN, HEALTHY, DEGRADED, CRITICAL]))
def test_what_holds_still_is_told_as_it_is_after_one_period(steps, last):
    seen = at_times(steps)
    end = seen[-1][0]
    assert shown([*seen, (end + 1, last), (end + 1 + PERIOD, last)])[-1] is last


def moments(seen, told, *, recovered):
    """When it recovered, or fell ill; the step between degraded and critical is neither."""
    ill = [BADNESS[status] > BADNESS[HEALTHY] for status in told]
    return [
        seen[i][0]
        for i in range(1, len(told))
        if ill[i - 1] is recovered and ill[i] is not recovered
    ]


@given(looks, st.booleans())
def test_a_component_recovers_and_falls_ill_at_most_once_in_a_period(steps, recovered):
    seen = at_times(steps)
    found = moments(seen, shown(seen), recovered=recovered)
    assert all(later - earlier >= PERIOD for earlier, later in pairwise(found))


@given(st.lists(st.floats(65.1, 74.9), min_size=1, max_size=200))
def test_a_value_that_wanders_around_a_threshold_changes_the_status_at_most_once(values):
    level, status, changes = Level(70.0, 90.0, 5.0), HEALTHY, 0
    for value in values:
        after = level.status(value, status)
        changes += after is not status
        status = after
    assert changes <= 1


@given(
    st.lists(st.tuples(st.integers(1, 10), st.floats(0, 100)), min_size=1, max_size=200),
    st.booleans(),
)
def test_a_value_that_wanders_anywhere_changes_its_mind_once_in_a_period(steps, recovered):
    level, status, at, seen = Level(70.0, 90.0, 5.0), UNKNOWN, 0, []
    for step, value in steps:
        at += step
        status = level.status(value, status)
        seen.append((at, status))
    found = moments(seen, shown(seen), recovered=recovered)
    assert all(later - earlier >= PERIOD for earlier, later in pairwise(found))


@pytest.mark.parametrize(
    ("value", "before", "status"),
    [
        (70.0, HEALTHY, HEALTHY),
        (70.1, HEALTHY, DEGRADED),
        (65.1, DEGRADED, DEGRADED),
        (65.0, DEGRADED, HEALTHY),
        (90.0, DEGRADED, DEGRADED),
        (90.1, UNKNOWN, CRITICAL),
        (85.1, CRITICAL, CRITICAL),
        (85.0, CRITICAL, DEGRADED),
        (65.1, CRITICAL, DEGRADED),
        (10.0, CRITICAL, HEALTHY),
    ],
)
def test_a_level_is_left_only_below_where_it_was_entered(value, before, status):
    assert Level(70.0, 90.0, 5.0).status(value, before) is status


def test_while_it_waits_it_says_since_when_and_why():
    hold = Hold(PERIOD).after(CRITICAL, ("lost",), 0.0).after(HEALTHY, (), 10.0)
    status, wait = hold.status(HEALTHY, 22.0)
    assert (status, wait.reasons, wait.better_since) == (CRITICAL, ("lost",), 10.0)
    assert hold.status(HEALTHY, 40.0) == (HEALTHY, None)
    assert hold.status(CRITICAL, 22.0) == (CRITICAL, None)


def test_to_look_changes_nothing():
    hold = Hold(PERIOD).after(CRITICAL, ("lost",), 0.0)
    for now in (1.0, 100.0):
        assert hold.status(HEALTHY, now)[0] is CRITICAL, "it was not yet seen to be better"
    assert hold == Hold(PERIOD).after(CRITICAL, ("lost",), 0.0)


def test_a_component_becomes_known_and_unknown_without_waiting():
    assert shown([(0, UNKNOWN), (1, HEALTHY), (2, UNKNOWN)]) == [UNKNOWN, HEALTHY, UNKNOWN]


def test_the_worst_of_nothing_is_unknown():
    assert worst([]) is UNKNOWN
    assert worst([UNKNOWN, HEALTHY]) is HEALTHY
    assert worst([DEGRADED, CRITICAL, HEALTHY]) is CRITICAL
