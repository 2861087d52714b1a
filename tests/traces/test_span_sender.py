from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from faulty_server import GARBAGE, REFUSED, Fault, Request, answer, answer_by, faulty_server
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from metalscope.errors import ConfigurationError
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.sending.shipping.base import Batch, Shipment
from metalscope.trace_options import SpanExporterOptions
from metalscope.traces.otlp import OtlpSpanSender, encode
from otlp_collector import otlp_collector
from peers import free_port
from span_samples import a_span, full_span

KEY = "a-key-nobody-guesses"
RESOURCE = {"service.name": "trainer"}
PROTOBUF = "application/x-protobuf"


def batch(count: int = 3) -> Batch:
    return Batch("1", tuple(encode(a_span(n)) for n in range(1, count + 1)))


def send(
    endpoint: str, what: Batch | None = None, **options: Any
) -> Shipment | ExportResult | None:
    made = SpanExporterOptions(endpoint=endpoint, **{"timeout": 5, **options})
    sender = OtlpSpanSender(made, resource=RESOURCE)
    try:
        return sender.send(what or batch())
    finally:
        sender.close()


def names_in(request: Request) -> list[str]:
    read = ExportTraceServiceRequest.FromString(request.content)
    [resource] = read.resource_spans
    [scope] = resource.scope_spans
    return [span.name for span in scope.spans]


# -- HTTP ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("", "/v1/traces"),
        ("/", "/v1/traces"),
        ("/otlp", "/otlp/v1/traces"),
        ("/otlp/v1/traces", "/otlp/v1/traces"),
    ],
)
def test_the_path_of_traces_is_there_once(path: str, asked: str) -> None:
    with faulty_server() as server:
        assert send(server.url + path) == ExportResult.delivered(3)
        assert [request.path for request in server.requests] == [asked]


def test_a_request_is_compressed_protobuf_with_the_headers_the_key_and_who_speaks() -> None:
    with faulty_server() as server:
        send(server.url, headers={"X-Scope": "a"}, api_key=KEY)
        send(server.url, compress=False, user="me", api_key="secret")
        first, second = server.requests
    assert first.headers["content-encoding"] == "gzip"
    assert first.headers["content-type"] == PROTOBUF
    assert (first.headers["x-scope"], first.headers["authorization"]) == ("a", f"Bearer {KEY}")
    assert "content-encoding" not in second.headers
    assert second.headers["authorization"] == "Basic bWU6c2VjcmV0"
    assert names_in(first) == names_in(second) == ["span 1", "span 2", "span 3"]
    [resource] = ExportTraceServiceRequest.FromString(first.content).resource_spans
    [attribute] = resource.resource.attributes
    assert (attribute.key, attribute.value.string_value) == ("service.name", "trainer")


def test_json_has_hexadecimal_ids_and_its_answer_is_read() -> None:
    refused = b'{"partialSuccess":{"rejectedSpans":"1","errorMessage":"too old"}}'
    with faulty_server(answer(200, refused, content_type="application/json")) as server:
        result = send(server.url, Batch("1", (encode(full_span()),) * 2), protocol="http/json")
        [request] = server.requests
    assert request.headers["content-type"] == "application/json"
    [span, _] = json.loads(request.content)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert span["traceId"] == "0af7651916cd43dd8448eb211c80319c"
    assert result == ExportResult.delivered(1, rejected_points=1, detail="too old")


def partial(rejected: int, says: str) -> bytes:
    return ExportTraceServiceResponse(
        partial_success=ExportTracePartialSuccess(rejected_spans=rejected, error_message=says)
    ).SerializeToString()


def test_spans_the_collector_refuses_are_counted_and_its_words_are_told_without_the_key() -> None:
    with faulty_server(answer(200, partial(2, f"no {KEY} here"))) as server:
        result = send(server.url, api_key=KEY)
    assert result == ExportResult.delivered(1, rejected_points=2, detail="no … here")


def test_a_collector_that_refuses_every_span_has_refused_the_whole() -> None:
    with faulty_server(answer(200, partial(9, "none of it"))) as server:
        result = send(server.url)
    assert result == ExportResult.rejected(Reason.SCHEMA, "the peer refused every span: none of it")


@pytest.mark.parametrize(
    ("fault", "verdict", "reason", "wait"),
    [
        (answer(429, retry_after="7"), Verdict.RETRY, Reason.RATE_LIMITED, 7),
        (answer(503, retry_after="3"), Verdict.RETRY, Reason.SERVER_ERROR, 3),
        (answer(502), Verdict.RETRY, Reason.SERVER_ERROR, None),
        (answer(504), Verdict.RETRY, Reason.SERVER_ERROR, None),
        (answer(400), Verdict.REJECTED, Reason.SCHEMA, None),
        (answer(401), Verdict.RETRY, Reason.UNAUTHORIZED, None),
        (GARBAGE, Verdict.RETRY, Reason.GARBAGE, None),
        (answer(200, b"OK"), Verdict.RETRY, Reason.GARBAGE, None),
        (REFUSED, Verdict.RETRY, Reason.REFUSED, None),
    ],
    ids=str,
)
def test_a_failure_means_what_the_protocol_says(
    fault: Fault, verdict: Verdict, reason: Reason, wait: int | None
) -> None:
    with faulty_server(fault) as server:
        result = send(server.url, api_key=KEY)
    assert isinstance(result, ExportResult)
    assert (result.verdict, result.reason) == (verdict, reason)
    assert result.retry_after == (None if wait is None else timedelta(seconds=wait))
    assert KEY not in result.detail


def at_most(count: int, *, then: int = 200) -> Fault:
    def answered(request: Request) -> tuple[int, dict[str, str], bytes]:
        return (then if len(names_in(request)) <= count else 413), {}, b""

    return answer_by(answered)


def test_a_request_that_is_too_large_is_halved_until_it_is_taken() -> None:
    with faulty_server(at_most(2)) as server:
        result = send(server.url, batch(7))
        parts = [names_in(one) for one in server.requests]
    assert result == Shipment()
    taken = [name for part in parts if len(part) <= 2 for name in part]
    assert taken == [f"span {n}" for n in range(1, 8)], "in their order"


def test_a_span_that_is_too_large_by_itself_is_refused_and_the_others_arrive() -> None:
    def answered(request: Request) -> tuple[int, dict[str, str], bytes]:
        return (413 if "span 2" in names_in(request) else 200), {}, b""

    with faulty_server(answer_by(answered)) as server:
        result = send(server.url, batch(4))
    assert isinstance(result, Shipment)
    assert [(one.place, one.reason) for one in result.refused] == [(1, Reason.TOO_LARGE)]
    assert list(result.again) == []


def test_of_halves_only_those_that_did_not_arrive_are_sent_again() -> None:
    answers = (answer(413), answer(200), answer(503, retry_after="4"))
    with faulty_server(*answers) as server:
        result = send(server.url, batch(4))
    assert isinstance(result, Shipment)
    assert (list(result.again), result.reason) == ([2, 3], Reason.SERVER_ERROR)
    assert result.retry_after == timedelta(seconds=4)


def test_over_tls_the_collectors_certificate_is_checked() -> None:
    with faulty_server(tls=True) as server:
        assert server.url.startswith("https://")
        result = send(server.url)
        assert isinstance(result, ExportResult)
        assert result.reason is Reason.TLS
        assert send(server.url, tls={"ca_file": server.ca_file}) == ExportResult.delivered(3)


# -- gRPC ----------------------------------------------------------------------------------------


def test_over_grpc_the_spans_are_the_bytes_that_were_made() -> None:
    records = (encode(full_span()), encode(a_span()))
    with otlp_collector() as collector:
        made = SpanExporterOptions(endpoint=collector.url, protocol="grpc", api_key=KEY)
        sender = OtlpSpanSender(made, resource=RESOURCE)
        assert sender.send(Batch("1", records)) == ExportResult.delivered(2)
        sender.close()
        [(_, request, metadata)] = collector.calls
    assert metadata["authorization"] == f"Bearer {KEY}"
    assert metadata["user-agent"].startswith("metalscope/")
    assert all(record in request for record in records)
    assert [span.SerializeToString() for span in collector.spans()] == list(records)


@pytest.mark.parametrize(
    ("endpoint", "protocol"),
    [
        ("http://127.0.0.1:4317", "grpc"),
        ("grpc://collector.example:9999", "grpc"),
        ("http://127.0.0.1:4318", "http/protobuf"),
        ("https://collector.example", "http/protobuf"),
    ],
)
def test_where_no_protocol_is_set_the_port_and_the_scheme_tell(
    endpoint: str, protocol: str
) -> None:
    from metalscope.sending.otlp.address import protocol_of

    assert protocol_of(endpoint) == protocol


def retry_info(seconds: float) -> bytes:
    """A google.rpc.Status with a RetryInfo."""
    delay = Duration()
    delay.FromTimedelta(timedelta(seconds=seconds))
    info = delay.SerializeToString()
    packed = AnyMessage(
        type_url="type.googleapis.com/google.rpc.RetryInfo",
        value=bytes([0x0A, len(info)]) + info,
    ).SerializeToString()
    return bytes([0x08, 8, 0x1A, len(packed)]) + packed


def aborting(
    code: grpc.StatusCode, details: bytes = b""
) -> Callable[[grpc.ServicerContext], bytes]:
    def say(call: grpc.ServicerContext) -> bytes:
        if details:
            call.set_trailing_metadata((("grpc-status-details-bin", details),))
        call.abort(code, "not now")
        raise AssertionError

    return say


@pytest.mark.parametrize(
    ("code", "details", "verdict", "reason", "wait"),
    [
        (grpc.StatusCode.UNAVAILABLE, b"", Verdict.RETRY, Reason.SERVER_ERROR, None),
        (grpc.StatusCode.UNAVAILABLE, retry_info(2), Verdict.RETRY, Reason.SERVER_ERROR, 2),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, retry_info(3), Verdict.RETRY, Reason.RATE_LIMITED, 3),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, b"", Verdict.REJECTED, Reason.RATE_LIMITED, None),
        (grpc.StatusCode.INVALID_ARGUMENT, b"", Verdict.REJECTED, Reason.SCHEMA, None),
        (grpc.StatusCode.UNAUTHENTICATED, b"", Verdict.RETRY, Reason.UNAUTHORIZED, None),
    ],
    ids=str,
)
def test_a_status_of_grpc_means_what_the_protocol_says(
    code: grpc.StatusCode, details: bytes, verdict: Verdict, reason: Reason, wait: int | None
) -> None:
    with otlp_collector() as collector:
        collector.answers = [aborting(code, details)]
        result = send(collector.url, protocol="grpc")
    assert isinstance(result, ExportResult)
    assert (result.verdict, result.reason) == (verdict, reason)
    assert result.retry_after == (None if wait is None else timedelta(seconds=wait))


def test_spans_that_are_refused_over_grpc_are_counted() -> None:
    with otlp_collector() as collector:
        collector.answers = [lambda _: partial(1, "too old")]
        result = send(collector.url, protocol="grpc")
    assert result == ExportResult.delivered(2, rejected_points=1, detail="too old")


def test_grpc_over_tls_trusts_the_authority_that_is_named(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    chain = b"".join(one.bytes() for one in certificate.cert_chain_pems)
    credentials = grpc.ssl_server_credentials([(certificate.private_key_pem.bytes(), chain)])
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with otlp_collector(credentials=credentials) as collector:
        url = collector.url.replace("http://127.0.0.1", "https://localhost")
        trusted = {"ca_file": tmp_path / "ca.pem"}
        assert send(url, protocol="grpc", tls=trusted) == ExportResult.delivered(3)
        result = send(url, protocol="grpc")
    assert isinstance(result, ExportResult)
    assert result.reason is Reason.TLS


# -- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"endpoint": "udp://127.0.0.1:1"}, "span exporter otlp: endpoint .* http or https URL"),
        ({"endpoint": "udp://127.0.0.1:1", "protocol": "grpc"}, "for the protocol grpc"),
        ({"protocol": "grpc", "user": "me"}, "span exporter otlp: user 'me' needs api_key"),
        ({"protocol": "grpc", "proxy_headers": {"a": "b"}}, "proxy_headers cannot be sent"),
    ],
)
def test_options_that_cannot_be_are_refused_at_the_start(
    options: dict[str, Any], expected: str
) -> None:
    made = SpanExporterOptions(**{"endpoint": f"http://127.0.0.1:{free_port()}", **options})
    with pytest.raises(ConfigurationError, match=expected):
        OtlpSpanSender(made, resource=RESOURCE)


@pytest.mark.parametrize("missing", ["opentelemetry", "grpc"])
def test_a_library_that_is_missing_is_named_by_the_extra_that_brings_it(missing: str) -> None:
    program = f"""
import sys
sys.modules[{missing!r}] = None
from metalscope.errors import MissingExtraError
from metalscope.trace_options import SpanExporterOptions
try:
    from metalscope.traces.otlp import OtlpSpanSender
    OtlpSpanSender(SpanExporterOptions(endpoint="http://127.0.0.1:4317"), resource={{}})
except MissingExtraError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ, capture_output=True, text=True, check=True
    )
    assert "pip install 'metalscope[otlp]'" in done.stdout
