"""The dashboards that are shipped: current, complete, and such as Grafana's library reads back."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from dashboard_files import documents, panels, queries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

import metalscope.dashboards
from metalscope import semconv
from metalscope.dashboards.levels import BURN_RATES, Levels
from metalscope.dashboards.making import dashboards, made_anew
from metalscope.dashboards.promql import increase, select
from metalscope.dashboards.shipped import NAMES, shipped
from metalscope.options import MetalTelemetryOptions

DEFAULTS = MetalTelemetryOptions()
ROOM = Path(metalscope.dashboards.__file__).parent
RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks.md"
METRIC = re.compile(r"\bmetal(?:scope)?_[a-z_]+")
each_document = pytest.mark.parametrize("name", NAMES)


def test_the_shipped_dashboards_are_those_that_the_code_makes():
    assert made_anew(DEFAULTS) == {name: shipped(name) for name in NAMES}, (
        "run scripts/dashboard_assets.py"
    )


@each_document
def test_a_dashboard_survives_being_read_by_grafanas_own_library(name: str):
    register_default_plugins()
    document = documents()[name]
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(document)))
    # The library has no words for what the annotations of a Prometheus have besides.
    for one in (document, again):
        del one["annotations"]
    assert again == document


@each_document
def test_a_dashboard_has_what_grafana_finds_it_by(name: str):
    document = documents()[name]
    assert document["uid"] == name
    assert "id" not in document
    assert document["schemaVersion"] >= 36
    assert "metalscope" in document["tags"]
    assert document["description"]
    (link,) = document["links"]
    assert (link["type"], link["tags"]) == ("dashboards", ["metalscope"])
    assert link["includeVars"]
    assert link["keepTime"]


@each_document
def test_panels_have_numbers_of_their_own_and_do_not_overlap(name: str):
    document = documents()[name]
    numbers = [panel["id"] for panel in document["panels"]]
    assert len(set(numbers)) == len(numbers)
    places = [panel["gridPos"] for panel in document["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


@each_document
def test_every_panel_says_what_it_shows_and_asks_the_data_source_that_is_chosen(name: str):
    known = {value for key, value in vars(units).items() if isinstance(value, str)}
    for panel in panels(documents()[name]):
        assert panel["title"]
        assert panel["description"].endswith((".", "14.4.")), panel["title"]
        if panel["type"] == "text":
            continue
        sources = [panel["datasource"], *(one["datasource"] for one in panel["targets"])]
        assert sources == [{"type": "prometheus", "uid": "${datasource}"}] * len(sources)
        assert set(units_of(panel)) <= known, panel["title"]


def units_of(panel: dict[str, Any]) -> Iterator[str]:
    config = panel.get("fieldConfig", {"defaults": {}, "overrides": []})
    if "unit" in config["defaults"]:
        yield config["defaults"]["unit"]
    for override in config["overrides"]:
        for one in override["properties"]:
            if one["id"] == "unit":
                yield one["value"]
    if "yAxis" in panel.get("options", {}):
        yield panel["options"]["yAxis"]["unit"]


def test_every_variable_that_a_query_has_is_one_of_its_dashboard():
    for name, document in documents().items():
        there = {variable["name"] for variable in document["templating"]["list"]}
        used = set(re.findall(r"\$\{?(\w+)", json.dumps(document)))
        own = {one for one in used if not one.startswith("__")}
        assert own <= there, name


def test_every_metric_there_is_is_shown_somewhere():
    asked = " ".join(one.expr for one in queries())
    shown = set(METRIC.findall(asked))
    assert {metric.name for metric in semconv.BUILT_IN} - shown == {
        semconv.OPERATION_DURATION.name  # its buckets are
    }
    assert f"{semconv.OPERATION_DURATION.name}_bucket" in shown


def test_no_metric_is_called_by_a_name_that_is_written_down():
    # So that a metric that is renamed or gone breaks the making, not the graph.
    for file in ROOM.glob("*.py"):
        tree = ast.parse(file.read_text("utf-8"))
        texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        assert not [text for text in texts if isinstance(text, str) and METRIC.search(text)], file


def test_a_label_or_a_part_that_a_metric_does_not_have_is_an_error():
    with pytest.raises(ValueError, match="metal_errors_total has no label outcome"):
        select(semconv.ERRORS, outcome="ok")
    with pytest.raises(ValueError, match="metal_operation_duration_ms"):
        increase(semconv.OPERATION_DURATION)
    with pytest.raises(ValueError, match="metal_errors_total"):
        select(semconv.ERRORS, part="_bucket")


def test_thresholds_are_those_of_the_rules():
    levels = Levels(DEFAULTS)
    assert [one.value for one in levels.memory()] == [85, 90, 95]
    alerts = DEFAULTS.alerts
    assert levels.memory()[0].value == alerts.high_memory_utilization_threshold
    assert levels.utilization()[0].value == alerts.high_gpu_utilization_threshold
    assert levels.host_memory()[0].value == alerts.high_resource_utilization_threshold
    assert levels.latency()[0].value == alerts.slow_operation_threshold_ms
    assert [one.value for one in levels.errors()] == [
        alerts.failing_share_threshold,
        DEFAULTS.health_monitor.anomaly_error_rate_threshold,
    ]
    assert [one.value for one in BURN_RATES] == [1, 3, 6, 14.4]


def test_options_of_ones_own_move_the_thresholds():
    options = MetalTelemetryOptions.model_validate(
        {"alerts": {"high_memory_utilization_threshold": 70, "runbook_url": "https://run/books"}}
    )
    made = json.loads(made_anew(options)["metalscope"])
    (panel,) = (p for p in panels(made) if p["title"] == "Share of the limit")
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [step["value"] for step in steps] == [None, 70, 90, 95]
    (runbooks,) = (v for v in made["templating"]["list"] if v["name"] == "runbooks")
    assert runbooks["query"] == "https://run/books#"


def test_every_runbook_that_is_linked_to_exists():
    headings = {line.lstrip("# ") for line in RUNBOOKS.read_text("utf-8").splitlines()}
    known = set(Levels(DEFAULTS).rules)
    assert known <= headings
    named = {
        panel.runbook
        for board in dashboards(DEFAULTS)
        for row in board.rows
        for panel in row.panels
        if panel.runbook
    }
    assert named <= known
    assert len(named) > 10
