"""The dashboard of many processes and machines, a row each."""

from __future__ import annotations

from metalscope import semconv
from metalscope.dashboards.levels import HEALTH, PRESSURE, THERMAL, Levels
from metalscope.dashboards.model import Dashboard, Panel, Query, Row
from metalscope.dashboards.promql import (
    age,
    coded,
    failing_share,
    highest,
    mean,
    per_second,
    quantile,
    select,
    share,
    total,
)

__all__ = ["fleet"]

_EACH = ("job", "instance")


def fleet(levels: Levels) -> Dashboard:
    """Who is there, who is busy, who is unwell."""
    return Dashboard(
        name="metalscope-fleet",
        title="metalscope: fleet",
        about="Every process that tells of itself, side by side: load, errors, latency, memory, "
        "power, health. Made by metalscope dashboards export.",
        variables=("job", "instance", "device", "operation"),
        rows=(
            Row("All", _all()),
            Row("Each", (_table(levels),)),
            Row("Side by side", _compared(levels)),
        ),
    )


def _all() -> tuple[Panel, ...]:
    return (
        Panel(
            title="Processes",
            about="Those that tell of themselves now.",
            kind="stat",
            queries=(Query(expr=f"count({select(semconv.BUILD_INFO)})"),),
            width=6,
            height=4,
        ),
        Panel(
            title="Operations",
            about="Operations a second, of all together.",
            kind="stat",
            queries=(Query(expr=per_second(semconv.OPERATIONS)),),
            unit="ops",
            width=6,
            height=4,
        ),
        Panel(
            title="Power",
            about="Electrical power, of all GPUs together; empty where no sensor says.",
            kind="stat",
            queries=(Query(expr=total(semconv.POWER, rail="gpu")),),
            unit="watt",
            width=6,
            height=4,
        ),
        Panel(
            title="Versions",
            about="How many processes run which metalscope.",
            kind="stat",
            queries=(
                Query(
                    expr=f"count by (version) ({select(semconv.BUILD_INFO)})",
                    legend="{{version}}",
                    instant=True,
                ),
            ),
            width=6,
            height=4,
        ),
    )


def _table(levels: Levels) -> Panel:
    def column(heading: str, expr: str) -> Query:
        return Query(expr=expr, legend=heading, instant=True)

    return Panel(
        title="Processes",
        about="A row each. What a process has no sensor for is empty.",
        kind="table",
        queries=(
            column("Health", coded(semconv.HEALTH_STATUS, "status", HEALTH.codes, *_EACH)),
            column("Up for", age(semconv.START_TIME, *_EACH)),
            column("Operations", per_second(semconv.OPERATIONS, *_EACH)),
            column("Failing", failing_share(semconv.ERRORS, semconv.OPERATIONS, *_EACH)),
            column("p95", quantile(0.95, semconv.OPERATION_DURATION, *_EACH)),
            column("GPU", highest(semconv.GPU_UTILIZATION, *_EACH)),
            column(
                "Memory", share(semconv.MEMORY_USAGE, semconv.MEMORY_LIMIT, *_EACH, scale=100)
            ),
            column("Processors", highest(semconv.HOST_CPU_UTILIZATION, *_EACH)),
            column("Power", total(semconv.POWER, *_EACH, rail="gpu")),
            column("Hottest", highest(semconv.TEMPERATURE, *_EACH)),
            column("Saving power", highest(semconv.LOW_POWER_MODE, *_EACH)),
        ),
        columns={"job": "Job", "instance": "Instance"},
        units={
            "Up for": "s", "Operations": "ops", "Failing": "percentunit", "p95": "ms",
            "GPU": "percent", "Memory": "percent", "Processors": "percentunit", "Power": "watt",
            "Hottest": "celsius", "Saving power": "bool_yes_no",
        },
        tints={
            "Failing": levels.errors(), "p95": levels.latency(), "GPU": levels.utilization(),
            "Memory": levels.memory(),
        },
        words={"Health": HEALTH.values},
        width=24,
        height=10,
    )  # fmt: skip


def _compared(levels: Levels) -> tuple[Panel, ...]:
    return (
        Panel(
            title="Utilisation heat map",
            about="The mean of each process's GPUs: a row each, cold at 0 %, hot at 100 %.",
            kind="timeline",
            queries=(Query(expr=mean(semconv.GPU_UTILIZATION, "instance"), legend="{{instance}}"),),
            unit="percent",
            low=0,
            high=100,
            continuous=True,
            runbook="MetalGpuSaturated",
        ),
        Panel(
            title="Health",
            about="The worst status of each process's components.",
            kind="timeline",
            queries=(
                Query(
                    expr=coded(semconv.HEALTH_STATUS, "status", HEALTH.codes, "instance"),
                    legend="{{instance}}",
                ),
            ),
            values=HEALTH.values,
            runbook="MetalUnhealthy",
        ),
        Panel(
            title="Throughput",
            about="Operations a second; the ten that do most.",
            queries=(
                Query(
                    expr=f"topk(10, {per_second(semconv.OPERATIONS, 'instance')})",
                    legend="{{instance}}",
                ),
            ),
            unit="ops",
            low=0,
        ),
        Panel(
            title="p95",
            about="95 of 100 operations took no longer; the ten slowest processes.",
            queries=(
                Query(
                    expr=f"topk(10, {quantile(0.95, semconv.OPERATION_DURATION, 'instance')})",
                    legend="{{instance}}",
                ),
            ),
            unit="ms",
            levels=levels.latency(),
            logarithmic=True,
        ),
        Panel(
            title="Heat",
            about="What each system says of its heat.",
            kind="timeline",
            queries=(
                Query(
                    expr=coded(semconv.THERMAL_STATE, "state", THERMAL.codes, "instance"),
                    legend="{{instance}}",
                ),
            ),
            values=THERMAL.values,
            runbook="MetalThrottling",
        ),
        Panel(
            title="Memory pressure",
            about="How short each system is of memory.",
            kind="timeline",
            queries=(
                Query(
                    expr=coded(semconv.MEMORY_PRESSURE, "level", PRESSURE.codes, "instance"),
                    legend="{{instance}}",
                ),
            ),
            values=PRESSURE.values,
            runbook="MetalMemoryPressure",
        ),
        Panel(
            title="Devices",
            about="What each process uses, and what the device allows.",
            kind="table",
            queries=tuple(
                Query(
                    expr=highest(metric, "instance", "device", "backend"),
                    legend=heading,
                    instant=True,
                )
                for heading, metric in (
                    ("Present", semconv.DEVICE_INFO),
                    ("Memory", semconv.DEVICE_MEMORY),
                    ("Recommended", semconv.DEVICE_WORKING_SET),
                    ("Largest buffer", semconv.DEVICE_MAX_BUFFER),
                )
            ),
            columns={"instance": "Instance", "device": "Device", "backend": "Backend"},
            units={
                "Present": "bool_yes_no",
                "Memory": "bytes",
                "Recommended": "bytes",
                "Largest buffer": "bytes",
            },
            width=24,
        ),
    )
