"""DogStatsD, over real sockets, read by the published grammar."""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from contexts import context
from datagram_server import Received, udp_server, unix_server, unix_stream_server
from growing import START, durations_ns, grown, totals
from hypothesis import given, settings
from snapshots import snapshots

from metalscope.errors import ConfigurationError, MissingExtraError
from metalscope.export.datadog.dogstatsd import DogStatsdExporter
from metalscope.export.datadog.exporter import datadog_exporter
from metalscope.sending.result import Reason, Verdict
from metalscope.snapshot import MetalTelemetrySnapshot, TelemetryEvent
from peers import free_port

BOOT_COUNTER = "metal_gpu_recoveries_total"


def exporter(url: str | None, **options: object) -> DogStatsdExporter:
    made = datadog_exporter(context("datadog", endpoint=url, **options))
    assert isinstance(made, DogStatsdExporter)
    return made


SERVERS: dict[str, Callable[[Path], AbstractContextManager[tuple[str, Received]]]] = {
    "udp": lambda _: udp_server(),
    "unix": lambda directory: unix_server(directory / "s"),
    "unix stream": lambda directory: unix_stream_server(directory / "s"),
}


@pytest.mark.parametrize("server", SERVERS)
def test_counts_of_several_snapshots_add_up_to_the_totals(server: str, tmp_path: Path) -> None:
    with SERVERS[server](tmp_path) as (url, received):
        agent = exporter(url)
        for steps in range(1, 5):
            result = agent.export(grown(steps))
            assert result.ok, result
        found = received.dogstatsd()
        agent.shutdown()
    for metric, total in totals(grown(4)).items():
        if metric != BOOT_COUNTER:
            assert found.total(metric) == pytest.approx(total), metric


def test_a_cumulative_total_is_never_sent_as_a_count() -> None:
    with udp_server() as (url, received):
        agent = exporter(url)
        agent.resume(grown(3))
        assert agent.export(grown(4)).ok
        found = received.dogstatsd()
    assert found.total("metal_operations_total", "outcome:ok") == len(durations_ns(3))
    assert found.total("metal_operations_total", "outcome:timeout") == 2


@pytest.mark.parametrize("timestamps", [True, False])
def test_counts_and_gauges_have_the_time_of_the_snapshot(timestamps: bool) -> None:
    with udp_server() as (url, received):
        assert exporter(url, settings={"timestamps": timestamps}).export(grown(2)).ok
        lines = received.lines()
        total = received.dogstatsd().total("metal_operations_total")
    second = f"|T{int(grown(2).timestamp.timestamp())}"
    assert all(line.endswith(second) == timestamps for line in lines)
    assert total == totals(grown(2))["metal_operations_total"]


def test_gauges_may_be_negative() -> None:
    with udp_server() as (url, received):
        assert exporter(url).export(grown(1)).ok
        gauges = {name: value for (name, _), value in received.dogstatsd().gauges.items()}
    assert gauges["depth"] == -1.5
    assert gauges["metal_gpu_utilization_percent"] == 12.5


def test_distributions_have_every_duration_once() -> None:
    with udp_server() as (url, received):
        agent = exporter(url, settings={"distributions": True})
        for steps in (1, 4):
            assert agent.export(grown(steps)).ok
        found = received.dogstatsd()
    ran = sorted(ns / 1e6 for step in range(4) for ns in durations_ns(step))
    (values,) = [
        values for (_, tags), values in found.distributions.items() if "outcome:ok" in tags
    ]
    assert sorted(values) == pytest.approx(ran, rel=0.0443)


def test_events_are_sent_once() -> None:
    odd = TelemetryEvent(3, grown(2).timestamp, "a|b\nc", {"text": "ä|#€\n" * 2000})
    with udp_server() as (url, received):
        agent = exporter(url)
        agent.export(grown(1, events=2))
        second = grown(2, events=2)
        agent.export(replace(second, events=(*second.events, odd)))
        events = received.dogstatsd().events
        assert max(map(len, received.packets)) <= 8192
    assert [title for title, _ in events] == ["event 1", "event 2", "a|b\\nc"]
    assert events[0][1] == '{"n": 1}'


def test_datagrams_are_not_larger_than_a_network_takes() -> None:
    with udp_server() as (url, received):
        assert exporter(url).export(grown(3)).ok
        received.lines()
        assert len(received.packets) > 10
        assert max(map(len, received.packets)) <= 1432


def test_a_port_nobody_listens_on_is_known_and_nothing_is_counted_twice() -> None:
    port = free_port()
    agent = exporter(f"udp://127.0.0.1:{port}")
    result = agent.export(grown(1))
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.REFUSED)
    with udp_server(port) as (_, received):
        assert agent.export(grown(1)).ok
        assert agent.export(grown(2)).ok
        found = received.dogstatsd()
    assert agent.export(grown(3)).reason is Reason.REFUSED
    expected = totals(grown(2))["metal_operations_total"]
    assert found.total("metal_operations_total") == expected


def test_a_socket_that_comes_and_goes_loses_and_doubles_nothing(tmp_path: Path) -> None:
    path = tmp_path / "s"
    agent = exporter(f"unix://{path}", settings={"timestamps": False})
    assert agent.export(grown(1)).reason is Reason.REFUSED
    with unix_server(path) as (_, received):
        assert agent.export(grown(1)).ok
        first = received.dogstatsd()
    assert agent.export(grown(2)).reason is Reason.REFUSED
    with unix_server(path) as (_, received):
        assert agent.export(grown(3)).ok
        second = received.dogstatsd()
    for metric in ("metal_operations_total", "jobs_total", "metal_operation_duration_ms_count"):
        expected = totals(grown(3)).get(metric, totals(grown(3))["metal_operations_total"])
        assert first.total(metric) + second.total(metric) == pytest.approx(expected), metric


def test_a_failure_is_not_logged_for_each_packet(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert not exporter(f"udp://127.0.0.1:{free_port()}").export(grown(3)).ok
    assert not caplog.records


def test_a_name_that_does_not_resolve_is_said() -> None:
    result = exporter("udp://nowhere.invalid:8125").export(grown(1))
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.DNS)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_socket_this_user_may_not_write_to_is_said(tmp_path: Path) -> None:
    with unix_server(tmp_path / "s") as (url, _):
        (tmp_path / "s").chmod(0)
        assert exporter(url).export(grown(1)).reason is Reason.FORBIDDEN


def test_after_a_restart_counts_and_events_go_on() -> None:
    with udp_server() as (url, received):
        exporter(url).export(grown(2, events=1))
        again = exporter(url)
        again.resume(grown(2, events=1))
        again.export(grown(2, events=1))
        again.export(grown(3, events=2))
        again.export(grown(1, started_at=START + timedelta(minutes=5), pid=2))
        found = received.dogstatsd()
    expected = totals(grown(3))["metal_operations_total"] + 3
    assert found.total("metal_operations_total") == expected
    assert [title for title, _ in found.events] == ["event 1", "event 2"]


def test_a_snapshot_too_old_for_datadog_is_let_go() -> None:
    with udp_server() as (url, received):
        result = exporter(url).export(grown(1, started_at=START - timedelta(hours=2)))
        assert result.reason is Reason.EXPIRED
        assert not received.lines()


@given(snapshots)
@settings(max_examples=25, deadline=None)
def test_any_snapshot_is_dogstatsd(snapshot: MetalTelemetrySnapshot) -> None:
    recent = replace(snapshot, timestamp=START + timedelta(seconds=5), started_at=START)
    with udp_server() as (url, received):
        assert exporter(url).export(recent).ok
        found = received.dogstatsd()
    assert not any(math.isnan(value) for value in found.gauges.values())


def test_the_agent_may_be_named_by_datadogs_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    with udp_server() as (url, received):
        monkeypatch.setenv("DD_DOGSTATSD_URL", url)
        assert exporter(None, protocol="dogstatsd", labels={"env": "prod"}).export(grown(1)).ok
        assert all("env:prod" in line for line in received.lines())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"endpoint": "https://localhost", "protocol": "dogstatsd"}, "udp://"),
        ({"endpoint": "udp://localhost:1", "settings": {"site": "x"}}, "settings.site"),
        ({"endpoint": "udp://localhost:1", "settings": {"timestamps": 1}}, "settings.timestamps"),
    ],
)
def test_an_option_that_is_not_usable_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        datadog_exporter(context("datadog", **options))


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datadog.dogstatsd.base", None)
    with pytest.raises(MissingExtraError, match=r"metalscope\[datadog\]"):
        exporter("udp://127.0.0.1:8125")
