"""The words of alerts: matchers, silences, and all of it through JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_samples import CHANNEL, FIRING, MESSAGE, NOW, PENDING, RESOLVED, SILENCE
from metalscope.alert_report import Matcher, MatcherOperator
from metalscope.alerts.notification import Notification, NotificationKind
from metalscope.snapshot_json_alerts import alert_from_dict, channel_from_dict, silence_from_dict


@pytest.mark.parametrize("alert", [FIRING, PENDING, RESOLVED])
def test_an_alert_comes_back_from_its_json_whole(alert) -> None:
    assert alert_from_dict(json.loads(json.dumps(alert.to_dict()))) == alert


def test_silences_channels_and_messages_come_back_too() -> None:
    assert silence_from_dict(json.loads(json.dumps(SILENCE.to_dict()))) == SILENCE
    assert channel_from_dict(json.loads(json.dumps(CHANNEL.to_dict()))) == CHANNEL
    assert Notification.from_dict(json.loads(json.dumps(MESSAGE.to_dict()))) == MESSAGE


@given(
    st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True),
    st.sampled_from([MatcherOperator.EQUAL, MatcherOperator.NOT_EQUAL]),
    st.text(max_size=20),
)
def test_a_matcher_is_read_from_what_it_is_shown_as(name, operator, value) -> None:
    matcher = Matcher(name, operator, value)
    assert Matcher.parse(str(matcher)) == matcher


@pytest.mark.parametrize(
    ("text", "labels", "fulfilled"),
    [
        ('name="attention"', {"name": "attention"}, True),
        ("name=attention", {"name": "attention"}, True),
        ('name="attention"', {"name": "attention_2"}, False),
        ('name!="attention"', {}, True),
        ('name=""', {}, True),
        ('name=~"att.*"', {"name": "attention"}, True),
        ('name=~"att"', {"name": "attention"}, False),
        ('name!~"att.*"', {"name": "attention"}, False),
        ('name!~"att.*"', {}, True),
    ],
)
def test_a_matcher_looks_at_the_whole_value(text, labels, fulfilled) -> None:
    assert Matcher.parse(text).matches(labels) is fulfilled


@pytest.mark.parametrize("text", ["", "name", '"x"="y"', 'name="a" b', "name=~(", "1a=b", "a==b c"])
def test_what_is_no_matcher_is_refused(text) -> None:
    with pytest.raises(ValueError, match=r"matcher|regular expression"):
        Matcher.parse(text)


def test_a_silence_holds_from_its_beginning_to_just_before_its_end() -> None:
    assert not SILENCE.is_active(SILENCE.starts_at - timedelta(microseconds=1))
    assert SILENCE.is_active(SILENCE.starts_at)
    assert not SILENCE.is_active(SILENCE.ends_at)


def test_labels_for_matchers_hold_the_rule_the_severity_and_the_component() -> None:
    assert FIRING.all_labels == {
        "alertname": "MetalKernelFailures",
        "severity": "high",
        "component": "kernel",
        "device": "m1",
        "name": "attention",
    }


def test_all_messages_of_an_incident_share_its_name_and_no_other_has_it() -> None:
    later = replace(
        MESSAGE, id="m2", kind=NotificationKind.RESOLVED, created_at=NOW + timedelta(hours=1)
    )
    again = replace(MESSAGE, id="m3", began_at=NOW + timedelta(hours=2))
    elsewhere = replace(MESSAGE, id="m4", channel="email")
    assert later.incident == MESSAGE.incident
    assert len({MESSAGE.incident, again.incident, elsewhere.incident}) == 3
