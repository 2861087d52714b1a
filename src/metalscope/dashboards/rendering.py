"""Dashboards as Grafana's JSON, by Grafana's own library (the extra ``dashboards``)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from string import ascii_uppercase
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard, prometheus
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from metalscope.dashboards.model import Dashboard, Panel, Query
from metalscope.dashboards.panels import builder_of
from metalscope.dashboards.promql import LISTED, select
from metalscope.semconv import ALERTS, START_TIME

__all__ = ["SOURCE", "TAG", "rendered"]

TAG: Final = "metalscope"
"""The tag of all of them, by which they link to each other."""

SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")

_LABELS: Final = {
    "job": "Job",
    "instance": "Instance",
    "device": "Device",
    "operation": "Operation",
}


def rendered(made: Dashboard, *, runbooks: str) -> str:
    """The JSON of a dashboard.

    Args:
        made: what is in it.
        runbooks: what a built-in alert's name is put after, to have its runbook's URL.
    """
    board = (
        dashboard.Dashboard(made.title)
        .uid(made.name)
        .description(made.about)
        .tags([TAG, "gpu"])
        .editable()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .timezone("browser")
        .time("now-1h", "now")
        .refresh("30s")
    )
    board.with_variable(
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    )
    for name in made.variables:
        board.with_variable(_chosen(name))
    board.with_variable(
        dashboard.TextBoxVariable("runbooks")
        .label("Runbooks")
        .description("The address of the page of runbooks; an alert's name is put after it.")
        .default_value(runbooks)
    )
    board.link(
        dashboard.DashboardLink("metalscope")
        .type(DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
    )
    number = 0
    for row in made.rows:
        number += 1
        board.with_row(dashboard.Row(row.title).id(number))
        for panel in row.panels:
            number += 1
            board.with_panel(_panel(panel, number))
    document = json.loads(JSONEncoder().encode(board.build()))
    # The library has no words for how the annotations of a Prometheus are written.
    document["annotations"] = {"list": [_of_grafana(), _alerts(), _starts()]}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _chosen(name: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(_LABELS[name])
        .datasource(SOURCE)
        # 1 is Grafana's number for label_values.
        .query({"qryType": 1, "query": LISTED[name], "refId": name})
        .current(VariableOption(selected=True, text="All", value="$__all"))
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.NATURAL_ASC)
    )


def _panel(panel: Panel, number: int) -> Any:
    made = builder_of(panel).id(number).title(panel.title).description(panel.about)
    made = made.span(panel.width).height(panel.height)
    if panel.kind != "text":
        made = made.datasource(SOURCE)
    for letter, query in zip(ascii_uppercase, panel.queries, strict=False):
        made = made.with_target(_target(query, letter, table=panel.kind == "table"))
    if panel.runbook:
        link = (
            dashboard.DashboardLink(f"Runbook of {panel.runbook}")
            .type(DashboardLinkType.LINK)
            .url("${runbooks:raw}" + panel.runbook.lower())
            .target_blank(True)
        )
        made = made.links([link])
    return made


def _target(query: Query, letter: str, *, table: bool) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).ref_id(letter).datasource(SOURCE)
    target = target.instant() if query.instant else target.range()
    if table:
        return target.format(PromQueryFormat.TABLE)
    shown = PromQueryFormat.HEATMAP if query.buckets else PromQueryFormat.TIME_SERIES
    return target.format(shown).legend_format(query.legend or "__auto")


def _of_grafana() -> dict[str, Any]:
    """The annotations that a person makes by hand; every dashboard has them."""
    return {
        "builtIn": 1,
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "enable": True,
        "hide": True,
        "iconColor": "rgba(0, 211, 255, 1)",
        "name": "Annotations & Alerts",
        "type": "dashboard",
    }


def _alerts() -> dict[str, Any]:
    firing = select(ALERTS, state="firing")
    return _annotation(
        "Alerts",
        "red",
        f"max by (alertname, severity, instance) ({firing}) > 0",
        titleFormat="{{alertname}} fires",
        textFormat="{{severity}}, {{instance}}",
        tagKeys="alertname,severity",
    )


def _starts() -> dict[str, Any]:
    return _annotation(
        "Starts",
        "blue",
        # Grafana's time is in ms. What has started since the last point.
        f"1000 * {select(START_TIME)}",
        titleFormat="telemetry started",
        textFormat="{{instance}}",
        useValueForTime=True,
    )


def _annotation(name: str, colour: str, expr: str, **words: str | bool) -> dict[str, Any]:
    source: Mapping[str, Any] = SOURCE.to_json()
    return {
        "name": name,
        "datasource": source,
        "enable": True,
        "hide": False,
        "iconColor": colour,
        "expr": expr,
        "step": "60s",
        **words,
    }
