"""The exported configuration of Alertmanager keeps quiet what metalscope does."""

from __future__ import annotations

from dataclasses import replace

import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from prometheus_rules import own

from alert_samples import FIRING
from metalscope.alert_options import AlertsOptions, InhibitionOptions
from metalscope.alert_report import Alert, Matcher
from metalscope.alerts.builtin import builtin_inhibitions, rules_of
from metalscope.alerts.engine.inhibiting import Inhibition, inhibited
from metalscope.alerts.expression import compile_expression
from metalscope.alerts.prometheus import alertmanager_text, rules_text, unit_tests_text
from metalscope.alerts.prometheus.shape import labels_given
from metalscope.operation import Component

DEFAULTS = AlertsOptions()


def inhibit_rules(made: AlertsOptions) -> list[dict[str, list[str]]]:
    found: list[dict[str, list[str]]] = yaml.safe_load(alertmanager_text(made))["inhibit_rules"]
    return found


def test_graver_alerts_of_a_rule_keep_its_milder_ones_quiet() -> None:
    first = inhibit_rules(DEFAULTS)[0]
    assert 'severity="critical"' in first["source_matchers"]
    assert 'severity=~"low|medium|high"' in first["target_matchers"]
    assert first["equal"][:3] == ["alertname", "job", "instance"]
    assert {"device", "pool", "objective"} <= set(first["equal"])


def test_labels_are_compared_where_both_alerts_have_them() -> None:
    made = AlertsOptions(
        disabled_rules=("*",),
        rules=(
            own("Cause", "sum by (device) (metal_memory_usage_bytes) > 1"),
            own("Same", "max by (device) (metal_memory_usage_bytes) > 1"),
            own("Else", "sum(metal_memory_usage_bytes) > 1"),
        ),
        inhibitions=(
            InhibitionOptions(
                source=('alertname="Cause"',),
                target=('alertname=~"Same|Else"', 'severity!="critical"'),
                equal=("device",),
            ),
        ),
    )
    assert [
        one for one in inhibit_rules(made) if 'alertname="Cause"' in one["source_matchers"]
    ] == [
        {
            "source_matchers": ['alertname="Cause"'],
            "target_matchers": ['alertname="Same"', 'severity!="critical"'],
            "equal": ["job", "instance", "device"],
        },
        {
            "source_matchers": ['alertname="Cause"'],
            "target_matchers": ['alertname="Else"', 'severity!="critical"'],
            "equal": ["job", "instance"],
        },
    ]


@st.composite
def alerts(draw: st.DrawFn) -> Alert:
    """An alert of a built-in rule, with all the labels that its alerts have."""
    rule = draw(st.sampled_from(rules_of(DEFAULTS)))
    given = labels_given(compile_expression(rule.expr).node)
    assert given is not None
    components = [one.value for one in Component]
    labels = tuple(
        (name, draw(st.sampled_from(components if name == "component" else ["x", "y"])))
        for name in sorted(given)
    )
    return replace(
        FIRING,
        fingerprint=f"{rule.name} {labels}",
        rule=rule.name,
        labels=labels,
        severity=draw(st.sampled_from([rule.severity, *rule.severities])),
        component=None if "component" in given else rule.component,
    )


def is_quiet_in_alertmanager(target: Alert, source: Alert) -> bool:
    """As Alertmanager has it: a label that is not there is an empty one."""
    labels, others = target.all_labels, source.all_labels
    return any(
        all(Matcher.parse(one).matches(others) for one in rule["source_matchers"])
        and all(Matcher.parse(one).matches(labels) for one in rule["target_matchers"])
        and all(labels.get(name, "") == others.get(name, "") for name in rule["equal"])
        for rule in INHIBIT_RULES
    )


INHIBIT_RULES = inhibit_rules(DEFAULTS)
INHIBITIONS = [Inhibition.of(one) for one in builtin_inhibitions()]


@settings(max_examples=300, deadline=None)
@given(alerts(), alerts())
def test_alertmanager_keeps_quiet_what_metalscope_does(target: Alert, source: Alert) -> None:
    assume(target.rule != source.rule)
    here = target.fingerprint in inhibited((target, source), INHIBITIONS)
    assert here == is_quiet_in_alertmanager(target, source)


def test_nothing_of_the_channels_is_exported() -> None:
    made = AlertsOptions.model_validate(
        {"channels": [{"name": "ops", "target": "https://hooks.slack.com/services/T/B/secret"}]}
    )
    text = alertmanager_text(made) + rules_text(made) + unit_tests_text(made)
    assert "secret" not in text
