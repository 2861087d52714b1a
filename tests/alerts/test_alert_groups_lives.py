"""Whatever alerts do: everybody hears the end of what they were told of, and nobody too much."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from alert_lives import World, channel
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metalscope.alert_options import AlertsOptions
from metalscope.alerts.notification import Notification, NotificationKind
from metalscope.operation import Component, ErrorSeverity

HIGH = ErrorSeverity.HIGH
CHANNELS = (
    channel("all"),
    channel("grave", min_severity="high", matchers=('component!="memory"',)),
    channel("escalation", escalate_after="2m"),
    channel("am"),
)
NAMES = "abcd"


@dataclass(frozen=True)
class Step:
    """What happens to one alert, and how many s pass then."""

    what: str
    name: str
    severity: ErrorSeverity
    after: int


def steps(*severities: ErrorSeverity, longest: int = 400) -> st.SearchStrategy[list[Step]]:
    rare = ("vanish", "mute", "unmute", "acknowledge", "grade", "nothing")
    what = st.sampled_from(("fire", "fire", "fire quietly", "resolve", "resolve", *rare))
    step = st.builds(
        Step,
        what,
        st.sampled_from(NAMES),
        st.sampled_from(severities or tuple(ErrorSeverity)),
        st.sampled_from([0, 1, 15, 30, 60, 120, longest]),
    )
    return st.lists(step, min_size=10, max_size=60)


OPTIONS = st.builds(
    AlertsOptions,
    group_by=st.sampled_from([("component",), (), ("severity",), ("alertname", "component")]),
    group_wait=st.sampled_from([0, 30]),
    group_interval=st.sampled_from([0, 60, 300]),
    repeat_interval=st.sampled_from([0, 30, 600]),
    group_updates=st.sampled_from(["worse", "all"]),
)


class Life:
    """Steps in a world. Each time a name fires it is another alert, as in the engine."""

    def __init__(self, options: AlertsOptions, **world: Any) -> None:
        self.world = World(CHANNELS, options, forwards=frozenset({"am"}), **world)
        self.times: Counter[str] = Counter()
        self.ever_loud: set[str] = set()

    def run(self, life: Sequence[Step], restarts: Sequence[int] = ()) -> list[Notification]:
        for number, step in enumerate(life):
            self._do(step)
            if number in restarts:
                self.world.restart()
            self.turn(step.after)
        return self.world.sent

    def end(self) -> list[Notification]:
        """Resolve all, and let everything have its time."""
        for name in list(self.world.alerts):
            self.world.resolve(name)
        self.turn()
        assert self.world.groups.state() == {"alerts": {}, "channels": _without_groups(self)}
        return self.world.sent

    def turn(self, after: float = 0) -> None:
        # What is quiet at every turn is what must not be told.
        self.world.turn(after)
        self.ever_loud |= {one.id for one in self.world.alerts.values() if not one.is_muted}

    def _do(self, step: Step) -> None:
        world = self.world
        name = f"{step.name}{self.times[step.name]}"
        if step.what.startswith("fire") and name not in world.alerts:
            self.times[step.name] += 1
            name = f"{step.name}{self.times[step.name]}"
            component = Component.MEMORY if step.name == "d" else Component.KERNEL
            world.fire(name, step.severity, component)
            if step.what == "fire quietly":
                world.change(name, silenced_by=("quiet",))
        elif name in world.alerts:
            match step.what:
                case "resolve":
                    world.resolve(name)
                case "vanish":
                    del world.alerts[name]
                case "mute":
                    world.change(name, silenced_by=("quiet",))
                case "unmute":
                    world.change(name, silenced_by=())
                case "acknowledge":
                    world.acknowledge(name)
                case "grade":
                    world.change(name, severity=step.severity)


def _without_groups(life: Life) -> dict[str, Any]:
    state = life.world.groups.state()["channels"]
    return {name: {"groups": [], "began": one["began"]} for name, one in state.items()}


def incidents(messages: Sequence[Notification]) -> dict[tuple[str, str], list[Notification]]:
    found: dict[tuple[str, str], list[Notification]] = {}
    for one in messages:
        found.setdefault((one.channel, one.incident), []).append(one)
    return found


@given(steps(), OPTIONS)
def test_the_end_of_all_that_was_told_is_told_once(
    life: list[Step], options: AlertsOptions
) -> None:
    lived = Life(options)
    lived.run(life)

    for (name, _), messages in incidents(lived.end()).items():
        ends = [one for one in messages if one.kind is NotificationKind.RESOLVED]
        assert ends == messages[-1:]
        told = {alert.id for one in messages for alert in one.firing}
        assert told
        over = Counter(alert.id for one in ends for alert in one.alerts)
        if name == "am":
            # It is told the end of each as it comes.
            over = Counter(alert.id for one in messages for alert in one.resolved)
        assert over == dict.fromkeys(told, 1)
        assert not ends[0].firing


@given(steps(), OPTIONS)
def test_nobody_is_told_of_what_was_quiet_all_along(
    life: list[Step], options: AlertsOptions
) -> None:
    lived = Life(options)
    lived.run(life)

    assert {alert.id for one in lived.end() for alert in one.alerts} <= lived.ever_loud


@given(steps(HIGH), st.sampled_from([0, 30]))
def test_an_incident_that_gets_no_worse_is_two_messages_at_most(
    life: list[Step], group_wait: int
) -> None:
    lived = Life(AlertsOptions(group_wait=group_wait, repeat_interval=0))
    lived.run(life)

    for (name, _), messages in incidents(lived.end()).items():
        if name != "am":
            assert [one.is_resolved for one in messages] == [False, True]


@given(steps(), OPTIONS, st.lists(st.integers(0, 60), max_size=5))
@example([Step("fire", "a", HIGH, 30), Step("vanish", "a", HIGH, 0)], AlertsOptions(), [1])
def test_a_restart_changes_nothing_that_is_told(
    life: list[Step], options: AlertsOptions, restarts: list[int]
) -> None:
    going_on, restarted = Life(options), Life(options)

    going_on.run(life)
    restarted.run(life, restarts)

    assert restarted.end() == going_on.end()


@given(steps(), OPTIONS)
@settings(max_examples=50)
def test_messages_of_one_incident_are_an_interval_apart_but_for_the_end(
    life: list[Step], options: AlertsOptions
) -> None:
    lived = Life(options)
    lived.run(life)

    for (name, _), messages in incidents(lived.end()).items():
        times = [one.created_at for one in messages if not one.is_resolved]
        assert len({one.id for one in messages}) == len(messages)
        if name != "am":
            assert all(
                later - earlier >= options.group_interval for earlier, later in pairwise(times)
            )


@given(steps(), OPTIONS)
@settings(max_examples=50)
def test_no_message_is_without_alerts_or_lists_one_twice(
    life: list[Step], options: AlertsOptions
) -> None:
    lived = Life(options)
    lived.run(life)

    for one in lived.end():
        ids = [alert.id for alert in one.alerts]
        assert ids
        assert len(set(ids)) == len(ids)
        assert Notification.from_dict(one.to_dict()) == one
