from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest
from exposition import parse, values
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, exposition
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from snapshots import EARLIER, HOSTILE_NAMES, NOW, any_text, full, snapshots

from metalscope import semconv
from metalscope.export.prometheus import MetalCollector, render
from metalscope.families import families
from metalscope.histogram import CLASSIC_BOUNDS_MS, DurationHistogram
from metalscope.manager import MetalTelemetryManager
from metalscope.operation import OK, OperationKind
from metalscope.snapshot import (
    CustomMetric,
    MetalTelemetrySnapshot,
    OperationMetrics,
    OutcomeMetrics,
)
from peers import require_peer

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
CLASSIC = "text/plain; version=0.0.4"
both_formats = pytest.mark.parametrize("accept", [OPENMETRICS, CLASSIC])


def by_prometheus_client(snapshot: MetalTelemetrySnapshot, accept: str) -> bytes:
    registry = CollectorRegistry()
    registry.register(MetalCollector(lambda: snapshot))
    if accept == OPENMETRICS:
        return openmetrics_exposition.generate_latest(registry)
    return exposition.generate_latest(registry)


def bare(*operations: OperationMetrics, **parts: object) -> MetalTelemetrySnapshot:
    return MetalTelemetrySnapshot(NOW, EARLIER, operations=operations, **parts)  # type: ignore[arg-type]


def named(name: str) -> OperationMetrics:
    outcome = OutcomeMetrics(OK, DurationHistogram.from_durations([1_000_000]))
    return OperationMetrics(OperationKind.EXECUTE, name, "", (outcome,))


@both_formats
@settings(max_examples=30, deadline=None)
@given(snapshot=snapshots)
def test_the_text_says_what_the_collector_says_through_prometheus_client(
    snapshot: MetalTelemetrySnapshot, accept: str
) -> None:
    body, content_type = render(snapshot, accept)
    assert parse(body, content_type) == parse(by_prometheus_client(snapshot, accept), accept)


@both_formats
def test_custom_metrics_are_the_same_text_and_collector(accept: str) -> None:
    # prometheus_client turns the ":" of a sample's name into "_" when it writes OpenMetrics.
    custom = tuple(metric for metric in full().custom if ":" not in metric.name)
    body, content_type = render(bare(custom=custom), accept)
    found = parse(body, content_type)
    assert found == parse(by_prometheus_client(bare(custom=custom), accept), accept)
    assert values(found, "jobs_total") == {("a",): 3, ('b"',): 4}
    assert values(found, "ticks_total") == {(): 1}
    assert values(found, "sizes_bucket") == {
        ("0.5", "x"): 1, ("10.0", "x"): 2, ("1000000.0", "x"): 4, ("+Inf", "x"): 4,
    }  # fmt: skip


@both_formats
def test_every_metric_of_the_catalogue_is_exposed_with_its_type_help_and_labels(
    accept: str,
) -> None:
    body, content_type = render(full(), accept)
    found = parse(body, content_type)
    for metric in semconv.BUILT_IN:
        is_info = metric.type == "info"
        family = found[metric.name if is_info and accept == CLASSIC else metric.stem]
        assert family.type == ("gauge" if is_info and accept == CLASSIC else metric.type)
        assert family.help == metric.help
        assert family.samples, metric.name
        for name, labels in family.samples:
            assert name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") == (
                metric.name
            )
            assert {key for key, _ in labels} - {"le"} == set(metric.labels)


@both_formats
def test_the_five_metrics_of_every_dashboard_have_their_exact_names(accept: str) -> None:
    found = parse(*render(full(), accept))
    names = {name for family in found.values() for name, _ in family.samples}
    assert {
        "metal_operations_total",
        "metal_errors_total",
        "metal_operation_duration_ms_bucket",
        "metal_operation_duration_ms_sum",
        "metal_operation_duration_ms_count",
        "metal_memory_usage_bytes",
        "metal_gpu_utilization_percent",
    } <= names


def test_the_unit_of_milliseconds_and_percent_is_not_announced() -> None:
    body, _ = render(full(), OPENMETRICS)
    units = {line.split()[-1] for line in body.decode().splitlines() if line.startswith("# UNIT")}
    assert units == {"bytes", "seconds", "ratio"}


@both_formats
def test_values_are_those_of_the_snapshot(accept: str) -> None:
    found = parse(*render(full(), accept))
    # Labels in alphabetical order: device, kind, name, and then the metric's own.
    assert values(found, "metal_operations_total") == {
        ("m1", "allocate", "buffer", "ok"): 4,
        ("m1", "allocate", "buffer", "out_of_memory"): 1,
        ("m1", "execute", "matmul", "ok"): 4,
        ("m1", "execute", "matmul", "out_of_memory"): 1,
    }
    assert values(found, "metal_errors_total") == {
        ("m1", "allocate", "buffer", "out_of_memory"): 1,
        ("m1", "execute", "matmul", "out_of_memory"): 1,
    }
    buckets = values(found, "metal_operation_duration_ms_bucket")
    matmul = {le: n for (_, kind, le, _, o), n in buckets.items() if (kind, o) == ("execute", "ok")}
    assert list(matmul) == [*map(str, CLASSIC_BOUNDS_MS), "+Inf"]
    assert matmul | {"0.01": 1, "0.5": 1, "1.0": 3, "10.0": 3, "25.0": 4, "+Inf": 4} == matmul
    assert values(found, "metal_operation_duration_ms_sum")["m1", "execute", "matmul", "ok"] == (
        pytest.approx(14.250678)
    )
    assert values(found, "metal_operation_gpu_seconds_total")["m1", "execute", "matmul"] == 1.5
    assert values(found, "metal_operation_bytes_total")["m1", "execute", "matmul"] == 4096
    assert {
        category: count
        for (category, _, kind, _), count in values(
            found, "metal_operations_by_category_total"
        ).items()
        if kind == "execute"
    } == {"fast": 2, "normal": 1, "slow": 1, "very_slow": 1}
    assert values(found, "metal_memory_usage_bytes") == {
        ("m1", "active"): 1024,
        ("m1", "cache"): 0,
        ("m1", "gpu_in_use"): 4096,
    }
    assert values(found, "metal_memory_peak_bytes") == {("m1", "active"): 2048}
    assert values(found, "metal_host_cpu_utilization_ratio") == {("host",): 0.5}
    assert values(found, "metal_device_memory_bytes") == {("metal", "m1"): 1 << 34}
    assert values(found, "metalscope_start_time_seconds") == {(): EARLIER.timestamp()}
    assert values(found, "metalscope_retired_operations_total") == {(): 10}
    health = values(found, "metal_health_status")
    assert {key for key, value in health.items() if value} == {
        ("overall", "degraded"),
        ("memory", "degraded"),
        ("kernel", "healthy"),
    }
    assert len(health) == 3 * 4


@both_formats
def test_what_nothing_measured_has_no_sample(accept: str) -> None:
    found = parse(*render(bare(named("matmul")), accept))
    for name in (
        "metal_gpu_utilization_percent",
        "metal_memory_usage_bytes",
        "metal_memory_limit_bytes",
        "metal_operation_bytes",
        "metal_operation_gpu_seconds",
        "metal_errors",
    ):
        assert found[name].samples == {}, name


@both_formats
@settings(deadline=None)
@given(name=any_text, device=any_text)
def test_any_label_value_comes_back_as_it_was(accept: str, name: str, device: str) -> None:
    outcome = OutcomeMetrics(OK, DurationHistogram.from_durations([1]))
    operation = OperationMetrics(OperationKind.EXECUTE, name, device, (outcome,))
    found = parse(*render(bare(operation), accept))
    assert values(found, "metal_operations_total") == {(device, "execute", name, OK): 1}
    assert values(found, "metal_operation_duration_ms_count") == {(device, "execute", name, OK): 1}


@both_formats
def test_a_lone_surrogate_does_not_cost_the_scrape(accept: str) -> None:
    found = parse(*render(bare(named("broken \udc80")), accept))
    assert values(found, "metal_operations_total") == {("", "execute", "broken ?", OK): 1}


@both_formats
def test_two_readings_of_one_pool_are_one_sample_the_later(accept: str) -> None:
    first, *others = full().resources
    later = type(first)(first.kind, first.name, first.device, 7)
    found = parse(*render(bare(resources=(first, *others, later)), accept))
    assert values(found, "metal_memory_usage_bytes")["m1", "active"] == 7


@both_formats
def test_numbers_of_numpy_are_written_as_plain_numbers(accept: str) -> None:
    numpy = pytest.importorskip("numpy")
    durations = DurationHistogram.from_durations([1])
    outcome = OutcomeMetrics(OK, durations, nbytes=numpy.int64(12))
    operation = OperationMetrics(OperationKind.TRANSFER, "copy", "", (outcome,))
    reading = replace(full().resources[0], current=numpy.float64(0.5))
    found = parse(*render(bare(operation, resources=(reading,)), accept))
    assert values(found, "metal_operation_bytes_total") == {("", "transfer", "copy"): 12}
    assert values(found, "metal_memory_usage_bytes") == {("m1", "active"): 0.5}


@both_formats
def test_a_histogram_with_negative_values_has_buckets_but_no_sum(accept: str) -> None:
    custom = (CustomMetric("deltas", "histogram", (), -3.0, 2, ((1.0, 2),)),)
    found = parse(*render(bare(custom=custom), accept))
    assert values(found, "deltas_bucket") == {("1.0",): 2, ("+Inf",): 2}
    assert values(found, "deltas_sum") == {}


custom_names = st.sampled_from(["a", "a_total", "a_bucket", "a_count", "a_created", "b:c", "_x"])


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            custom_names,
            st.sampled_from(["counter", "gauge", "histogram"]),
            st.dictionaries(st.sampled_from(["x", "y", "le"]), any_text, max_size=2),
            st.floats(-10, 1e12),
        ),
        max_size=12,
    )
)
def test_no_custom_metric_that_is_accepted_breaks_the_exposition(recordings: list) -> None:
    telemetry = MetalTelemetryManager()
    for name, kind, labels, value in recordings:
        try:
            telemetry.record_custom_metric(name, value, labels, kind)
        except ValueError:
            continue
    snapshot = telemetry.get_snapshot()
    # The OpenMetrics parser refuses names that clash and series that come twice.
    found = parse(*render(snapshot, OPENMETRICS))
    assert len(found) == len(list(families(snapshot)))


def test_a_user_registry_serves_our_families_beside_its_own() -> None:
    registry = CollectorRegistry()
    telemetry = MetalTelemetryManager()
    registry.register(MetalCollector(telemetry.get_snapshot, on_error=telemetry.internal_error))
    telemetry.record("execute", "matmul", duration_ns=1_000_000)
    labels = {"kind": "execute", "name": "matmul", "device": "", "outcome": "ok"}
    assert registry.get_sample_value("metal_operations_total", labels) == 1
    telemetry.record("execute", "matmul", duration_ns=1_000_000)
    assert registry.get_sample_value("metal_operations_total", labels) == 2


def test_a_registry_refuses_the_collector_twice() -> None:
    registry = CollectorRegistry()
    registry.register(MetalCollector(full))
    with pytest.raises(ValueError, match="metal_operations_total"):
        registry.register(MetalCollector(full))


def test_registering_does_not_take_a_snapshot() -> None:
    CollectorRegistry(auto_describe=True).register(MetalCollector(lambda: pytest.fail("taken")))


def test_a_snapshot_that_fails_leaves_the_users_own_metrics_in_place() -> None:
    def failing() -> MetalTelemetrySnapshot:
        raise RuntimeError("no snapshot today")

    told: list[tuple[str, str]] = []
    registry = CollectorRegistry()
    registry.register(MetalCollector(failing, on_error=lambda room, e: told.append((room, str(e)))))
    registry.register(_Own())
    assert "mine 1.0" in exposition.generate_latest(registry).decode()
    assert told == [("prometheus", "no snapshot today")]


class _Own:
    def collect(self) -> list[object]:
        from prometheus_client.core import GaugeMetricFamily

        return [GaugeMetricFamily("mine", "The user's.", value=1)]


# The name is fixed: dashboards and rules are written against it.
LINT_EXCEPTIONS = ["metal_operation_duration_ms metric names should not contain abbreviated units"]


def lint(body: bytes) -> list[str]:
    # promtool reads the classic format only.
    check = subprocess.run(
        [require_peer("promtool"), "check", "metrics"], input=body, capture_output=True, check=False
    )
    return check.stderr.decode().splitlines()


def test_promtool_finds_nothing_but_the_unit_that_is_fixed() -> None:
    body, _ = render(replace(full(), custom=()), CLASSIC)
    assert lint(body) == LINT_EXCEPTIONS


def test_promtool_reads_hostile_names() -> None:
    body, _ = render(bare(*map(named, HOSTILE_NAMES)), CLASSIC)
    assert lint(body) == LINT_EXCEPTIONS
