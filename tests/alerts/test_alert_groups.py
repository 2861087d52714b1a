"""Which messages a channel gets, and when."""

from __future__ import annotations

from datetime import timedelta

import pytest
from alert_lives import World, channel, said

from metalscope.alert_options import AlertsOptions
from metalscope.alert_report import AlertState
from metalscope.alerts.notify.group import MOST_LISTED
from metalscope.alerts.notify.grouping import Groups
from metalscope.operation import Component, ErrorSeverity

LOW, MEDIUM, HIGH, CRITICAL = ErrorSeverity
WAIT, INTERVAL, REPEAT = 30, 300, 12 * 3600


@pytest.fixture(params=[False, True], ids=["runs on", "restarts each turn"])
def world(request: pytest.FixtureRequest) -> World:
    return World(restarts_always=request.param)


def told(world: World) -> World:
    """A world in which one alert was told of."""
    world.fire("a")
    world.turn()
    world.turn(WAIT)
    return world


# -- the first message -----------------------------------------------------------------------


def test_the_first_message_waits_for_alerts_that_belong_to_it(world: World) -> None:
    world.fire("a")
    assert world.turn() == []
    world.fire("b", CRITICAL)
    assert world.turn(WAIT - 1) == []

    assert said(world.turn(1)) == [("firing", ["b", "a"], [])]


def test_what_is_over_before_that_is_not_told(world: World) -> None:
    world.fire("a")
    world.turn()
    world.resolve("a")

    assert world.turn(WAIT) == []
    assert world.turn(1) == []


def test_without_a_wait_it_is_told_at_once() -> None:
    world = World(options=AlertsOptions(group_wait=0))
    world.fire("a")

    assert said(world.turn()) == [("firing", ["a"], [])]


def test_each_group_has_a_message_of_its_own(world: World) -> None:
    world.fire("a", component=Component.KERNEL)
    world.fire("b", component=Component.MEMORY)
    world.fire("c", component=None)
    world.turn()

    messages = world.turn(WAIT)

    assert [(one.group, [a.id for a in one.alerts]) for one in messages] == [
        ((), ["c"]),
        ((("component", "kernel"),), ["a"]),
        ((("component", "memory"),), ["b"]),
    ]
    assert len({one.incident for one in messages}) == 3


def test_alerts_are_grouped_by_the_labels_of_the_options() -> None:
    world = World(options=AlertsOptions(group_by=("name", "alertname", "pool"), group_wait=0))
    world.fire("a", labels=(("name", "attention"),))
    world.fire("b", labels=(("name", "softmax"),))
    world.fire("c", labels=(("name", "softmax"), ("device", "m1")))

    assert [(dict(one.group), len(one.alerts)) for one in world.turn()] == [
        ({"alertname": "MetalKernelFailures", "name": "attention"}, 1),
        ({"alertname": "MetalKernelFailures", "name": "softmax"}, 2),
    ]


def test_at_most_twenty_are_listed_the_gravest_first(world: World) -> None:
    for number in range(30):
        world.fire(f"{number:02}", CRITICAL if number % 10 == 9 else HIGH)
    world.turn()

    (message,) = world.turn(WAIT)

    assert [one.id for one in message.alerts[:4]] == ["09", "19", "29", "00"]
    assert len(message.alerts) == MOST_LISTED
    assert message.omitted == 30 - MOST_LISTED


def test_a_message_says_where_it_comes_from_and_when_it_began(world: World) -> None:
    began = world.now
    (message,) = told(world).sent

    assert message.source == "studio"
    assert message.channel == "ops"
    assert message.began_at == began
    assert message.created_at == began + timedelta(seconds=WAIT)


def test_a_message_has_the_links_of_its_alerts() -> None:
    groups = Groups(
        [channel()],
        AlertsOptions(group_wait=0),
        links=lambda alerts: [("dashboard", f"http://box/#{alerts[0].id}")],
    )
    world = World()
    world.fire("a")

    (message,) = groups.turn(world.now, tuple(world.alerts.values()), ())

    assert message.links == (("dashboard", "http://box/#a"),)


def test_at_the_end_of_the_program_groups_that_wait_are_told(world: World) -> None:
    told(world)
    world.fire("b", component=Component.MEMORY)
    world.turn(1)

    assert said(world.flush()) == [("firing", ["b"], [])]
    assert world.flush() == []
    assert world.turn(WAIT) == []


# -- what is told on a channel ---------------------------------------------------------------


def test_a_channel_is_told_of_what_is_grave_enough_and_matches() -> None:
    world = World(
        [
            channel("all"),
            channel("grave", min_severity="high"),
            channel("attention", matchers=('name="attention"', "device=~m.*")),
            channel("memory", matchers=('component="memory"',)),
            channel("off", enabled=False),
        ],
        AlertsOptions(group_wait=0),
    )
    world.fire("a", MEDIUM)
    world.fire("b", HIGH, labels=(("name", "softmax"),))

    assert {one.channel: [a.id for a in one.alerts] for one in world.turn()} == {
        "all": ["b", "a"],
        "grave": ["b"],
        "attention": ["a"],
    }


def test_pending_and_muted_alerts_are_not_told(world: World) -> None:
    world.fire("a", state=AlertState.PENDING)
    world.fire("b", silenced_by=("weekend",))
    world.fire("c", inhibited_by=("6b1f",))
    world.turn()

    assert world.turn(WAIT) == []

    world.change("b", silenced_by=())
    world.turn()
    assert said(world.turn(WAIT)) == [("firing", ["b"], [])]


def test_a_channel_for_escalation_is_told_of_what_nobody_acknowledged_in_time() -> None:
    world = World([channel(escalate_after="15m")], AlertsOptions(group_wait=0))
    world.fire("a")
    world.fire("b")
    world.turn()
    assert world.turn(899) == []
    world.acknowledge("b")

    assert said(world.turn(1)) == [("escalation", ["a"], [])]

    world.acknowledge("a")
    assert world.turn(REPEAT) == []
    world.resolve("b")
    assert world.turn() == []
    world.resolve("a")
    assert said(world.turn()) == [("resolved", [], ["a"])]


# -- further messages ------------------------------------------------------------------------


def test_what_joins_a_group_and_is_no_worse_is_told_with_the_next_message(world: World) -> None:
    told(world)
    world.fire("b")
    assert world.turn(INTERVAL) == []
    world.fire("c", CRITICAL)

    assert said(world.turn()) == [("update", ["c", "a", "b"], [])]


def test_a_group_that_gets_worse_is_told_again_no_sooner_than_its_interval(world: World) -> None:
    told(world)
    world.change("a", severity=CRITICAL)
    assert world.turn(INTERVAL - 1) == []

    assert said(world.turn(1)) == [("update", ["a"], [])]

    world.change("a", severity=HIGH)
    assert world.turn(INTERVAL) == []
    world.change("a", severity=CRITICAL)
    assert world.turn(INTERVAL) == []


def test_all_updates_are_told_where_that_is_asked_for(world: World) -> None:
    world.options = AlertsOptions(group_updates="all")
    world.groups = World(options=world.options).groups
    told(world)
    world.fire("b", LOW)
    assert world.turn(INTERVAL - 1) == []
    assert said(world.turn(1)) == [("update", ["a", "b"], [])]
    assert world.turn(INTERVAL) == []

    world.change("b", severity=MEDIUM)
    assert said(world.turn()) == [("update", ["a", "b"], [])]


def test_what_goes_on_is_repeated_until_it_is_acknowledged(world: World) -> None:
    told(world)
    assert world.turn(REPEAT - 1) == []
    assert said(world.turn(1)) == [("repeat", ["a"], [])]
    world.acknowledge("a")
    assert world.turn(REPEAT) == []
    world.change("a", acknowledged=None)
    assert said(world.turn()) == [("repeat", ["a"], [])]


def test_nothing_is_repeated_where_that_is_not_wanted() -> None:
    world = told(World(options=AlertsOptions(repeat_interval=0)))

    assert world.turn(100 * REPEAT) == []


def test_a_repeat_is_no_sooner_than_the_interval_of_the_group() -> None:
    world = told(World(options=AlertsOptions(repeat_interval=60)))

    assert world.turn(INTERVAL - 1) == []
    assert said(world.turn(1)) == [("repeat", ["a"], [])]


def test_an_update_says_once_what_is_over(world: World) -> None:
    world.fire("a")
    world.fire("b")
    told(world)
    world.resolve("b")
    assert world.turn(INTERVAL) == []
    world.change("a", severity=CRITICAL)
    assert said(world.turn()) == [("update", ["a"], ["b"])]
    assert said(world.turn(REPEAT)) == [("repeat", ["a"], [])]

    world.resolve("a")
    assert said(world.turn()) == [("resolved", [], ["a", "b"])]


# -- the end ---------------------------------------------------------------------------------


def test_when_all_is_over_it_is_told_at_once(world: World) -> None:
    world.fire("b")
    told(world)
    world.resolve("a")
    assert world.turn(1) == []
    world.resolve("b")

    (message,) = world.turn(1)

    assert said([message]) == [("resolved", [], ["a", "b"])]
    assert [one.resolved_at for one in message.alerts] == [
        world.now - timedelta(seconds=1 + delay) for delay in (1, 0)
    ]
    assert message.incident == world.sent[0].incident
    assert len({one.id for one in world.sent}) == 2


def test_where_the_end_is_not_wanted_it_is_not_told() -> None:
    world = told(World([channel(send_resolved=False)]))
    world.resolve("a")

    assert world.turn() == []
    world.fire("a2")
    world.turn()
    assert said(world.turn(WAIT)) == [("firing", ["a2"], [])]


def test_the_end_of_what_was_told_and_then_silenced_is_told(world: World) -> None:
    told(world)
    world.change("a", silenced_by=("weekend",), severity=CRITICAL)
    assert world.turn(REPEAT) == []
    world.resolve("a")

    assert said(world.turn()) == [("resolved", [], ["a"])]


def test_the_end_waits_for_those_that_have_joined(world: World) -> None:
    told(world)
    world.fire("b")
    world.turn()
    world.resolve("a")
    assert world.turn(INTERVAL) == []
    assert said(world.turn(REPEAT)) == [("repeat", ["b"], ["a"])]
    world.resolve("b")

    assert said(world.turn()) == [("resolved", [], ["a", "b"])]


def test_what_comes_again_is_another_incident(world: World) -> None:
    told(world)
    world.resolve("a")
    world.turn(1)
    world.fire("a2")
    world.turn(1)
    world.turn(WAIT)

    assert [one.kind.value for one in world.sent] == ["firing", "resolved", "firing"]
    first, end, again = world.sent
    assert first.incident == end.incident != again.incident


def test_what_was_quiet_during_an_incident_is_another_one(world: World) -> None:
    world.fire("quiet", silenced_by=("weekend",))
    told(world)
    world.resolve("a")
    world.turn()
    world.change("quiet", silenced_by=())
    world.turn()
    world.turn(WAIT)

    assert [one.kind.value for one in world.sent] == ["firing", "resolved", "firing"]
    assert world.sent[0].incident != world.sent[2].incident


def test_an_alert_of_which_nothing_more_is_known_is_over(world: World) -> None:
    told(world)
    del world.alerts["a"]

    (message,) = world.turn(1)

    assert said([message]) == [("resolved", [], ["a"])]
    assert message.alerts[0].resolved_at == world.now
    assert message.alerts[0].resolution


def test_an_end_lists_no_more_than_any_message(world: World) -> None:
    for number in range(30):
        world.fire(f"{number:02}")
    world.turn()
    world.turn(WAIT)
    for name in list(world.alerts):
        world.resolve(name)

    (message,) = world.turn(1)

    assert len(message.alerts) == MOST_LISTED
    assert message.omitted == 30 - MOST_LISTED


@pytest.mark.parametrize("restarts", [False, True])
def test_a_long_incident_remembers_no_more_ends_than_it_lists(*, restarts: bool) -> None:
    options = AlertsOptions(group_updates="all", group_interval=0, group_wait=0)
    world = World(options=options, restarts_always=restarts)
    world.fire("stays")
    world.turn()
    for number in range(100):
        world.fire(f"{number:03}")
        world.turn(1)
        world.resolve(f"{number:03}")
    kept = world.groups.state()
    world.turn(1)
    world.resolve("stays")

    (message,) = world.turn(1)

    assert len(kept["alerts"]) <= MOST_LISTED + 3
    assert len(message.alerts) + message.omitted == 101


# -- peers that group themselves -------------------------------------------------------------


def forwarding(*, restarts_always: bool = False) -> World:
    return World(
        [channel("am", escalate_after="1h", send_resolved=False)],
        forwards=frozenset({"am"}),
        restarts_always=restarts_always,
    )


@pytest.mark.parametrize("restarts", [False, True])
def test_a_peer_that_groups_hears_of_every_change_at_once(*, restarts: bool) -> None:
    world = forwarding(restarts_always=restarts)
    world.fire("a", component=Component.MEMORY)
    assert said(world.turn()) == [("firing", ["a"], [])]
    world.fire("b", LOW)
    assert said(world.turn(1)) == [("update", ["a", "b"], [])]
    assert world.turn(1) == []
    world.resolve("a")
    assert said(world.turn(1)) == [("update", ["b"], ["a"])]
    world.change("b", severity=MEDIUM)
    assert said(world.turn(1)) == [("update", ["b"], [])]
    world.change("b", silenced_by=("weekend",))
    assert world.turn(1) == []
    world.resolve("b")
    assert said(world.turn(1)) == [("resolved", [], ["b"])]
    assert {one.group for one in world.sent} == {()}
    assert len({one.incident for one in world.sent}) == 1


def test_a_peer_that_groups_hears_each_minute_of_all_that_fires() -> None:
    world = forwarding()
    for number in range(50):
        world.fire(f"{number:02}")
        world.acknowledge(f"{number:02}")
    world.turn()

    assert world.turn(59) == []
    (message,) = world.turn(1)

    assert message.kind.value == "repeat"
    assert len(message.alerts) == 50
    assert message.omitted == 0


# -- restarts, clocks and bounds --------------------------------------------------------------


def test_the_state_is_the_same_object_while_nothing_changes() -> None:
    world = told(World())
    state = world.groups.state()
    world.change("a", count=17, last_seen=world.now)
    world.turn(1)

    assert world.groups.state() is state


def test_a_channel_that_is_new_hears_of_what_fires_and_one_that_is_gone_is_forgotten() -> None:
    world = told(World([channel("old"), channel("both")]))
    world.channels = [channel("both"), channel("new")]
    world.restart()
    world.turn(1)

    messages = world.turn(WAIT)

    assert [(one.channel, one.kind.value) for one in messages] == [("new", "firing")]
    assert set(world.groups.state()["channels"]) == {"both", "new"}
    world.resolve("a")
    assert {one.channel for one in world.turn()} == {"both", "new"}


def test_an_incident_goes_on_where_groups_are_made_otherwise_after_a_restart() -> None:
    world = told(World())
    world.options = AlertsOptions(group_by=("alertname",))
    world.restart()
    world.turn()
    world.turn(WAIT)
    world.resolve("a")
    world.turn()

    assert [one.kind.value for one in world.sent] == ["firing", "firing", "resolved", "resolved"]
    assert len({one.incident for one in world.sent}) == 2


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"alerts": [], "channels": 7},
        {"alerts": {"a": {}}, "channels": {"ops": {}}},
        {"alerts": {"a": None}, "channels": {"ops": {"groups": [7], "began": []}}},
        {"channels": {"ops": {"groups": [], "began": [[{"x": 1}, "never"]]}}},
    ],
)
def test_a_state_that_cannot_be_read_is_none(data: dict[str, object]) -> None:
    world = World()
    world.groups.restore(data)

    assert said(told(world).sent) == [("firing", ["a"], [])]


def test_a_clock_that_goes_back_makes_nobody_wait_longer(world: World) -> None:
    world.fire("a")
    world.turn()
    assert world.turn(-3600) == []
    assert said(world.turn(WAIT)) == [("firing", ["a"], [])]
    world.change("a", severity=CRITICAL)
    assert world.turn(-3600) == []
    assert said(world.turn(INTERVAL)) == [("update", ["a"], [])]


def test_there_are_no_more_groups_than_alerts_may_be() -> None:
    world = World(options=AlertsOptions(max_alerts=3, group_by=("name",), group_wait=0))
    for number in range(5):
        world.fire(str(number), labels=(("name", str(number)),))

    assert len(world.turn()) == 3
    assert world.groups.crowded_out == 2
    world.resolve("0")
    world.turn()
    assert len(world.turn()) == 1
    assert world.groups.crowded_out == 1


def test_an_alert_that_fires_again_by_the_same_id_is_not_over(world: World) -> None:
    world.fire("b")
    told(world)
    world.resolve("a")
    world.turn()
    world.fire("a")
    world.turn()
    world.change("a", silenced_by=("weekend",))
    world.resolve("b")
    assert world.turn() == []

    world.resolve("a")
    assert said(world.turn()) == [("resolved", [], ["b", "a"])]
