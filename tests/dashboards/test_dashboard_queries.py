"""Every query of the dashboards, asked of a real Prometheus that scrapes what we expose."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from dashboard_answers import ALL, OF_GRAFANA, answer, numbers, without_numbers
from dashboard_files import documents, interpolated, panels, queries
from growing_program import growing_program

from prometheus_server import PrometheusServer, Target, running_prometheus

pytestmark = pytest.mark.server

FORMATS = ("openmetrics", "classic")


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    with (
        growing_program() as address,
        running_prometheus(
            Target("openmetrics", address, "/asked"),
            Target("classic", address, "/classic"),
            directory=tmp_path_factory.mktemp("prometheus"),
        ) as server,
    ):
        for job in FORMATS:
            # A rate of the last 4 s, as the panels have: at least two scrapes.
            server.wait_for(f'rate(metal_operations_total{{job="{job}"}}[4s]) > 0')
        yield server


@pytest.mark.parametrize("job", FORMATS)
def test_every_query_of_every_panel_and_annotation_gives_numbers(
    prometheus: PrometheusServer, job: str
) -> None:
    assert len(list(queries())) > 120
    assert without_numbers(prometheus, job) == []


def test_what_names_a_series_is_a_label_that_it_has(prometheus: PrometheusServer) -> None:
    named = [one for one in queries() if one.labels]
    assert len(named) > 60
    for one in named:
        result = answer(prometheus, interpolated(one.expr, {**ALL, **OF_GRAFANA}), instant=True)
        assert all(one.labels <= series["metric"].keys() for series in result), one


def test_every_column_of_a_table_is_a_label_or_a_query(prometheus: PrometheusServer) -> None:
    tables = [
        panel
        for document in documents().values()
        for panel in panels(document)
        if panel["type"] == "table"
    ]
    assert len(tables) >= 7
    for panel in tables:
        targets, there = panel["targets"], set()
        for target in targets:
            expr = interpolated(target["expr"], {**ALL, **OF_GRAFANA})
            for series in answer(prometheus, expr, instant=True):
                there |= series["metric"].keys()
            there.add("Value" if len(targets) == 1 else f"Value #{target['refId']}")
        organised = panel["transformations"][-1]["options"]
        assert organised["renameByName"].keys() <= there, panel["title"]
        headings = set(organised["renameByName"].values())
        for override in panel["fieldConfig"]["overrides"]:
            assert override["matcher"]["options"] in headings, panel["title"]
        hidden = organised["excludeByName"].keys()
        assert there - hidden <= organised["renameByName"].keys(), panel["title"]


def test_several_values_can_be_chosen_of_a_variable(prometheus: PrometheusServer) -> None:
    # Grafana writes several values as a regular expression.
    several = {
        **ALL, **OF_GRAFANA,
        "job": "(openmetrics|classic)", "device": "(m1|lavapipe)", "operation": "(matmul|conv)",
    }  # fmt: skip
    for one in queries():
        result = answer(prometheus, interpolated(one.expr, several), instant=one.instant)
        assert result, one


def test_what_is_not_chosen_is_not_shown(prometheus: PrometheusServer) -> None:
    nobody = {**ALL, **OF_GRAFANA, "job": "nobody"}
    for one in queries():
        result = answer(prometheus, interpolated(one.expr, nobody), instant=one.instant)
        assert result == [], one


def test_each_variable_lists_what_there_is(prometheus: PrometheusServer) -> None:
    expected = {
        "job": {"openmetrics", "classic"},
        "device": {"m1", "lavapipe"},
        "operation": {"matmul"},
    }
    seen = set()
    for document in documents().values():
        for variable in document["templating"]["list"]:
            if variable["type"] != "query":
                continue
            text = interpolated(variable["query"]["query"], ALL)
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", text)
            assert found, text
            values = prometheus.get(f"label/{found[2]}/values", {"match[]": found[1]})
            assert values, variable
            if variable["name"] in expected:
                assert set(values) == expected[variable["name"]]
                seen.add(variable["name"])
    assert seen == set(expected)


def test_a_state_is_told_by_its_number_and_the_worst_wins(prometheus: PrometheusServer) -> None:
    # The snapshot's memory is degraded, its kernel healthy, its breaker open, its heat serious.
    (health,) = (q for q in queries() if q.where == "metalscope, Health, A")
    (result,) = answer(prometheus, interpolated(health.expr, ALL), instant=True)
    assert numbers(result) == [2]
    (heat,) = (q for q in queries() if q.where == "metalscope-fleet, Heat, A")
    for series in answer(prometheus, interpolated(heat.expr, ALL), instant=True):
        assert numbers(series) == [2]


def test_the_share_of_failures_is_that_of_the_program(prometheus: PrometheusServer) -> None:
    (failing,) = (q for q in queries() if q.where == "metalscope, Failing, A")
    expr = interpolated(failing.expr, {**ALL, **OF_GRAFANA, "job": "classic"})
    (result,) = answer(prometheus, expr, instant=True)
    (share,) = numbers(result)
    assert 0 < share < 1
