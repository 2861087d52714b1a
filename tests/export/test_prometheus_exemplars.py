"""Exemplars in a scrape: in OpenMetrics on the line of their bucket, in the classic text none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry
from prometheus_client import exposition as classic_exposition
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from snapshots import EARLIER, NOW

from metalscope.export.prometheus import MetalCollector, render
from metalscope.histogram import CLASSIC_BOUNDS_MS, DurationHistogram
from metalscope.manager import MetalTelemetryManager
from metalscope.operation import OK, OperationKind
from metalscope.options import MetalTelemetryOptions, ServerOptions
from metalscope.snapshot import (
    Exemplar,
    MetalTelemetrySnapshot,
    OperationMetrics,
    OutcomeMetrics,
)
from prometheus_server import PrometheusServer, Target, running_prometheus

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
CLASSIC = "text/plain"
LATER = NOW + timedelta(microseconds=250_000)

FAST = Exemplar(0.01, NOW, "a" * 32, "b" * 16)  # exactly the bound of the first bucket
MIDDLE = Exemplar(3.5, LATER, "c" * 32, "d" * 16)
MIDDLE_OLDER = Exemplar(4.5, NOW, "e" * 32, "f" * 16)
SLOWEST = Exemplar(45_000.0, NOW, "1" * 32, "2" * 16)


def snapshot_with(*exemplars: Exemplar) -> MetalTelemetrySnapshot:
    durations = DurationHistogram.from_durations(
        [round(one.value_ms * 1e6) for one in exemplars] or [1]
    )
    outcome = OutcomeMetrics(OK, durations, exemplars=exemplars)
    operation = OperationMetrics(OperationKind.EXECUTE, "f", "", (outcome,))
    return MetalTelemetrySnapshot(NOW, EARLIER, operations=(operation,))


def exemplars_in(text: str) -> dict[str, tuple[dict[str, str], float, float]]:
    """Labels, value and time of each exemplar by the bound of its bucket, as a parser reads it."""
    return {
        sample.labels["le"]: (
            dict(sample.exemplar.labels), sample.exemplar.value, float(sample.exemplar.timestamp)
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.exemplar is not None
    }  # fmt: skip


def of(one: Exemplar) -> tuple[dict[str, str], float, float]:
    labels = {"trace_id": one.trace_id, "span_id": one.span_id}
    return labels, one.value_ms, one.timestamp.timestamp()


EXPECTED = {"0.01": of(FAST), "5.0": of(MIDDLE), "+Inf": of(SLOWEST)}


def test_each_bucket_has_its_newest_exemplar_and_no_other_line_has_one() -> None:
    body, _ = render(snapshot_with(MIDDLE, FAST, SLOWEST, MIDDLE_OLDER), OPENMETRICS)
    text = body.decode()
    assert exemplars_in(text) == EXPECTED
    lines = [line for line in text.splitlines() if " # " in line and not line.startswith("#")]
    assert len(lines) == len(EXPECTED)
    assert all(line.startswith("metal_operation_duration_ms_bucket{") for line in lines)
    (fast,) = (line for line in lines if 'le="0.01"' in line)
    stamp = NOW.timestamp()
    assert fast.endswith(f'1 # {{trace_id="{"a" * 32}",span_id="{"b" * 16}"}} 0.01 {stamp}')


def test_the_classic_text_is_the_same_with_and_without_them() -> None:
    with_them = snapshot_with(FAST, MIDDLE)
    (operation,) = with_them.operations
    bare = OutcomeMetrics(OK, operation.outcomes[0].durations)
    without = MetalTelemetrySnapshot(
        NOW, EARLIER, operations=(OperationMetrics(operation.kind, "f", "", (bare,)),)
    )
    assert render(with_them, CLASSIC) == render(without, CLASSIC)
    assert render(with_them, OPENMETRICS) != render(without, OPENMETRICS)


@pytest.mark.parametrize("trace_id", ["ü" * 98, "a" * 97])
def test_one_that_is_longer_than_openmetrics_allows_is_left_out(trace_id: str) -> None:
    # Names and values of the labels have 128 characters in all; the names take 15 of them.
    too_long = Exemplar(3.5, NOW, trace_id + "b", "c" * 16)
    fits = Exemplar(3.5, NOW, trace_id[:97], "c" * 16)
    assert exemplars_in(render(snapshot_with(too_long), OPENMETRICS)[0].decode()) == {}
    assert exemplars_in(render(snapshot_with(fits), OPENMETRICS)[0].decode()) == {"5.0": of(fits)}


def test_the_id_of_the_work_is_a_label_where_there_is_room_for_it() -> None:
    fits = replace(FAST, correlation_id="c" * 51)  # 128 characters with the names
    too_long = replace(FAST, correlation_id="c" * 52)
    texts = [render(snapshot_with(one), OPENMETRICS)[0].decode() for one in (fits, too_long)]
    assert [f'correlation_id="{fits.correlation_id}"' in text for text in texts] == [True, False]
    assert all(f'trace_id="{FAST.trace_id}"' in text for text in texts)


def test_a_registry_of_prometheus_client_exposes_them_too() -> None:
    registry = CollectorRegistry()
    snapshot = snapshot_with(MIDDLE, FAST, SLOWEST, MIDDLE_OLDER)
    registry.register(MetalCollector(lambda: snapshot))
    text = openmetrics_exposition.generate_latest(registry).decode()
    assert exemplars_in(text) == EXPECTED
    assert b"trace_id" not in classic_exposition.generate_latest(registry)


# -- a real Prometheus ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def telemetry() -> Iterator[MetalTelemetryManager]:
    options = MetalTelemetryOptions(exemplars=True, server=ServerOptions(enabled=True, port=0))
    with MetalTelemetryManager(options) as tel:
        with TracerProvider().get_tracer("tests").start_as_current_span("request"):
            for bound in CLASSIC_BOUNDS_MS:
                tel.record("execute", "matmul", duration_ns=round(bound * 1e6))
        tel.record("execute", "untraced", duration_ns=5)
        yield tel


@pytest.fixture(scope="module")
def prometheus(
    telemetry: MetalTelemetryManager, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrometheusServer]:
    assert telemetry.server is not None
    with running_prometheus(
        Target("metal", f"127.0.0.1:{telemetry.server.port}"),
        directory=tmp_path_factory.mktemp("prometheus"),
        arguments=["--enable-feature=exemplar-storage"],
    ) as server:
        server.wait_for('metal_operations_total{name="untraced"}')
        yield server


@pytest.mark.server
def test_prometheus_finds_the_trace_of_every_bucket(
    prometheus: PrometheusServer, telemetry: MetalTelemetryManager
) -> None:
    now = datetime.now(UTC).timestamp()
    data = prometheus.get(
        "query_exemplars",
        {
            "query": "metal_operation_duration_ms_bucket",
            "start": f"{now - 600:.3f}",
            "end": f"{now + 60:.3f}",
        },
    )
    found = {float(series["seriesLabels"]["le"]): series["exemplars"] for series in data}
    assert {series["seriesLabels"]["name"] for series in data} == {"matmul"}
    ours = {
        exemplar.value_ms: exemplar
        for operation in telemetry.get_snapshot().operations
        for outcome in operation.outcomes
        for exemplar in outcome.exemplars
    }
    assert set(found) == set(ours) == set(CLASSIC_BOUNDS_MS)
    for bound, (exemplar,) in found.items():
        assert exemplar["labels"] == {
            "trace_id": ours[bound].trace_id, "span_id": ours[bound].span_id
        }  # fmt: skip
        assert float(exemplar["value"]) == bound
        assert exemplar["timestamp"] == pytest.approx(ours[bound].timestamp.timestamp(), abs=0.001)
        assert re.fullmatch("[0-9a-f]{32}", exemplar["labels"]["trace_id"])


@pytest.mark.server
def test_with_exemplars_prometheus_takes_the_scrape_whole(prometheus: PrometheusServer) -> None:
    (target,) = prometheus.targets()
    assert (target["health"], target["lastError"]) == ("up", "")
    ((_, count),) = prometheus.query('metal_operations_total{name="matmul"}')
    assert count == len(CLASSIC_BOUNDS_MS)
