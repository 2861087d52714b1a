"""Alerts begin, get worse and end as a model says that looks at all of the past at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from alert_engine_kit import START, Driven, rule
from hypothesis import given
from hypothesis import strategies as st

from metalscope.alert_report import AlertState
from metalscope.operation import ErrorSeverity

MEDIUM, CRITICAL = ErrorSeverity.MEDIUM, ErrorSeverity.CRITICAL
ABSENT, QUIET, KEPT, HELD, GRAVE = None, 1.0, 4.0, 6.0, 9.0

looks = st.lists(
    st.tuples(st.integers(1, 150), st.sampled_from([ABSENT, QUIET, KEPT, HELD, HELD, GRAVE])),
    min_size=1,
    max_size=40,
)
lengths = st.sampled_from([0, 60, 120])


@dataclass
class Model:
    """What is so at a look, said without a state: only by what was seen at which time."""

    seen: list[tuple[int, float | None]]
    hold: int
    keep_for: int
    keeps: bool

    def value(self, i):
        found = self.seen[i][1]
        return 0.0 if found is None else found

    def run(self, i, what):
        """The first look of the unbroken run of ``what`` that ends with ``i``."""
        while i > 0 and what(i - 1):
            i -= 1
        return i

    def held(self, i):
        return self.value(i) > 5

    def grave(self, i):
        return self.value(i) > 8

    def quiet(self, i):
        return self.value(i) <= (3 if self.keeps else 5)

    def lasted(self, i, what):
        return what(i) and self.seen[i][0] - self.seen[self.run(i, what)][0] >= self.hold

    def ends(self, i):
        begun = self.run(i, self.quiet)
        return self.quiet(i) and self.seen[i][0] - self.seen[begun][0] >= self.keep_for

    def fired(self, i):
        """The look at which that fired which fires now."""
        last_end = max((k for k in range(i + 1) if self.ends(k)), default=-1)
        after = (j for j in range(last_end + 1, i + 1) if self.lasted(j, self.held))
        return next(after, None)

    def said(self, i):
        """State, severity, when it began and fired, and how often it held."""
        fired = self.fired(i)
        if fired is None:
            if not self.held(i):
                return None
            begun = self.run(i, self.held)
            severity = CRITICAL if self.grave(i) else MEDIUM
            return AlertState.PENDING, severity, self.seen[begun][0], None, i - begun + 1
        begun = self.run(fired, self.held)
        got_grave = any(self.lasted(j, self.grave) for j in range(fired, i + 1))
        return (
            AlertState.FIRING,
            CRITICAL if got_grave else MEDIUM,
            self.seen[begun][0],
            self.seen[fired][0],
            sum(self.held(k) for k in range(begun, i + 1)),
        )


def since_start(moment):
    return None if moment is None else (moment - START) / timedelta(seconds=1)


def driven(hold, keep_for, keeps, **options):
    one = rule(
        severities={"critical": "trouble > 8"},
        keep_firing_while="trouble > 3" if keeps else None,
        keep_firing_for=keep_for,
        **{"for": hold},
    )
    return Driven(one, flapping_threshold=1_000_000, **options)


def seen_at(steps):
    at, seen = 0, []
    for step, value in steps:
        at += step
        seen.append((at, value))
    return seen


@given(looks, lengths, lengths, st.booleans())
def test_an_alert_is_as_a_look_at_all_of_the_past_says(steps, hold, keep_for, keeps):
    seen = seen_at(steps)
    engine, model = driven(hold, keep_for, keeps), Model(seen, hold, keep_for, keeps)
    before = None
    for i, (at, value) in enumerate(seen):
        values = {} if value is None else {"a": value}
        found = engine.turn_to(START + timedelta(seconds=at), values)
        said = [
            (
                one.state,
                one.severity,
                since_start(one.active_since),
                since_start(one.fired_at),
                one.count,
            )
            for one in found.active
        ]
        expected = model.said(i)
        assert said == ([] if expected is None else [expected])
        # What fired and is gone was handed out as resolved, and nothing else was.
        gone = before is not None and before[0] is AlertState.FIRING and expected != before
        gone = gone and (expected is None or expected[2:4] != before[2:4])
        over = [one for one in found.changed if one.state is AlertState.RESOLVED]
        assert [since_start(one.resolved_at) for one in over] == ([at] if gone else [])
        before = expected


@given(looks, lengths, lengths, st.booleans(), st.sets(st.integers(0, 40), max_size=4))
def test_restarts_change_nothing(steps, hold, keep_for, keeps, restarts):
    one, other = driven(hold, keep_for, keeps), driven(hold, keep_for, keeps)
    for i, (step, value) in enumerate(steps):
        if i in restarts:
            other.restart()
            assert other.engine.active == one.engine.active
        values = {} if value is None else {"a": value, "b": 10 - value}
        found, again = one.turn(step, **values), other.turn(step, **values)
        assert again == found
    assert not other.errors


@given(looks, st.sets(st.integers(0, 40), max_size=3))
def test_restarts_change_nothing_for_alerts_that_flap(steps, restarts):
    one, other = (Driven(flapping_threshold=3, flapping_window=600) for _ in range(2))
    for i, (step, value) in enumerate(steps):
        if i in restarts:
            other.restart()
        values = {} if value is None else {"a": value}
        assert other.turn(step, **values) == one.turn(step, **values)


jumps = st.sampled_from([-86_400, -3600, -90, -1, 0, 1, 60, 60, 60, 300, 601, 3600, 864_000])
over_windows = st.sampled_from(
    ["trouble > 5", "max_over_time(trouble[5m]) > 5", "count_over_time(trouble[3m]) > 1"]
)


@given(
    st.lists(st.tuples(jumps, st.sampled_from([ABSENT, QUIET, KEPT, HELD, GRAVE])), max_size=40),
    over_windows,
    lengths,
    st.sets(st.integers(0, 40), max_size=3),
)
def test_whatever_the_clock_does_alerts_are_whole_and_restarts_change_nothing(
    steps, expr, hold, restarts
):
    one, other = (
        Driven(rule(expr=expr, keep_firing_for=60, **{"for": hold}), flapping_window=600)
        for _ in range(2)
    )
    fired, over = set(), set()
    for i, (step, value) in enumerate(steps):
        if i in restarts:
            other.restart()
        values = {} if value is None else {"a": value}
        # No moment comes twice.
        seconds = step + i / 1000
        found = one.turn(seconds, **values)
        assert other.turn(seconds, **values) == found
        for alert in found.changed:
            assert alert.active_since <= alert.fired_at <= alert.last_seen
            if alert.state is AlertState.RESOLVED:
                assert alert.last_seen <= alert.resolved_at
                over.add(alert.id)
            else:
                assert alert.id not in over
                fired.add(alert.id)
    still = {one.id for one in one.engine.active if one.state is AlertState.FIRING}
    assert fired == over | still
    assert not one.errors + other.errors
