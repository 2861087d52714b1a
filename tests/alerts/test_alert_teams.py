"""Messages arrive in Teams, whatever is in them, and its answers are understood."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from faulty_server import FaultyServer, answer, answer_by, faulty_server
from hypothesis import given, settings
from receivers import MANY, OVER, TEST, notifications, notifier
from receivers_teams import TeamsReceiver, card_schema

from alert_samples import FIRING, MESSAGE
from metalscope.alerts.notification import Notification
from metalscope.alerts.notify.base import Notifier
from metalscope.operation import ErrorSeverity
from metalscope.sending.result import Reason, Verdict

PATH = "/workflows/0123456789abcdef0123456789abcdef/triggers/manual/paths/invoke?sig=SiGnAtUrE"
teams = TeamsReceiver()


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with faulty_server(answer_by(teams), path=PATH) as running:
        yield running


@pytest.fixture(scope="module")
def channel(server: FaultyServer) -> Iterator[Notifier]:
    made = notifier("teams", server.url)
    yield made
    made.shutdown()


@pytest.fixture(autouse=True)
def _as_new(server: FaultyServer) -> Iterator[None]:
    teams.taken.clear()
    teams.refused.clear()
    teams.connector = False
    yield
    server.answers = [answer_by(teams)]


def card() -> dict[str, Any]:
    (message,) = teams.taken
    found: dict[str, Any] = message["attachments"][0]["content"]
    return found


def said(card: dict[str, Any]) -> list[str]:
    """What stands in it as plain text, element by element."""
    found: list[str] = []
    for element in card["body"]:
        for item in element.get("items", [element]):
            found += [run["text"] for run in item.get("inlines", [])]
    return found


def test_a_message_is_a_card_with_a_heading_facts_and_buttons(channel: Notifier) -> None:
    assert channel.send(MESSAGE).ok
    made = card()
    assert said(made)[0] == "[FIRING high] attention failed 7 times in 5m (mac-studio)"
    assert made["body"][0]["style"] == "attention"
    (facts,) = (one["facts"] for one in made["body"] if one["type"] == "FactSet")
    assert {"title": "Severity", "value": "high"} in facts
    assert {"title": "Since", "value": "2026-01-01 11:58:00 UTC (2m)"} in facts
    assert "• Look at the kernel's last change." in said(made)
    assert {one["title"]: one["url"] for one in made["actions"]} == {
        "Dashboard": "http://127.0.0.1:9464/",
        "Runbook": FIRING.runbook,
        "Alert": FIRING.link,
    }


def test_the_end_is_green_and_says_how_long_it_lasted(channel: Notifier) -> None:
    assert channel.send(OVER).ok
    assert card()["body"][0]["style"] == "good"
    assert any("lasted 1h1m" in line for line in said(card()))


def test_a_test_says_that_it_is_one(channel: Notifier) -> None:
    assert channel.send(TEST).ok
    assert said(card())[0].startswith("[TEST]")


def test_each_severity_has_a_look(channel: Notifier) -> None:
    for severity in ErrorSeverity:
        assert channel.send(replace(MESSAGE, alerts=(replace(FIRING, severity=severity),))).ok
    styles = {one["attachments"][0]["content"]["body"][0]["style"] for one in teams.taken}
    assert styles == {"attention", "warning", "accent"}


def test_of_many_alerts_those_that_fit_are_shown_and_the_rest_counted(channel: Notifier) -> None:
    assert channel.send(MANY).ok
    shown = said(card()).count("attention failed 7 times in 5m")
    assert 5 < shown < 40
    assert f"{40 - shown + 3} more that fire are not shown here." in said(card())
    assert any("lasted 1h1m" in line for line in said(card()))


def test_markdown_in_a_fact_is_shown_as_it_was_written(channel: Notifier) -> None:
    labels = (("name", "*a* [b](http://c) __d__ e_f {{DATE(x)}} 1.5-2"), ("z", "- no list"))
    assert channel.send(replace(MESSAGE, alerts=(replace(FIRING, labels=labels),))).ok
    (facts,) = (one["facts"] for one in card()["body"] if one["type"] == "FactSet")
    values = {one["title"]: one["value"] for one in facts}
    assert values["name"] == r"\*a\* \[b\](http://c) \_\_d\_\_ e_f \{\{DATE(x)}} 1.5-2"
    assert values["z"] == r"\- no list"


def test_a_function_of_adaptive_cards_in_a_title_is_not_worked_out(channel: Notifier) -> None:
    title = "{{DATE(2026-01-01T00:00:00Z, SHORT)}} {{x}}"
    assert channel.send(replace(MESSAGE, alerts=(replace(FIRING, title=title),))).ok
    assert "{\u200b{DATE(2026-01-01T00:00:00Z, SHORT)}} {{x}}" in said(card())


@settings(max_examples=25)
@given(message=notifications())
def test_no_text_of_an_alert_breaks_a_limit(channel: Notifier, message: Notification) -> None:
    result = channel.send(message)
    assert result.ok, (result, teams.refused)


@settings(max_examples=8)
@given(message=notifications())
def test_nor_where_a_template_writes_the_text(server: FaultyServer, message: Notification) -> None:
    made = notifier("teams", server.url, body="{{ default_body }}", title="{{ default_title }}")
    result = made.send(message)
    made.shutdown()
    assert result.ok, (result, teams.refused)


def test_a_template_takes_the_place_of_the_alerts(server: FaultyServer) -> None:
    made = notifier("teams", server.url, body="**{{ source }}**\n\nsecond")
    assert made.send(MESSAGE).ok
    made.shutdown()
    assert said(card())[1:3] == ["**mac-studio**", "second"]
    assert "FactSet" not in str(card())


def test_the_schema_refuses_what_is_no_card() -> None:
    good = {"type": "AdaptiveCard", "version": "1.4", "body": []}
    assert card_schema().is_valid(good)
    for broken in ({"body": [{"type": "FactSet"}]}, {"body": [{"type": "Nothing"}]}, {"new": 1}):
        assert not card_schema().is_valid(good | broken)


def test_a_rate_limit_says_when_to_come_back_and_then_it_arrives(
    channel: Notifier, server: FaultyServer
) -> None:
    server.answers = [answer(429, b"", retry_after="9"), answer_by(teams)]
    result = channel.send(MESSAGE)
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.RATE_LIMITED)
    assert result.retry_after == timedelta(seconds=9)
    assert channel.send(MESSAGE).ok


def test_a_connector_that_took_it_says_1(channel: Notifier) -> None:
    teams.connector = True
    assert channel.send(MESSAGE).ok


@pytest.mark.parametrize(
    ("text", "verdict", "reason"),
    [
        ("HTTP error 429 with ContextId tcid=0", Verdict.RETRY, Reason.RATE_LIMITED),
        ("HTTP error 500 with ContextId tcid=0", Verdict.RETRY, Reason.SERVER_ERROR),
        ("HTTP error 413 with ContextId tcid=0", Verdict.REJECTED, Reason.TOO_LARGE),
        ("HTTP error 403 with ContextId tcid=0", Verdict.REJECTED, Reason.SCHEMA),
        ("no code at all", Verdict.RETRY, Reason.SERVER_ERROR),
    ],
)
def test_a_connector_that_hides_a_failure_in_200_is_found_out(
    channel: Notifier, server: FaultyServer, text: str, verdict: Verdict, reason: Reason
) -> None:
    words = "Webhook message delivery failed with error: Microsoft Teams endpoint returned "
    server.answers = [answer(200, (words + text).encode())]
    result = channel.send(MESSAGE)
    assert (result.verdict, result.reason) == (verdict, reason)
    assert "answered 200, but: Webhook message delivery failed" in result.detail


@pytest.mark.parametrize(
    ("status", "code", "verdict", "advice"),
    [
        (400, "WorkflowTriggerIsNotEnabled", Verdict.REJECTED, "switched off"),
        (400, "TriggerInputSchemaMismatch", Verdict.REJECTED, "its trigger must be"),
        (401, "DirectApiAuthorizationRequired", Verdict.REJECTED, "must let anyone"),
        (404, "WorkflowNotFound", Verdict.REJECTED, "make a new one"),
        (410, "", Verdict.REJECTED, "make a workflow"),
        (502, "NoResponse", Verdict.RETRY, ""),
    ],
)
def test_each_refusal_is_understood(  # noqa: PLR0917 - pytest names them
    channel: Notifier, server: FaultyServer, status: int, code: str, verdict: Verdict, advice: str
) -> None:
    server.answers = [answer(status, json.dumps({"error": {"code": code}}).encode())]
    result = channel.send(MESSAGE)
    assert result.verdict is verdict
    assert advice in result.detail


def test_the_signature_in_the_address_is_never_shown(
    channel: Notifier, server: FaultyServer
) -> None:
    for status in (200, 400, 404, 500):
        server.answers = [answer(status, f"error at {server.url}, sig SiGnAtUrE".encode())]
        shown = channel.send(MESSAGE).detail
        assert "SiGnAtUrE" not in shown
        assert "0123456789abcdef" not in shown
