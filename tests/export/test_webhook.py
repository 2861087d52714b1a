from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from contexts import context
from faulty_server import (
    CLOSED_AFTER_REQUEST,
    CUT_ANSWER,
    EXPIRED_CERTIFICATE,
    GARBAGE,
    GARBAGE_PAGE,
    GOOD,
    NEVER_ANSWERS,
    REFUSED,
    RESET_AFTER_REQUEST,
    Answer,
    Fault,
    Request,
    answer,
    answer_by,
    faulty_server,
    redirect,
)
from snapshots import NOW, full
from test_json_document import SCHEMA, VALIDATOR, document, events, numbers

from metalscope.errors import ConfigurationError
from metalscope.export.documents.webhook import WebhookExporter
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.snapshot import MetalTelemetrySnapshot

KEY = "a-key-nobody-guesses"


def exporter(url: str | None, **options: Any) -> WebhookExporter:
    return WebhookExporter(context(endpoint=url, **options))


def export(url: str, snapshot: MetalTelemetrySnapshot, **options: Any) -> ExportResult:
    made = exporter(url, **options)
    try:
        return made.export(snapshot)
    finally:
        made.shutdown()


def at(seconds: float, *numbers: int) -> MetalTelemetrySnapshot:
    return replace(full(), timestamp=NOW + timedelta(seconds=seconds), events=events(*numbers))


def read(request: Request) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(request.content)
    VALIDATOR.validate(made)
    return made


def sequences(request: Request) -> list[int]:
    return [event["sequence"] for event in read(request)["events"]]


# -- what arrives --------------------------------------------------------------------------------


def test_the_document_arrives_whole_and_is_of_the_schema() -> None:
    with faulty_server(GOOD, path="/in/metrics") as server:
        result = export(server.url, at(0, 1, 2))
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/in/metrics")
    assert request.headers["content-type"] == "application/json"
    assert read(request) == document(at(0, 1, 2))
    assert result.ok
    assert result.points == len(list(numbers(read(request)))) + 2


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_success_is_one(status: int) -> None:
    with faulty_server(answer(status)) as server:
        assert export(server.url, full()).ok


def test_it_may_be_put_and_compressed() -> None:
    with faulty_server() as server:
        export(server.url, full(), settings={"method": "PUT", "compress": True})
    (request,) = server.requests
    assert request.method == "PUT"
    assert request.headers["content-encoding"] == "gzip"
    assert len(request.body) < len(request.content)
    assert read(request) == document(full())


def test_key_and_headers_are_sent() -> None:
    with faulty_server() as server:
        export(server.url, full(), api_key=KEY, headers={"X-Tenant": "vision"})
    (request,) = server.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["x-tenant"] == "vision"


# -- signed --------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [False, True])
def test_a_receiver_with_the_key_can_check_who_signed(compress: bool) -> None:
    settings = {"signature": {"header": "X-Metalscope-Signature"}, "compress": compress}
    with faulty_server() as server:
        export(server.url, full(), api_key=KEY, settings=settings)
    (request,) = server.requests
    expected = hmac.new(KEY.encode(), request.body, hashlib.sha256).hexdigest()
    assert request.headers["x-metalscope-signature"] == f"sha256={expected}"
    assert "authorization" not in request.headers
    assert KEY not in str(request)


def test_a_key_that_changes_signs_from_then_on(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("first")
    options: dict[str, Any] = {
        "api_key_from": f"file:{file}",
        "settings": {"signature": {"header": "X-Sig"}},
    }
    with faulty_server() as server:
        made = exporter(server.url, **options)
        made.export(full())
        file.write_text("second\n")
        made.export(at(10))
    for key, request in zip(("first", "second"), server.requests, strict=True):
        signed = hmac.new(key.encode(), request.body, hashlib.sha256).hexdigest()
        assert request.headers["x-sig"] == f"sha256={signed}"


def test_a_key_that_cannot_be_read_is_waited_for(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "api_key_from": f"file:{tmp_path / 'none'}",
        "settings": {"signature": {"header": "X-Sig"}},
    }
    with faulty_server() as server:
        result = export(server.url, full(), **options)
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.CONFIGURATION)
    assert not server.requests


# -- events and retries --------------------------------------------------------------------------


def test_an_event_is_sent_once() -> None:
    with faulty_server() as server:
        made = exporter(server.url)
        made.export(at(0, 1, 2))
        made.export(at(10, 1, 2, 3))
        made.export(at(20, 3))
    assert [sequences(request) for request in server.requests] == [[1, 2], [3], []]


def test_an_event_that_did_not_arrive_is_sent_with_the_next_snapshot() -> None:
    with faulty_server(answer(422), GOOD) as server:
        made = exporter(server.url)
        assert made.export(at(0, 1)).verdict is Verdict.REJECTED
        assert made.export(at(10, 1, 2)).ok
    assert sequences(server.requests[-1]) == [1, 2]


def test_after_a_restart_events_of_the_last_run_are_not_sent_again() -> None:
    with faulty_server() as server:
        made = exporter(server.url)
        made.resume(at(0, 1, 2))
        made.export(at(10, 2, 3))
    assert sequences(server.requests[0]) == [3]


@pytest.mark.parametrize("compress", [False, True])
def test_a_retry_is_the_same_to_the_byte_and_says_so(compress: bool) -> None:
    with faulty_server(answer(503), RESET_AFTER_REQUEST, GOOD) as server:
        made = exporter(server.url, settings={"compress": compress})
        results = [made.export(at(0, 1)) for _ in range(3)]
        made.export(at(10, 1))
    assert [result.ok for result in results] == [False, False, True]
    first, second, third, other = server.requests
    assert first.body == second.body == third.body
    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert keys[0] == keys[1] == keys[2] == read(first)["document_id"]
    assert keys[3] == read(other)["document_id"] != keys[0]


# -- too large -----------------------------------------------------------------------------------


def at_most(largest: int) -> Answer:
    return answer_by(lambda request: (413 if len(request.content) > largest else 200, {}, b""))


def test_a_document_too_large_is_sent_in_parts_that_make_the_whole() -> None:
    with faulty_server(at_most(6000)) as server:
        made = exporter(server.url)
        result = made.export(at(0, 1, 2))
        taken = [read(one) for one in server.requests if len(one.content) <= 6000]
        before = len(server.requests)
        assert made.export(at(10, 3)).ok
        # It is not tried in whole again.
        assert all(len(one.content) <= 6000 for one in server.requests[before:])
    assert result.ok
    assert len(taken) > 1
    whole = document(at(0, 1, 2))
    got = [number for part in taken for number in numbers(part)]
    assert sorted(map(repr, got)) == sorted(map(repr, numbers(whole)))
    assert [event for part in taken for event in part["events"]] == whole["events"]
    assert result.points == len(got) + 2
    ids = [request.headers["idempotency-key"] for request in server.requests]
    assert len(set(ids)) == len(ids)


def test_parts_that_arrived_are_not_sent_again() -> None:
    with faulty_server(answer(413), GOOD, answer(503), GOOD) as server:
        made = exporter(server.url)
        assert made.export(full()).verdict is Verdict.RETRY
        assert made.export(full()).ok
    _, first, failed, second, *rest = server.requests
    assert failed.body == second.body
    parts = [read(request)["part"] for request in (first, second, *rest)]
    ends = [part["offset"] + part["points"] for part in parts]
    assert [part["offset"] for part in parts] == [0, *ends[:-1]]
    assert {part["total"] for part in parts} == {ends[-1]}


def test_where_not_even_one_series_is_taken_it_is_refused_for_good() -> None:
    with faulty_server(answer(413)) as server:
        result = export(server.url, full())
    assert (result.verdict, result.reason) == (Verdict.REJECTED, Reason.TOO_LARGE)


# -- what goes wrong -----------------------------------------------------------------------------

FAILURES: list[tuple[Fault, Verdict, Reason]] = [
    (answer(400), Verdict.REJECTED, Reason.SCHEMA),
    (answer(422), Verdict.REJECTED, Reason.SCHEMA),
    (answer(401), Verdict.RETRY, Reason.UNAUTHORIZED),
    (answer(403), Verdict.RETRY, Reason.FORBIDDEN),
    (answer(404), Verdict.RETRY, Reason.NOT_FOUND),
    (answer(429, retry_after="7"), Verdict.RETRY, Reason.RATE_LIMITED),
    (answer(500), Verdict.RETRY, Reason.SERVER_ERROR),
    (redirect("http://127.0.0.1:9/elsewhere"), Verdict.RETRY, Reason.REDIRECTED),
    (REFUSED, Verdict.RETRY, Reason.REFUSED),
    (RESET_AFTER_REQUEST, Verdict.RETRY, Reason.RESET),
    (CLOSED_AFTER_REQUEST, Verdict.RETRY, Reason.RESET),
    (CUT_ANSWER, Verdict.RETRY, Reason.RESET),
    (GARBAGE, Verdict.RETRY, Reason.GARBAGE),
    (GARBAGE_PAGE, Verdict.RETRY, Reason.GARBAGE),
    (NEVER_ANSWERS, Verdict.RETRY, Reason.TIMEOUT),
    (EXPIRED_CERTIFICATE, Verdict.RETRY, Reason.TLS),
]


@pytest.mark.parametrize(("fault", "verdict", "reason"), FAILURES, ids=str)
def test_a_failure_is_told_by_its_reason_and_the_next_export_works(
    fault: Fault, verdict: Verdict, reason: Reason
) -> None:
    with faulty_server(fault) as server:
        made = exporter(server.url, api_key=KEY, timeout=1, tls={"ca_file": server.ca_file})
        result = made.export(full())
        assert (result.verdict, result.reason) == (verdict, reason)
        assert result.detail
        assert KEY not in result.detail
        if reason is Reason.RATE_LIMITED:
            assert result.retry_after == timedelta(seconds=7)
        server.answers = [GOOD]
        assert made.export(at(10)).ok


# -- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"endpoint": None}, "needs an endpoint"),
        ({"endpoint": "udp://127.0.0.1:1"}, "needs an endpoint"),
        ({"settings": {"method": "GET"}}, r"settings.method must be one of POST, PUT, not 'GET'"),
        ({"settings": {"compress": "yes"}}, r"settings.compress must be true or false, not 'yes'"),
        ({"settings": {"signatur": {}}}, r"settings.signatur is unknown.*nearest is signature"),
        ({"settings": {"signature": "X-Sig"}, "api_key": KEY}, r"settings.signature must be"),
        ({"settings": {"signature": {"header": "X Sig"}}, "api_key": KEY}, "settings.signature"),
        ({"settings": {"signature": {"header": "X-Sig"}}}, "needs the api_key"),
    ],
)
def test_options_that_cannot_work_are_refused_at_once(options: dict[str, Any], said: str) -> None:
    given = {"endpoint": "http://127.0.0.1:9", "name": "hook"} | options
    with pytest.raises(ConfigurationError, match=f"(?s)hook.*{said}") as caught:
        WebhookExporter(context(**given))
    assert KEY not in str(caught.value)


def test_the_schema_that_is_shipped_is_the_one_documents_name() -> None:
    assert document(full())["schema"] == SCHEMA["title"]
