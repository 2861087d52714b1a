from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from faulty_server import GARBAGE_PAGE, Request, answer, answer_by
from hypothesis import given
from hypothesis import strategies as st
from loki_server import HOUR, PUSH_PATH, LokiServer, good, loki_server
from remote_sinks import AT_NS, HOSTILE, batch, failed, record, sink_context

from metalscope.errors import ConfigurationError
from metalscope.logs.record import LogRecord, Severity
from metalscope.logs.sinks.loki import LokiSink
from metalscope.logs.sinks.loki_answer import Line, refused_lines
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.sending.shipping.base import Shipment

SECOND = 10**9


@pytest.fixture(scope="module")
def running() -> Iterator[LokiServer]:
    with loki_server() as loki:
        yield loki


@pytest.fixture
def loki(running: LokiServer) -> LokiServer:
    running.streams.clear()
    running.server.requests.clear()
    running.tenants.clear()
    running.authorizations.clear()
    running.max_line_size = 256 * 1024
    running.oldest_ns = 0
    running.server.answers = [good(running)]
    return running


def push(loki: LokiServer, *records: LogRecord, **options: Any) -> Any:
    sink = LokiSink(sink_context("loki", options.pop("endpoint", loki.url), **options))
    try:
        return sink.send(batch(*map(sink.encode, records)))
    finally:
        sink.close()


def test_a_line_holds_the_record_and_its_labels_are_few(loki: LokiServer) -> None:
    assert push(loki, failed(body=HOSTILE)) is None
    [(labels, stream)] = loki.streams.items()
    assert labels == '{level="error", service_name="trainer"}'
    [(time_ns, line, said)] = stream.entries
    assert time_ns == AT_NS
    assert json.loads(line)["message"] == HOSTILE.replace("\ud800", "\ufffd")
    assert said == {
        "correlation_id": "order-17",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": "b7ad6b7169203331",
        "event": "metal.operation.slow",
        "logger": "trainer.step",
        "host_name": "gpu-7.example",
        "instance": "gpu-7:4242",
    }
    [request] = loki.server.requests
    assert request.headers["content-encoding"] == "gzip"


def test_the_lines_of_a_stream_are_in_order_and_all_there(loki: LokiServer) -> None:
    severities = [Severity.INFO, Severity.ERROR, Severity.INFO]
    sent = [
        record(f"{place} {severity.text}", severity=severity, timestamp_ns=AT_NS + late)
        for place, late in enumerate([0, 3, 2, 2, 9, 7])
        for severity in severities[:2]
    ]
    assert push(loki, *sent) is None
    for severity in ("info", "error"):
        stream = loki.streams[f'{{level="{severity}", service_name="trainer"}}']
        said = [json.loads(line)["message"] for line in stream.lines]
        assert said == [f"{place} {severity}" for place in (0, 2, 3, 1, 5, 4)]


def test_a_batch_that_is_sent_again_leaves_no_line_twice(loki: LokiServer) -> None:
    for _ in range(2):
        assert push(loki, record("a"), record("b")) is None
    assert len(loki.lines()) == 2


def test_tenant_labels_and_key_are_as_the_options_say(loki: LokiServer) -> None:
    settings = {"tenant": "team-a", "labels": {"region": "eu", "service_name": "other"}}
    assert push(loki, record(), settings=settings, user="4711", api_key="a-key") is None
    assert loki.tenants == ["team-a"]
    assert loki.authorizations == ["Basic " + base64.b64encode(b"4711:a-key").decode()]
    assert list(loki.streams) == ['{level="warning", region="eu", service_name="other"}']


def test_without_structured_metadata_the_ids_are_in_the_line_alone(loki: LokiServer) -> None:
    assert push(loki, record(), settings={"structured_metadata": False}) is None
    [stream] = loki.streams.values()
    assert stream.entries[0][2] == {}
    assert json.loads(stream.lines[0])["trace_id"] == record().trace_id


def test_the_endpoint_may_be_the_whole_url(loki: LokiServer) -> None:
    for endpoint in (f"{loki.url}{PUSH_PATH}", f"{loki.url}/"):
        assert push(loki, record(), endpoint=endpoint, compress=False) is None
    assert [request.path for request in loki.server.requests] == [PUSH_PATH] * 2


def test_the_text_format_is_a_line_for_people(loki: LokiServer) -> None:
    assert push(loki, record(), format="text") is None
    assert not loki.lines()[0].startswith("{")


def test_lines_that_are_too_long_are_refused_alone(loki: LokiServer) -> None:
    loki.max_line_size = 3000
    sent = [record("x" * size, timestamp_ns=AT_NS + size) for size in (10, 5000, 20, 4000, 30)]
    result = push(loki, *sent)
    assert isinstance(result, Shipment)
    assert not list(result.again)
    assert [(one.place, one.reason) for one in result.refused] == [
        (1, Reason.SCHEMA),
        (3, Reason.SCHEMA),
    ]
    assert "Max entry size" in result.refused[0].detail
    assert len(loki.lines()) == 3


def test_lines_that_are_too_old_are_refused_alone(loki: LokiServer) -> None:
    loki.oldest_ns = (AT_NS // SECOND - 60) * SECOND
    late = [0, 100, 5, 61, 62]
    sent = [record(str(s), timestamp_ns=AT_NS - s * SECOND) for s in late]
    result = push(loki, *sent)
    assert isinstance(result, Shipment)
    assert [one.place for one in result.refused] == [1, 3, 4]
    assert len(loki.lines()) == 2


def test_lines_too_far_behind_are_refused_alone_even_those_not_named(loki: LokiServer) -> None:
    assert push(loki, record("newest", timestamp_ns=AT_NS)) is None
    old = [record(f"old {n}", timestamp_ns=AT_NS - 2 * HOUR + n) for n in range(25)]
    new = [record(f"new {n}", timestamp_ns=AT_NS + n + 1) for n in range(25)]
    mixed = [one for pair in zip(new, old, strict=True) for one in pair]
    result = push(loki, *mixed, record("other stream", severity=Severity.INFO))
    assert isinstance(result, Shipment)
    # It names ten of them.
    assert [one.place for one in result.refused] == list(range(1, 50, 2))
    assert len(loki.lines()) == 1 + 25 + 1


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (429, Reason.RATE_LIMITED),
        (500, Reason.SERVER_ERROR),
        (503, Reason.SERVER_ERROR),
        (401, Reason.UNAUTHORIZED),
        (404, Reason.NOT_FOUND),
        (260, Reason.FORBIDDEN),
    ],
)
def test_what_may_be_otherwise_later_waits_as_long_as_it_says(
    loki: LokiServer, status: int, reason: Reason
) -> None:
    loki.server.answers = [answer(status, b"in other words", retry_after="7")]
    result = push(loki, record())
    assert isinstance(result, ExportResult)
    assert (result.verdict, result.reason) == (Verdict.RETRY, reason)
    assert result.retry_after == timedelta(seconds=7)


def test_of_a_refusal_in_other_words_nothing_counts_as_taken(loki: LokiServer) -> None:
    loki.server.answers = [answer(400, b"in other words")]
    result = push(loki, record("a"), record("b"))
    assert isinstance(result, Shipment)
    assert [(one.place, one.reason) for one in result.refused] == [
        (0, Reason.SCHEMA),
        (1, Reason.SCHEMA),
    ]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (413, b""),
        (
            500,
            b"rpc error: code = ResourceExhausted desc = received message larger than max (9)",
        ),
    ],
)
def test_a_request_that_is_too_large_is_halved_down_to_the_cause(
    loki: LokiServer, status: int, words: bytes
) -> None:
    def small_ones(request: Request) -> tuple[int, Mapping[str, str], bytes]:
        return loki.take(request) if len(request.content) < 6000 else (status, {}, words)

    loki.server.answers = [answer_by(small_ones)]
    texts = [str(number) for number in range(20)]
    result = push(loki, *map(record, [*texts[:7], "x" * 9000, *texts[7:]]))
    assert isinstance(result, Shipment)
    assert [(one.place, one.reason) for one in result.refused] == [(7, Reason.TOO_LARGE)]
    assert [json.loads(line)["message"] for line in loki.lines()] == texts


def test_a_web_page_is_no_answer(loki: LokiServer) -> None:
    loki.server.answers = [GARBAGE_PAGE]
    result = push(loki, record())
    assert isinstance(result, ExportResult)
    assert result.reason is Reason.GARBAGE


ENTRY = "entry with timestamp 1970-01-01 00:00:00.000000002 +0000 UTC ignored, reason: "
METADATA = "stream '{a=\"1\"}' has structured metadata too large: '7' bytes, limit: '5' bytes"
WORDS = {
    METADATA: [1],
    "entry for stream '{a=\"2\"}' has timestamp too new: 2026-01-01T00:00:00Z": [5],
    "stream '{a=\"2\"}' has label value too long: 'x'": [2, 3, 4, 5],
    "Error parsing labels '{other=\"2\"}' with error: parse error": [0, 1, 2, 3, 4, 5],
    "3 errors like: Max entry size '12' bytes exceeded for stream '{a=\"1\"}' while": [3, 4, 5],
    f"2 errors like: {METADATA}": [0, 1],
    # Of the versions before 2.8.
    f"{ENTRY}'entry out of order' for stream: {{a=\"2\"}},\ntotal ignored: 1 out of 6": [2],
    f"{ENTRY}'Per stream rate limit exceeded',\nuser 'u', total ignored: 3 out of 4 for stream: "
    '{a="2"}': [2, 3, 4],
}


@pytest.mark.parametrize(("words", "places"), WORDS.items())
def test_the_words_of_refusals_tell_the_lines(words: str, places: list[int]) -> None:
    lines = [Line(n, '{a="1"}' if n < 2 else '{a="2"}', n, 10 + n) for n in range(6)]
    assert refused_lines(words, lines) == places


@given(st.text(), st.lists(st.sampled_from(list(WORDS)), max_size=3))
def test_no_words_break_the_reading(noise: str, words: list[str]) -> None:
    lines = [Line(n, '{a="1"}', n, 10) for n in range(4)]
    refused = refused_lines(noise.join([*words, ""]) + noise, lines)
    assert refused is None or (refused and set(refused) <= set(range(4)))
    assert refused is not None or not words


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"labels": ["a"]}, "settings.labels must be names with their values"),
        ({"labels": {"a-b": "c"}}, "must have names such as 'region', not 'a-b'"),
        ({"labels": {"__name__": "c"}}, "must not have __name__"),
        ({"labels": {"level": "c"}}, "must not have level"),
        ({"labels": {"a": ""}}, "must have values of text, 1 to 2048 bytes long; a has ''"),
        ({"labels": {"a": 1}}, "must have values of text"),
        ({"labels": {f"a{n}": "b" for n in range(14)}}, "must be 13 at most"),
        ({"tenant": "a b"}, "settings.tenant must be text such as 'team-a'"),
        ({"tenants": "a"}, "settings.tenants is unknown"),
    ],
)
def test_settings_loki_would_refuse_are_refused_at_the_start(
    settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        LokiSink(sink_context("loki", "http://127.0.0.1:1", settings=settings))
    assert words in str(error.value)
    assert str(error.value).startswith("log sink loki: ")
