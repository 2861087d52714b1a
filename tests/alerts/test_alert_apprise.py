from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from faulty_server import GOOD, NEVER_ANSWERS, FaultyServer, answer, faulty_server

from alert_samples import FIRING, MESSAGE, NOW
from metalscope.alert_options import ChannelOptions, SmtpOptions
from metalscope.alerts.notification import Notification, NotificationKind
from metalscope.alerts.notify.base import Notifier
from metalscope.alerts.notify.registry import create_notifier
from metalscope.alerts.notify.testing import message_of_test
from metalscope.errors import ConfigurationError
from metalscope.operation import ErrorSeverity
from metalscope.sending.result import ExportResult, Reason, Verdict
from peers import free_port

SECRET = "a-token-nobody-guesses"


@pytest.fixture
def peer() -> Iterator[FaultyServer]:
    with faulty_server(GOOD) as server:
        yield server


def notifier(target: str, **options: Any) -> Notifier:
    channel = ChannelOptions(name="ops", type="apprise", target=target, **options)
    return create_notifier(channel, SmtpOptions())


def sent(peer: FaultyServer, message: Notification) -> dict[str, Any]:
    assert notifier(f"json://127.0.0.1:{peer.port}/hook").send(message) == ExportResult.delivered(1)
    made: dict[str, Any] = json.loads(peer.requests[-1].content)
    return made


def test_a_message_arrives_through_a_plugin_of_apprise(peer: FaultyServer) -> None:
    made = sent(peer, MESSAGE)
    assert "attention failed 7 times in 5m" in made["title"]
    assert "Look at the kernel's last change." in made["message"]
    assert made["type"] == "failure"


def test_ntfy_gets_title_and_text(peer: FaultyServer) -> None:
    assert notifier(f"ntfy://127.0.0.1:{peer.port}/alerts").send(MESSAGE).ok
    (request,) = peer.requests
    made = json.loads(request.content)
    assert made["topic"] == "alerts"
    assert "attention failed 7 times in 5m" in made["title"]
    assert "execute attention on m1: 7 of 120 failed" in made["message"]


@pytest.mark.parametrize(
    ("kind", "severity", "said"),
    [
        (NotificationKind.FIRING, ErrorSeverity.CRITICAL, "failure"),
        (NotificationKind.REPEAT, ErrorSeverity.MEDIUM, "warning"),
        (NotificationKind.UPDATE, ErrorSeverity.LOW, "info"),
        (NotificationKind.RESOLVED, ErrorSeverity.CRITICAL, "success"),
    ],
)
def test_the_kind_of_message_is_that_of_the_alert(
    peer: FaultyServer, kind: NotificationKind, severity: ErrorSeverity, said: str
) -> None:
    message = replace(MESSAGE, kind=kind, alerts=(replace(FIRING, severity=severity),))
    assert sent(peer, message)["type"] == said


def test_a_test_is_for_information(peer: FaultyServer) -> None:
    made = sent(peer, message_of_test("ops", now=NOW))
    assert made["type"] == "info"
    assert "This is a test of metalscope" in made["title"]


def test_text_is_sent_as_it_is(peer: FaultyServer) -> None:
    odd = replace(FIRING, description="a\\nb <b>c</b> :smile: `x` 100 %")
    assert (
        "a\\nb <b>c</b> :smile: `x` 100 %" in sent(peer, replace(MESSAGE, alerts=(odd,)))["message"]
    )


def test_what_is_refused_is_tried_again_and_says_why_without_the_key() -> None:
    with faulty_server(answer(403)) as peer:
        target = f"json://user:{SECRET}@127.0.0.1:{peer.port}/{SECRET}?+X-Key={SECRET}"
        result = notifier(target).send(MESSAGE)
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.SERVER_ERROR)
    assert result.detail.startswith("Apprise could not tell JSON: ")
    assert "403" in result.detail
    assert SECRET not in result.detail


def test_nothing_it_logs_gets_into_the_log_of_the_program(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(1), faulty_server(answer(403)) as peer:
        target = f"json://user:{SECRET}@127.0.0.1:{peer.port}/{SECRET}"
        assert not notifier(target).send(MESSAGE).ok
        with pytest.raises(ConfigurationError):
            notifier(f"nosuch://{SECRET}")
        # The program's own use of it is as before.
        logging.getLogger("apprise").error("said by the program")
    assert SECRET not in caplog.text
    heard = [one.message for one in caplog.records if one.levelno >= logging.INFO]
    assert heard == ["said by the program"]


def test_where_nothing_listens_or_answers_it_is_tried_again() -> None:
    assert notifier(f"json://127.0.0.1:{free_port()}").send(MESSAGE).verdict is Verdict.RETRY
    with faulty_server(NEVER_ANSWERS) as peer:
        one = notifier(f"json://127.0.0.1:{peer.port}", timeout=timedelta(seconds=0.3))
        assert one.send(MESSAGE).verdict is Verdict.RETRY


@pytest.mark.parametrize(
    "target", [f"nosuch://{SECRET}", f"discord://{SECRET}", f"tgram://{SECRET}", SECRET]
)
def test_what_apprise_does_not_take_is_refused_at_the_start(target: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"^alerts channel ops: target must be a URL that Apprise knows"
    ) as caught:
        notifier(target)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
