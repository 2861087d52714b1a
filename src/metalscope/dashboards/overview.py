"""The dashboard of operations and devices: speed, errors, memory, GPU, power and heat, health."""

from __future__ import annotations

from metalscope import semconv
from metalscope.dashboards.device_panels import gpu_panels, power_panels
from metalscope.dashboards.health_panels import health_panels
from metalscope.dashboards.levels import HEALTH, Levels
from metalscope.dashboards.memory_panels import memory_panels
from metalscope.dashboards.model import Dashboard, Level, Panel, Query, Row
from metalscope.dashboards.operation_panels import latency_panels, operation_panels
from metalscope.dashboards.promql import coded, failing_share, highest, per_second, quantile, share

__all__ = ["overview"]


def overview(levels: Levels) -> Dashboard:
    """The dashboard that the others are reached from."""
    return Dashboard(
        name="metalscope",
        title="metalscope",
        about="GPU operations and the devices they run on: throughput, errors, latency, memory, "
        "utilisation, power and heat, health. Made by metalscope dashboards export.",
        variables=("job", "instance", "device", "operation"),
        rows=(
            Row("Now", _now(levels)),
            Row("Operations", operation_panels(levels)),
            Row("Latency", latency_panels(levels)),
            Row("Memory", memory_panels(levels)),
            Row("GPU", gpu_panels(levels)),
            Row("Power and heat", power_panels()),
            Row("Health", health_panels()),
        ),
    )


def _now(levels: Levels) -> tuple[Panel, ...]:
    def stat(title: str, about: str, expr: str, unit: str, shown: tuple[Level, ...] = ()) -> Panel:
        return Panel(
            title=title, about=about, kind="stat", queries=(Query(expr=expr),), unit=unit,
            levels=shown, width=4, height=4,
        )  # fmt: skip

    return (
        Panel(
            title="Health",
            about="The worst status of all that is chosen.",
            kind="stat",
            queries=(
                Query(
                    expr=coded(semconv.HEALTH_STATUS, "status", HEALTH.codes),
                    instant=True,
                ),
            ),
            values=HEALTH.values,
            width=4,
            height=4,
            runbook="MetalUnhealthy",
        ),
        stat(
            "Operations",
            "Operations that ended, a second, whatever their outcome.",
            per_second(semconv.OPERATIONS),
            "ops",
        ),
        stat(
            "Failing",
            "Share of operations that failed.",
            failing_share(semconv.ERRORS, semconv.OPERATIONS),
            "percentunit",
            levels.errors(),
        ),
        stat(
            "p95",
            "95 of 100 operations took no longer than this.",
            quantile(0.95, semconv.OPERATION_DURATION),
            "ms",
            levels.latency(),
        ),
        stat(
            "GPU",
            "How busy the busiest GPU is. Empty where no sensor says.",
            highest(semconv.GPU_UTILIZATION),
            "percent",
            levels.utilization(),
        ),
        stat(
            "Memory",
            "The fullest pool of device memory, as a share of its limit.",
            share(semconv.MEMORY_USAGE, semconv.MEMORY_LIMIT, scale=100),
            "percent",
            levels.memory(),
        ),
    )
