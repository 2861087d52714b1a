from __future__ import annotations

import json
import math
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from metalscope._version import __version__
from metalscope.sending.otlp.messages import json_of
from metalscope.sending.otlp.request import Envelope
from metalscope.sending.otlp.values import any_value
from metalscope.traces.otlp import encode
from metalscope.traces.span import Decision, FinishedSpan, SpanKind
from span_samples import START, TRACE, a_span, full_span, spans


def python_of(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [python_of(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return {one.key: python_of(one.value) for one in value.kvlist_value.values}
    return getattr(value, kind)


def attributes_of(pairs: Any) -> dict[str, Any]:
    return {one.key: python_of(one.value) for one in pairs}


def sent(span: FinishedSpan) -> Span:
    return Span.FromString(encode(span))


def test_every_field_of_a_span_is_in_its_message() -> None:
    span, message = full_span(), sent(full_span())
    assert message.trace_id == TRACE.to_bytes(16, "big")
    assert message.span_id == bytes.fromhex("b7ad6b7169203331")
    assert message.parent_span_id == bytes.fromhex("00f067aa0ba902b7")
    assert message.trace_state == "vendor=a:b,other=c"
    assert message.name == "execute matmul ∇"
    assert message.kind == Span.SPAN_KIND_SERVER
    assert message.start_time_unix_nano == START
    assert message.end_time_unix_nano == START + 12_345_678
    assert attributes_of(message.attributes) == {
        **span.attributes,
        "thread.id": 140_000_000_000_123,
        "thread.name": "worker-1",
        "metalscope.correlation_id": "order-17",
        "metalscope.kept_for": "failed",
    }
    waited, bare = message.events
    assert (waited.time_unix_nano, waited.name) == (START + 5, "waited")
    assert attributes_of(waited.attributes) == {"queue": "gpu 0"}
    assert (bare.name, len(bare.attributes)) == ("bare", 0)
    first, second = message.links
    assert (first.trace_id, first.span_id) == ((TRACE + 1).to_bytes(16), (17).to_bytes(8))
    assert attributes_of(first.attributes) == {"why": "batch"}
    assert second.span_id == (18).to_bytes(8)
    assert message.status.code == Status.STATUS_CODE_ERROR
    assert message.status.message == "out_of_memory: no room"


def test_a_span_that_did_not_fail_has_no_status_and_no_parent_where_there_is_none() -> None:
    message = sent(a_span(error="said, yet no failure"))
    assert not message.HasField("status")
    assert message.parent_span_id == b""
    assert message.kind == Span.SPAN_KIND_INTERNAL


@pytest.mark.parametrize("decision", Decision)
def test_the_sampled_flag_is_that_of_the_trace_and_not_of_what_was_kept_all_the_same(
    decision: Decision,
) -> None:
    message = sent(a_span(decision=decision))
    kept = attributes_of(message.attributes).get("metalscope.kept_for")
    if decision is Decision.SAMPLED:
        assert (message.flags, kept) == (1, None)
    else:
        assert (message.flags, kept) == (0, decision.value)


@pytest.mark.parametrize("kind", SpanKind)
def test_kinds_are_those_of_opentelemetry(kind: SpanKind) -> None:
    assert Span.SpanKind.Name(sent(a_span(kind=kind)).kind) == f"SPAN_KIND_{kind.name}"


def test_attributes_that_a_span_has_itself_are_not_replaced() -> None:
    message = sent(a_span(attributes={"thread.name": "its own"}))
    assert attributes_of(message.attributes)["thread.name"] == "its own"
    assert [one.key for one in message.attributes].count("thread.name") == 1


def test_what_is_of_no_kind_of_otlp_is_text() -> None:
    assert python_of(any_value(2**63)) == "9223372036854775808"
    assert python_of(any_value(SpanKind.CLIENT)) == "client"
    assert python_of(any_value(1 + 2j)) == "(1+2j)"
    assert python_of(any_value("\ud800x")) == "?x"
    assert math.isnan(python_of(any_value(math.nan)))
    deep: Any = "the end"
    for _ in range(50):
        deep = [deep]
    assert "the end" in str(python_of(any_value(deep)))


@settings(max_examples=100)
@given(spans())
def test_any_span_can_be_encoded_and_has_its_ids_and_times(span: FinishedSpan) -> None:
    message = sent(span)
    assert int.from_bytes(message.trace_id, "big") == span.trace_id
    assert int.from_bytes(message.span_id, "big") == span.span_id
    assert int.from_bytes(message.parent_span_id, "big") == span.parent_id
    assert len(message.trace_id) == 16
    assert len(message.span_id) == 8
    assert message.end_time_unix_nano - message.start_time_unix_nano == span.duration_ns
    assert set(span.attributes) <= set(attributes_of(message.attributes)) or any(
        0xD800 <= ord(letter) < 0xE000 for name in span.attributes for letter in name
    )


RESOURCE = {"service.name": "trainer ✓", "process.pid": 4711}


@settings(max_examples=50)
@given(st.lists(spans(), max_size=5))
def test_an_envelope_is_what_protobuf_itself_makes_of_the_same_messages(
    some: list[FinishedSpan],
) -> None:
    expected = ExportTraceServiceRequest()
    resource = expected.resource_spans.add()
    resource.resource.attributes.extend(
        [
            KeyValue(key="service.name", value=AnyValue(string_value="trainer ✓")),
            KeyValue(key="process.pid", value=AnyValue(int_value=4711)),
        ]
    )
    scope = resource.scope_spans.add()
    scope.scope.name, scope.scope.version = "metalscope", __version__
    scope.spans.extend([Span.FromString(encode(one)) for one in some])
    made = Envelope(RESOURCE).around([encode(one) for one in some])
    assert made == expected.SerializeToString()


def test_the_same_envelope_goes_round_log_records() -> None:
    record = LogRecord(time_unix_nano=5, body=AnyValue(string_value="x" * 500))
    made = ExportLogsServiceRequest.FromString(
        Envelope(RESOURCE).around([record.SerializeToString()] * 3)
    )
    [resource] = made.resource_logs
    assert attributes_of(resource.resource.attributes) == RESOURCE
    [scope] = resource.scope_logs
    assert (scope.scope.name, list(scope.log_records)) == ("metalscope", [record] * 3)


def test_in_json_ids_are_hexadecimal_and_all_else_is_protobufs_json() -> None:
    request = ExportTraceServiceRequest.FromString(Envelope(RESOURCE).around([encode(full_span())]))
    message = json.loads(json_of(request))
    [span] = message["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert span["traceId"] == "0af7651916cd43dd8448eb211c80319c"
    assert (span["spanId"], span["parentSpanId"]) == ("b7ad6b7169203331", "00f067aa0ba902b7")
    assert span["links"][0]["traceId"] == "0af7651916cd43dd8448eb211c80319d"
    assert span["startTimeUnixNano"] == str(START)
    assert (span["kind"], span["status"]["code"]) == (2, 2)
    theirs = json_format.MessageToDict(request, use_integers_for_enums=True)
    assert without_ids(message) == without_ids(theirs)


def without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: without_ids(part)
            for name, part in value.items()
            if name not in {"traceId", "spanId", "parentSpanId"}
        }
    return [without_ids(part) for part in value] if isinstance(value, list) else value
