"""The protobuf form: who gets it, that it says what the text says, and native histograms in it."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from exposition import parse
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from snapshots import EARLIER, NOW, full, snapshots

from metalscope import semconv
from metalscope.export.prometheus import number, render
from metalscope.export.prometheus_schema import message_class
from metalscope.histogram import SCALE, DurationHistogram
from metalscope.manager import MetalTelemetryManager
from metalscope.operation import OK, OperationKind
from metalscope.options import MetalTelemetryOptions, ServerOptions
from metalscope.snapshot import (
    CustomMetric,
    Exemplar,
    MetalTelemetrySnapshot,
    OperationMetrics,
    OutcomeMetrics,
)
from prometheus_server import PrometheusServer, Target, running_prometheus

PROTOBUF = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
)
PROTOBUF_TYPE = PROTOBUF.replace(";", "; ")
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
CLASSIC = "text/plain; version=0.0.4; charset=utf-8"

# What Prometheus 2.42 sends with --enable-feature=native-histograms, and 3.x with
# scrape_native_histograms.
PROMETHEUS_2 = (
    f"{PROTOBUF},application/openmetrics-text;version=1.0.0;q=0.8,"
    "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    f"{PROTOBUF};escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)

SECOND_NS = 1_000_000_000
# In the zero bucket, in neighbouring and in distant buckets, and past the last bound.
DURATIONS = [0, 50, 61, 62, 1_000, 999_999, 1_000_000, 1_000_001, 1_090_508, 1_100_000, 2_000_000,
             2_000_000, 250_000_000, 40 * SECOND_NS, 2 * 3600 * SECOND_NS]  # fmt: skip


def messages(body: bytes) -> list[Any]:
    """The delimited messages of a body."""
    found, place = [], 0
    while place < len(body):
        length = shift = 0
        while True:
            byte = body[place]
            place += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        found.append(
            message_class("io.prometheus.client.MetricFamily").FromString(
                body[place : place + length]
            )
        )
        place += length
    assert place == len(body)
    return found


def families_of(snapshot: MetalTelemetrySnapshot) -> dict[str, Any]:
    body, content_type = render(snapshot, PROTOBUF)
    assert content_type == PROTOBUF_TYPE
    found = messages(body)
    assert len({family.name for family in found}) == len(found)
    return {family.name: family for family in found}


def samples(family: Any) -> Iterator[tuple[str, tuple[tuple[str, str], ...], str]]:
    """The samples a text would have of a family."""
    for metric in family.metric:
        labels = {pair.name: pair.value for pair in metric.label}

        def sample(
            suffix: str, value: float, labels: dict[str, str] = labels, **more: str
        ) -> tuple[str, tuple[tuple[str, str], ...], str]:
            pairs = tuple(sorted((labels | more).items()))
            return family.name + suffix, pairs, repr(float(value))

        if metric.HasField("histogram"):
            histogram = metric.histogram
            for bucket in histogram.bucket:
                yield sample("_bucket", bucket.cumulative_count, le=number(bucket.upper_bound))
            if not math.isnan(histogram.sample_sum):
                yield sample("_count", histogram.sample_count)
                yield sample("_sum", histogram.sample_sum)
        else:
            yield sample("", (metric.counter if metric.HasField("counter") else metric.gauge).value)


def bare(*operations: OperationMetrics, **parts: Any) -> MetalTelemetrySnapshot:
    return MetalTelemetrySnapshot(NOW, EARLIER, operations=operations, **parts)


def timed(durations_ns: list[int], *exemplars: Exemplar) -> MetalTelemetrySnapshot:
    outcome = OutcomeMetrics(
        OK, DurationHistogram.from_durations(durations_ns), exemplars=exemplars
    )
    return bare(OperationMetrics(OperationKind.EXECUTE, "f", "", (outcome,)))


def histogram_of(snapshot: MetalTelemetrySnapshot) -> Any:
    (metric,) = families_of(snapshot)["metal_operation_duration_ms"].metric
    return metric.histogram


def native_buckets_of(histogram: Any) -> dict[int, int]:
    """Counts by the index of the bucket, as the specification of native histograms reads them."""
    counts, index, count = {}, 0, 0
    deltas = iter(histogram.positive_delta)
    for span in histogram.positive_span:
        index += span.offset
        for _ in range(span.length):
            count += next(deltas)
            counts[index] = count
            index += 1
    assert next(deltas, None) is None
    return counts


# -- who gets it ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (PROTOBUF, PROTOBUF_TYPE),
        (PROMETHEUS_2, PROTOBUF_TYPE),
        (PROMETHEUS_3, PROTOBUF_TYPE + "; escaping=allow-utf-8"),
        (PROTOBUF + ";escaping=dots", PROTOBUF_TYPE + "; escaping=underscores"),
        (PROTOBUF + ",application/openmetrics-text;version=1.0.0", PROTOBUF_TYPE),
        # The weight decides here too.
        (PROTOBUF + ";q=0.4,application/openmetrics-text;q=0.5", OPENMETRICS),
        (PROTOBUF + ";q=0,text/plain", CLASSIC),
        # Other encodings and messages are not had; nor is it meant by a header that says less.
        (PROTOBUF.replace("delimited", "text"), CLASSIC),
        (PROTOBUF.replace("MetricFamily", "Metric"), CLASSIC),
        ("application/vnd.google.protobuf", CLASSIC),
        ("application/vnd.google.protobuf;encoding=delimited,*/*;q=0.1", CLASSIC),
        ("application/vnd.google.protobuf,application/*", OPENMETRICS),
    ],
)
def test_the_form_is_given_to_those_who_ask_for_it(accept: str, content_type: str) -> None:
    assert render(bare(), accept)[1] == content_type


def test_where_protobuf_is_not_installed_the_form_is_not_offered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in sys.modules if name.startswith("google.protobuf")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    message_class.cache_clear()
    body, content_type = render(bare(), PROMETHEUS_2)
    assert content_type == OPENMETRICS
    assert body.endswith(b"# EOF\n")
    assert render(bare(), PROTOBUF)[1] == CLASSIC


# -- what it says --------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(snapshot=snapshots | st.just(full()))
def test_it_says_what_the_text_says(snapshot: MetalTelemetrySnapshot) -> None:
    text = parse(*render(snapshot, "text/plain"))
    found = families_of(snapshot)
    in_protobuf: dict[Any, str] = {}
    for family in found.values():
        for name, labels, value in samples(family):
            assert (name, labels) not in in_protobuf
            in_protobuf[name, labels] = value
    in_text = {key: value for family in text.values() for key, value in family.samples.items()}
    assert in_protobuf == in_text


def test_types_help_and_units_are_those_of_the_catalogue() -> None:
    found = families_of(full())
    types = {"counter": 0, "gauge": 1, "info": 1, "histogram": 4}
    for metric in semconv.BUILT_IN:
        if metric.name in found:
            family = found[metric.name]
            assert (family.type, family.help) == (types[metric.type], metric.help)
            expected = metric.unit if metric.unit in {"bytes", "seconds", "ratio"} else ""
            assert family.unit == expected
    assert len(found) > 30


def test_counters_say_since_when_they_count_but_not_those_the_system_counts() -> None:
    found = families_of(full())
    counters = [family for family in found.values() if family.type == 0]
    assert len(counters) > 10
    since = {
        family.name: {
            metric.counter.created_timestamp.ToDatetime(UTC)
            for metric in family.metric
            if metric.counter.HasField("created_timestamp")
        }
        for family in counters
    }
    assert {name for name, moments in since.items() if moments != {EARLIER}} == {
        "metal_energy_joules_total",
        "metal_gpu_recoveries_total",
    }
    (series, *_) = found["metal_operation_duration_ms"].metric
    assert series.histogram.created_timestamp.ToDatetime(UTC) == EARLIER


def test_a_lone_surrogate_costs_no_scrape() -> None:
    outcome = OutcomeMetrics(OK, DurationHistogram.from_durations([1]))
    snapshot = bare(OperationMetrics(OperationKind.EXECUTE, "a\ud800b", "", (outcome,)))
    (metric,) = families_of(snapshot)["metal_operations_total"].metric
    assert {pair.name: pair.value for pair in metric.label}["name"] == "a?b"


def test_a_sum_with_negative_values_in_it_is_no_number_rather_than_0() -> None:
    custom = CustomMetric("drift", "histogram", (), -2.5, 3, ((0.0, 2), (1.0, 3)))
    (metric,) = families_of(bare(custom=(custom,)))["drift"].metric
    assert math.isnan(metric.histogram.sample_sum)
    assert metric.histogram.sample_count == 3
    # Its bounds are the application's: there is nothing native in it.
    assert not metric.histogram.HasField("schema")
    assert not metric.histogram.HasField("zero_threshold")


# -- native histograms ---------------------------------------------------------------------------

bucket_bounds = st.integers(0, 2**45)


@settings(deadline=None)
@given(st.lists(bucket_bounds, max_size=80))
def test_native_buckets_count_what_lies_within_them(durations_ns: list[int]) -> None:
    histogram = histogram_of(timed(durations_ns))
    assert (histogram.schema, histogram.sample_count) == (SCALE, len(durations_ns))
    assert histogram.zero_threshold == 2.0**-14
    counts = native_buckets_of(histogram)
    assert histogram.zero_count + sum(counts.values()) == len(durations_ns)
    assert all(count > 0 for count in counts.values())
    edge = 22 * 8  # 2**22 ms; the last bucket has what is beyond, too
    for index, count in counts.items():
        low, high = 2 ** ((index - 1) / 8), 2 ** (index / 8)
        # A bound is a whole number of ns: 1 ns is the precision here.
        above = sum(one > low * 1e6 + 1 for one in durations_ns)
        beyond = sum(one > high * 1e6 - 1 for one in durations_ns) if index < edge else 0
        assert count >= above - beyond
        assert count <= sum(
            low * 1e6 - 1 <= one <= (high * 1e6 + 1 if index < edge else math.inf)
            for one in durations_ns
        )


def test_the_least_and_the_greatest_of_a_bucket_are_in_it() -> None:
    # 1 ms is the upper bound of bucket 0; what is longer is in bucket 1.
    assert native_buckets_of(histogram_of(timed([1_000_000]))) == {0: 1}
    assert native_buckets_of(histogram_of(timed([1_000_001]))) == {1: 1}
    assert native_buckets_of(histogram_of(timed([8_000_000, 8_000_001]))) == {24: 1, 25: 1}


def test_an_empty_histogram_is_a_native_one_too() -> None:
    histogram = histogram_of(timed([]))
    assert (histogram.sample_count, histogram.zero_count) == (0, 0)
    # By this a Prometheus knows it for a native one.
    assert histogram.zero_threshold > 0


def test_classic_and_native_buckets_each_have_the_exemplars() -> None:
    early, late = NOW, NOW + timedelta(microseconds=1_250_001)
    fast = Exemplar(2.0, late, "a" * 32, "b" * 16)
    slow = Exemplar(40_000.0, early, "c" * 32, "d" * 16)
    older = Exemplar(2.1, early, "e" * 32, "f" * 16)
    histogram = histogram_of(timed([2_000_000, 40 * SECOND_NS], fast, slow, older))
    found = {
        number(bucket.upper_bound): bucket.exemplar
        for bucket in histogram.bucket
        if bucket.HasField("exemplar")
    }
    assert set(found) == {"2.5", "+Inf"}
    labels = {pair.name: pair.value for pair in found["2.5"].label}
    assert labels == {"trace_id": "a" * 32, "span_id": "b" * 16}
    assert found["2.5"].value == 2.0
    assert found["2.5"].timestamp.ToDatetime(UTC) == late
    # Oldest first, as a native histogram's are appended.
    assert [one.value for one in histogram.exemplars] == [40_000.0, 2.0]


# -- a real Prometheus ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def telemetry() -> Iterator[MetalTelemetryManager]:
    options = MetalTelemetryOptions(exemplars=True, server=ServerOptions(enabled=True, port=0))
    with MetalTelemetryManager(options) as tel:
        for duration_ns in DURATIONS:
            tel.record("execute", "matmul", duration_ns=duration_ns)
        tel.record("execute", "matmul", duration_ns=7, error="timeout")
        with TracerProvider().get_tracer("tests").start_as_current_span("request"):
            tel.record("execute", "traced", duration_ns=2_000_000)
            tel.record("execute", "traced", duration_ns=40 * SECOND_NS)
        yield tel


def scraping(
    telemetry: MetalTelemetryManager, directory: Path, *features: str
) -> Iterator[PrometheusServer]:
    assert telemetry.server is not None
    target = Target("metal", f"127.0.0.1:{telemetry.server.port}")
    arguments = [f"--enable-feature={','.join(features)}"] if features else []
    with running_prometheus(target, directory=directory, arguments=arguments) as server:
        server.wait_for('metal_operations_total{name="traced"}')
        (found,) = server.targets()
        assert (found["health"], found["lastError"]) == ("up", "")
        yield server


@pytest.fixture(scope="module")
def native(
    telemetry: MetalTelemetryManager, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrometheusServer]:
    """A Prometheus that asks for protobuf."""
    directory = tmp_path_factory.mktemp("native")
    yield from scraping(telemetry, directory, "native-histograms", "exemplar-storage")


@pytest.fixture(scope="module")
def plain(
    telemetry: MetalTelemetryManager, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrometheusServer]:
    """One that does not."""
    yield from scraping(telemetry, tmp_path_factory.mktemp("plain"))


def durations_of(telemetry: MetalTelemetryManager) -> DurationHistogram:
    (operation,) = (one for one in telemetry.get_snapshot().operations if one.name == "matmul")
    return {one.outcome: one for one in operation.outcomes}[OK].durations


MATMUL = 'metal_operation_duration_ms{name="matmul",outcome="ok"}'


@pytest.mark.server
def test_prometheus_has_the_count_and_the_sum_of_the_snapshot(
    native: PrometheusServer, telemetry: MetalTelemetryManager
) -> None:
    durations = durations_of(telemetry)
    ((_, count),) = native.query(f"histogram_count({MATMUL})")
    ((_, total),) = native.query(f"histogram_sum({MATMUL})")
    assert (count, total) == (durations.count, durations.total_ms)


@pytest.mark.server
def test_prometheus_has_every_native_bucket_of_the_snapshot(
    native: PrometheusServer, telemetry: MetalTelemetryManager
) -> None:
    ((series),) = native.get("query", {"query": MATMUL})["result"]
    _, histogram = series["histogram"]
    found = {
        (float(low), float(high)): float(count) for _, low, high, count in histogram["buckets"]
    }
    exponential = durations_of(telemetry).exponential()
    zero = exponential.zero_threshold_ms
    expected = {(-zero, zero): exponential.zero_count} | {
        (2 ** (index / 8), 2 ** ((index + 1) / 8)): count
        for index, count in enumerate(exponential.counts, exponential.offset)
        if count
    }
    assert len(found) == len(expected) > 5
    for ((low, high), count), ((our_low, our_high), ours) in zip(
        sorted(found.items()), sorted(expected.items()), strict=True
    ):
        assert (low, high) == (pytest.approx(our_low), pytest.approx(our_high))
        assert count == ours


@pytest.mark.server
@pytest.mark.parametrize("quantile", [0.3, 0.5, 0.7, 0.8])
def test_prometheus_computes_the_quantile_of_the_snapshot_within_a_bucket(
    native: PrometheusServer, telemetry: MetalTelemetryManager, quantile: float
) -> None:
    ((_, found),) = native.query(f"histogram_quantile({quantile}, {MATMUL})")
    ours = durations_of(telemetry).quantile_ms(quantile)
    assert ours is not None
    # Each is somewhere in the bucket that has the sample, and a bucket is 2**(1/8) wide.
    assert ours / 2 ** (1 / 8) <= found <= ours * 2 ** (1 / 8)


@pytest.mark.server
def test_a_prometheus_that_keeps_native_histograms_keeps_no_classic_buckets_of_them(
    native: PrometheusServer,
) -> None:
    assert native.get("query", {"query": MATMUL})["result"]
    assert native.query("metal_operation_duration_ms_bucket") == []
    # All else is as ever.
    assert native.query('metal_operations_total{name="matmul",outcome="ok"}')[0][1] == len(
        DURATIONS
    )


@pytest.mark.server
def test_a_prometheus_without_native_histograms_has_every_classic_series(
    plain: PrometheusServer, telemetry: MetalTelemetryManager
) -> None:
    durations = durations_of(telemetry)
    answer = plain.query('metal_operation_duration_ms_bucket{name="matmul",outcome="ok"}')
    assert {labels["le"]: count for labels, count in answer} == {
        **{number(bound): count for bound, count in durations.classic()},
        "+Inf": durations.count,
    }
    ((_, total),) = plain.query('metal_operation_duration_ms_sum{name="matmul",outcome="ok"}')
    ((_, count),) = plain.query('metal_operation_duration_ms_count{name="matmul",outcome="ok"}')
    assert (count, total) == (durations.count, durations.total_ms)


@pytest.mark.server
def test_prometheus_has_the_exemplars_of_a_native_histogram(
    native: PrometheusServer, telemetry: MetalTelemetryManager
) -> None:
    (operation,) = (one for one in telemetry.get_snapshot().operations if one.name == "traced")
    ours = operation.outcomes[0].exemplars
    now = datetime.now(UTC).timestamp()
    data = native.get(
        "query_exemplars",
        {
            "query": 'metal_operation_duration_ms{name="traced"}',
            "start": f"{now - 600:.3f}",
            "end": f"{now + 60:.3f}",
        },
    )
    (series,) = data
    found = {
        (one["labels"]["trace_id"], one["labels"]["span_id"], float(one["value"]))
        for one in series["exemplars"]
    }
    assert found <= {(one.trace_id, one.span_id, one.value_ms) for one in ours}
    assert len(ours) == 2
    # Before 2.46 Prometheus kept one exemplar a sample.
    assert found
