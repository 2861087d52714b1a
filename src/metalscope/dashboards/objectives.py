"""The dashboard of service level objectives: what was promised, what was kept."""

from __future__ import annotations

from metalscope import semconv
from metalscope.dashboards.levels import (
    BURN_RATES,
    BURNING,
    CRITICAL,
    GOOD,
    SEVERITIES,
    Levels,
)
from metalscope.dashboards.model import Dashboard, Level, Panel, Query, Row, Shown
from metalscope.dashboards.promql import coded, highest, lowest

__all__ = ["objectives"]

_EACH = ("instance", "objective")
_LEGEND = "{{instance}} {{objective}}"

_BURNING_WORDS = {0: Shown("no", GOOD)} | {
    code + 1: shown for code, shown in SEVERITIES.values.items()
}


def objectives(_levels: Levels) -> Dashboard:
    """The objectives of the options ``health_monitor.objectives``."""
    return Dashboard(
        name="metalscope-slo",
        title="metalscope: objectives",
        about="Service level objectives: attained against promised, error budget, burn rates. "
        "Made by metalscope dashboards export.",
        rows=(
            Row("Now", (_table(), _burning())),
            Row("Over time", _over_time()),
        ),
    )


def _table() -> Panel:
    def column(heading: str, expr: str) -> Query:
        return Query(expr=expr, legend=heading, instant=True)

    return Panel(
        title="Objectives",
        about="The share of operations that was promised to go well, the share that did, how much "
        "of the error budget is left, and how urgently it burns.",
        kind="table",
        queries=(
            column("Promised", highest(semconv.OBJECTIVE_TARGET, *_EACH)),
            column("Attained", lowest(semconv.OBJECTIVE_ATTAINED, *_EACH)),
            column("Budget left", lowest(semconv.OBJECTIVE_BUDGET, *_EACH)),
            column("Burning", coded(semconv.OBJECTIVE_BURNING, "severity", BURNING, *_EACH)),
        ),
        columns={"instance": "Instance", "objective": "Objective"},
        units={
            "Promised": "percentunit",
            "Attained": "percentunit",
            "Budget left": "percentunit",
        },
        words={"Burning": _BURNING_WORDS},
        width=16,
        runbook="MetalBudgetBurn",
    )


def _burning() -> Panel:
    return Panel(
        title="Least budget left",
        about="Of the objective that is worst off; below 0 it is overdrawn.",
        kind="stat",
        queries=(Query(expr=lowest(semconv.OBJECTIVE_BUDGET)),),
        unit="percentunit",
        levels=(Level(0, GOOD),),
        base=CRITICAL,
        width=8,
    )


def _over_time() -> tuple[Panel, ...]:
    return (
        Panel(
            title="Attained and promised",
            about="Over each objective's window.",
            queries=(
                Query(expr=lowest(semconv.OBJECTIVE_ATTAINED, *_EACH), legend=_LEGEND),
                Query(expr=highest(semconv.OBJECTIVE_TARGET, *_EACH), legend=f"{_LEGEND} promised"),
            ),
            unit="percentunit",
            high=1,
        ),
        Panel(
            title="Error budget left",
            about="1 is all of it; below 0 it is overdrawn.",
            queries=(Query(expr=lowest(semconv.OBJECTIVE_BUDGET, *_EACH), legend=_LEGEND),),
            unit="percentunit",
            levels=(Level(0, GOOD),),
            base=CRITICAL,
            high=1,
            runbook="MetalBudgetBurn",
        ),
        Panel(
            title="Burn rates",
            about="How many times faster than allowed the budget goes, by window. The dashed "
            "lines are those of the rules: 1, 3, 6 and 14.4.",
            queries=(
                Query(
                    expr=highest(semconv.OBJECTIVE_BURN_RATE, *_EACH, "window"),
                    legend=f"{_LEGEND} {{{{window}}}}",
                ),
            ),
            levels=BURN_RATES,
            low=0,
            runbook="MetalBudgetBurn",
        ),
        Panel(
            title="Burning",
            about="How urgently each budget burns.",
            kind="timeline",
            queries=(
                Query(
                    expr=coded(semconv.OBJECTIVE_BURNING, "severity", BURNING, *_EACH),
                    legend=_LEGEND,
                ),
            ),
            values=_BURNING_WORDS,
            runbook="MetalBudgetBurn",
        ),
    )
