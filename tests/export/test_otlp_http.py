from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from contexts import context
from faulty_server import (
    CUT_ANSWER,
    EXPIRED_CERTIFICATE,
    GARBAGE,
    GARBAGE_PAGE,
    GOOD,
    NEVER_ANSWERS,
    REFUSED,
    RESET_AFTER_REQUEST,
    Fault,
    Request,
    answer,
    faulty_server,
    redirect,
)
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as AnyMessage
from hypothesis import given, settings
from opentelemetry.exporter.otlp.json.common.metrics_encoder import encode_metrics as official_json
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from otlp_receiver import grpc_receiver, points
from rotel_agent import running_rotel
from snapshots import NOW, full, snapshots

from metalscope.errors import ConfigurationError
from metalscope.export.otlp.encoder import request_of
from metalscope.export.otlp.exporter import OtlpExporter
from metalscope.export.otlp.metrics import metrics_data
from metalscope.export.view import MetricView
from metalscope.export_options import HistogramForm, Temporality
from metalscope.families import Distribution
from metalscope.histogram import DurationHistogram
from metalscope.operation import OperationKind
from metalscope.sending.otlp.messages import json_of
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.snapshot import Exemplar, MetalTelemetrySnapshot

KEY = "a-key-nobody-guesses"
DURATION = "metal_operation_duration_ms"
PROTOBUF = "application/x-protobuf"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


def exporter(url: str, **options: Any) -> OtlpExporter:
    return OtlpExporter(context("opentelemetry", endpoint=url, **options))


def export(
    url: str, snapshot: MetalTelemetrySnapshot | None = None, **options: Any
) -> ExportResult:
    made = exporter(url, **options)
    try:
        return made.export(snapshot or full())
    finally:
        made.shutdown()


def read(request: Request) -> ExportMetricsServiceRequest:
    assert request.headers["content-type"] == PROTOBUF
    return ExportMetricsServiceRequest.FromString(request.content)


def expected(snapshot: MetalTelemetrySnapshot) -> dict[Any, float]:
    """Every number that is not a histogram, from the families themselves."""
    return {
        (family.metric.name, tuple(zip(family.metric.labels, labels, strict=True))): value
        for family in MetricView().families(snapshot)
        for labels, value in family.values
    }


def of_metalscope(found: dict[Any, Any]) -> dict[Any, float]:
    return {
        key: got.value
        for key, got in found.items()
        if not key[0].startswith("hw.") and got.kind in {"sum", "gauge"}
    }


def grown(snapshot: MetalTelemetrySnapshot) -> MetalTelemetrySnapshot:
    """Ten seconds later: one more matmul of 3 ms that succeeded."""
    operations = list(snapshot.operations)
    place = next(n for n, one in enumerate(operations) if one.kind is OperationKind.EXECUTE)
    ok, *rest = operations[place].outcomes
    more = DurationHistogram.from_durations([3_000_000])
    ok = replace(ok, durations=ok.durations + more)
    operations[place] = replace(operations[place], outcomes=(ok, *rest))
    later = snapshot.timestamp + timedelta(seconds=10)
    return replace(snapshot, timestamp=later, operations=tuple(operations))


MATMUL = (("kind", "execute"), ("name", "matmul"), ("device", "m1"), ("outcome", "ok"))

# -- a real agent --------------------------------------------------------------------------------


@pytest.mark.server
@pytest.mark.parametrize("form", HistogramForm)
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_what_an_agent_passes_on_has_the_numbers_of_the_snapshot(
    protocol: str, form: HistogramForm, tmp_path: Path
) -> None:
    snapshot = full()
    with (
        grpc_receiver() as receiver,
        running_rotel(f"http://127.0.0.1:{receiver.port}", directory=tmp_path) as agent,
    ):
        url = agent.grpc_url if protocol == "grpc" else agent.http_url
        result = export(url, snapshot, protocol=protocol, histograms=form)
        found = receiver.wait_for({"metal_operations_total", DURATION, "hw.fan.speed"})
    assert result == ExportResult.delivered(len(found))
    assert of_metalscope(found) == expected(snapshot)
    for family in MetricView().families(snapshot):
        for labels, value in family.distributions:
            key = family.metric.name, tuple(zip(family.metric.labels, labels, strict=True))
            assert_same_histogram(found[key].point, value, form)


def assert_same_histogram(got: Any, value: Distribution, form: HistogramForm) -> None:
    assert (got.count, got.sum) == (value.count, value.sum)
    if value.durations is None or form is HistogramForm.CLASSIC:
        assert list(got.explicit_bounds) == [bound for bound, _ in value.buckets]
        running = 0
        whole = [*(count for _, count in value.buckets), value.count]
        for count, cumulative in zip(got.bucket_counts, whole, strict=True):
            running += count
            assert running == cumulative
    else:
        # The durations of the full snapshot, each in the bucket it belongs to.
        base = 2.0 ** (2.0**-got.scale)
        held = {place: count for place, count in enumerate(got.positive.bucket_counts, 0) if count}
        in_ms = [0.005, 0.9, 1.0, 12.345678] if value.count == 4 else [60_000.0]
        for place, count in held.items():
            low, high = (base ** (got.positive.offset + place + more) for more in (0, 1))
            assert count == sum(low < one <= high * (1 + 1e-12) for one in in_ms)
        assert sum(held.values()) + got.zero_count == value.count


@pytest.mark.server
@pytest.mark.parametrize("form", HistogramForm)
def test_differences_through_an_agent_add_up_to_the_total(
    form: HistogramForm, tmp_path: Path
) -> None:
    with (
        grpc_receiver() as receiver,
        running_rotel(f"http://127.0.0.1:{receiver.port}", directory=tmp_path) as agent,
    ):
        made = exporter(agent.http_url, temporality="delta", histograms=form)
        assert made.export(full()).ok
        first = receiver.wait_for({"metal_operations_total", DURATION})
        receiver.requests.clear()
        assert made.export(grown(full())).ok
        second = receiver.wait_for({"metal_operations_total", DURATION})
        made.shutdown()
    assert first["metal_operations_total", MATMUL].value == 4
    assert second["metal_operations_total", MATMUL].value == 1
    assert (first[DURATION, MATMUL].point.count, second[DURATION, MATMUL].point.count) == (4, 1)
    assert second[DURATION, MATMUL].point.sum == 3.0
    assert (second[DURATION, MATMUL].kind == "histogram") == (form is HistogramForm.CLASSIC)
    assert second["metal_operations_total", MATMUL].data.aggregation_temporality == 1  # delta
    ends = second["metal_operations_total", MATMUL].point.start_time_unix_nano
    assert ends == first["metal_operations_total", MATMUL].point.time_unix_nano


# -- what is sent --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("", "/v1/metrics"),
        ("/", "/v1/metrics"),
        ("/otlp", "/otlp/v1/metrics"),
        ("/otlp/v1/metrics", "/otlp/v1/metrics"),
        ("/v1/metrics/", "/v1/metrics/"),
    ],
)
def test_the_path_of_metrics_is_there_once(path: str, asked: str) -> None:
    with faulty_server() as server:
        assert export(server.url + path).ok
        assert [request.path for request in server.requests] == [asked]


def test_a_request_is_compressed_protobuf_with_the_headers_and_the_key() -> None:
    with faulty_server() as server:
        result = export(server.url, headers={"X-Scope": "a"}, api_key=KEY, labels={"team": "v"})
        [request] = server.requests
    assert request.headers["content-encoding"] == "gzip"
    assert request.headers["x-scope"] == "a"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    found = points([read(request)])
    assert of_metalscope(found) == expected(full())
    assert result == ExportResult.delivered(len(found))
    [resource] = read(request).resource_metrics
    attributes = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert (attributes["team"], attributes["service.name"]) == ("v", "metalscope")


def with_exemplars() -> MetalTelemetrySnapshot:
    snapshot = full()
    ids = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    operation = snapshot.operations[0]
    ok, *rest = operation.outcomes
    ok = replace(ok, exemplars=(Exemplar(12.345678, NOW, *ids),))
    operation = replace(operation, outcomes=(ok, *rest))
    return replace(snapshot, operations=(operation, *snapshot.operations[1:]))


@pytest.mark.parametrize("form", HistogramForm)
@pytest.mark.parametrize("temporality", Temporality)
def test_json_is_what_opentelemetrys_own_encoder_writes(
    form: HistogramForm, temporality: Temporality
) -> None:
    data = metrics_data(with_exemplars(), MetricView(), histograms=form, temporality=temporality)
    ours = json.loads(json_of(request_of(data)))
    theirs = json.loads(official_json(data).to_json())
    # It knows no threshold; ours says how wide the bucket of zero is.
    for point in exponential_points(ours):
        assert point.pop("zeroThreshold") == 2.0**-14
    # Which of them writes a zero and an empty list differs, and means the same.
    assert without_defaults(ours) == without_defaults(theirs)
    text = json.dumps(ours)
    assert '"traceId": "0af7651916cd43dd8448eb211c80319c"' in text
    assert '"spanId": "b7ad6b7169203331"' in text


def exponential_points(message: dict[str, Any]) -> list[dict[str, Any]]:
    [resource] = message["resourceMetrics"]
    [scope] = resource["scopeMetrics"]
    return [
        point
        for metric in scope["metrics"]
        for point in metric.get("exponentialHistogram", {}).get("dataPoints", ())
    ]


def without_defaults(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {name: without_defaults(part) for name, part in value.items()}
        return {
            name: part
            for name, part in kept.items()
            if part not in ("", "0", 0, [], {}) or name in {"asInt", "asDouble", "sum", "min"}
        }
    if isinstance(value, list):
        return [without_defaults(part) for part in value]
    return value


def test_json_is_sent_as_json_and_its_answer_is_read() -> None:
    refused = b'{"partialSuccess":{"rejectedDataPoints":"3","errorMessage":"too old"}}'
    with faulty_server(answer(200, refused, content_type="application/json")) as server:
        result = export(server.url, protocol="http/json")
        [request] = server.requests
    assert request.headers["content-type"] == "application/json"
    message = json.loads(request.content)
    [resource] = message["resourceMetrics"]
    assert resource["scopeMetrics"][0]["scope"]["name"] == "metalscope"
    assert (result.verdict, result.rejected_points) == (Verdict.DELIVERED, 3)
    assert (result.reason, result.detail) == (Reason.PARTIAL, "too old")


def test_a_snapshot_is_sent_in_parts_that_together_are_the_whole() -> None:
    with faulty_server() as server:
        result = export(server.url, settings={"batch_points": 10})
        requests = [read(request) for request in server.requests]
    assert len(requests) > 5
    assert max(len(points([request])) for request in requests) == 10
    found = points(requests)
    assert of_metalscope(found) == expected(full())
    assert result.points == len(found)


def test_without_hardware_names_there_are_only_our_own() -> None:
    with faulty_server() as server:
        export(server.url, settings={"hw_metrics": False})
        export(server.url)
        without, with_them = ({name for name, _ in points([read(one)])} for one in server.requests)
    assert {name for name in with_them if name.startswith("hw.")} == with_them - without
    assert "hw.gpu.utilization" in with_them


def test_the_same_snapshot_twice_is_the_same_bytes() -> None:
    with faulty_server(answer(503), GOOD) as server:
        made = exporter(server.url, temporality="delta")
        assert not made.export(full()).ok
        assert made.export(full()).ok
        made.shutdown()
        first, second = server.requests
    assert first.body == second.body


# -- what is answered ----------------------------------------------------------------------------


def partial(rejected: int, message: str) -> bytes:
    return ExportMetricsServiceResponse(
        partial_success=ExportMetricsPartialSuccess(
            rejected_data_points=rejected, error_message=message
        )
    ).SerializeToString()


def test_points_the_peer_refuses_are_counted_and_its_words_are_told() -> None:
    with faulty_server(answer(200, partial(2, f"no {KEY}\nhere"))) as server:
        result = export(server.url, api_key=KEY)
        count = len(points([read(server.requests[0])]))
    assert result == ExportResult.delivered(count - 2, rejected_points=2, detail="no … here")


def test_a_peer_that_refuses_every_point_has_refused_the_whole() -> None:
    with faulty_server(answer(200, partial(10**6, "none of it"))) as server:
        result = export(server.url)
    assert (result.verdict, result.reason) == (Verdict.REJECTED, Reason.SCHEMA)
    assert "none of it" in result.detail


def test_a_warning_with_a_full_success_is_told_and_nothing_is_refused() -> None:
    with faulty_server(answer(200, partial(0, "soon deprecated"))) as server:
        result = export(server.url)
    assert (result.ok, result.rejected_points, result.detail) == (True, 0, "soon deprecated")


@pytest.mark.parametrize(
    "good",
    [
        answer(200),
        answer(202),
        answer(204),
        answer(200, b"{}", content_type="application/json; charset=utf-8"),
        answer(200, b'{"partialSuccess":null}', content_type="application/json"),
        answer(200, b'{"more":1}', content_type="application/json"),
    ],
)
def test_every_shape_of_yes_is_one(good: Fault) -> None:
    with faulty_server(good) as server:
        assert export(server.url).ok


@pytest.mark.parametrize(
    "bad",
    [
        answer(200, b"OK"),
        answer(200, b"\x0a\xff"),
        answer(200, b"<a>", content_type="text/xml"),
        answer(200, b"not json", content_type="application/json"),
        answer(200, b"[]", content_type="application/json"),
        answer(200, b"\xff", content_type="application/json"),
        GARBAGE_PAGE,
        GARBAGE,
    ],
)
def test_an_answer_that_is_none_of_otlp_is_no_yes(bad: Fault) -> None:
    with faulty_server(bad) as server:
        result = export(server.url)
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.GARBAGE)


@pytest.mark.parametrize(
    ("fault", "verdict", "reason"),
    [
        (answer(400), Verdict.REJECTED, Reason.SCHEMA),
        (answer(401), Verdict.RETRY, Reason.UNAUTHORIZED),
        (answer(403), Verdict.RETRY, Reason.FORBIDDEN),
        (answer(404), Verdict.RETRY, Reason.NOT_FOUND),
        (answer(429), Verdict.RETRY, Reason.RATE_LIMITED),
        (answer(500), Verdict.RETRY, Reason.SERVER_ERROR),
        (answer(503), Verdict.RETRY, Reason.SERVER_ERROR),
        (redirect("http://127.0.0.1:1/"), Verdict.RETRY, Reason.REDIRECTED),
        (REFUSED, Verdict.RETRY, Reason.REFUSED),
        (RESET_AFTER_REQUEST, Verdict.RETRY, Reason.RESET),
        (CUT_ANSWER, Verdict.RETRY, Reason.RESET),
        (NEVER_ANSWERS, Verdict.RETRY, Reason.TIMEOUT),
        (EXPIRED_CERTIFICATE, Verdict.RETRY, Reason.TLS),
    ],
    ids=str,
)
def test_a_failure_is_told_for_what_it_is(fault: Fault, verdict: Verdict, reason: Reason) -> None:
    with faulty_server(fault) as server:
        tls = {"ca_file": server.ca_file}
        result = export(server.url, tls=tls, timeout=0.5, api_key=KEY)
    assert (result.verdict, result.reason) == (verdict, reason)
    assert result.detail
    assert KEY not in result.detail


def test_what_the_peer_says_of_a_refusal_is_read_from_its_status_message() -> None:
    status = bytes([0x08, 3, 0x12, 16]) + f"no metric {KEY[:6]}".encode()
    with faulty_server(answer(400, status, content_type=PROTOBUF)) as server:
        result = export(server.url)
    assert result.detail.endswith(f"answered 400: no metric {KEY[:6]}")


def test_how_long_to_wait_is_taken_from_the_answer() -> None:
    with faulty_server(answer(429, retry_after="7")) as server:
        assert export(server.url).retry_after == timedelta(seconds=7)


def test_a_part_that_is_too_large_is_halved_until_it_is_taken() -> None:
    def at_most(request: Request) -> tuple[int, dict[str, str], bytes]:
        return (200 if len(points([read(request)])) <= 20 else 413), {}, b""

    from faulty_server import answer_by

    with faulty_server(answer_by(at_most)) as server:
        result = export(server.url)
        taken = [read(one) for one in server.requests if len(points([read(one)])) <= 20]
    assert result == ExportResult.delivered(len(points(taken)))
    assert of_metalscope(points(taken)) == expected(full())


def test_parts_that_arrived_are_not_sent_again() -> None:
    with faulty_server(GOOD, answer(503), GOOD) as server:
        made = exporter(server.url, settings={"batch_points": 80})
        assert made.export(full()).reason is Reason.SERVER_ERROR
        result = made.export(full())
        made.shutdown()
        first, failed, again, *_ = (read(request) for request in server.requests)
    assert failed == again
    assert not points([first]).keys() & points([again]).keys()
    assert result.points == len(points([first])) + len(points([again]))


# -- differences ---------------------------------------------------------------------------------


def operations(request: Request) -> float:
    return points([read(request)])["metal_operations_total", MATMUL].value


def test_a_snapshot_that_did_not_arrive_is_in_the_difference_of_the_next() -> None:
    first, second = full(), grown(full())
    with faulty_server(answer(503), GOOD) as server:
        made = exporter(server.url, temporality="delta")
        assert not made.export(first).ok
        assert made.export(second).ok
        assert made.export(grown(second)).ok
        made.shutdown()
        assert [operations(request) for request in server.requests] == [4, 5, 1]


def test_a_snapshot_that_was_refused_for_good_is_in_the_difference_of_the_next() -> None:
    with faulty_server(answer(400), GOOD) as server:
        made = exporter(server.url, temporality="delta")
        assert made.export(full()).verdict is Verdict.REJECTED
        assert made.export(grown(full())).ok
        made.shutdown()
        assert operations(server.requests[-1]) == 5


def test_after_a_restart_differences_go_on_from_what_arrived() -> None:
    with faulty_server() as server:
        made = exporter(server.url, temporality="delta")
        made.resume(full())
        assert made.export(grown(full())).ok
        made.shutdown()
        assert operations(server.requests[0]) == 1


# -- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"settings": {"batch_pionts": 5}}, "batch_points"),
        ({"settings": {"batch_points": 0}}, "settings.batch_points must be a whole number"),
        ({"settings": {"compression": "zstd"}}, "settings.compression must be one of gzip, none"),
        ({"settings": {"hw_metrics": "yes"}}, "settings.hw_metrics must be true or false"),
        ({"settings": {"path": 5}}, "settings.path must be text"),
        ({"endpoint": "udp://127.0.0.1:1"}, "must be an http or https URL"),
        ({"protocol": "http/json", "endpoint": "grpc://127.0.0.1:1"}, "http or https URL"),
    ],
)
def test_options_that_cannot_be_are_refused_at_the_start(
    options: dict[str, Any], expected: str
) -> None:
    options = {"endpoint": "http://127.0.0.1:1", **options}
    with pytest.raises(ConfigurationError, match=expected):
        OtlpExporter(context("opentelemetry", **options))


def test_all_parts_together_have_the_time_of_one_export() -> None:
    def slowly(_: Request) -> tuple[int, dict[str, str], bytes]:
        time.sleep(0.15)
        return 200, {}, b""

    from faulty_server import answer_by

    with faulty_server(answer_by(slowly)) as server:
        began = time.monotonic()
        result = export(server.url, settings={"batch_points": 5}, timeout=0.5)
        assert result.reason is Reason.TIMEOUT
        assert time.monotonic() - began < 1.5


def test_a_message_of_another_type_says_nothing_of_when_to_come_again() -> None:
    from metalscope.sending.otlp.messages import Status, status_from

    other = AnyMessage(type_url="type.googleapis.com/google.rpc.DebugInfo", value=b"\x0a\x00")
    detail = other.SerializeToString()
    status = bytes([0x1A, len(detail)]) + detail
    assert status_from(status) == Status()
    assert status_from(b"\xff\xff") == Status()


def with_many_series(count: int) -> MetalTelemetrySnapshot:
    """The full snapshot, and so many gauges of one name."""
    from metalscope.snapshot import CustomMetric

    snapshot = full()
    more = tuple(
        CustomMetric("wide", "gauge", (("series", f"{n:06} {'x' * 180}"),), n) for n in range(count)
    )
    return replace(snapshot, custom=(*snapshot.custom, *more))


def test_a_wide_snapshot_goes_in_requests_of_under_a_mebibyte() -> None:
    snapshot = with_many_series(6000)
    with faulty_server() as server:
        assert export(server.url, snapshot).ok
        sizes = [len(request.content) for request in server.requests]
        found = points([read(request) for request in server.requests])
    assert len(sizes) == 4
    assert max(sizes) < 2**20
    assert of_metalscope(found) == expected(snapshot)


@settings(max_examples=30)
@given(snapshots)
def test_json_of_any_snapshot_says_the_same_as_its_protobuf(
    snapshot: MetalTelemetrySnapshot,
) -> None:
    for form in HistogramForm:
        request = request_of(metrics_data(snapshot, MetricView(), histograms=form))
        text = json_of(request).decode()
        json.loads(text, parse_constant=pytest.fail)
        back = json_format.Parse(text, ExportMetricsServiceRequest())
        # As text: of the many bit patterns that are no number, JSON has one.
        assert str(back) == str(request)


@pytest.mark.parametrize(
    ("missing", "protocol", "outcome"),
    [
        ("opentelemetry", "http/protobuf", "metalscope[otlp]"),
        ("google.protobuf", "http/protobuf", "metalscope[otlp]"),
        ("grpc", "grpc", "metalscope[otlp]"),
        ("grpc", "http/protobuf", "made"),
    ],
)
def test_a_library_that_is_missing_is_named_by_the_extra_that_brings_it(
    missing: str, protocol: str, outcome: str
) -> None:
    program = f"""
import sys
sys.modules[{missing!r}] = None
from metalscope.errors import MissingExtraError
from contexts import context
try:
    from metalscope.export.otlp.exporter import OtlpExporter
    OtlpExporter(context("opentelemetry", endpoint="http://127.0.0.1:1", protocol={protocol!r}))
    print("made")
except MissingExtraError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert outcome in done.stdout
