from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alertmanager_server import AlertmanagerServer, running_alertmanager
from faulty_server import NEVER_ANSWERS, REFUSED, answer, faulty_server

from alert_samples import FIRING, MESSAGE, NOW, PENDING, RESOLVED
from metalscope.alert_options import ChannelOptions, SmtpOptions
from metalscope.alert_report import Alert, AlertState
from metalscope.alerts.notification import Notification
from metalscope.alerts.notify.base import Notifier
from metalscope.alerts.notify.registry import create_notifier
from metalscope.alerts.notify.testing import message_of_test
from metalscope.errors import ConfigurationError
from metalscope.operation import ErrorSeverity
from metalscope.sending.http.transport import TransportError
from metalscope.sending.result import ExportResult, Reason, Verdict


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlertmanagerServer]:
    with running_alertmanager(tmp_path_factory.mktemp("alertmanager")) as running:
        yield running


def notifier(target: str, **options: Any) -> Notifier:
    channel = ChannelOptions(name="am", type="alertmanager", target=target, **options)
    return create_notifier(channel, SmtpOptions())


def fires(name: str, now: datetime = NOW, **changes: Any) -> Alert:
    """An alert of this rule, and of no other test."""
    since = now - timedelta(minutes=2)
    return replace(
        FIRING, id=name, rule=name, active_since=since, fired_at=since, last_seen=now, **changes
    )


def over(alert: Alert, now: datetime) -> Alert:
    return replace(alert, state=AlertState.RESOLVED, resolved_at=now, resolution="it went away")


def message(*alerts: Alert, now: datetime = NOW, **changes: Any) -> Notification:
    return replace(MESSAGE, alerts=alerts, created_at=now, **changes)


def sent(*alerts: Alert, now: datetime = NOW) -> list[dict[str, Any]]:
    """What goes over the wire."""
    with faulty_server(answer(200)) as peer:
        assert notifier(f"{peer.url}/api/v2/alerts").send(message(*alerts, now=now)).ok
    made: list[dict[str, Any]] = json.loads(peer.requests[0].content)
    return made


@pytest.mark.server
def test_an_alert_is_there_with_its_labels_and_gone_when_it_is_over(
    server: AlertmanagerServer,
) -> None:
    now = datetime.now(UTC)
    one, two = fires("One", now), fires("Two", now, labels=(("device", "m2"),))
    am = notifier(f"alertmanager+{server.url}")
    assert am.send(message(one, two, now=now)) == ExportResult.delivered(2)
    (found,) = server.alerts("alertname=One")
    assert found["labels"] == {
        "alertname": "One",
        "severity": "high",
        "component": "kernel",
        "device": "m1",
        "name": "attention",
        "instance": "mac-studio",
    }
    assert found["annotations"]["summary"] == FIRING.title
    assert found["annotations"]["actions"] == "\n".join(FIRING.actions)
    assert found["generatorURL"] == FIRING.link
    assert server.alerts("alertname=Two")[0]["labels"]["device"] == "m2"
    assert am.send(message(over(one, now), two, now=now)).ok
    assert server.alerts("alertname=One") == []
    assert len(server.alerts("alertname=Two")) == 1


@pytest.mark.server
def test_an_alert_that_gets_graver_is_there_once(server: AlertmanagerServer) -> None:
    now = datetime.now(UTC)
    mild = fires("Graver", now, severity=ErrorSeverity.MEDIUM)
    grave = replace(mild, severity=ErrorSeverity.CRITICAL)
    am = notifier(f"{server.url}/api/v2/alerts")
    assert am.send(message(mild, now=now)).ok
    assert am.send(message(grave, now=now)).ok
    (found,) = server.alerts("alertname=Graver")
    assert found["labels"]["severity"] == "critical"
    assert am.send(message(over(grave, now), now=now)).ok
    assert server.alerts("alertname=Graver") == []


@pytest.mark.server
def test_whatever_labels_and_texts_hold_it_takes_them(server: AlertmanagerServer) -> None:
    now = datetime.now(UTC)
    odd = fires(
        "Odd",
        now,
        labels=(("9lives", "a"), ("gen_ai.model", 'quote " \\ \n ü 🔥 \ud800'), ("none", "")),
        title="t" * 5000,
        description="\0\x1b[31m\ud800",
        link="http://[not-a-host/%zz",
    )
    assert notifier(server.url).send(message(odd, now=now, source="")).ok
    (found,) = server.alerts("alertname=Odd")
    assert found["labels"]["gen_ai_model"] == 'quote " \\ \n ü 🔥 ?'
    assert found["labels"]["_9lives"] == "a"
    assert "none" not in found["labels"]
    assert "instance" not in found["labels"]


@pytest.mark.server
def test_a_test_says_that_it_is_one_and_ends_by_itself(server: AlertmanagerServer) -> None:
    now = datetime.now(UTC)
    assert notifier(server.url).send(message_of_test("am", now=now)).ok
    (found,) = server.alerts("alertname=MetalscopeTest")
    assert "test" in found["annotations"]["summary"]
    ends = datetime.fromisoformat(found["endsAt"])
    assert now < ends < now + timedelta(minutes=10)


def test_one_that_fires_counts_for_four_minutes_and_one_that_is_over_has_its_end() -> None:
    firing, ended = sent(FIRING, RESOLVED)
    assert firing["startsAt"] == "2026-01-01T11:58:00.000000Z"
    assert firing["endsAt"] == "2026-01-01T12:04:00.000000Z"
    assert ended["startsAt"] == "2026-01-01T10:00:00.000000Z"
    assert ended["endsAt"] == "2026-01-01T11:01:00.000000Z"
    assert ended["annotations"]["resolution"] == RESOLVED.resolution


def test_an_end_is_never_before_the_start() -> None:
    (made,) = sent(over(fires("Clock"), NOW - timedelta(hours=1)))
    assert made["startsAt"] == made["endsAt"]


def test_what_does_not_fire_yet_is_not_sent() -> None:
    with faulty_server(answer(200)) as peer:
        assert notifier(peer.url).send(message(PENDING)) == ExportResult.delivered()
        assert peer.requests == []


def test_a_label_of_its_own_named_instance_is_kept() -> None:
    (made,) = sent(fires("Own", labels=(("instance", "gpu-7"),)))
    assert made["labels"]["instance"] == "gpu-7"


def test_the_former_severity_is_ended_again_where_the_message_did_not_arrive() -> None:
    mild = fires("Lost", severity=ErrorSeverity.MEDIUM)
    grave = replace(mild, severity=ErrorSeverity.HIGH)
    with faulty_server(answer(200), answer(503), answer(200)) as peer:
        am = notifier(peer.url)
        assert am.send(message(mild)).ok
        assert am.send(message(grave)).verdict is Verdict.RETRY
        assert am.send(message(grave)).ok
        assert am.send(message(grave)).ok
    last = [json.loads(request.content) for request in peer.requests]
    assert [[one["labels"]["severity"] for one in each] for each in last] == [
        ["medium"], ["medium", "high"], ["medium", "high"], ["high"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "verdict", "reason"),
    [
        (answer(400, b'"label name is not valid"'), Verdict.REJECTED, Reason.SCHEMA),
        (answer(401), Verdict.RETRY, Reason.UNAUTHORIZED),
        (answer(404), Verdict.RETRY, Reason.NOT_FOUND),
        (answer(500), Verdict.RETRY, Reason.SERVER_ERROR),
    ],
)
def test_an_answer_says_whether_it_may_be_taken_later(
    fault: Any, verdict: Verdict, reason: Reason
) -> None:
    with faulty_server(fault) as peer:
        result = notifier(peer.url).send(message(FIRING))
    assert (result.verdict, result.reason) == (verdict, reason)


def test_one_that_never_answers_holds_it_up_no_longer_than_the_time_limit() -> None:
    with faulty_server(NEVER_ANSWERS) as peer:
        am = notifier(peer.url, timeout=timedelta(seconds=0.3))
        with pytest.raises(TransportError) as caught:
            am.send(message(FIRING))
        am.shutdown()
    assert caught.value.reason is Reason.TIMEOUT
    with faulty_server(REFUSED) as peer, pytest.raises(TransportError) as caught:
        notifier(peer.url).send(message(FIRING))
    assert caught.value.reason is Reason.REFUSED


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("{}", "/api/v2/alerts"),
        ("{}/", "/api/v2/alerts"),
        ("{}/am", "/am/api/v2/alerts"),
        ("{}/am/api/v2/alerts/", "/am/api/v2/alerts"),
        ("alertmanager+{}/am", "/am/api/v2/alerts"),
        ("{}/?tenant=a", "/api/v2/alerts?tenant=a"),
    ],
)
def test_the_path_of_the_api_is_put_after_the_target(target: str, path: str) -> None:
    with faulty_server(answer(200)) as peer:
        assert notifier(target.format(peer.url.rstrip("/"))).send(message(FIRING)).ok
    assert peer.requests[0].path == path


@pytest.mark.parametrize("target", ["ops@example.com", "alertmanager+http://", "am:9093"])
def test_what_is_no_url_is_refused_at_the_start(target: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^alerts channel am: target must be Alert"):
        notifier(target)


def test_it_says_that_it_groups_and_repeats_itself() -> None:
    assert notifier("http://am:9093").forwards
