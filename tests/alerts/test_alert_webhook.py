"""Webhooks are sent a document of the shipped schema, signed as Standard Webhooks says."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from faulty_server import FaultyServer, Request, answer, answer_by, faulty_server
from hypothesis import given, settings
from jsonschema import Draft202012Validator
from receivers import (
    MANY,
    OVER,
    TEST,
    Answer,
    BrokenRuleError,
    Receiver,
    notifications,
    notifier,
    strict_json,
)
from standardwebhooks import Webhook, WebhookVerificationError

import metalscope
from alert_samples import FIRING, MESSAGE, PENDING, RESOLVED
from metalscope.alerts.notification import Notification, NotificationKind
from metalscope.alerts.notify.base import Notifier
from metalscope.errors import ConfigurationError
from metalscope.sending.result import Reason, Verdict

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
SCHEMA_FILE = Path(metalscope.__file__).parent / "assets" / "schema" / "alert-v1.schema.json"
SCHEMA = Draft202012Validator(json.loads(SCHEMA_FILE.read_text()))


class SignedReceiver(Receiver):
    """Verifies with the library that the authors of Standard Webhooks publish."""

    library = Webhook(SECRET)

    def __call__(self, request: Request) -> Answer:
        try:
            self.library.verify(request.body, request.headers)
            document = strict_json(request)
            SCHEMA.validate(document)
        except (WebhookVerificationError, BrokenRuleError) as error:
            self.refused.append(str(error))
            return 400, {}, str(error).encode()
        self.taken.append(document)
        return 204, {}, b""


hook = SignedReceiver()


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with faulty_server(answer_by(hook), path="/hook") as running:
        yield running


@pytest.fixture(scope="module")
def channel(server: FaultyServer) -> Iterator[Notifier]:
    made = notifier("webhook", server.url, signing_key=SECRET)
    yield made
    made.shutdown()


@pytest.fixture(autouse=True)
def _as_new(server: FaultyServer) -> Iterator[None]:
    hook.taken.clear()
    hook.refused.clear()
    server.requests.clear()
    yield
    server.answers = [answer_by(hook)]


def test_a_document_has_the_words_and_all_that_is_known(channel: Notifier) -> None:
    assert channel.send(MESSAGE).ok
    (document,) = hook.taken
    assert document["schema"] == "metalscope.alert/1"
    assert document["type"] == "metalscope.alert.firing"
    assert document["title"] == "[FIRING high] attention failed 7 times in 5m (mac-studio)"
    assert "What to do:" in document["text"]
    assert document["data"] == MESSAGE.to_dict()
    assert Notification.from_dict(document["data"]) == MESSAGE


@pytest.mark.parametrize("message", [OVER, TEST, MANY], ids=lambda one: one.kind)
def test_a_message_of_each_kind_is_of_the_schema(channel: Notifier, message: Notification) -> None:
    assert channel.send(message).ok
    assert hook.taken[0]["type"] == f"metalscope.alert.{message.kind}"


@settings(max_examples=25)
@given(message=notifications())
def test_whatever_is_in_an_alert_it_is_strict_json_of_the_schema(
    channel: Notifier, message: Notification
) -> None:
    result = channel.send(message)
    assert result.ok, (result, hook.refused)


def test_the_schema_refuses_what_is_no_document() -> None:
    good = {
        "schema": "metalscope.alert/1",
        "type": "metalscope.alert.update",
        "timestamp": "2026-01-01T12:00:00.000000Z",
        "title": "",
        "text": "",
        "data": replace(MESSAGE, alerts=(FIRING, PENDING, RESOLVED)).to_dict(),
    }
    assert SCHEMA.is_valid(good)
    for name in good:
        assert not SCHEMA.is_valid({key: one for key, one in good.items() if key != name})
    for broken in ({"more": 1}, {"schema": "metalscope.alert/2"}, {"type": "x"}, {"data": {}}):
        assert not SCHEMA.is_valid(good | broken)
    for name in FIRING.to_dict():
        data = MESSAGE.to_dict()
        del data["alerts"][0][name]
        assert not SCHEMA.is_valid(good | {"data": data}), name


def test_a_message_that_comes_again_has_the_same_id_and_body(
    channel: Notifier, server: FaultyServer
) -> None:
    server.answers = [answer(503, retry_after="1"), answer_by(hook)]
    assert channel.send(MESSAGE).verdict is Verdict.RETRY
    assert channel.send(MESSAGE).ok
    first, second = server.requests
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == "m1"


def test_another_message_has_another_id(channel: Notifier, server: FaultyServer) -> None:
    channel.send(MESSAGE)
    channel.send(replace(MESSAGE, id="m2", kind=NotificationKind.UPDATE))
    assert len({one.headers["webhook-id"] for one in server.requests}) == 2


def test_a_full_stop_in_the_id_cannot_move_the_end_of_what_is_signed(
    channel: Notifier, server: FaultyServer
) -> None:
    assert channel.send(replace(MESSAGE, id="a.1.b\r\nx: y")).ok
    assert server.requests[0].headers["webhook-id"] == "a-1-b--x--y"


def test_what_was_changed_on_the_way_is_found_out(channel: Notifier, server: FaultyServer) -> None:
    channel.send(MESSAGE)
    (request,) = server.requests
    verify = SignedReceiver.library.verify
    verify(request.body, request.headers)
    later = str(int(request.headers["webhook-timestamp"]) + 1)
    for body, changed in [
        (request.body.replace(b"attention", b"elsewhere"), {}),
        (request.body, {"webhook-id": "m2"}),
        (request.body, {"webhook-timestamp": later}),
        (request.body, {"webhook-timestamp": "1"}),
    ]:
        with pytest.raises(WebhookVerificationError):
            verify(body, request.headers | changed)


def test_a_key_in_plain_text_signs_as_its_bytes(server: FaultyServer) -> None:
    server.answers = [answer(200)]
    made = notifier("webhook", server.url, signing_key="a plain key, äh")
    assert made.send(MESSAGE).ok
    made.shutdown()
    (request,) = server.requests
    key = base64.b64encode("a plain key, äh".encode()).decode()
    Webhook(key).verify(request.body, request.headers)
    with pytest.raises(WebhookVerificationError):
        SignedReceiver.library.verify(request.body, request.headers)


def test_without_a_key_nothing_is_signed(server: FaultyServer) -> None:
    server.answers = [answer(200)]
    made = notifier("webhook", server.url, api_key="bearer-of-mine", headers={"X-Team": "gpu"})
    assert made.send(MESSAGE).ok
    made.shutdown()
    headers = server.requests[0].headers
    assert "webhook-signature" not in headers
    assert headers["authorization"] == "Bearer bearer-of-mine"
    assert headers["x-team"] == "gpu"
    assert headers["webhook-id"] == "m1"


@pytest.mark.parametrize(
    ("status", "verdict", "reason"),
    [
        (400, Verdict.REJECTED, Reason.SCHEMA),
        (401, Verdict.RETRY, Reason.UNAUTHORIZED),
        (404, Verdict.RETRY, Reason.NOT_FOUND),
        (410, Verdict.REJECTED, Reason.NOT_FOUND),
        (413, Verdict.REJECTED, Reason.TOO_LARGE),
        (429, Verdict.RETRY, Reason.RATE_LIMITED),
        (301, Verdict.RETRY, Reason.REDIRECTED),
        (504, Verdict.RETRY, Reason.SERVER_ERROR),
    ],
)
def test_each_refusal_is_understood(
    channel: Notifier, server: FaultyServer, status: int, verdict: Verdict, reason: Reason
) -> None:
    server.answers = [answer(status, b"sorry")]
    result = channel.send(MESSAGE)
    assert (result.verdict, result.reason) == (verdict, reason)


def test_a_key_that_is_no_base64_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigurationError) as caught:
        notifier("webhook", "https://h.example/x", signing_key="whsec_not base64!")
    text = str(caught.value)
    assert text == "alerts channel ops: signing_key begins with whsec_ and must go on in base64"


def test_the_key_is_not_in_what_is_shown(server: FaultyServer) -> None:
    server.answers = [answer(500, f"key {SECRET}".encode())]
    made = notifier("webhook", server.url, signing_key=SECRET)
    shown = repr(made) + made.send(MESSAGE).detail
    made.shutdown()
    assert SECRET not in shown
    assert SECRET.removeprefix("whsec_") not in shown
