"""Through a real collector: what a receiver behind it gets is what was sent, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from rotel_agent import RotelAgent, running_rotel

from metalscope.correlating import correlation
from metalscope.manager import MetalTelemetryManager
from metalscope.options import MetalTelemetryOptions
from metalscope.sending.result import ExportResult
from metalscope.sending.shipping.base import Batch
from metalscope.trace_options import SpanExporterOptions
from metalscope.traces.otlp import OtlpSpanSender, encode
from otlp_collector import OtlpCollector, otlp_collector
from span_samples import a_span, full_span

RESOURCE = {"service.name": "trainer", "service.instance.id": "host:4711", "process.pid": 4711}


@pytest.fixture(scope="module")
def behind() -> Iterator[OtlpCollector]:
    with otlp_collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def agent(behind: OtlpCollector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RotelAgent]:
    with running_rotel(behind.url, directory=tmp_path_factory.mktemp("rotel")) as running:
        yield running


@pytest.mark.server
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_what_an_agent_passes_on_is_what_was_sent(
    protocol: str, agent: RotelAgent, behind: OtlpCollector
) -> None:
    behind.calls.clear()
    url = agent.grpc_url if protocol == "grpc" else agent.http_url
    options = SpanExporterOptions(endpoint=url, protocol=protocol, timeout=timedelta(seconds=10))
    records = (encode(full_span()), *(encode(a_span(n)) for n in range(1, 300)))
    sender = OtlpSpanSender(options, resource=RESOURCE)
    try:
        assert sender.send(Batch("1", records)) == ExportResult.delivered(300)
    finally:
        sender.close()
    spans = behind.wait_for_spans(300)
    assert spans == [Span.FromString(one) for one in records], "field by field, in their order"
    assert [span.SerializeToString() for span in spans] == list(records)
    requests = [request for _, request, _ in behind.calls]
    assert all(any(record in request for request in requests) for record in records)
    for request in behind.traces():
        for resource in request.resource_spans:
            said = {one.key: one.value for one in resource.resource.attributes}
            assert said["service.name"].string_value == "trainer"
            assert said["process.pid"].int_value == 4711
            assert {scope.scope.name for scope in resource.scope_spans} == {"metalscope"}


@pytest.mark.server
def test_the_spans_of_a_program_arrive_with_their_parents_and_its_correlation_id(
    agent: RotelAgent, behind: OtlpCollector
) -> None:
    behind.calls.clear()
    options = MetalTelemetryOptions(
        traces={
            "enabled": True,
            "sample_ratio": 1,
            "exporters": [{"endpoint": agent.grpc_url, "protocol": "grpc"}],
        }
    )
    with (
        MetalTelemetryManager(options) as telemetry,
        correlation("order-17"),
        telemetry.span("request"),
        telemetry.operation("execute", "matmul", nbytes=64),
    ):
        pass
    kernel, request = behind.wait_for_spans(2)
    assert (kernel.name, request.name) == ("execute matmul", "request")
    assert (kernel.trace_id, kernel.parent_span_id) == (request.trace_id, request.span_id)
    assert request.parent_span_id == b""
    for span in (kernel, request):
        said = {one.key: one.value.string_value for one in span.attributes}
        assert said["metalscope.correlation_id"] == "order-17"
        assert said["thread.name"] == "MainThread"
    [resource] = behind.traces()[0].resource_spans
    assert {one.key for one in resource.resource.attributes} >= {
        "service.name",
        "service.instance.id",
    }
