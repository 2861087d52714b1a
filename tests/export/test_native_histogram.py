"""Native histograms and exemplars, as a real Prometheus understands them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from remote_runs import DURATION, EXPONENTIAL, Run, now, receiving_prometheus, taken, with_durations

from metalscope.export.native_histogram import native_buckets
from metalscope.histogram import DurationHistogram
from metalscope.sending.result import Reason, Verdict
from metalscope.snapshot import Exemplar
from prometheus_server import PrometheusServer, running_prometheus


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    with receiving_prometheus(tmp_path_factory.mktemp("prometheus")) as server:
        yield server


SOME_DURATIONS = (1, 5_000, 900_000, 1_000_000, 1_000_000, 1_000_001, 12_345_678, 60_000_000_000)


@pytest.mark.server
def test_a_native_histogram_has_count_sum_and_buckets_of_the_snapshot(
    prometheus: PrometheusServer,
) -> None:
    run, at = Run(prometheus.url, **EXPONENTIAL), now()
    durations = DurationHistogram.from_durations(SOME_DURATIONS)
    assert run.exporter.export(with_durations(at, *SOME_DURATIONS)).ok
    series = run.selector(DURATION)
    [(_, number)] = prometheus.query(f"histogram_count({series})", at.timestamp())
    [(_, total)] = prometheus.query(f"histogram_sum({series})", at.timestamp())
    assert (number, total) == (len(SOME_DURATIONS), durations.total_ms)

    moment = {"query": series, "time": f"{at.timestamp():.3f}"}
    [answered] = prometheus.get("query", moment)["result"]
    buckets = {
        (float(low), float(high)): float(counted)
        for _, low, high, counted in answered["histogram"][1]["buckets"]
    }
    exponential = durations.exponential()
    threshold = exponential.zero_threshold_ms
    expected = {
        (2 ** (i / 8), 2 ** ((i + 1) / 8)): counted
        for i, counted in enumerate(exponential.counts, exponential.offset)
        if counted
    }
    assert exponential.zero_count == 1
    # A zero bucket that only positive values can be in may be shown from 0 on.
    zero = {(low, high) for low, high in buckets if high == threshold}
    assert [buckets.pop(one) for one in zero] == [1]
    assert [
        (pytest.approx(low), pytest.approx(high), counted)
        for (low, high), counted in sorted(expected.items())
    ] == [(low, high, counted) for (low, high), counted in sorted(buckets.items())]


@pytest.mark.server
@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_a_quantile_of_a_native_histogram_is_within_a_bucket_of_the_true_one(
    prometheus: PrometheusServer, q: float
) -> None:
    run, at = Run(prometheus.url, **EXPONENTIAL), now()
    milliseconds = [1.07**n for n in range(101)]
    run.exporter.export(with_durations(at, *(round(ms * 1e6) for ms in milliseconds)))
    query = f"histogram_quantile({q}, {run.selector(DURATION)})"
    [(_, found)] = prometheus.query(query, at.timestamp())
    true = milliseconds[round(q * 100)]
    assert true / 2 ** (1 / 8) <= found <= true * 2 ** (1 / 8)


@pytest.mark.server
def test_natively_written_durations_have_no_classic_buckets_beside_them(
    prometheus: PrometheusServer,
) -> None:
    run, at = Run(prometheus.url, **EXPONENTIAL), now()
    snapshot = taken(at)
    run.exporter.export(snapshot)
    assert not prometheus.query(run.selector(f"{DURATION}_bucket"), at.timestamp())
    # Those of the application have only their own bounds.
    assert prometheus.query(run.selector("sizes_bucket"), at.timestamp())


@given(st.lists(st.integers(0, 2**53), max_size=40))
def test_spans_and_deltas_say_the_same_as_the_exponential_buckets(durations: list[int]) -> None:
    histogram = DurationHistogram.from_durations(durations)
    native, exponential = native_buckets(histogram), histogram.exponential()
    deltas = iter(native.deltas)
    counts: dict[int, int] = {}
    index = counted = 0
    for offset, length in native.spans:
        index += offset
        for _ in range(length):
            counted += next(deltas)
            counts[index] = counted
            index += 1
    assert next(deltas, None) is None
    assert all(offset > 0 for offset, _ in native.spans[1:])
    assert counts == {
        # OTLP's bucket i begins where Prometheus's bucket i ends.
        i + 1: n
        for i, n in enumerate(exponential.counts, exponential.offset)
        if n
    }
    assert sum(counts.values()) + native.zero_count == histogram.count


@pytest.mark.server
def test_a_prometheus_without_native_histograms_says_which_flag_it_lacks(tmp_path: Path) -> None:
    arguments = ["--web.enable-remote-write-receiver"]
    with running_prometheus(directory=tmp_path, arguments=arguments) as server:
        result = Run(server.url, **EXPONENTIAL).exporter.export(taken(now()))
        assert Run(server.url).exporter.export(taken(now())).ok
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.SERVER_ERROR)
    assert "--enable-feature=native-histograms" in result.detail


# -- exemplars ------------------------------------------------------------------------------------


def exemplars_at(server: PrometheusServer, query: str, at: datetime) -> list[tuple[str, float]]:
    """Trace id and value of each, in order of time."""
    around = {"start": at - timedelta(minutes=5), "end": at + timedelta(minutes=5)}
    span = {name: f"{moment.timestamp():.3f}" for name, moment in around.items()}
    return [
        (exemplar["labels"]["trace_id"], float(exemplar["value"]))
        for series in server.get("query_exemplars", {"query": query} | span)
        for exemplar in series["exemplars"]
    ]


@pytest.mark.server
@pytest.mark.parametrize("options", [{}, EXPONENTIAL], ids=["classic", "native"])
def test_exemplars_are_found_once_however_often_they_are_sent(
    prometheus: PrometheusServer, options: dict[str, str]
) -> None:
    run, at = Run(prometheus.url, **options), now() - timedelta(seconds=1)
    two = [
        Exemplar(2.0 + n / 10, at - timedelta(seconds=9 - n), f"{n + 1:032x}", f"{n:016x}")
        for n in range(2)
    ]
    snapshot = with_durations(at, 2_000_000, 2_100_000, exemplars=reversed(two))
    later = replace(snapshot, timestamp=at + timedelta(seconds=1))
    for exporter, one in ((run.exporter, snapshot), (run.exporter, later), (run.another(), later)):
        assert exporter.export(one).ok
    series = run.selector(DURATION) if options else run.selector(f"{DURATION}_bucket", le="2.5")
    expected = [(one.trace_id, one.value_ms) for one in two]
    assert exemplars_at(prometheus, series, at) == expected
