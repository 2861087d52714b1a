"""Alerts that others explain are quiet, and never all of those that explain each other."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from alert_samples import FIRING
from metalscope.alert_options import InhibitionOptions
from metalscope.alert_report import AlertState
from metalscope.alerts.engine.inhibiting import Inhibition, inhibited
from metalscope.operation import ErrorSeverity


def alert(rule, *, severity=ErrorSeverity.HIGH, after=0, state=AlertState.FIRING, **labels):
    named = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
    return replace(
        FIRING,
        id=f"{rule} {named}",
        fingerprint=f"{rule} {named}".strip(),
        rule=rule,
        severity=severity,
        state=state,
        labels=tuple(sorted(labels.items())),
        fired_at=FIRING.fired_at + timedelta(seconds=after),
    )


def by(source, target, *equal):
    return Inhibition.of(InhibitionOptions(source=[source], target=[target], equal=equal))


LOST = by('alertname="Lost"', 'alertname=~"Errors|Slow"', "device")


def test_an_alert_is_quiet_while_one_fires_that_explains_it():
    alerts = [alert("Lost", device="m1"), alert("Slow", device="m1", name="a")]
    assert inhibited(alerts, [LOST]) == {"Slow device=m1,name=a": ("Lost device=m1",)}


def test_one_that_is_pending_explains_nothing_yet():
    alerts = [alert("Lost", device="m1", state=AlertState.PENDING), alert("Slow", device="m1")]
    assert inhibited(alerts, [LOST]) == {}


def test_one_that_is_pending_may_be_explained():
    alerts = [alert("Lost", device="m1"), alert("Slow", device="m1", state=AlertState.PENDING)]
    assert inhibited(alerts, [LOST]) == {"Slow device=m1": ("Lost device=m1",)}


def test_labels_must_be_equal_where_both_have_them():
    alerts = [
        alert("Lost", device="m1"),
        alert("Slow", device="m2"),
        alert("Errors", type="timeout"),
    ]
    assert inhibited(alerts, [LOST]) == {"Errors type=timeout": ("Lost device=m1",)}


def test_an_alert_does_not_explain_itself():
    everything = by('alertname=~".+"', 'alertname=~".+"')
    assert inhibited([alert("Lost")], [everything]) == {}


def test_two_that_fulfil_both_sides_do_not_explain_each_other():
    # As in Alertmanager, where this keeps the usual "graver silences milder" from going wrong.
    everything = by('alertname=~".+"', 'alertname=~".+"')
    assert inhibited([alert("Lost"), alert("Slow")], [everything]) == {}


def test_one_that_is_explained_itself_explains_others_still():
    chain = [by('alertname="A"', 'alertname="B"'), by('alertname="B"', 'alertname="C"')]
    assert inhibited([alert("C"), alert("B"), alert("A")], chain) == {"B": ("A",), "C": ("B",)}


CIRCLE = [
    by('alertname="A"', 'alertname="B"'),
    by('alertname="B"', 'alertname="C"'),
    by('alertname="C"', 'alertname="A"'),
]


def test_in_a_circle_the_gravest_speaks():
    alerts = [alert("A"), alert("B", severity=ErrorSeverity.CRITICAL), alert("C")]
    assert inhibited(alerts, CIRCLE) == {"A": ("C",), "C": ("B",)}


def test_in_a_circle_of_equals_the_first_speaks():
    alerts = [alert("A", after=2), alert("B", after=1), alert("C")]
    assert inhibited(alerts, CIRCLE) == {"A": ("C",), "B": ("A",)}


def test_a_circle_that_another_explains_is_quiet():
    alerts = [alert("A"), alert("B"), alert("C"), alert("Lost")]
    explained = inhibited(alerts, [*CIRCLE, by('alertname="Lost"', 'alertname="B"')])
    assert set(explained) == {"A", "B", "C"}


NAMES = "ABCDEFG"
edges = st.sets(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=20)


@given(
    st.dictionaries(
        st.sampled_from(NAMES),
        st.tuples(st.sampled_from(list(ErrorSeverity)), st.integers(0, 3), st.booleans()),
        min_size=1,
    ),
    edges,
)
def test_whoever_is_quiet_is_explained_by_one_that_speaks(present, pairs):
    alerts = [
        alert(
            name,
            severity=severity,
            after=after,
            state=AlertState.FIRING if fires else AlertState.PENDING,
        )
        for name, (severity, after, fires) in present.items()
    ]
    rules = [by(f'alertname="{a}"', f'alertname="{b}"') for a, b in sorted(pairs)]
    explained = inhibited(alerts, rules)
    fires = {one.rule for one in alerts if one.state is AlertState.FIRING}
    wanted = {(a, b) for a, b in pairs if a != b and a in fires and b in present}
    # Each is explained by all that do, or speaks.
    for name in present:
        sources = {a for a, b in wanted if b == name}
        assert set(explained.get(name, sources)) == sources
    for name in explained:
        reached, todo = {name}, [name]
        while todo:
            todo = [a for one in todo for a in explained.get(one, ()) if a not in reached]
            reached.update(todo)
        assert reached - explained.keys(), f"nobody speaks for {name}"
    # Who speaks though another explains it does so for a circle.
    for name in present.keys() - explained.keys():
        for source in (a for a, b in wanted if b == name):
            assert name in _upstream(source, wanted)


def _upstream(name, wanted):
    reached, todo = {name}, [name]
    while todo:
        todo = [a for one in todo for a, b in wanted if b == one and a not in reached]
        reached.update(todo)
    return reached


def test_a_long_chain_and_a_long_circle_are_no_trouble():
    alerts = [alert("X", at=str(n), to=str(n)) for n in range(1000)]
    chain = [by(f'at="{n}"', f'to="{n + 1}"') for n in range(50)]
    assert len(inhibited(alerts, chain)) == 50
    circle = [*chain, by('at="50"', 'to="0"')]
    assert len(inhibited(alerts, circle)) == 50


def test_the_page_about_alerts_names_all_that_is_built_in():
    from metalscope.alerts.builtin import builtin_inhibitions

    page = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text()
    named = set(re.findall(r"Metal[A-Za-z]+", str(builtin_inhibitions())))
    assert {one for one in named if f"`{one}`" not in page} == set()
