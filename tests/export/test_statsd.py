"""StatsD, over real sockets, read by the published grammar."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from contexts import context
from datagram_server import udp_server, unix_server
from growing import START, durations_ns, grown, totals
from hypothesis import given, settings
from snapshots import snapshots

from metalscope.errors import ConfigurationError, MissingExtraError
from metalscope.export.statsd import StatsdExporter
from metalscope.sending.result import Reason, Verdict
from metalscope.snapshot import CustomMetric, MetalTelemetrySnapshot
from peers import free_port


def exporter(url: str | None, **options: object) -> StatsdExporter:
    return StatsdExporter(context("statsd", endpoint=url, **options))


def test_counts_of_several_snapshots_add_up_to_the_totals() -> None:
    with udp_server() as (url, received):
        statsd = exporter(url)
        for steps in range(1, 5):
            assert statsd.export(grown(steps)).ok
        found = received.statsd()
    for metric, total in totals(grown(4)).items():
        if metric != "metal_gpu_recoveries_total":
            assert found.total(metric) == pytest.approx(total), metric


def test_a_cumulative_total_is_never_sent_as_a_count() -> None:
    with udp_server() as (url, received):
        statsd = exporter(url)
        statsd.resume(grown(3))
        assert statsd.export(grown(4)).ok
        found = received.statsd()
    assert found.counts["metal_operations_total.execute.matmul.m1.ok"] == len(durations_ns(3))
    assert found.counts["metal_operations_total.execute.matmul.m1.timeout"] == 2


def test_a_negative_gauge_is_a_value_not_a_change() -> None:
    with udp_server() as (url, received):
        statsd = exporter(url)
        for steps in (1, 2):
            assert statsd.export(grown(steps)).ok
        found = received.statsd()
    assert found.gauges["depth"] == -0.5


def test_names_have_the_label_values_in_order_between_prefix_and_own_labels() -> None:
    with udp_server() as (url, received):
        statsd = exporter(url, settings={"prefix": "lab.gpu"}, labels={"host": "box.a"})
        assert statsd.export(grown(1)).ok
        found = received.statsd()
    assert found.counts["lab.gpu.metal_operations_total.execute.matmul.m1.ok.box_a"] == 1
    assert found.gauges["lab.gpu.depth.box_a"] == -1.5
    bucket = "lab.gpu.metal_operation_duration_ms_bucket.execute.matmul.m1.ok.0_01.box_a"
    assert found.counts[bucket] == 1


def test_numbers_are_written_without_an_exponent() -> None:
    snapshot = replace(
        grown(1),
        custom=(
            CustomMetric("large", "counter", (), 3e22),
            CustomMetric("small", "gauge", (), 1.5e-9),
        ),
    )
    with udp_server() as (url, received):
        assert exporter(url).export(snapshot).ok
        found = received.statsd()
    assert found.counts["large_total"] == 3e22
    assert found.gauges["small"] == 1.5e-9


def test_datagrams_are_not_larger_than_any_network_takes() -> None:
    with udp_server() as (url, received):
        assert exporter(url).export(grown(3)).ok
        received.lines()
        assert len(received.packets) > 5
        assert max(map(len, received.packets)) <= 512


def test_names_that_become_the_same_are_added_up() -> None:
    snapshot = grown(1)
    one = snapshot.operations[0]
    twice = replace(snapshot, operations=tuple(replace(one, name=n) for n in ("a.b", "a b")))
    with udp_server() as (url, received):
        assert exporter(url).export(twice).ok
        lines = received.lines()
        found = received.statsd()
    name = "metal_operations_total.execute.a_b.m1.ok"
    assert found.counts[name] == 2
    assert sum(line.startswith(f"{name}:") for line in lines) == 1


def test_a_port_nobody_listens_on_is_known_and_nothing_is_counted_twice() -> None:
    port = free_port()
    statsd = exporter(f"udp://127.0.0.1:{port}")
    result = statsd.export(grown(1))
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.REFUSED)
    with udp_server(port) as (_, received):
        assert statsd.export(grown(1)).ok
        assert statsd.export(grown(2)).ok
        found = received.statsd()
    assert found.total("metal_operations_total.") == totals(grown(2))["metal_operations_total"]


def test_a_socket_that_comes_and_goes_loses_and_doubles_nothing(tmp_path: Path) -> None:
    statsd = exporter(f"unix://{tmp_path / 's'}")
    sums = 0.0
    for steps in range(1, 6):
        if steps % 2:
            with unix_server(tmp_path / "s") as (_, received):
                assert statsd.export(grown(steps)).ok
                sums += received.statsd().total("metal_operations_total.")
        else:
            assert statsd.export(grown(steps)).reason is Reason.REFUSED
    statsd.shutdown()
    assert sums == totals(grown(5))["metal_operations_total"]


def test_after_a_restart_and_in_a_new_process_counts_go_on() -> None:
    with udp_server() as (url, received):
        exporter(url).export(grown(2))
        again = exporter(url)
        again.resume(grown(2))
        again.export(grown(2))
        again.export(grown(3))
        again.export(grown(1, started_at=START + timedelta(minutes=5), pid=2))
        found = received.statsd()
    expected = totals(grown(3))["metal_operations_total"] + 3
    assert found.total("metal_operations_total.") == expected


@given(snapshots)
@settings(max_examples=25, deadline=None)
def test_any_snapshot_is_statsd(snapshot: MetalTelemetrySnapshot) -> None:
    with udp_server() as (url, received):
        assert exporter(url).export(snapshot).ok
        found = received.statsd()
    expected = sum(o.count for one in snapshot.operations for o in one.outcomes)
    assert found.total("metal_operations_total.") == expected


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"endpoint": "https://localhost"}, "udp://"),
        ({"settings": {"prefix": "a..b"}}, "settings.prefix"),
        ({"settings": {"prefix": 1}}, "settings.prefix"),
        ({"settings": {"sites": "x"}}, "settings.sites"),
    ],
)
def test_an_option_that_is_not_usable_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        StatsdExporter(context("statsd", **options))


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "statsd.client.base", None)
    with pytest.raises(MissingExtraError, match=r"metalscope\[statsd\]"):
        exporter("udp://127.0.0.1:8125")
