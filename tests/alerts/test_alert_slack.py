"""Messages arrive in Slack, whatever is in them, and its answers are understood."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from faulty_server import FaultyServer, Request, answer, answer_by, faulty_server
from hypothesis import given, settings
from receivers import MANY, OVER, TEST, notifications, notifier
from receivers_slack import SlackReceiver

from alert_samples import FIRING, MESSAGE
from metalscope.alerts.notification import Notification
from metalscope.alerts.notify.base import Notifier
from metalscope.errors import ConfigurationError
from metalscope.operation import ErrorSeverity
from metalscope.sending.http.outcome import TransportError
from metalscope.sending.result import Reason, Verdict

PATH = "/services/T000/B000/xxx"
slack = SlackReceiver()


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with faulty_server(answer_by(slack), path=PATH) as running:
        yield running


@pytest.fixture(scope="module")
def channel(server: FaultyServer) -> Iterator[Notifier]:
    made = notifier("slack", server.url)
    yield made
    made.shutdown()


@pytest.fixture(autouse=True)
def _as_new(server: FaultyServer) -> Iterator[None]:
    slack.taken.clear()
    slack.refused.clear()
    slack.blocks = True
    yield
    server.answers = [answer_by(slack)]


def test_a_message_has_a_header_facts_a_colour_and_buttons(channel: Notifier) -> None:
    assert channel.send(MESSAGE).ok
    (message,) = slack.taken
    assert message["text"] == "[FIRING high] attention failed 7 times in 5m (mac-studio)"
    assert message["blocks"][0]["text"]["text"] == message["text"]
    (attachment,) = message["attachments"]
    title, facts, more, context, buttons = attachment["blocks"]
    assert title["text"]["text"].startswith("*attention failed 7 times in 5m*\n")
    assert "*Severity*\nhigh" in [one["text"] for one in facts["fields"]]
    assert "*p95*\n12.5 ms" in [one["text"] for one in facts["fields"]]
    assert "• Look at the kernel's last change." in more["text"]["text"]
    assert "mac-studio · component=kernel" in context["elements"][0]["text"]
    assert {one["text"]["text"]: one["url"] for one in buttons["elements"]} == {
        "Dashboard": "http://127.0.0.1:9464/",
        "Runbook": FIRING.runbook,
        "Alert": FIRING.link,
    }


def test_each_severity_and_the_end_have_a_colour_of_their_own(channel: Notifier) -> None:
    for severity in ErrorSeverity:
        channel.send(replace(MESSAGE, alerts=(replace(FIRING, severity=severity),)))
    channel.send(OVER)
    assert len({one["attachments"][0]["color"] for one in slack.taken}) == 5


def test_what_is_over_says_how_long_it_lasted(channel: Notifier) -> None:
    assert channel.send(OVER).ok
    said = str(slack.taken)
    assert "[RESOLVED] The device m1 was lost" in said
    assert "lasted 1h1m" in said


def test_a_test_says_that_it_is_one(channel: Notifier) -> None:
    assert channel.send(TEST).ok
    assert "[TEST]" in str(slack.taken)


def test_of_many_alerts_those_that_fit_are_shown_and_the_rest_counted(channel: Notifier) -> None:
    assert channel.send(MANY).ok
    shown = str(slack.taken).count("*attention failed")
    assert 0 < shown < 40
    assert f"{40 - shown + 3} more that fire are not shown here." in str(slack.taken)
    assert "lasted 1h1m" in str(slack.taken)


@settings(max_examples=30)
@given(message=notifications())
def test_no_text_of_an_alert_breaks_a_limit(channel: Notifier, message: Notification) -> None:
    result = channel.send(message)
    assert result.ok, result
    assert not slack.refused
    assert not result.detail


@settings(max_examples=10)
@given(message=notifications())
def test_nor_where_a_template_writes_the_text_or_blocks_are_not_taken(
    server: FaultyServer, message: Notification
) -> None:
    slack.blocks = True
    made = notifier("slack", server.url, body="{{ default_body }}", title="{{ default_title }}")
    assert made.send(message).ok
    assert not slack.refused
    slack.blocks = False
    assert made.send(message).ok
    slack.refused.clear()
    made.shutdown()


def test_a_template_takes_the_place_of_the_blocks_for_alerts(server: FaultyServer) -> None:
    made = notifier("slack", server.url, title="{{ severity|upper }}", body="*{{ source }}* <b>")
    assert made.send(MESSAGE).ok
    made.shutdown()
    (message,) = slack.taken
    assert message["text"] == "HIGH"
    assert message["attachments"][0]["blocks"][0]["text"]["text"] == "*mac-studio* &lt;b&gt;"


def test_where_blocks_are_refused_the_text_is_sent(channel: Notifier) -> None:
    slack.blocks = False
    result = channel.send(MESSAGE)
    assert result.ok
    assert result.reason is Reason.PARTIAL
    assert "plain text" in result.detail
    assert "invalid_blocks" in result.detail
    (message,) = slack.taken
    assert message.keys() == {"text"}
    assert "What to do:" in message["text"]


def test_where_the_text_is_refused_too_it_is_let_go(
    channel: Notifier, server: FaultyServer
) -> None:
    server.answers = [answer(400, b"invalid_payload")]
    result = channel.send(MESSAGE)
    assert (result.verdict, result.reason) == (Verdict.REJECTED, Reason.SCHEMA)
    assert "invalid_payload" in result.detail


def test_a_rate_limit_says_when_to_come_back_and_then_it_arrives(
    channel: Notifier, server: FaultyServer
) -> None:
    server.answers = [answer(429, b"rate_limited", retry_after="7"), answer_by(slack)]
    result = channel.send(MESSAGE)
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.RATE_LIMITED)
    assert result.retry_after == timedelta(seconds=7)
    assert channel.send(MESSAGE).ok


@pytest.mark.parametrize(
    ("said", "verdict", "reason", "advice"),
    [
        ((403, b"invalid_token"), Verdict.REJECTED, Reason.FORBIDDEN, "revoked"),
        ((403, b"action_prohibited"), Verdict.REJECTED, Reason.FORBIDDEN, "administrator"),
        ((404, b"no_service"), Verdict.REJECTED, Reason.NOT_FOUND, "make a new one"),
        ((404, b"channel_not_found"), Verdict.REJECTED, Reason.NOT_FOUND, "channel is gone"),
        ((404, b"<html>nginx</html>"), Verdict.REJECTED, Reason.NOT_FOUND, "is the address"),
        ((410, b"channel_is_archived"), Verdict.REJECTED, Reason.NOT_FOUND, "archived"),
        ((500, b"rollup_error"), Verdict.RETRY, Reason.SERVER_ERROR, ""),
        ((503, b""), Verdict.RETRY, Reason.SERVER_ERROR, ""),
    ],
)
def test_each_refusal_is_understood(  # noqa: PLR0917 - pytest names them
    channel: Notifier,
    server: FaultyServer,
    said: tuple[int, bytes],
    verdict: Verdict,
    reason: Reason,
    advice: str,
) -> None:
    server.answers = [answer(*said)]
    result = channel.send(MESSAGE)
    assert (result.verdict, result.reason) == (verdict, reason)
    assert advice in result.detail
    assert f"answered {said[0]}" in result.detail


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500])
def test_the_webhooks_address_is_never_shown(server: FaultyServer, status: int) -> None:
    with faulty_server(path="/services/T01ABCDEF/B02/aBcDeF123456789012345678") as other:
        echo = f"no {other.url} nor T01ABCDEF aBcDeF123456789012345678".encode()
        other.answers = [answer(status, echo)]
        made = notifier("slack", other.url)
        shown = made.send(MESSAGE).detail + repr(made)
        made.shutdown()
    assert not re.search("T01ABCDEF|B02|aBcDeF", shown)


def test_a_short_path_is_not_shown_either(channel: Notifier, server: FaultyServer) -> None:
    server.answers = [answer(404, f"The URL {PATH} was not found".encode())]
    shown = channel.send(MESSAGE).detail
    assert "T000" not in shown
    assert "xxx" not in shown


def test_no_answer_is_an_error_to_be_tried_again(server: FaultyServer) -> None:
    with faulty_server() as gone:
        made = notifier("slack", gone.url)
    with pytest.raises(TransportError) as caught:
        made.send(MESSAGE)
    assert caught.value.reason is Reason.REFUSED


def test_a_target_that_is_no_url_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigurationError) as caught:
        notifier("slack", "hooks.slack.com/services/T0/B0/secret-of-mine")
    assert "alerts channel ops: target must be an http or https URL" in str(caught.value)
    assert "secret" not in str(caught.value)


def _header(text: str) -> dict[str, object]:
    return {"type": "header", "text": {"type": "plain_text", "text": text}}


def _fields(*texts: str) -> dict[str, object]:
    return {"type": "section", "fields": [{"type": "mrkdwn", "text": one} for one in texts]}


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({}, "no_text"),
        ({"text": "x", "blocks": [_header("h" * 151)]}, "invalid_blocks"),
        ({"text": "x", "blocks": [_header("")]}, "invalid_blocks"),
        ({"text": "x", "blocks": [_header("h")] * 51}, "invalid_blocks"),
        ({"text": "x", "blocks": [_fields(*["f"] * 11)]}, "invalid_blocks"),
        ({"text": "x", "blocks": [_fields("f" * 2001)]}, "invalid_blocks"),
        ({"text": "x", "blocks": [_fields("<!channel>")]}, "invalid_blocks"),
        ({"text": "<!channel>"}, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "nothing"}]}, "invalid_blocks"),
    ],
)
def test_the_receiver_refuses_what_slack_would(message: dict[str, object], error: str) -> None:
    body = json.dumps(message).encode()
    request = Request("POST", PATH, {"content-type": "application/json"}, body)
    assert slack(request)[::2] == (400, error.encode())
    good = json.dumps({"text": "x", "blocks": [_header("h" * 150), _fields("f")]}).encode()
    assert slack(replace(request, body=good))[0] == 200
