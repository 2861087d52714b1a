"""What the engine says of alerts: when they begin, get worse, flap and end, and what is kept."""

from __future__ import annotations

from datetime import timedelta

import pytest
from alert_engine_kit import Driven, rule

from metalscope.alert_options import AlertsOptions
from metalscope.alert_report import AlertState
from metalscope.alerts.engine import AlertEngine
from metalscope.operation import Component, ErrorSeverity

PENDING, FIRING, RESOLVED = AlertState.PENDING, AlertState.FIRING, AlertState.RESOLVED
GRAVER = {"severities": {"critical": "trouble > 8"}}
TEN_MINUTES = timedelta(minutes=10)


def states(evaluation):
    return [(dict(one.labels).get("name"), one.state) for one in evaluation.active]


def test_an_alert_has_what_its_rule_says_and_what_was_found():
    engine = Driven(
        rule(
            summary="{name} of {team} is at {value:percent}",
            description="More than it should: {value}.",
            component=Component.MEMORY,
            labels={"team": "gpu"},
            actions=["Look."],
            runbook="https://example.com/Trouble",
        )
    )
    engine.turn(a=93.25)
    alert = engine.only
    assert alert.title == "a of gpu is at 93.2 %"
    assert alert.description == "More than it should: 93.25."
    assert alert.labels == (("name", "a"), ("team", "gpu"))
    assert (alert.component, alert.actions) == (Component.MEMORY, ("Look.",))
    assert (alert.runbook, alert.link) == ("https://example.com/Trouble", f"at:{alert.id}")
    assert (alert.value, alert.count) == (93.25, 1)
    assert alert.active_since == alert.fired_at == alert.last_seen == engine.now


def test_title_and_value_follow_what_is_found_while_it_holds():
    engine = Driven(rule(summary="at {value}", keep_firing_while="trouble > 3"))
    engine.turn(a=6)
    engine.turn(a=7)
    assert (engine.only.title, engine.only.value, engine.only.count) == ("at 7", 7, 2)
    seen = engine.now
    engine.turn(a=4)
    assert (engine.only.title, engine.only.count, engine.only.last_seen) == ("at 7", 2, seen)


def test_a_pending_alert_that_stops_leaves_no_trace():
    engine = Driven(rule(**{"for": 120}))
    found = engine.turn(a=6)
    assert (states(found), found.changed) == ([("a", PENDING)], ())
    found = engine.turn(a=1)
    assert (found.active, found.changed) == ((), ())
    assert engine.store.history() == ()


def test_an_alert_that_is_over_says_why():
    engine = Driven()
    fired = engine.turn(a=6).changed
    (over,) = engine.turn(a=1).changed
    assert [one.state for one in fired] == [FIRING]
    assert (over.state, over.id) == (RESOLVED, fired[0].id)
    assert (over.resolved_at, over.resolution) == (engine.now, "the condition no longer holds")


def test_the_same_trouble_another_time_is_another_incident():
    engine = Driven()
    (first,) = engine.turn(a=6).changed
    engine.turn(a=1)
    (second,) = engine.turn(a=6).changed
    assert second.fingerprint == first.fingerprint
    assert second.id != first.id


def test_the_fingerprint_is_of_the_rule_and_the_labels_but_not_of_the_severity():
    engine = Driven(rule(**GRAVER), rule("Other"))
    mild = {(one.rule, one.labels): one.fingerprint for one in engine.turn(a=6, b=6).active}
    grave = {(one.rule, one.labels): one.fingerprint for one in engine.turn(a=9, b=6).active}
    assert mild == grave
    assert len(set(mild.values())) == 4
    assert all(len(one) == 16 and int(one, 16) for one in mild.values())


def test_the_severity_rises_and_never_falls():
    engine = Driven(rule(**GRAVER))
    said = []
    for value in (6, 9, 6, 9, 1, 6):
        found = engine.turn(a=value)
        said.append([(one.severity.value, one.state.value) for one in found.changed])
    assert said == [
        [("medium", "firing")],
        [("critical", "firing")],
        [],
        [],
        [("critical", "resolved")],
        [("medium", "firing")],
    ]


def test_a_graver_expression_alone_raises_nothing():
    engine = Driven(rule(severities={"critical": "trouble < 100"}))
    assert not engine.turn(a=1).active
    assert engine.turn(a=6).active[0].severity is ErrorSeverity.CRITICAL


def test_alerts_that_merely_go_on_are_kept_each_ten_minutes():
    engine = Driven()
    kept = [bool(engine.turn(60, a=6 + minute / 100).changed) for minute in range(25)]
    assert [minute for minute, is_kept in enumerate(kept) if is_kept] == [0, 10, 20]


def test_active_alerts_are_gravest_first_and_then_those_that_fire():
    engine = Driven(
        rule("Mild", "trouble > 5", severity="low"),
        rule("Waiting", "trouble > 5", severity="high", **{"for": 600}),
        rule("Grave", "trouble > 5", severity="high"),
    )
    assert [one.rule for one in engine.turn(a=6).active] == ["Grave", "Waiting", "Mild"]


# -- what people do ------------------------------------------------------------------------------


def test_an_acknowledgement_lasts_until_it_gets_worse():
    engine = Driven(rule(**GRAVER))
    engine.turn(a=6)
    alert = engine.engine.acknowledge(engine.only.id, by="ada", comment="mine", now=engine.now)
    assert (alert.acknowledged.by, alert.acknowledged.at) == ("ada", engine.now)
    assert engine.only == alert
    assert engine.turn(a=7).changed[0].acknowledged == alert.acknowledged
    assert engine.turn(a=9).changed[0].acknowledged is None


def test_an_acknowledgement_can_be_taken_back():
    engine = Driven()
    engine.turn(a=6)
    engine.engine.acknowledge(engine.only.id, by="ada", now=engine.now)
    assert engine.engine.unacknowledge(engine.only.id).acknowledged is None
    assert engine.only.acknowledged is None


def test_only_an_alert_that_is_active_can_be_acknowledged():
    engine = Driven()
    (alert,) = engine.turn(a=6).changed
    engine.turn(a=1)
    with pytest.raises(KeyError):
        engine.engine.acknowledge(alert.id, by="ada", now=engine.now)
    with pytest.raises(KeyError):
        engine.engine.unacknowledge("nothing")


def test_a_silence_is_seen_at_once_and_the_alert_lives_on():
    engine = Driven()
    engine.turn(a=6, b=6)
    silence = engine.silence('name="a"', ends=150)
    assert [one.silenced_by for one in engine.engine.active if one.labels == (("name", "a"),)] == [
        (silence.id,)
    ]
    found = engine.turn(a=6, b=6)
    assert [one.silenced_by for one in found.changed] == [(silence.id,)]
    assert not engine.turn(a=6, b=6).changed
    found = engine.turn(a=6, b=6)
    assert [one.silenced_by for one in found.changed] == [()]


def test_a_silence_that_is_expired_holds_no_more():
    engine = Driven()
    engine.turn(a=6)
    silence = engine.silence('name="a"')
    assert engine.only.is_muted
    engine.engine.expire_silence(silence.id, engine.now)
    assert not engine.only.is_muted


def test_in_maintenance_alerts_are_marked_by_the_name_of_the_window():
    window = {"name": "night", "start": "00:00", "end": "00:10", "matchers": ['name="a"']}
    engine = Driven(maintenance=[window])
    found = engine.turn(60, a=6, b=6)
    assert {one.labels[0][1]: one.silenced_by for one in found.active} == {"a": ("night",), "b": ()}
    found = engine.turn(600, a=6, b=6)
    assert {one.labels[0][1]: one.silenced_by for one in found.active} == {"a": (), "b": ()}


def test_alerts_that_others_explain_are_marked_while_those_fire():
    from metalscope.alert_options import InhibitionOptions

    explains = InhibitionOptions(source=['alertname="Cause"'], target=['alertname="Trouble"'])
    engine = Driven(rule("Cause", "trouble > 8"), rule(), inhibitions=[explains])
    found = engine.turn(a=9)
    cause, trouble = sorted(found.active, key=lambda one: one.rule)
    assert (cause.inhibited_by, trouble.inhibited_by) == ((), (cause.fingerprint,))
    found = engine.turn(a=6)
    assert [(one.rule, one.inhibited_by) for one in found.active] == [("Trouble", ())]


# -- flapping ------------------------------------------------------------------------------------


def test_an_alert_that_comes_and_goes_is_held_until_it_was_quiet_for_half_the_window():
    engine = Driven(flapping_threshold=3, flapping_window=3600)
    said = []
    for minute in range(90):
        value = 6 if minute in {0, 10, 20, 30, 40} else 1
        for one in engine.turn(60, a=value).changed:
            said.append((minute, one.state.value, one.flapping))
    flapping = [one for one in said if one[2]]
    assert said[:4] == [
        (0, "firing", False),
        (1, "resolved", False),
        (10, "firing", False),
        (11, "resolved", False),
    ]
    # From the third time on it goes on: 31 minutes after it last held it was quiet for 30.
    assert flapping[0] == (20, "firing", True)
    assert flapping[-1] == (71, "resolved", True)
    assert {state for _, state, _ in flapping[:-1]} == {"firing"}
    over = engine.store.history()[0]
    assert over.resolution == "it came and went, and has been quiet for 30m"


def test_alerts_that_fire_seldom_do_not_flap():
    engine = Driven(flapping_threshold=3, flapping_window=3600)
    for _ in range(10):
        assert not engine.turn(600, a=6).active[0].flapping
        for _ in range(3):
            assert not engine.turn(600, a=1).active


def test_alerts_that_fired_before_the_machine_slept_did_not_fire_lately():
    engine = Driven(flapping_threshold=3, flapping_window=3600)
    for _ in range(10):
        assert not engine.turn(8 * 3600, a=6).active[0].flapping
        engine.turn(60, a=1)


# -- limits and faults ---------------------------------------------------------------------------


def test_there_are_never_more_alerts_than_may_be_and_the_gravest_are_kept():
    engine = Driven(rule(**GRAVER), max_alerts=2)
    assert len(engine.turn(a=6, b=6, c=6, d=6).active) == 2
    assert engine.engine.dropped == 2
    engine.turn(a=6, b=6, c=6, d=6)
    assert engine.engine.dropped == 2
    found = engine.turn(a=6, b=6, c=6, d=9)
    assert [one.severity.value for one in found.active] == ["critical", "medium"]
    (left_out,) = [one for one in found.changed if one.state is RESOLVED]
    assert left_out.resolution == "there was no room for it beside graver alerts; it may still hold"
    assert engine.engine.dropped == 3


def test_a_pending_alert_makes_room_before_one_that_fires():
    engine = Driven(
        rule("Waits", **{"for": 600}),
        rule("Fires", "trouble > 6"),
        rule("Grave", "trouble > 8", severity="critical"),
        max_alerts=2,
    )
    assert len(engine.turn(a=7).active) == 2
    found = engine.turn(a=9)
    assert [one.rule for one in found.active] == ["Grave", "Fires"]
    assert [one.state for one in found.changed] == [FIRING]


def test_a_rule_that_cannot_be_evaluated_is_told_of_once_and_its_alerts_stay():
    # With a second series, nothing says which of the right side belongs to one of the left.
    engine = Driven(rule(keep_firing_while="trouble + on() trouble > 8"), rule("Sound"))
    engine.turn(a=6)
    for _ in range(3):
        found = engine.turn(a=1, b=1)
        assert [one.rule for one in found.active] == ["Trouble"]
    (error,) = engine.errors
    assert error.startswith("alerts: the rule Trouble cannot be evaluated: EvaluationError: ")
    assert not engine.turn(a=1).active
    engine.turn(a=6)
    engine.turn(a=1, b=1)
    assert len(engine.errors) == 2


def test_an_alert_whose_link_cannot_be_made_fires_all_the_same():
    def link(alert):
        raise OSError("no server")

    engine = Driven(link=link)
    assert [one.link for one in engine.turn(a=6).changed] == [""]
    assert engine.errors == [
        "alerts: the link of an alert of Trouble cannot be made: OSError: no server"
    ]


def test_two_rules_of_one_name_are_refused():
    with pytest.raises(ValueError, match="different names"):
        AlertEngine(
            [rule(), rule()], AlertsOptions(), inhibitions=(), on_error=lambda room, error: None
        )


def test_series_that_the_labels_of_a_rule_make_one_are_one_alert():
    engine = Driven(rule(labels={"name": "all"}))
    engine.turn(a=6, b=9, c=7)
    assert (engine.only.labels, engine.only.value) == ((("name", "all"),), 9)
