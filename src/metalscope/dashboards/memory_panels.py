"""Panels of memory: of devices, and of the host."""

from __future__ import annotations

from metalscope import semconv
from metalscope.dashboards.levels import PRESSURE, Levels
from metalscope.dashboards.model import Panel, Query
from metalscope.dashboards.promql import coded, highest, share, total

__all__ = ["memory_panels"]


def memory_panels(levels: Levels) -> tuple[Panel, ...]:
    """How memory is used, and how near its limit that is."""
    by = ("instance", "device", "pool")
    where = "{{instance}} {{device}} {{pool}}"
    host = semconv.HOST_MEMORY_USAGE
    return (
        Panel(
            title="Memory in use",
            about="Device memory, by pool. Pools may hold one another, so they are not added up.",
            queries=(Query(expr=total(semconv.MEMORY_USAGE, *by), legend=where),),
            unit="bytes",
            low=0,
        ),
        Panel(
            title="Share of the limit",
            about="Of pools that have a limit. The dashed lines are where the alert begins, and "
            "where it is graver.",
            queries=(
                Query(
                    expr=share(semconv.MEMORY_USAGE, semconv.MEMORY_LIMIT, *by, scale=100),
                    legend=where,
                ),
            ),
            unit="percent",
            levels=levels.memory(),
            low=0,
            high=100,
            runbook="MetalMemoryHigh",
        ),
        Panel(
            title="Peak and limit",
            about="The most that was in use at one time, and what cannot be passed.",
            queries=(
                Query(expr=highest(semconv.MEMORY_PEAK, *by), legend=f"peak {where}"),
                Query(expr=highest(semconv.MEMORY_LIMIT, *by), legend=f"limit {where}"),
            ),
            unit="bytes",
            low=0,
            width=8,
        ),
        Panel(
            title="Memory of the host",
            about="On Apple silicon the GPU uses the same memory.",
            queries=(
                Query(
                    expr=share(host, semconv.HOST_MEMORY_LIMIT, "instance", "pool", scale=100),
                    legend="{{instance}} {{pool}}",
                ),
            ),
            unit="percent",
            levels=levels.host_memory(),
            low=0,
            high=100,
            width=8,
            runbook="MetalHostMemoryHigh",
        ),
        Panel(
            title="Memory pressure",
            about="How short the system is of memory, by instance.",
            kind="timeline",
            queries=(
                Query(
                    expr=coded(semconv.MEMORY_PRESSURE, "level", PRESSURE.codes, "instance"),
                    legend="{{instance}}",
                ),
            ),
            values=PRESSURE.values,
            width=8,
            runbook="MetalMemoryPressure",
        ),
    )
