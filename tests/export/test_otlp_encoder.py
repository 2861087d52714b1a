from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from snapshots import full, snapshots

from metalscope.export.otlp.encoder import request_of
from metalscope.export.otlp.metrics import metrics_data
from metalscope.export.view import MetricView
from metalscope.export_options import HistogramForm, Temporality
from metalscope.snapshot import MetalTelemetrySnapshot

VIEW = MetricView()


def official(data: MetricsData) -> ExportMetricsServiceRequest:
    """By the official encoder, which has no place for the widths of zero buckets."""
    request = encode_metrics(data)
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.exponential_histogram.data_points:
                    point.zero_threshold = 2.0**-14
    return request


def of(*metrics: Metric) -> MetricsData:
    scope = ScopeMetrics(InstrumentationScope("a scope", "1"), list(metrics), "")
    resource = Resource({"text": "é", "whole": 3, "many": ["a", "b"]})
    return MetricsData([ResourceMetrics(resource, [scope], "a schema")])


@settings(max_examples=30)
@given(snapshots)
@pytest.mark.parametrize("form", HistogramForm)
@pytest.mark.parametrize("temporality", Temporality)
def test_any_snapshot_is_encoded_as_the_official_encoder_would(
    form: HistogramForm, temporality: Temporality, snapshot: MetalTelemetrySnapshot
) -> None:
    data = metrics_data(snapshot, VIEW, histograms=form, temporality=temporality)
    assert request_of(data) == official(data)


@pytest.mark.parametrize("form", HistogramForm)
def test_every_kind_of_metric_is_encoded_as_the_official_encoder_would(form: HistogramForm) -> None:
    data = metrics_data(full(), VIEW, histograms=form)
    request = request_of(data)
    kinds = {
        metric.WhichOneof("data") for metric in request.resource_metrics[0].scope_metrics[0].metrics
    }
    wanted = {"sum", "gauge", "histogram"}
    assert kinds >= (
        wanted if form is HistogramForm.CLASSIC else {*wanted, "exponential_histogram"}
    )
    assert request == official(data)


def test_exemplars_are_encoded_as_the_official_encoder_would() -> None:
    traced = Exemplar({"a": "b"}, 1.5, 7, 0xF00D, 0xCAFE)
    exemplars = [traced, replace(traced, value=3), Exemplar({}, 2.5, 9)]
    number = NumberDataPoint({"x": "y"}, 1, 2, 2.5, exemplars)
    durations = HistogramDataPoint({}, 1, 2, 3, 4.5, [1, 2], [1.0], 0.5, 2.5, exemplars)
    data = of(
        Metric("a", "", "", Sum([number], AggregationTemporality.DELTA, is_monotonic=False)),
        Metric("b", "is b", "s", Gauge([number, replace(number, value=-(2**63))])),
        Metric("c", "", "", Histogram([durations], AggregationTemporality.CUMULATIVE)),
    )
    assert request_of(data) == encode_metrics(data)


def test_a_metric_without_points_is_named_and_has_none() -> None:
    data = of(Metric("a", "", "", Sum([], AggregationTemporality.CUMULATIVE, is_monotonic=True)))
    assert request_of(data) == encode_metrics(data)
