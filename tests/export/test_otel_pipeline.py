from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation
from opentelemetry.sdk.resources import Resource
from otlp_receiver import Key, Received, points, resources

from metalscope import MetalTelemetryBuilder, MetalTelemetryManager
from metalscope.export.otlp.pipeline import MetalMetricExporter
from metalscope.export_options import SelectionOptions

RUNS = (("device", ""), ("kind", "execute"), ("name", "run"), ("outcome", "ok"))


class Backend(MetricExporter):
    """An application's exporter; keeps the requests it would have sent."""

    def __init__(self, *, delta: bool = False, exponential: bool = False) -> None:
        temporality = AggregationTemporality.DELTA if delta else AggregationTemporality.CUMULATIVE
        aggregation = ExponentialBucketHistogramAggregation() if exponential else None
        super().__init__(
            {Counter: temporality, Histogram: temporality},
            {Histogram: aggregation} if aggregation else None,
        )
        self.requests: list[Any] = []
        self.results: list[MetricExportResult] = []
        self.refuses = ""
        self.calls: list[str] = []

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        request = encode_metrics(metrics_data)
        if self.refuses and any(name == self.refuses for name, _ in points([request])):
            raise ValueError(f"no {self.refuses}")
        result = self.results.pop(0) if self.results else MetricExportResult.SUCCESS
        if result is MetricExportResult.SUCCESS:
            self.requests.append(request)
        return result

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        self.calls.append("force_flush")
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        self.calls.append("shutdown")

    def last(self) -> dict[Key, Received]:
        return points(self.requests[-1:])


@pytest.fixture
def telemetry() -> Iterator[MetalTelemetryManager]:
    manager = MetalTelemetryBuilder().build()
    yield manager
    manager.shutdown()


class Application:
    """A program with metrics of its own, and a reader that exports when asked."""

    def __init__(self, exporter: MetricExporter, *, keep_exporting: bool = False) -> None:
        self._reader = PeriodicExportingMetricReader(exporter, export_interval_millis=1e9)
        self.provider = MeterProvider([self._reader], Resource({"service.name": "shop"}))
        self.orders = self.provider.get_meter("shop").create_counter("orders")
        self.orders.add(5)
        if keep_exporting:
            assert isinstance(exporter, MetalMetricExporter)
            exporter.keep_exporting(self.provider)

    def export(self) -> None:
        self._reader.collect()


def ours(found: dict[Key, Received], name: str) -> Received:
    [received] = [
        got for (metric, labels), got in found.items() if metric == name and _of_run(labels)
    ]
    return received


def _of_run(labels: tuple[tuple[str, str], ...]) -> bool:
    return tuple(sorted(labels)) == RUNS


def test_one_export_carries_the_metrics_of_both_under_the_applications_resource(
    telemetry: MetalTelemetryManager,
) -> None:
    backend = Backend()
    application = Application(MetalMetricExporter(backend, telemetry))
    for _ in range(3):
        telemetry.record("execute", "run", duration_ns=2_000_000)
    application.export()
    found = backend.last()
    assert found["orders", ()].value == 5
    assert ours(found, "metal_operations_total").value == 3
    assert ours(found, "metal_operation_duration_ms").point.sum == 6.0
    assert resources(backend.requests) == [{"service.name": "shop"}]
    [resource] = backend.requests[0].resource_metrics
    assert {one.scope.name for one in resource.scope_metrics} >= {"shop", "metalscope"}
    application.provider.shutdown()


def test_counters_and_histograms_are_as_the_applications_exporter_prefers(
    telemetry: MetalTelemetryManager,
) -> None:
    backend = Backend(delta=True, exponential=True)
    application = Application(MetalMetricExporter(backend, telemetry), keep_exporting=True)
    counts = []
    for runs in (3, 2, 0):
        for _ in range(runs):
            telemetry.record("execute", "run", duration_ns=2_000_000)
        application.export()
        found = backend.last()
        counts.append(ours(found, "metal_operations_total").value)
        histogram = ours(found, "metal_operation_duration_ms")
        assert histogram.kind == "exponential_histogram"
        assert histogram.point.count == runs
    assert counts == [3, 2, 0]
    application.provider.shutdown()


def test_what_an_export_that_failed_did_not_carry_the_next_one_does(
    telemetry: MetalTelemetryManager,
) -> None:
    backend = Backend(delta=True)
    application = Application(MetalMetricExporter(backend, telemetry), keep_exporting=True)
    backend.results = [MetricExportResult.FAILURE]
    telemetry.record("execute", "run", duration_ns=1)
    application.export()
    telemetry.record("execute", "run", duration_ns=1)
    application.export()
    assert ours(backend.last(), "metal_operations_total").value == 2
    application.provider.shutdown()


@pytest.mark.parametrize("keep", [True, False])
def test_an_application_with_nothing_new_holds_ours_up_only_if_it_is_not_told_to_go_on(
    telemetry: MetalTelemetryManager, keep: bool
) -> None:
    backend = Backend(delta=True)
    exporter = MetalMetricExporter(backend, telemetry)
    application = Application(exporter, keep_exporting=keep)
    application.export()
    telemetry.record("execute", "run", duration_ns=1)
    application.export()
    assert len(backend.requests) == (2 if keep else 1)
    assert not any(name.startswith("metalscope.") for name, _ in points(backend.requests[:1]))
    application.orders.add(1)
    application.export()
    came = [points([one]) for one in backend.requests]
    name = "metal_operations_total"
    assert sum(ours(one, name).value for one in came if has_run(one)) == 1
    application.provider.shutdown()


def has_run(found: dict[Key, Received]) -> bool:
    return any(_of_run(labels) for _, labels in found)


def test_an_error_of_ours_leaves_the_applications_metrics_and_is_counted(
    telemetry: MetalTelemetryManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = Backend()
    exporter = MetalMetricExporter(backend, telemetry)
    application = Application(exporter)

    def broken() -> Any:
        raise RuntimeError("no snapshot")

    monkeypatch.setattr(exporter, "_get_snapshot", broken)
    application.export()
    assert {name for name, _ in backend.last()} == {"orders"}
    assert telemetry.get_snapshot().internals.errors["otel_pipeline"] == 1
    application.provider.shutdown()


def test_an_exporter_that_cannot_take_ours_still_gets_the_applications(
    telemetry: MetalTelemetryManager,
) -> None:
    backend = Backend()
    backend.refuses = "metalscope_start_time_seconds"
    application = Application(MetalMetricExporter(backend, telemetry))
    application.export()
    assert {name for name, _ in backend.last()} == {"orders"}
    assert telemetry.get_snapshot().internals.errors["otel_pipeline"] == 1
    application.provider.shutdown()


def test_an_error_of_the_applications_exporter_is_its_own(
    telemetry: MetalTelemetryManager,
) -> None:
    backend = Backend()
    backend.refuses = "orders"
    exporter = MetalMetricExporter(backend, telemetry)
    application = Application(exporter)
    application.export()  # the SDK's reader logs it
    assert backend.requests == []
    application.provider.shutdown()


def test_only_the_metrics_that_are_chosen_are_put_in(telemetry: MetalTelemetryManager) -> None:
    backend = Backend()
    chosen = SelectionOptions(
        allow=("metalscope_build_info",), rename={"metalscope_build_info": "b"}
    )
    application = Application(MetalMetricExporter(backend, telemetry, metrics=chosen))
    application.export()
    assert {name for name, _ in backend.last()} == {"orders", "b_info"}
    application.provider.shutdown()


def test_flush_and_shutdown_reach_the_applications_exporter(
    telemetry: MetalTelemetryManager,
) -> None:
    backend = Backend()
    exporter = MetalMetricExporter(backend, telemetry)
    application = Application(exporter)
    application.provider.force_flush()
    application.provider.shutdown()
    assert backend.calls == ["force_flush", "shutdown"]
    telemetry.record("execute", "run", duration_ns=1)
    assert telemetry.get_snapshot().total_operations == 1
