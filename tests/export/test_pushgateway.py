"""A real Pushgateway, and what a real Prometheus scrapes from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from contexts import context
from exposition import parse
from faulty_server import answer, faulty_server
from pushgateway_server import Pushgateway, running_pushgateway
from snapshots import full

from metalscope.errors import ConfigurationError
from metalscope.export.prometheus import render
from metalscope.export.pushgateway import PushgatewayExporter
from metalscope.sending.result import Reason, Verdict
from metalscope.snapshot import CustomMetric, MetalTelemetrySnapshot, SystemInfo
from prometheus_server import Target, running_prometheus

pytestmark = pytest.mark.server

_runs = count()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pushgateway]:
    with running_pushgateway(tmp_path_factory.mktemp("pushgateway")) as server:
        yield server


def exporter(endpoint: str, **options: Any) -> PushgatewayExporter:
    return PushgatewayExporter(context("prometheus", endpoint=endpoint, **options))


def of_host(host: str, **parts: Any) -> MetalTelemetrySnapshot:
    """A snapshot of a process that no other test has."""
    system = full().system
    assert isinstance(system, SystemInfo)
    return replace(full(), system=replace(system, host=host, pid=next(_runs)), **parts)


def group_of(gateway: Pushgateway, **labels: str) -> dict[str, Any] | None:
    found = [one for one in gateway.groups() if labels.items() <= one["labels"].items()]
    assert len(found) < 2, "it is there twice"
    return found[0] if found else None


def values_of(group: dict[str, Any] | None, name: str) -> list[float]:
    assert group is not None
    return [float(metric["value"]) for metric in group.get(name, {"metrics": []})["metrics"]]


def test_a_prometheus_that_scrapes_the_gateway_has_every_series(tmp_path: Path) -> None:
    clashing = CustomMetric("clashes", "counter", (("instance", "mine"), ("job", "")), 3)
    below_zero = CustomMetric("offsets", "histogram", (), -3.0, 2, ((-1.0, 1), (5.5, 2)))
    snapshot = of_host("box", custom=(*full().custom, clashing, below_zero))
    assert snapshot.system is not None
    with running_pushgateway(tmp_path / "gateway") as gateway:
        result = exporter(gateway.url).export(snapshot)
        assert result.ok, result
        # As the Pushgateway's own README asks for.
        target = Target("gateway", gateway.address, honor_labels=True)
        with running_prometheus(target, directory=tmp_path / "prometheus") as prometheus:
            prometheus.wait_for('up{job="gateway"} == 1')
            answer = prometheus.query('{job="metalscope",__name__!~"push_.*time_.*"}')
    assert {labels["instance"] for labels, _ in answer} == {f"box:{snapshot.system.pid}"}
    found = {
        frozenset(pair for pair in labels.items() if pair[0] not in {"job", "instance"}): value
        for labels, value in answer
    }
    assert found == {
        frozenset([("__name__", name), *_as_the_gateway_writes(name, labels)]): float(value)
        for family in parse(*render(snapshot)).values()
        for (name, labels), value in family.samples.items()
    }


def _as_the_gateway_writes(
    name: str, labels: tuple[tuple[str, str], ...]
) -> Iterator[tuple[str, str]]:
    """It reads bounds as numbers and writes them in Go's shortest way, ``1`` for ``1.0``.

    What a group and a series both have, the series keeps as ``exported_``.
    """
    for label, value in labels:
        if label == "le" and value != "+Inf" and not name.startswith("offsets"):
            number = float(value)
            yield label, f"{number:g}" if number < 1e6 else f"{number:.0e}"
        elif value:
            yield f"exported_{label}" if label in {"job", "instance"} else label, value


def test_the_group_is_job_instance_and_the_labels_of_the_options(gateway: Pushgateway) -> None:
    snapshot = of_host("grouped")
    exporter(gateway.url, labels={"zone": "eu"}).export(snapshot)
    assert snapshot.system is not None
    instance = f"grouped:{snapshot.system.pid}"
    group = group_of(gateway, instance=instance)
    assert group is not None
    assert group["labels"] == {"job": "metalscope", "instance": instance, "zone": "eu"}


@pytest.mark.parametrize(
    "value",
    ["a/b", "/", ".", "..", "a b+c%2F?d=e&f#g", "é 金属 🔩", "a\\b", "a@base64", 'quote"', "~"],
)
def test_any_value_of_a_label_comes_through_the_url(gateway: Pushgateway, value: str) -> None:
    run = f"r{next(_runs)}"
    result = exporter(gateway.url, labels={"odd": value, "run": run}).export(full())
    assert result.ok, result
    group = group_of(gateway, run=run)
    assert group is not None
    assert group["labels"]["odd"] == value


def test_a_newer_snapshot_takes_the_place_of_the_one_before(gateway: Pushgateway) -> None:
    pushed = exporter(gateway.url)
    pushed.export(of_host("anew"))
    first = of_host("replaced")
    assert pushed.export(first).ok
    second = replace(first, retired_operations=11, custom=())
    assert pushed.export(second).ok
    assert first.system is not None
    group = group_of(gateway, instance=f"replaced:{first.system.pid}")
    assert values_of(group, "metalscope_retired_operations_total") == [11]
    # What the newer one has no more is not kept.
    assert values_of(group, "jobs_total") == []


def test_the_same_snapshot_again_changes_nothing(gateway: Pushgateway) -> None:
    snapshot = of_host("again")
    assert snapshot.system is not None
    pushed = exporter(gateway.url)
    pages = []
    for _ in range(2):
        assert pushed.export(snapshot).ok
        pages.append(
            sorted(
                line
                for line in gateway.page().splitlines()
                if f"again:{snapshot.system.pid}" in line and not line.startswith("push_")
            )
        )
    assert pages[0] == pages[1]
    assert len(pages[0]) > 100


def test_a_path_names_the_group_and_every_run_of_a_job_takes_the_place_of_the_last(
    gateway: Pushgateway,
) -> None:
    for retired in (1, 2):
        snapshot = of_host(f"run{retired}", retired_operations=retired)
        pushed = exporter(
            f"{gateway.url}/metrics/job/nightly/part@base64/YS9i", labels={"zone": "eu"}
        )
        assert pushed.export(snapshot).ok
        pushed.shutdown()
    group = group_of(gateway, job="nightly")
    assert group is not None
    assert group["labels"] == {"job": "nightly", "part": "a/b"}
    assert values_of(group, "metalscope_retired_operations_total") == [2]
    [metric] = group["metalscope_retired_operations_total"]["metrics"]
    assert metric["labels"]["zone"] == "eu"


def test_the_page_of_the_gateway_is_understood_as_the_gateway(gateway: Pushgateway) -> None:
    assert exporter(f"{gateway.url}/metrics").export(of_host("page")).ok


def test_a_histogram_without_a_sum_is_given_none(gateway: Pushgateway) -> None:
    below_zero = CustomMetric("offsets", "histogram", (), -3.0, 2, ((-1.0, 1), (5.5, 2)))
    snapshot = of_host("sumless", custom=(below_zero,))
    assert exporter(gateway.url).export(snapshot).ok
    assert snapshot.system is not None
    instance = f"sumless:{snapshot.system.pid}"
    lines = [line for line in gateway.page().splitlines() if line.startswith("offsets")]
    assert sorted(line.split("{")[0] + line.partition("le=")[2] for line in lines) == [
        'offsets_bucket"+Inf"} 2',
        'offsets_bucket"-1.0"} 1',
        'offsets_bucket"5.5"} 2',
    ]
    assert all(instance in line for line in lines)


def test_the_group_stays_after_the_end_where_nothing_is_asked_for(gateway: Pushgateway) -> None:
    run = f"r{next(_runs)}"
    pushed = exporter(gateway.url, labels={"run": run})
    pushed.export(full())
    pushed.shutdown()
    assert group_of(gateway, run=run)


def test_the_group_goes_with_the_program_where_that_is_asked_for(gateway: Pushgateway) -> None:
    run = f"r{next(_runs)}"
    pushed = exporter(
        gateway.url, labels={"run": run, "odd": "a/b"}, settings={"delete_on_exit": True}
    )
    pushed.export(full())
    assert group_of(gateway, run=run)
    pushed.shutdown()
    assert group_of(gateway, run=run) is None


def test_what_was_put_is_read_back(gateway: Pushgateway) -> None:
    pushed, snapshot = exporter(gateway.url), of_host("readable")
    pushed.export(snapshot)
    read_back = pushed.read_back(snapshot)
    assert read_back is not None
    assert read_back.arrived, read_back


@pytest.mark.parametrize("other", [{"retired_operations": 77}, {}], ids=["value", "group"])
def test_what_was_not_put_is_not_read_back(gateway: Pushgateway, other: dict[str, Any]) -> None:
    # Of all metrics only the one whose value the other differs in.
    only = {"allow": ("metalscope_retired_operations_total",)}
    pushed, snapshot = exporter(gateway.url, metrics=only), of_host("unreadable")
    pushed.export(snapshot)
    asked = replace(snapshot, **other) if other else of_host("never put")
    read_back = pushed.read_back(asked)
    assert read_back is not None
    assert not read_back.arrived, read_back


def test_a_metric_another_program_has_under_another_type_is_told_in_the_gateways_words(
    gateway: Pushgateway,
) -> None:
    exporter(gateway.url).export(of_host("one", custom=(CustomMetric("both", "gauge", (), 1),)))
    two = of_host("two", custom=(CustomMetric("both", "histogram", (), 1.0, 1, ((1.0, 1),)),))
    result = exporter(gateway.url).export(two)
    assert (result.verdict, result.reason) == (Verdict.REJECTED, Reason.SCHEMA)
    assert "inconsistent" in result.detail


def test_a_gateway_that_is_away_is_tried_again() -> None:
    with faulty_server() as server:
        pushed = exporter(server.url)
    result = pushed.export(full())
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.REFUSED)


def test_the_end_is_not_held_up_by_a_gateway_that_is_away() -> None:
    with faulty_server(answer(200)) as server:
        pushed = exporter(server.url, settings={"delete_on_exit": True})
        assert pushed.export(full()).ok
    pushed.shutdown()
    assert [request.method for request in server.requests] == ["PUT"]


def test_only_the_last_snapshot_is_worth_keeping() -> None:
    assert not PushgatewayExporter.keeps_history


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"endpoint": None}, "endpoint must be"),
        ({"endpoint": "udp://127.0.0.1:9091"}, "endpoint must be"),
        ({"endpoint": "http://pg:9091/metrics/job"}, "names and values"),
        ({"endpoint": "http://pg:9091/metrics/job/a/zone"}, "names and values"),
        ({"endpoint": "http://pg:9091/metrics/job@base64/%F0"}, "base64"),
        ({"settings": {"delete_on_exit": 1}}, "true or false"),
        ({"settings": {"delete": True}}, "delete_on_exit"),
    ],
)
def test_options_that_cannot_be_are_told(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"nightly.*{said}"):
        exporter(**({"endpoint": "http://pg:9091", "name": "nightly"} | options))
