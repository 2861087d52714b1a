from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from faulty_server import Request as HttpRequest
from faulty_server import answer, answer_by, faulty_server
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord as LogRecordMessage
from otlp_logs_receiver import LogsReceiver, logs_receiver
from remote_sinks import AT_NS, HOSTILE, RESOURCE, batch, failed, record, sink_context
from rotel_agent import RotelAgent, running_rotel

from metalscope import attributes as names
from metalscope.errors import ConfigurationError
from metalscope.logs.record import LogRecord, Severity
from metalscope.logs.sinks.otlp import OtlpLogSink
from metalscope.sending.result import ExportResult, Reason, Verdict

KEY = "a-key-nobody-guesses"


def sink(url: str | None, protocol: str | None = None, **options: Any) -> OtlpLogSink:
    settings = {"protocol": protocol} if protocol else {}
    return OtlpLogSink(sink_context("otlp", url, settings=settings, **options))


def values(message: LogRecordMessage) -> dict[str, Any]:
    return {one.key: plain(one.value) for one in message.attributes}


def plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return {one.key: plain(one.value) for one in value.kvlist_value.values}
    return getattr(value, kind) if kind else None


def encoded(of: LogRecord) -> LogRecordMessage:
    return LogRecordMessage.FromString(sink("http://127.0.0.1:1").encode(of))


@pytest.fixture(scope="module")
def running() -> Iterator[LogsReceiver]:
    with logs_receiver() as receiver:
        yield receiver


@pytest.fixture
def receiver(running: LogsReceiver) -> LogsReceiver:
    running.forget()
    return running


@pytest.fixture(scope="module")
def rotel(running: LogsReceiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RotelAgent]:
    with running_rotel(running.url, directory=tmp_path_factory.mktemp("rotel")) as agent:
        yield agent


@pytest.mark.server
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf", "http/json"])
def test_a_collector_hands_on_every_record_as_it_was_sent(
    rotel: RotelAgent, receiver: LogsReceiver, protocol: str
) -> None:
    url = rotel.grpc_url if protocol == "grpc" else rotel.http_url
    one = sink(url, protocol)
    nested = {"list": [1, "a", 2.5, True], "map": {"deep": {"er": -1}}, "text": HOSTILE}
    sent = [one.encode(record(HOSTILE, attributes=nested)), one.encode(failed(event=""))]
    sent += [one.encode(record(f"line {n}", sequence=n, trace_id=None)) for n in range(100)]
    result = one.send(batch(*sent))
    one.close()
    assert isinstance(result, ExportResult)
    assert result.ok
    got = receiver.wait_for(102)
    assert got == [LogRecordMessage.FromString(each) for each in sent]
    [resource] = receiver.requests[0].resource_logs
    speaker = {each.key: plain(each.value) for each in resource.resource.attributes}
    assert speaker == RESOURCE
    assert resource.scope_logs[0].scope.name == "metalscope"


def test_every_field_of_the_data_model_is_where_it_belongs() -> None:
    before = time.time_ns()
    message = encoded(failed())
    assert message.time_unix_nano == AT_NS
    assert before <= message.observed_time_unix_nano <= time.time_ns()
    assert (message.severity_number, message.severity_text) == (17, "ERROR")
    assert message.body.string_value == "matmul was slow"
    assert message.event_name == "metal.operation.slow"
    assert message.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
    assert message.span_id.hex() == "b7ad6b7169203331"
    assert message.flags == 1
    assert values(message) == {
        "metal.operation.name": "matmul",
        "metal.operation.duration_ms": 131.5,
        names.CORRELATION_ID: "order-17",
        "logger.name": "trainer.step",
        "thread.name": "MainThread",
        "metalscope.sequence": 17,
        "exception.type": "metalscope.errors.DeviceLostError",
        "exception.message": HOSTILE.replace("\ud800", "?"),
        "exception.stacktrace": 'Traceback:\n  File "a.py", line 1\nIt broke',
    }


def test_what_is_not_there_is_not_sent() -> None:
    bare = LogRecord(timestamp_ns=AT_NS, sequence=1, severity=Severity.INFO, body="hello")
    message = encoded(bare)
    assert values(message) == {"logger.name": "metalscope", "metalscope.sequence": 1}
    assert (message.trace_id, message.span_id, message.event_name) == (b"", b"", "")
    assert message.flags == 0


def test_the_numbers_and_words_of_severity_are_the_data_models() -> None:
    said = {
        one: (message.severity_number, message.severity_text)
        for one in Severity
        for message in [encoded(record(severity=one))]
    }
    assert said == {
        Severity.DEBUG: (5, "DEBUG"),
        Severity.INFO: (9, "INFO"),
        Severity.WARNING: (13, "WARN"),
        Severity.ERROR: (17, "ERROR"),
        Severity.CRITICAL: (21, "FATAL"),
    }


@given(
    st.text(),
    st.dictionaries(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda one: st.lists(one) | st.dictionaries(st.text(), one),
            max_leaves=5,
        ),
    ),
)
def test_whatever_is_said_it_is_a_record(body: str, attributes: dict[str, Any]) -> None:
    message = encoded(record(body, attributes=attributes))
    assert message.body.string_value == body
    assert set(attributes) <= set(values(message))


def test_the_key_and_gzip_go_with_it_over_grpc(receiver: LogsReceiver) -> None:
    one = sink(receiver.url, "grpc", api_key=KEY, headers={"x-team": "a"})
    assert one.send(batch(one.encode(record()))) is not None
    one.close()
    [metadata] = receiver.metadata
    assert metadata["authorization"] == f"Bearer {KEY}"
    assert metadata["x-team"] == "a"


def test_the_key_goes_with_it_over_https_in_json() -> None:
    with faulty_server(answer(200, b"{}", content_type="application/json"), tls=True) as server:
        one = sink(
            server.url, "http/json", api_key=KEY, user="4711", tls={"ca_file": server.ca_file}
        )
        result = one.send(batch(one.encode(record())))
        one.close()
        assert isinstance(result, ExportResult)
        assert result.ok, result
        [request] = server.requests
        assert request.path == "/v1/logs"
        assert request.headers["authorization"].startswith("Basic ")
        assert request.headers["content-encoding"] == "gzip"
        [resource] = json.loads(request.content)["resourceLogs"]
        [said] = resource["scopeLogs"][0]["logRecords"]
        assert said["traceId"] == record().trace_id
        assert said["timeUnixNano"] == str(AT_NS)
        assert said["severityNumber"] == 13


def partly(refused: int) -> ExportLogsServiceResponse:
    partial = ExportLogsPartialSuccess(rejected_log_records=refused, error_message="too old")
    return ExportLogsServiceResponse(partial_success=partial)


def test_of_a_partial_success_what_was_refused_is_counted(receiver: LogsReceiver) -> None:
    receiver.answer = lambda _request, _context: partly(2)
    with faulty_server(
        answer(200, partly(2).SerializeToString(), content_type="application/x-protobuf")
    ) as server:
        for one in (sink(receiver.url, "grpc"), sink(server.url)):
            result = one.send(batch(*[one.encode(record())] * 5))
            one.close()
            assert isinstance(result, ExportResult)
            assert (result.verdict, result.reason) == (Verdict.DELIVERED, Reason.PARTIAL)
            assert (result.points, result.rejected_points) == (3, 2)
            assert "too old" in result.detail


def test_a_peer_that_asks_for_time_gets_it_and_then_all(receiver: LogsReceiver) -> None:
    def busy(_request: Any, context: grpc.ServicerContext) -> ExportLogsServiceResponse:
        context.abort(grpc.StatusCode.UNAVAILABLE, "busy")
        raise AssertionError

    receiver.answer = busy
    calls: list[HttpRequest] = []

    def once(request: HttpRequest) -> tuple[int, dict[str, str], bytes]:
        calls.append(request)
        return (503, {"retry-after": "3"}, b"") if len(calls) == 1 else (200, {}, b"")

    with faulty_server(answer_by(once)) as server:
        grpc_one, http_one = sink(receiver.url, "grpc"), sink(server.url)
        for one, asked in ((grpc_one, None), (http_one, timedelta(seconds=3))):
            sent = batch(one.encode(record()))
            result = one.send(sent)
            assert isinstance(result, ExportResult)
            assert (result.verdict, result.retry_after) == (Verdict.RETRY, asked)
            receiver.answer = None
            again = one.send(sent)
            assert isinstance(again, ExportResult)
            assert again.ok
            one.close()
        assert calls[0].content == calls[1].content
        ExportLogsServiceRequest.FromString(calls[0].content)


def test_where_no_endpoint_is_named_it_is_the_collector_of_this_host() -> None:
    for protocol in (None, "grpc", "http/json"):
        sink(None, protocol).close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"settings": {"protocol": "udp"}}, "settings.protocol must be one of grpc, http/protobuf"),
        ({"settings": {"path": "v1"}}, "settings.path must be text such as '/v1/logs'"),
        ({"settings": {"compression": "gzip"}}, "settings.compression is unknown"),
        (
            {"endpoint": "grpc://a:1", "settings": {"protocol": "http/json"}},
            "must be http or https",
        ),
        ({"endpoint": "udp://a:1"}, "endpoint"),
    ],
)
def test_what_cannot_be_is_refused_at_the_start(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        OtlpLogSink(sink_context("otlp", **{"endpoint": "http://127.0.0.1:1", **options}))
    assert words in str(error.value)
    assert str(error.value).startswith("log sink otlp: ")
