"""The dashboard of alerts: what fires, since when, and what to do about it."""

from __future__ import annotations

from metalscope import semconv
from metalscope.dashboards.levels import CRITICAL, SEVERITIES, Levels
from metalscope.dashboards.model import Dashboard, Level, Panel, Query, Row, Shown
from metalscope.dashboards.promql import select

__all__ = ["alerting"]


def alerting(levels: Levels) -> Dashboard:
    """What metalscope itself raises in its programs."""
    return Dashboard(
        name="metalscope-alerts",
        title="metalscope: alerts",
        about="Alerts that metalscope raises in its programs, with their runbooks. Made by "
        "metalscope dashboards export.",
        rows=(
            Row("Now", (*_counts(), _table(), _runbooks(levels))),
            Row("Over time", _history()),
        ),
    )


def _of(state: str) -> str:
    return select(semconv.ALERTS, state=state)


def _counts() -> tuple[Panel, ...]:
    return (
        Panel(
            title="Firing",
            about="Alerts that fire now.",
            kind="stat",
            # Programs without alerts have no series; there are none while somebody tells.
            queries=(Query(expr=f"sum({_of('firing')}) or 0 * {_anybody()}"),),
            levels=(Level(1, CRITICAL),),
            width=4,
            height=4,
        ),
        Panel(
            title="Pending",
            about="Alerts whose condition holds, and not yet for as long as the rule asks.",
            kind="stat",
            queries=(Query(expr=f"sum({_of('pending')}) or 0 * {_anybody()}"),),
            width=4,
            height=4,
        ),
        Panel(
            title="Firing by severity",
            about="How many fire now, by how grave they are.",
            kind="stat",
            queries=(
                Query(
                    expr=f"sum by (severity) ({_of('firing')})",
                    legend="{{severity}}",
                    instant=True,
                ),
            ),
            width=8,
            height=4,
        ),
        Panel(
            title="Processes with alerts",
            about="How many processes have one that fires.",
            kind="stat",
            queries=(
                Query(
                    expr=f"count(count by (job, instance) ({_of('firing')} > 0)) "
                    f"or 0 * {_anybody()}"
                ),
            ),
            width=8,
            height=4,
        ),
    )


def _anybody() -> str:
    return f"count({select(semconv.BUILD_INFO)})"


def _table() -> Panel:
    labels = ", ".join(("alertname", "severity", "state", "job", "instance"))
    return Panel(
        title="Alerts",
        about="Every alert that fires or is pending; a click leads to the runbooks.",
        kind="table",
        queries=(
            Query(
                expr=f"sum by ({labels}) ({select(semconv.ALERTS)}) > 0",
                legend="Alerts",
                instant=True,
            ),
        ),
        columns={
            "alertname": "Alert",
            "severity": "Severity",
            "state": "State",
            "job": "Job",
            "instance": "Instance",
        },
        link="${runbooks:raw}",
        width=16,
        height=10,
    )


def _runbooks(levels: Levels) -> Panel:
    lines = [f"- [{name}](${{runbooks:raw}}{name.lower()})" for name in levels.rules]
    return Panel(
        title="Runbooks",
        about="What to do about each built-in alert. The address is that of the variable above.",
        kind="text",
        text="\n".join(lines) + "\n",
        width=8,
        height=10,
    )


def _history() -> tuple[Panel, ...]:
    severities = [(state, code) for code, (state, _) in enumerate(SEVERITIES.codes, 1)]
    words = {0: Shown("none", "transparent")} | {
        code + 1: shown for code, shown in SEVERITIES.values.items()
    }
    return (
        Panel(
            title="What fired when",
            about="A row for each alert, in the colour of the gravest of its kind.",
            kind="timeline",
            queries=(
                Query(
                    expr=_gravest(severities),
                    legend="{{alertname}} {{instance}}",
                ),
            ),
            values=words,
            width=24,
            height=10,
        ),
        Panel(
            title="Alerts by severity",
            about="How many fire, over time.",
            queries=(Query(expr=f"sum by (severity) ({_of('firing')})", legend="{{severity}}"),),
            low=0,
            stacked=True,
        ),
        Panel(
            title="Alerts by process",
            about="How many fire in each process, over time.",
            queries=(Query(expr=f"sum by (instance) ({_of('firing')})", legend="{{instance}}"),),
            low=0,
            stacked=True,
        ),
    )


def _gravest(severities: list[tuple[str, int]]) -> str:
    each = " or ".join(
        f"{code} * ({select(semconv.ALERTS, severity=severity, state='firing')} > bool 0)"
        for severity, code in severities
    )
    return f"max by (alertname, instance) ({each})"
