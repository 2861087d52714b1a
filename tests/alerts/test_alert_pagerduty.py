"""Incidents are opened and resolved at PagerDuty, whatever is in the alerts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from faulty_server import FaultyServer, Request, answer, answer_by, faulty_server
from hypothesis import given, settings
from receivers import MANY, TEST, notifications, notifier
from receivers_pagerduty import KEY, PagerDutyReceiver

from alert_samples import FIRING, MESSAGE
from metalscope.alert_options import ChannelOptions, SmtpOptions
from metalscope.alerts.notification import Notification, NotificationKind
from metalscope.alerts.notify.base import Notifier, NotifierContext
from metalscope.alerts.notify.pagerduty import PagerDutyNotifier
from metalscope.alerts.notify.templates import wording_of
from metalscope.errors import ConfigurationError
from metalscope.operation import ErrorSeverity
from metalscope.sending.http.outcome import TransportError
from metalscope.sending.http.transport import HttpTransport
from metalscope.sending.result import Reason, Verdict

pagerduty = PagerDutyReceiver()


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with faulty_server(answer_by(pagerduty), path="/v2/enqueue") as running:
        yield running


@pytest.fixture(scope="module")
def channel(server: FaultyServer) -> Iterator[Notifier]:
    made = notifier("pagerduty", server.url, api_key=KEY)
    yield made
    made.shutdown()


@pytest.fixture(autouse=True)
def _as_new(server: FaultyServer) -> Iterator[None]:
    pagerduty.taken.clear()
    pagerduty.refused.clear()
    pagerduty.incidents.clear()
    yield
    server.answers = [answer_by(pagerduty)]


def test_an_incident_says_what_where_how_bad_and_since_when(channel: Notifier) -> None:
    assert channel.send(MESSAGE).ok
    (event,) = pagerduty.taken
    payload = event["payload"]
    assert payload["summary"] == "[FIRING high] attention failed 7 times in 5m (mac-studio)"
    assert (payload["source"], payload["severity"]) == ("mac-studio", "error")
    assert (payload["component"], payload["class"]) == ("kernel", "MetalKernelFailures")
    assert payload["timestamp"] == "2026-01-01T11:58:00.000000Z"
    (alert,) = payload["custom_details"]["firing"]
    assert alert["p95"] == "12.5 ms"
    assert "Look at the kernel's last change." in alert["what to do"]
    assert event["client_url"] == "http://127.0.0.1:9464/"
    assert {"href": FIRING.runbook, "text": "Runbook"} in event["links"]


def test_what_follows_is_added_to_the_incident_and_its_end_resolves_it(channel: Notifier) -> None:
    for kind in (NotificationKind.FIRING, NotificationKind.UPDATE, NotificationKind.REPEAT):
        assert channel.send(replace(MESSAGE, kind=kind)).ok
    (events,) = pagerduty.incidents.values()
    assert len(events) == 3
    assert channel.send(replace(MESSAGE, kind=NotificationKind.RESOLVED, alerts=())).ok
    assert not pagerduty.incidents


def test_each_severity_has_its_word(channel: Notifier) -> None:
    words = []
    for severity in ErrorSeverity:
        channel.send(replace(MESSAGE, alerts=(replace(FIRING, severity=severity),)))
        words.append(pagerduty.taken[-1]["payload"]["severity"])
    assert sorted(words) == ["critical", "error", "info", "warning"]


def test_a_test_opens_an_incident_of_its_own_and_resolves_it(channel: Notifier) -> None:
    assert channel.send(MESSAGE).ok
    assert channel.send(TEST).ok
    assert [one["event_action"] for one in pagerduty.taken] == ["trigger", "trigger", "resolve"]
    assert pagerduty.taken[1]["payload"]["severity"] == "info"
    assert list(pagerduty.incidents) == [MESSAGE.incident]


def test_of_very_many_alerts_those_that_fit_are_in_the_details(channel: Notifier) -> None:
    large = replace(FIRING, actions=("🔥" * 900,) * 20)
    assert channel.send(replace(MANY, alerts=(large,) * 60)).ok
    details = pagerduty.taken[0]["payload"]["custom_details"]
    shown = len(details["firing"])
    assert 0 < shown < 60
    assert details["more that fire"] == 60 - shown + 3


@settings(max_examples=25)
@given(message=notifications())
def test_no_text_of_an_alert_breaks_a_limit(channel: Notifier, message: Notification) -> None:
    result = channel.send(message)
    assert result.ok, result


def test_a_template_takes_the_place_of_the_details(server: FaultyServer) -> None:
    made = notifier("pagerduty", server.url, api_key=KEY, title="{{ source }}", body="look!")
    assert made.send(MESSAGE).ok
    made.shutdown()
    payload = pagerduty.taken[0]["payload"]
    assert payload["summary"] == "mac-studio"
    assert payload["custom_details"] == {"text": "look!"}


def test_a_rate_limit_and_a_failure_of_the_server_are_tried_again(
    channel: Notifier, server: FaultyServer
) -> None:
    server.answers = [answer(429, retry_after="30"), answer(500), answer_by(pagerduty)]
    limited, failed = channel.send(MESSAGE), channel.send(MESSAGE)
    assert (limited.verdict, limited.retry_after) == (Verdict.RETRY, timedelta(seconds=30))
    assert (failed.verdict, failed.reason) == (Verdict.RETRY, Reason.SERVER_ERROR)
    assert channel.send(MESSAGE).ok


def test_a_test_whose_end_is_lost_comes_again_whole(
    channel: Notifier, server: FaultyServer
) -> None:
    server.answers = [answer_by(pagerduty), answer(503), answer_by(pagerduty)]
    assert channel.send(TEST).verdict is Verdict.RETRY
    assert channel.send(TEST).ok
    assert not pagerduty.incidents


def test_a_wrong_key_is_refused_for_good_and_not_shown(server: FaultyServer) -> None:
    wrong = "wrong-no"[:5] + "0" * 27
    made = notifier("pagerduty", server.url, api_key=wrong.replace("-", "0"))
    result = made.send(MESSAGE)
    made.shutdown()
    assert (result.verdict, result.reason) == (Verdict.REJECTED, Reason.SCHEMA)
    assert "integration of the type Events API v2" in result.detail
    assert "wrong0" not in result.detail + repr(made)


def test_the_key_may_be_in_a_file_and_is_read_anew(server: FaultyServer, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("not a key")
    made = notifier("pagerduty", server.url, api_key_from=f"file:{file}")
    with pytest.raises(TransportError) as caught:
        made.send(MESSAGE)
    assert caught.value.reason is Reason.CONFIGURATION
    assert "not a key" not in str(caught.value)
    file.write_text(KEY)
    assert made.send(MESSAGE).ok
    made.shutdown()


@pytest.mark.parametrize("target", [KEY, f"pagerduty://{KEY}", f" {KEY}\n"])
def test_a_target_that_is_the_key_goes_to_pagerduty_itself(
    server: FaultyServer, target: str
) -> None:
    options = ChannelOptions(name="ops", type="pagerduty", target=target)
    asked: list[Any] = []

    def open_http(url: str, **more: Any) -> HttpTransport:
        asked.append(url)
        return HttpTransport.of(options, server.url, timeout=options.timeout, **more)

    made = PagerDutyNotifier(
        NotifierContext(options, SmtpOptions.defaults(), wording_of(options), open_http)
    )
    assert made.send(MESSAGE).ok
    made.shutdown()
    assert asked == ["https://events.pagerduty.com/v2/enqueue"]


@pytest.mark.parametrize(
    ("target", "key", "what"),
    [
        ("tooshort123", None, "must be PagerDuty's integration key of 32 letters and digits"),
        ("https://events.eu.pagerduty.com/v2/enqueue", None, "needs the integration key in api_"),
        (KEY, KEY, "leave out api_key"),
    ],
)
def test_what_cannot_be_is_said_at_the_start(target: str, key: str | None, what: str) -> None:
    with pytest.raises(ConfigurationError, match="alerts channel ops: ") as caught:
        notifier("pagerduty", target, api_key=key)
    assert what in str(caught.value)
    assert "tooshort123" not in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"routing_key": "short"},
        {"event_action": "open"},
        {"dedup_key": "k" * 256},
        {"payload": {"summary": "s" * 1025, "source": "s", "severity": "info"}},
        {"payload": {"summary": "s", "source": "s", "severity": "high"}},
        {"payload": {"summary": "s", "source": "", "severity": "info"}},
        {"links": [{"href": "javascript:alert(1)"}]},
        {"client": "x" * 512_000},
    ],
)
def test_the_receiver_refuses_what_pagerduty_would(change: dict[str, Any]) -> None:
    payload = {"summary": "s", "source": "s", "severity": "info"}
    good = {"routing_key": KEY, "event_action": "trigger", "dedup_key": "k", "payload": payload}
    headers = {"content-type": "application/json"}
    request = Request("POST", "/v2/enqueue", headers, json.dumps(good).encode())
    assert pagerduty(request)[0] == 202
    assert pagerduty(replace(request, body=json.dumps(good | change).encode()))[0] == 400
