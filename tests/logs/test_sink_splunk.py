"""Splunk's HTTP Event Collector, by a server that speaks its protocol; no real one."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from faulty_server import (
    GARBAGE,
    GARBAGE_PAGE,
    RESET_AFTER_REQUEST,
    UNKNOWN_CA,
    Answer,
    Fault,
    FaultyServer,
    Request,
    answer,
    answer_by,
    faulty_server,
)
from hec_server import TOKEN, HecServer, says
from hypothesis import given, settings
from hypothesis import strategies as st
from remote_sinks import HOSTILE, RESOURCE, batch, failed, record, sink_context

from metalscope.errors import ConfigurationError
from metalscope.export_options import RetryOptions
from metalscope.log_options import LoggingOptions
from metalscope.logs.registry import sinks_of
from metalscope.logs.sinks.splunk import SplunkSink
from metalscope.logs.sinks.splunk_ack import FIRST_PAUSE_S
from metalscope.sending.http.deadline import within
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.sending.shipping.base import Shipment
from metalscope.sending.shipping.shipper import Shipper
from metalscope.shipping_options import DeliveryOptions

ACK = {"ack": True}


MADE: list[SplunkSink] = []


@pytest.fixture(autouse=True)
def all_are_closed() -> Iterator[None]:
    yield
    while MADE:
        MADE.pop().close()


def sink(server: FaultyServer, **options: Any) -> SplunkSink:
    options = {"api_key": TOKEN, **options}
    MADE.append(SplunkSink(sink_context("splunk", server.url, **options)))
    return MADE[-1]


def lines(made: SplunkSink, *bodies: str) -> list[bytes]:
    return [made.encode(record(body, sequence=n)) for n, body in enumerate(bodies)]


def sent(made: SplunkSink, *bodies: str) -> Shipment | ExportResult | None:
    return made.send(batch(*lines(made, *bodies)))


def said(hec: HecServer) -> list[str]:
    return [event["event"]["message"] for event in hec.events]


def always(code: int, **more: Any) -> Answer:
    return Answer(f"code {code}", lambda _: says(code, **more))


def shipper(made: SplunkSink, errors: list[BaseException], **options: Any) -> Shipper:
    retry = RetryOptions(first_delay="1ms", max_delay="5ms", circuit_breaker_threshold=999)
    return Shipper(
        "splunk",
        "splunk",
        "logs",
        made,
        delivery=DeliveryOptions(retry=retry),
        **{
            "batch_size": 50,
            "batch_bytes": 1024**2,
            "timeout": timedelta(seconds=5),
            "option": "x",
            "on_error": lambda _, error: errors.append(error),
            **options,
        },
    )


def test_records_are_events_with_their_own_time() -> None:
    hec = HecServer()
    with faulty_server(hec.answers()) as server:
        made = sink(server)
        assert made.send(batch(made.encode(record()), made.encode(failed(sequence=18)))) is None
        made.close()
    slow, broken = hec.events
    assert slow["time"] == 1_764_360_000.123456
    assert (slow["host"], slow["source"], slow["sourcetype"]) == (
        "gpu-7.example",
        "metalscope",
        "_json",
    )
    assert "index" not in slow
    assert slow["event"]["message"] == "matmul was slow"
    assert slow["fields"] == {
        "severity": "warning",
        "event_name": "metal.operation.slow",
        "correlation_id": "order-17",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": "b7ad6b7169203331",
    }
    assert HOSTILE.replace("\ud800", "\ufffd") in broken["event"].values()
    request = server.requests[0]
    assert request.path == "/services/collector/event"
    assert request.headers["content-encoding"] == "gzip"
    assert request.headers["x-splunk-request-channel"]
    assert TOKEN not in repr(made)


@pytest.mark.parametrize("path", ["", "/", "/services/collector", "/services/collector/event/1.0"])
def test_the_collectors_own_path_may_be_given(path: str) -> None:
    hec = HecServer()
    with faulty_server(hec.answers()) as server:
        MADE.append(SplunkSink(sink_context("splunk", server.url + path, api_key=TOKEN)))
        made = MADE[-1]
        assert sent(made, "a line") is None
        assert server.requests[0].path == "/services/collector/event"


def test_where_it_goes_is_a_setting_and_text_is_a_string() -> None:
    hec = HecServer()
    where = {"index": "metal", "source": "train.py", "sourcetype": "metalscope:log"}
    with faulty_server(hec.answers()) as server:
        assert sent(sink(server, settings=where, format="text", compress=False), "a line") is None
        assert "content-encoding" not in server.requests[0].headers
    (event,) = hec.events
    assert {name: event[name] for name in where} == where
    assert "a line" in event["event"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"settings": {"index": "With Space"}}, "settings.index must be text such as 'main'"),
        ({"settings": {"acks": True}}, "the nearest is ack"),
        ({"settings": {"ack_timeout": "1m"}}, "of no use where settings.ack is not on"),
        ({"settings": {"ack": "yes"}}, "must be true or false"),
    ],
)
def test_settings_of_no_use_are_refused_at_the_start(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        SplunkSink(sink_context("splunk", "http://127.0.0.1:1", **options))


@pytest.mark.parametrize(
    ("fault", "reason", "text"),
    [
        (always(1), Reason.FORBIDDEN, "the token is disabled"),
        (always(2), Reason.UNAUTHORIZED, "api_key"),
        (always(3), Reason.UNAUTHORIZED, "Authorization"),
        (always(4), Reason.FORBIDDEN, "does not know the token"),
        (always(7, invalid_event_number=0), Reason.CONFIGURATION, "settings.index"),
        (always(8), Reason.SERVER_ERROR, "code 8"),
        (always(9), Reason.SERVER_ERROR, "it is busy"),
        (always(10), Reason.CONFIGURATION, "channel"),
        (always(14), Reason.CONFIGURATION, "settings.ack"),
        (always(23), Reason.SERVER_ERROR, "shutting down"),
        (always(26), Reason.RATE_LIMITED, "its queue is full"),
        (answer(404, b'{"text":"not found","code":404}'), Reason.NOT_FOUND, "404"),
        (answer(429, b"", retry_after="3"), Reason.RATE_LIMITED, "429"),
        (answer(503, TOKEN.encode()), Reason.SERVER_ERROR, "503"),
        (answer(400, b"bad request"), Reason.GARBAGE, "without a collector's code"),
        (answer(200, b"{}"), Reason.GARBAGE, "no HTTP Event Collector"),
        (answer(200, b"[" * 100_000), Reason.GARBAGE, "no HTTP Event Collector"),
        (answer(200, b'{"code": true}'), Reason.GARBAGE, "no HTTP Event Collector"),
        (GARBAGE_PAGE, Reason.GARBAGE, "web page"),
        (GARBAGE, Reason.GARBAGE, "not HTTP"),
        (RESET_AFTER_REQUEST, Reason.RESET, "closed"),
    ],
    ids=str,
)
def test_what_is_wrong_with_all_of_it_has_it_wait(fault: Fault, reason: Reason, text: str) -> None:
    hec = HecServer()
    with faulty_server(fault, hec.answers()) as server:
        made = sink(server)
        result = sent(made, "a line", "another")
        assert isinstance(result, ExportResult), result
        assert (result.verdict, result.reason) == (Verdict.RETRY, reason), result
        assert text in result.detail
        assert TOKEN not in result.detail
        assert sent(made, "a line", "another") is None
    assert said(hec) == ["a line", "another"]


def test_codes_that_warn_of_a_full_queue_are_a_success() -> None:
    with faulty_server(answer(200, b'{"text":"Success, queue at capacity","code":24}')) as server:
        assert sent(sink(server), "a line") is None


def test_an_event_that_is_refused_goes_alone() -> None:
    def refuses(event: Mapping[str, Any]) -> int | None:
        return {"bad": 6, "blank": 13, "fields": 15}.get(event["event"]["message"])

    hec = HecServer(refuses=refuses)
    bodies = ["bad", "one", "two", "blank", "bad", "three", "fields"]
    with faulty_server(hec.answers()) as server:
        result = sent(sink(server), *bodies)
    assert isinstance(result, Shipment)
    assert not result.again
    assert [(one.place, one.reason) for one in result.refused] == [
        (place, Reason.SCHEMA) for place in (0, 3, 4, 6)
    ]
    assert "an event that is blank" in result.refused[1].detail
    assert said(hec) == ["one", "two", "three"]


def test_where_it_is_not_said_which_event_is_wrong_it_is_found() -> None:
    hec = HecServer()

    def without_number(request: Request) -> Any:
        if b"bad" in request.content:
            return says(6)
        return hec.reply(request)

    with faulty_server(answer_by(without_number)) as server:
        result = sent(sink(server), "one", "two", "bad", "three", "four")
    assert isinstance(result, Shipment)
    assert [one.place for one in result.refused] == [2]
    assert said(hec) == ["one", "two", "three", "four"]


def test_what_it_took_before_it_was_busy_is_not_sent_again() -> None:
    hec = HecServer()
    with faulty_server(always(9, invalid_event_number=2), hec.answers()) as server:
        result = sent(sink(server), "one", "two", "three", "four")
    assert isinstance(result, Shipment)
    assert (list(result.again), result.reason) == ([2, 3], Reason.SERVER_ERROR)


def test_a_failure_after_a_refused_event_leaves_what_is_behind_it() -> None:
    hec = HecServer(refuses=lambda event: 6 if event["event"]["message"] == "bad" else None)
    with faulty_server(hec.answers(), RESET_AFTER_REQUEST, hec.answers()) as server:
        made = sink(server)
        result = sent(made, "one", "bad", "three", "four")
        assert isinstance(result, Shipment)
        assert list(result.again) == [2, 3]
        assert [one.place for one in result.refused] == [1]
        assert result.reason is Reason.RESET


def test_a_batch_that_is_too_large_goes_in_parts() -> None:
    hec = HecServer(most_bytes=4000)
    with faulty_server(hec.answers()) as server:
        result = sent(sink(server), *["a little"] * 20, "x" * 5000, *["after it"] * 3)
    assert isinstance(result, Shipment)
    assert not result.again
    assert [(one.place, one.reason) for one in result.refused] == [(20, Reason.TOO_LARGE)]
    assert Counter(said(hec)) == {"a little": 20, "after it": 3}


# -- acknowledgement -----------------------------------------------------------------------------


def test_a_batch_has_arrived_when_it_is_acknowledged() -> None:
    hec = HecServer(ack=True, acknowledged_after=2)
    with faulty_server(hec.answers()) as server:
        assert sent(sink(server, settings=ACK), "one", "two") is None
        channels = {one.headers["x-splunk-request-channel"] for one in server.requests}
        asks = [one for one in server.requests if "/ack" in one.path]
    assert len(channels) == 1
    assert asks[0].path == f"/services/collector/ack?channel={channels.pop()}"
    assert len(asks) == 3
    assert hec.posts == 1
    assert said(hec) == ["one", "two"]


def test_what_waits_for_its_acknowledgement_is_not_sent_again() -> None:
    """A try has no more time than the sink's timeout; an indexer may take longer."""
    hec = HecServer(ack=True, acknowledged_after=None)
    with faulty_server(hec.answers()) as server:
        made = sink(server, settings=ACK)
        first = lines(made, "one", "two")
        with within(1.0):
            result = made.send(batch(*first))
        assert isinstance(result, ExportResult)
        assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.TIMEOUT)
        assert "has not acknowledged them yet" in result.detail
        hec.acknowledged_after = 0
        assert made.send(batch(*first)) is None
    assert hec.posts == 1
    assert said(hec) == ["one", "two"]


def test_what_is_never_acknowledged_is_sent_again() -> None:
    hec = HecServer(ack=True, loses=lambda number: number == 0)
    with faulty_server(hec.answers()) as server:
        made = sink(server, settings={**ACK, "ack_timeout": "200ms"})
        first = lines(made, "one", "two")
        result = made.send(batch(*first))
        assert isinstance(result, ExportResult)
        assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.TIMEOUT)
        assert "did not acknowledge within 0.2 s" in result.detail
        assert made.send(batch(*first)) is None
    assert hec.posts == 2
    assert said(hec) == ["one", "two"]


def test_an_acknowledgement_whose_answer_is_lost_has_the_events_there_twice() -> None:
    """What is told once is forgotten; that nothing is lost has this price."""
    hec = HecServer(ack=True)

    def lost_once(request: Request) -> Any:
        told = hec.reply(request)
        is_first = "/ack" in request.path and sum(hec.asked.values()) == 1
        return (503, {}, b"lost on the way") if is_first else told

    with faulty_server(answer_by(lost_once)) as server:
        made = sink(server, settings={**ACK, "ack_timeout": "150ms"})
        first = lines(made, "one")
        reasons: list[Reason | None] = []
        while (result := made.send(batch(*first))) is not None:
            reasons.append(result.reason)
            assert len(reasons) < 4
    assert reasons[-1] is Reason.TIMEOUT
    assert said(hec) == ["one", "one"]


def test_a_collector_that_never_tells_is_asked_no_longer_than_the_time_for_it() -> None:
    hec = HecServer(ack=True)

    def without_acks(request: Request) -> Any:
        return (503, {}, b"") if "/ack" in request.path else hec.reply(request)

    with faulty_server(answer_by(without_acks)) as server:
        made = sink(server, settings={**ACK, "ack_timeout": "50ms"})
        first = lines(made, "one")
        reasons = set()
        while hec.posts < 2:
            result = made.send(batch(*first))
            assert isinstance(result, ExportResult)
            reasons.add(result.reason)
    assert Reason.TIMEOUT in reasons


def test_parts_of_a_batch_are_acknowledged_each() -> None:
    hec = HecServer(ack=True, most_bytes=2500, loses=lambda number: number == 1)
    with faulty_server(hec.answers()) as server:
        made = sink(server, settings={**ACK, "ack_timeout": "200ms"})
        bodies = [f"line {n}" for n in range(20)]
        first = lines(made, *bodies)
        result = made.send(batch(*first))
        assert isinstance(result, Shipment)
        assert 0 < len(result.again) < 20
        assert made.send(batch(*[first[place] for place in result.again])) is None
    assert sorted(said(hec)) == sorted(bodies)


def test_a_token_without_acknowledgement_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    hec = HecServer(ack=False)
    with faulty_server(hec.answers()) as server, caplog.at_level(logging.WARNING, "metalscope"):
        made = sink(server, settings=ACK)
        assert sent(made, "one") is None
        assert sent(made, "two") is None
    assert said(hec) == ["one", "two"]
    (told,) = [one.getMessage() for one in caplog.records if one.name == "metalscope"]
    assert "the token has no acknowledgement" in told
    assert TOKEN not in told


def test_a_token_with_acknowledgement_is_sent_to_without_asking() -> None:
    hec = HecServer(ack=True, acknowledged_after=0)
    with faulty_server(hec.answers()) as server:
        assert sent(sink(server), "one") is None
        assert len(server.requests) == 1


@settings(max_examples=20)
@given(st.lists(st.sampled_from(["taken", "bad", "same"]), min_size=1, max_size=12), st.booleans())
def test_every_event_of_any_batch_is_there_once_or_refused(kinds: list[str], ack: bool) -> None:
    hec = HecServer(
        ack=ack, refuses=lambda event: 6 if event["event"]["message"] == "bad" else None
    )
    with faulty_server(hec.answers()) as server:
        made = sink(server, settings=ACK if ack else {})
        # "same" events are the same bytes.
        events = [
            made.encode(record(kind, sequence=0 if kind == "same" else n))
            for n, kind in enumerate(kinds)
        ]
        result = made.send(batch(*events))
        made.close()
    refused = [] if result is None else [one.place for one in result.refused]
    assert refused == [place for place, kind in enumerate(kinds) if kind == "bad"]
    assert Counter(said(hec)) == Counter(kind for kind in kinds if kind != "bad")


# -- the key, the connection, and the way from the log --------------------------------------------


def test_a_token_from_a_file_is_read_anew_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    hec = HecServer()
    with faulty_server(hec.answers()) as server:
        made = sink(server, api_key=None, api_key_from=f"file:{file}")
        assert sent(made, "one") is None
        hec.token = "another-token"
        result = sent(made, "two")
        assert isinstance(result, ExportResult)
        assert result.reason is Reason.FORBIDDEN
        file.write_text("another-token")
        assert sent(made, "two") is None
    assert said(hec) == ["one", "two"]


def test_the_connection_is_secure() -> None:
    hec = HecServer()
    with faulty_server(hec.answers(), tls=True) as server:
        tls = {"ca_file": str(server.ca_file)}
        assert sent(sink(server, tls=tls), "one") is None
        server.answers = [UNKNOWN_CA]
        before = len(server.requests)
        result = sent(sink(server, tls=tls), "two")
        assert isinstance(result, ExportResult)
        assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.TLS)
        assert len(server.requests) == before, "the token must not go to whoever answers"


def test_every_line_arrives_once_through_a_collector_that_fails_half_the_time() -> None:
    """It answers that it is busy before it looks at anything, as a collector does."""
    hec = HecServer(refuses=lambda e: 6 if e["event"]["message"].endswith("77") else None)
    count = 0

    def half(request: Request) -> Any:
        nonlocal count
        count += 1
        return hec.reply(request) if count % 2 else says(9)

    errors: list[BaseException] = []
    with faulty_server(answer_by(half)) as server:
        made = sink(server)
        ship = shipper(made, errors)
        ship.put([made.encode(record(f"line {n}", sequence=n)) for n in range(500)])
        for _ in range(100):
            if ship.flush(10):
                break
        status = ship.status()
        ship.close(5)
    assert not errors
    assert said(hec) == [f"line {n}" for n in range(500) if n % 100 != 77]
    assert (status.delivered, status.waiting) == (495, 0)
    assert status.dropped == {Reason.SCHEMA: 5}


def test_every_line_is_there_though_acknowledgements_are_slow_or_lost() -> None:
    hec = HecServer(ack=True, acknowledged_after=1, loses=lambda number: number % 5 == 1)
    errors: list[BaseException] = []
    with faulty_server(hec.answers()) as server:
        made = sink(server, settings={**ACK, "ack_timeout": f"{2.5 * FIRST_PAUSE_S:.3f}s"})
        ship = shipper(made, errors, batch_size=40)
        ship.put([made.encode(record(f"line {n}", sequence=n)) for n in range(200)])
        for _ in range(100):
            if ship.flush(10):
                break
        status = ship.status()
        ship.close(5)
    assert not errors
    assert set(said(hec)) == {f"line {n}" for n in range(200)}
    assert (status.delivered, status.waiting, status.dropped) == (200, 0, {})
    assert json.dumps(status.to_dict()).count(TOKEN) == 0


def test_the_options_of_the_log_make_it() -> None:
    hec = HecServer(ack=True)
    errors: list[BaseException] = []
    with faulty_server(hec.answers()) as server:
        where = server.url + "/services/collector"
        options = LoggingOptions(
            sinks=[{"endpoint": where, "api_key": TOKEN, "settings": ACK, "timeout": "5s"}]
        )
        (running,) = sinks_of(options, resource=RESOURCE, on_error=lambda _, e: errors.append(e))
        running.shipper.put([running.sink.encode(record("a line"))], urgent=True)
        assert running.shipper.flush(10)
        running.shipper.close(5)
    assert not errors
    assert said(hec) == ["a line"]
