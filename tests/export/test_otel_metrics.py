from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ExponentialHistogram,
    Gauge,
    Histogram,
    MetricsData,
    Sum,
)
from otlp_names import suffixed, underscored
from otlp_receiver import Key, points
from prometheus_client import CollectorRegistry
from snapshots import EARLIER, NOW, full, snapshots

from metalscope import semconv
from metalscope.export.otlp.encoder import request_of
from metalscope.export.otlp.metrics import metrics_data, nanoseconds
from metalscope.export.view import MetricView
from metalscope.export_options import HistogramForm, SelectionOptions, Temporality
from metalscope.families import Distribution, Family
from metalscope.histogram import DurationHistogram
from metalscope.operation import OK, OperationKind
from metalscope.semconv import Metric
from metalscope.snapshot import (
    CustomMetric,
    Exemplar,
    MetalTelemetrySnapshot,
    OperationMetrics,
    OutcomeMetrics,
    ResourceKind,
    ResourceMetrics,
    SystemInfo,
)

VIEW = MetricView()
NOTHING = MetricView([SelectionOptions(deny=("*",))])
START_NS = 1_767_322_800_000_000_000
END_NS = 1_767_323_045_000_000_000


def metrics(data: MetricsData) -> dict[str, Any]:
    [resource] = data.resource_metrics
    [scope] = resource.scope_metrics
    return {metric.name: metric for metric in scope.metrics}


def values(data: MetricsData, name: str) -> dict[tuple[str, ...], float]:
    found = metrics(data)[name].data.data_points
    return {tuple(point.attributes.values()): point.value for point in found}


def one_point(data: MetricsData, name: str) -> Any:
    [point] = metrics(data)[name].data.data_points
    return point


def wire(families: Iterator[Family]) -> dict[Key, float | Distribution]:
    """What is to arrive of these families."""
    found: dict[Key, float | Distribution] = {}
    for family in families:
        for labels, value in (*family.values, *family.distributions):
            key = family.metric.name, tuple(zip(family.metric.labels, labels, strict=True))
            found[key] = value
    return found


def test_every_number_of_the_snapshot_is_one_point_under_its_own_name_and_labels() -> None:
    snapshot = full()
    arrived = points([request_of(metrics_data(snapshot, VIEW))])
    expected = wire(VIEW.families(snapshot))
    assert list(arrived) == list(expected)
    for key, value in expected.items():
        got = arrived[key]
        assert got.point.time_unix_nano == END_NS
        if isinstance(value, Distribution):
            bounds = [bound for bound, _ in value.buckets]
            counts = list(got.point.bucket_counts)
            running = [sum(counts[: n + 1]) for n in range(len(counts))]
            assert (list(got.point.explicit_bounds), running) == (
                bounds, [*(count for _, count in value.buckets), value.count],
            )  # fmt: skip
            assert (got.point.count, got.point.sum) == (value.count, value.sum)
        else:
            assert got.value == value


def test_counters_are_monotonic_sums_from_the_start_and_the_rest_are_gauges() -> None:
    kinds = {"counter": Sum, "gauge": Gauge, "info": Gauge, "histogram": Histogram}
    found = metrics(metrics_data(full(), VIEW))
    for family in VIEW.families(full()):
        data = found[family.metric.name].data
        assert type(data) is kinds[family.metric.type], family.metric.name
        if isinstance(data, Sum | Histogram):
            assert data.aggregation_temporality is AggregationTemporality.CUMULATIVE
            assert {point.start_time_unix_nano for point in data.data_points} == {START_NS}
        if isinstance(data, Sum):
            assert data.is_monotonic


def test_the_resource_is_that_of_the_view_and_the_scope_has_the_version_of_the_snapshot() -> None:
    view = MetricView(labels={"team": "vision"}, service_name="trainer")
    [resource] = metrics_data(full(), view).resource_metrics
    assert dict(resource.resource.attributes) == view.resource(full())
    assert resource.resource.attributes["service.name"] == "trainer"
    assert resource.resource.attributes["team"] == "vision"
    [scope] = resource.scope_metrics
    assert (scope.scope.name, scope.scope.version) == ("metalscope", "0.1.0")


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, 123_457, tzinfo=UTC), 1_767_323_045_123_457_000),
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), 253_402_300_799_999_999_000),
    ],
)
def test_times_are_exact_to_the_microsecond(moment: datetime, expected: int) -> None:
    assert nanoseconds(moment) == expected


# -- names ---------------------------------------------------------------------------------------


def every_metric(_: MetalTelemetrySnapshot) -> Iterator[Family]:
    """A series of each metric of the catalogue, and the custom ones of the full snapshot."""
    for metric in semconv.BUILT_IN:
        labels = tuple("x" for _ in metric.labels)
        if metric.type == "histogram":
            drawn = DurationHistogram.from_durations([1_500_000])
            some = Distribution(drawn.classic(), drawn.count, drawn.total_ms, drawn)
            yield Family(metric, distributions=[(labels, some)])
        else:
            yield Family(metric, values=[(labels, 1)])
    custom = {metric.name for metric in full().custom}
    for family in VIEW.families(full()):
        if family.metric.name in custom | {f"{name}_total" for name in custom}:
            yield family


EVERY = {family.metric.name for family in every_metric(full())}


def test_every_metric_means_the_whole_catalogue_and_custom_metrics_of_every_kind() -> None:
    assert {metric.name for metric in semconv.BUILT_IN} < EVERY
    assert {"jobs_total", "ticks_total", "queue:depth", "sizes"} <= EVERY
    assert set(metrics(metrics_data(full(), NOTHING, more=every_metric))) == EVERY


@pytest.mark.parametrize("normalised", [underscored, suffixed])
@pytest.mark.parametrize("form", HistogramForm)
def test_a_collector_that_appends_units_and_types_leaves_every_name_as_it_is(
    normalised: Callable[..., str], form: HistogramForm
) -> None:
    data = metrics_data(full(), NOTHING, histograms=form, more=every_metric)
    for name, metric in metrics(data).items():
        is_sum = isinstance(metric.data, Sum)
        is_gauge = isinstance(metric.data, Gauge)
        assert normalised(name, metric.unit, monotonic=is_sum, gauge=is_gauge) == name


def test_the_rules_would_change_names_that_are_not_prepared_for_them() -> None:
    for normalised in (underscored, suffixed):
        assert (
            normalised("metal_operation_duration_ms", "ms", monotonic=False, gauge=False)
            == "metal_operation_duration_ms_milliseconds"
        )
        assert normalised("jobs", "By", monotonic=True, gauge=False) == "jobs_bytes_total"
        assert normalised("load", "1", monotonic=False, gauge=True) == "load_ratio"
    bandwidth = underscored(
        "metal_memory_bandwidth_bytes_per_second", "By/s", monotonic=False, gauge=True
    )
    assert bandwidth == "metal_memory_bandwidth_bytes_per_second_per_second"


def test_opentelemetrys_own_prometheus_exporter_leaves_every_name_as_it_is() -> None:
    registry = CollectorRegistry()
    reader = PrometheusMetricReader(disable_target_info=True, registry=registry)
    reader._receive_metrics(metrics_data(full(), NOTHING, more=every_metric))
    named = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in registry.collect()
    }
    assert named == EVERY


def test_a_metric_that_was_renamed_keeps_its_new_name_too() -> None:
    renamed = {metric.name: "load" for metric in [semconv.HOST_CPU_UTILIZATION]}
    renamed |= {semconv.ENERGY.name: "used", semconv.MEMORY_USAGE.name: "memory"}
    view = MetricView([SelectionOptions(rename=renamed)])
    found = metrics(metrics_data(full(), view))
    assert {"load", "used_total", "memory"} < set(found)
    for name, metric in found.items():
        kinds = {"monotonic": isinstance(metric.data, Sum), "gauge": isinstance(metric.data, Gauge)}
        assert underscored(name, metric.unit, **kinds) == name
        assert suffixed(name, metric.unit, **kinds) == name


# -- histograms ----------------------------------------------------------------------------------


def of_durations(
    durations: list[int], *, exemplars: tuple[Exemplar, ...] = (), at: float = 0.0
) -> MetalTelemetrySnapshot:
    outcome = OutcomeMetrics(OK, DurationHistogram.from_durations(durations), exemplars=exemplars)
    operation = OperationMetrics(OperationKind.EXECUTE, "f", "gpu:0", (outcome,))
    return MetalTelemetrySnapshot(
        NOW + timedelta(seconds=at), EARLIER, operations=(operation,), system=SYSTEM
    )


SYSTEM = SystemInfo("box", 7, "Linux", "6", "x86_64", 2, "3.11", "0.1.0")
DURATION = semconv.OPERATION_DURATION.name


def test_exponential_buckets_hold_exactly_the_durations_between_their_bounds() -> None:
    durations = [0, 61, 62, 5_000, 900_000, 1_000_000, 1_000_001, 12_345_678, 60_000_000_000]
    data = metrics_data(of_durations(durations), VIEW, histograms=HistogramForm.EXPONENTIAL)
    assert isinstance(metrics(data)[DURATION].data, ExponentialHistogram)
    [got] = [one.point for key, one in points([request_of(data)]).items() if key[0] == DURATION]
    in_ms = [one / 1e6 for one in durations]
    assert got.zero_count == sum(one <= got.zero_threshold for one in in_ms) > 0
    base = 2.0 ** (2.0**-got.scale)
    for place, count in enumerate(got.positive.bucket_counts):
        low, high = (base ** (got.positive.offset + place + more) for more in (0, 1))
        assert count == sum(low < one <= high for one in in_ms), (low, high)
    assert got.zero_count + sum(got.positive.bucket_counts) == got.count == len(durations)
    assert (got.min, got.max, got.sum) == (0, 60_000, pytest.approx(sum(in_ms), rel=1e-12))
    assert not got.negative.bucket_counts


def test_extremes_are_sent_with_totals_and_not_with_differences() -> None:
    whole = of_durations([1_000_000, 3_000_000])
    total = one_point(metrics_data(whole, VIEW), DURATION)
    assert (total.min, total.max) == (1.0, 3.0)
    before = of_durations([1_000_000], at=-10)
    for form in HistogramForm:
        delta = metrics_data(
            whole, VIEW, temporality=Temporality.DELTA, since=before, histograms=form
        )
        [point] = [one for key, one in points([request_of(delta)]).items() if key[0] == DURATION]
        assert not point.point.HasField("min")
        assert not point.point.HasField("max")
        assert (point.point.count, point.point.sum) == (1, 3.0)


def test_a_custom_histogram_is_classic_in_either_form_and_without_a_sum_it_cannot_have() -> None:
    custom = CustomMetric("gain", "histogram", (), -2.5, 3, ((0.0, 2), (1.0, 2)))
    snapshot = replace(full(), custom=(custom,))
    data = metrics_data(snapshot, VIEW, histograms=HistogramForm.EXPONENTIAL)
    assert isinstance(metrics(data)["gain"].data, Histogram)
    got = points([request_of(data)])["gain", ()].point
    assert (list(got.bucket_counts), list(got.explicit_bounds)) == ([2, 0, 1], [0.0, 1.0])
    assert (got.count, got.HasField("sum")) == (3, False)


def test_exemplars_go_with_their_histogram_each_once_in_differences() -> None:
    ids = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    old = Exemplar(1.0, NOW - timedelta(seconds=20), *ids)
    new = Exemplar(3.0, NOW - timedelta(seconds=5), *ids)
    snapshot = of_durations([1_000_000, 3_000_000], exemplars=(old, new))
    for form in HistogramForm:
        [total] = points([request_of(metrics_data(snapshot, NAMED, histograms=form))]).values()
        assert [one.as_double for one in total.point.exemplars] == [1.0, 3.0]
        first = total.point.exemplars[0]
        assert (first.trace_id.hex(), first.span_id.hex()) == ids
        assert first.time_unix_nano == END_NS - 20_000_000_000
        data = metrics_data(
            snapshot,
            NAMED,
            histograms=form,
            temporality=Temporality.DELTA,
            since=of_durations([1_000_000], exemplars=(old,), at=-10),
        )
        [delta] = points([request_of(data)]).values()
        assert [one.as_double for one in delta.point.exemplars] == [3.0]


NAMED = MetricView([SelectionOptions(allow=(DURATION,))])


# -- differences ---------------------------------------------------------------------------------


def counting(
    total: float, *, at: float, pid: int = 7, started_at: datetime = EARLIER, name: str = "jobs"
) -> MetalTelemetrySnapshot:
    return MetalTelemetrySnapshot(
        NOW + timedelta(seconds=at),
        started_at,
        custom=(CustomMetric(name, "counter", (), total),),
        system=replace(SYSTEM, pid=pid),
    )


def delta(snapshot: MetalTelemetrySnapshot, since: MetalTelemetrySnapshot | None) -> MetricsData:
    return metrics_data(snapshot, VIEW, temporality=Temporality.DELTA, since=since)


def test_a_difference_is_what_came_since_the_snapshot_before() -> None:
    data = delta(counting(7, at=0), counting(5, at=-10))
    point = one_point(data, "jobs_total")
    assert (point.value, point.start_time_unix_nano) == (2, END_NS - 10_000_000_000)
    assert metrics(data)["jobs_total"].data.aggregation_temporality is AggregationTemporality.DELTA


@pytest.mark.parametrize(
    ("since", "start"),
    [
        (None, START_NS),
        (counting(5, at=-10, pid=8), START_NS),
        (counting(5, at=-10, started_at=EARLIER - timedelta(days=1)), START_NS),
        (counting(9, at=-10), END_NS - 10_000_000_000),
        (counting(5, at=-10, name="others"), END_NS - 10_000_000_000),
    ],
    ids=["none before", "another pid", "started at another time", "it shrank", "it is new"],
)
def test_where_there_is_nothing_to_subtract_from_the_whole_is_what_came(
    since: MetalTelemetrySnapshot | None, start: int
) -> None:
    point = one_point(delta(counting(7, at=0), since), "jobs_total")
    assert (point.value, point.start_time_unix_nano) == (7, start)


def test_of_an_infinite_total_there_is_no_difference() -> None:
    infinite, finite = counting(float("inf"), at=-10), counting(7, at=0)
    assert "jobs_total" not in metrics(delta(infinite, None))
    assert "jobs_total" not in metrics(delta(infinite, infinite))
    assert values(delta(finite, infinite), "jobs_total") == {(): 7}


def test_gauges_are_values_in_differences_too() -> None:
    since = replace(full(), timestamp=NOW - timedelta(seconds=10))
    data = delta(full(), since)
    for name in ("metal_memory_usage_bytes", "metal_device_info", "queue:depth"):
        assert values(data, name) == values(metrics_data(full(), VIEW), name)
    assert set(values(data, "metal_operations_total").values()) == {0}


def test_what_was_counted_since_boot_before_telemetry_began_did_not_come_since_it_began() -> None:
    def after(count: int, seconds: float) -> MetalTelemetrySnapshot:
        reading = ResourceMetrics(ResourceKind.RECOVERIES, "gpu", "gpu:0", count)
        return replace(counting(1, at=seconds), resources=(reading,))

    name = semconv.GPU_RECOVERIES.name
    assert name not in metrics(delta(after(3, -10), None))
    assert values(delta(after(5, 0), after(3, -10)), name) == {("gpu:0",): 2}
    assert values(metrics_data(after(3, -10), VIEW), name) == {("gpu:0",): 3}


def test_a_custom_histogram_is_subtracted_bucket_by_bucket_unless_it_shrank() -> None:
    def sizes(one: int, two: int, all_: int, total: float, at: float) -> MetalTelemetrySnapshot:
        metric = CustomMetric("sizes", "histogram", (), total, all_, ((1.0, one), (2.0, two)))
        return replace(counting(0, at=at), custom=(metric,))

    point = one_point(delta(sizes(3, 5, 9, 20.0, 0), sizes(1, 2, 4, 8.5, -10)), "sizes")
    assert (list(point.bucket_counts), point.count, point.sum) == ([2, 1, 2], 5, 11.5)
    # Its second bucket alone shrank: 2 values past 1 before, 1 now.
    point = one_point(delta(sizes(3, 4, 9, 20.0, 0), sizes(1, 3, 4, 8.5, -10)), "sizes")
    assert (list(point.bucket_counts), point.count, point.sum) == ([3, 1, 5], 9, 20.0)


@settings(max_examples=30)
@given(snapshots)
def test_any_snapshot_encodes_and_its_difference_from_itself_is_nothing(
    snapshot: MetalTelemetrySnapshot,
) -> None:
    for form in HistogramForm:
        arrived = points([request_of(metrics_data(snapshot, VIEW, histograms=form))])
        assert list(arrived) == list(wire(VIEW.families(snapshot)))
        data = metrics_data(
            snapshot, VIEW, histograms=form, temporality=Temporality.DELTA, since=snapshot
        )
        for got in points([request_of(data)]).values():
            if got.kind == "sum":
                assert got.value == 0
            elif got.kind != "gauge":
                assert (got.point.count, got.point.sum) == (0, 0)


@settings(max_examples=30)
@given(snapshots, snapshots)
def test_differences_add_up_to_the_total(
    first: MetalTelemetrySnapshot, more: MetalTelemetrySnapshot
) -> None:
    """A second snapshot that has all of the first and more; integers below 2**53 add exactly."""
    together = {(one.kind, one.name, one.device): one for one in first.operations}
    for one in more.operations:
        key = one.kind, one.name, one.device
        before = together.get(key)
        together[key] = OperationMetrics(
            *key, _sum(before.outcomes if before else (), one.outcomes)
        )
    first = replace(first, resources=())
    second = replace(
        first, timestamp=NOW + timedelta(seconds=10), operations=tuple(together.values())
    )
    totals = points([request_of(metrics_data(second, VIEW))])
    parts = [points([request_of(delta(*pair))]) for pair in ((first, None), (second, first))]
    for key, total in totals.items():
        came = [part[key] for part in parts if key in part]
        if total.kind == "sum":
            assert sum(one.value for one in came) == pytest.approx(total.value, rel=1e-12)
        elif total.kind == "histogram":
            assert sum(one.point.count for one in came) == total.point.count
            columns = zip(*(one.point.bucket_counts for one in came), strict=True)
            assert [sum(column) for column in columns] == list(total.point.bucket_counts)


def _sum(
    one: tuple[OutcomeMetrics, ...], other: tuple[OutcomeMetrics, ...]
) -> tuple[OutcomeMetrics, ...]:
    merged = {outcome.outcome: outcome for outcome in one}
    for more in other:
        was = merged.get(more.outcome)
        merged[more.outcome] = (
            replace(
                more,
                durations=was.durations + more.durations,
                nbytes=was.nbytes + more.nbytes,
                gpu_ns=was.gpu_ns + more.gpu_ns,
                gpu_count=was.gpu_count + more.gpu_count,
            )
            if was
            else more
        )
    return tuple(merged.values())


# -- text and numbers ----------------------------------------------------------------------------


def test_half_a_character_costs_one_question_mark_and_not_the_message() -> None:
    snapshot = replace(
        of_durations([1]), system=replace(SYSTEM, resource=(("process.command", "a\udc80"),))
    )
    operation = replace(snapshot.operations[0], name="half \ud83d")
    request = request_of(metrics_data(replace(snapshot, operations=(operation,)), NAMED))
    [(_, labels)] = points([type(request).FromString(request.SerializeToString())])
    assert dict(labels)["name"] == "half ?"


def test_a_number_past_64_bits_is_sent_as_the_nearest_there_is() -> None:
    arrived = points([request_of(metrics_data(counting(2**80, at=0), VIEW))])
    assert arrived["jobs_total", ()].value == 2.0**80
    arrived = points([request_of(metrics_data(counting(2**63 - 1, at=0), VIEW))])
    assert arrived["jobs_total", ()].point.as_int == 2**63 - 1


def test_the_description_is_the_help_of_the_metric() -> None:
    metric = Metric("a_total", "counter", "Words.")
    data = metrics_data(full(), NOTHING, more=lambda _: [Family(metric, values=[((), 1)])])
    assert metrics(data)["a_total"].description == "Words."
