"""Restarts lose nothing, and neither does a clock that leaps or goes back."""

from __future__ import annotations

import pytest
from alert_engine_kit import START, Driven, rule

from metalscope.alert_report import AlertState
from metalscope.alerts.engine import AlertEngine
from metalscope.alerts.storing import Kept

PENDING, FIRING, RESOLVED = AlertState.PENDING, AlertState.FIRING, AlertState.RESOLVED

# -- restarts ------------------------------------------------------------------------------------


def test_what_is_over_while_the_program_is_away_is_resolved_at_the_first_look():
    engine = Driven()
    (fired,) = engine.turn(a=6).changed
    engine.restart()
    assert engine.engine.active == (fired,)
    (over,) = engine.turn(8 * 3600, a=1).changed
    assert (over.id, over.state) == (fired.id, RESOLVED)


def test_alerts_of_rules_that_are_no_more_are_resolved():
    engine = Driven(rule(), rule("Waits", **{"for": 600}))
    engine.turn(a=6)
    engine.restart(rule("Other", "trouble > 100"))
    assert engine.engine.active == ()
    (over,) = engine.turn(a=6).changed
    assert (over.rule, over.state) == ("Trouble", RESOLVED)
    assert over.resolution == "the rule Trouble is no longer looked at"
    assert not engine.turn(a=6).changed


def test_acknowledgements_silences_and_counts_survive():
    engine = Driven(rule(summary="at {value}"))
    for value in (6, 7, 8):
        engine.turn(a=value)
    engine.silence('name="a"')
    engine.engine.acknowledge(engine.only.id, by="ada", now=engine.now)
    engine.turn(a=8.5)
    before = engine.only
    engine.restart()
    assert engine.only == before
    assert (before.count, before.title) == (4, "at 8.5")
    assert engine.engine.silences[0].created_by == "ada"
    assert not engine.turn(a=8.5).changed


@pytest.mark.parametrize(
    "document",
    [{}, {"version": 9}, [], {"version": 1, "clock": {}}, "text", {"version": 1, "clock": None}],
)
def test_a_state_that_cannot_be_read_loses_no_alert(document):
    engine = Driven()
    (fired,) = engine.turn(a=6).changed
    errors = []
    again = AlertEngine(
        engine.rules,
        engine.options,
        inhibitions=(),
        on_error=lambda room, error: errors.append(str(error)),
    )
    again.restore(Kept(alerts=(fired,), documents={"engine": document}))
    assert again.active == (fired,)
    assert len(errors) == 1
    assert "cannot be read" in errors[0]
    engine.engine = again
    (over,) = engine.turn(a=1).changed
    assert (over.id, over.state) == (fired.id, RESOLVED)


def test_of_two_kept_alerts_of_one_fingerprint_the_later_goes_on():
    engine = Driven()
    (first,) = engine.turn(a=6).changed
    engine.turn(a=1)
    (second,) = engine.turn(a=6).changed
    again = Driven()
    again.engine.restore(Kept(alerts=(first, second)))
    assert again.engine.active == (second,)
    again.now = engine.now
    over, *_ = again.turn(a=6).changed
    assert (over.id, over.resolution) == (first.id, "a later alert took its place")


# -- the clock -----------------------------------------------------------------------------------


def test_an_alert_does_not_fire_merely_as_the_clock_leapt():
    engine = Driven(rule(**{"for": 300}))
    engine.turn(a=6)
    engine.turn(12 * 3600, a=6)
    assert engine.only.state is PENDING
    for _ in range(4):
        engine.turn(a=6)
    assert engine.only.state is FIRING


def test_an_alert_is_not_over_merely_as_the_clock_leapt():
    engine = Driven(rule(keep_firing_for=300))
    engine.turn(a=6)
    engine.turn(a=1)
    engine.turn(12 * 3600, a=1)
    assert engine.only.state is FIRING
    for _ in range(4):
        (alert,) = engine.turn(a=1).active or engine.store.history()
    assert alert.state is RESOLVED


def test_after_a_leap_a_window_is_filled_again_before_anything_in_it_is_missed():
    engine = Driven(rule(expr="count_over_time(trouble[5m]) > 4"))
    for _ in range(5):
        engine.turn(a=6)
    assert engine.only.state is FIRING
    engine.turn(12 * 3600, a=6)
    for _ in range(6):
        # The window has too few samples at first, for no other reason than the leap.
        assert engine.only.state is FIRING
        engine.turn(a=6)


def test_what_is_over_after_a_leap_is_over_when_its_window_was_seen():
    engine = Driven(rule(expr="max_over_time(trouble[5m]) > 5"))
    engine.turn(a=6)
    engine.turn(12 * 3600, a=1)
    minutes = 0
    while engine.engine.active:
        engine.turn(a=1)
        minutes += 1
    assert minutes == 5


def test_a_clock_that_goes_back_ends_nothing_and_nothing_ends_before_it_began():
    engine = Driven(rule(**{"for": 120}, keep_firing_for=120))
    for _ in range(3):
        engine.turn(a=6)
    fired = engine.only
    engine.turn(-3600, a=6)
    assert engine.only.fired_at == fired.fired_at
    for _ in range(3):
        engine.turn(a=1)
    (over,) = engine.store.history()
    assert over.state is RESOLVED
    assert over.active_since <= over.fired_at <= over.last_seen <= over.resolved_at
    assert over.resolved_at > START
