"""Panels of devices: how busy they are, their power and heat."""

from __future__ import annotations

from metalscope import semconv
from metalscope.dashboards.levels import CRITICAL, THERMAL, Levels
from metalscope.dashboards.model import Level, Panel, Query
from metalscope.dashboards.promql import coded, highest, increase, mean, total

__all__ = ["gpu_panels", "power_panels"]


def gpu_panels(levels: Levels) -> tuple[Panel, ...]:
    """How busy the GPUs are."""
    by = ("instance", "device", "engine")
    engine = "{{instance}} {{device}} {{engine}}"
    return (
        Panel(
            title="Utilisation heat map",
            about="How busy each GPU is: a row each, from cold at 0 % to hot at 100 %.",
            kind="timeline",
            queries=(Query(expr=mean(semconv.GPU_UTILIZATION, *by), legend=engine),),
            unit="percent",
            low=0,
            high=100,
            continuous=True,
            runbook="MetalGpuSaturated",
        ),
        Panel(
            title="Utilisation",
            about="The same as lines. A mean above the dashed line raises an alert.",
            queries=(Query(expr=mean(semconv.GPU_UTILIZATION, *by), legend=engine),),
            unit="percent",
            levels=levels.utilization(),
            low=0,
            high=100,
            runbook="MetalGpuSaturated",
        ),
        Panel(
            title="Clock",
            about="Mean clock of the GPU while it was busy, and the highest it has.",
            queries=(
                Query(expr=mean(semconv.GPU_FREQUENCY, *by), legend=engine),
                Query(expr=highest(semconv.GPU_FREQUENCY_LIMIT, *by), legend=f"limit {engine}"),
            ),
            unit="hertz",
            low=0,
            width=8,
        ),
        Panel(
            title="Memory bandwidth",
            about="Traffic between memory and the chip, and the most there can be.",
            queries=(
                Query(
                    expr=total(semconv.MEMORY_BANDWIDTH, "instance", "channel"),
                    legend="{{instance}} {{channel}}",
                ),
                Query(
                    expr=highest(semconv.MEMORY_BANDWIDTH_LIMIT, "instance", "channel"),
                    legend="limit {{instance}} {{channel}}",
                ),
            ),
            unit="Bps",
            low=0,
            width=8,
        ),
        Panel(
            title="Restarts of the GPU",
            about="How often the system restarted it within the time shown.",
            kind="stat",
            queries=(
                Query(
                    expr=increase(semconv.GPU_RECOVERIES, "instance"),
                    legend="{{instance}}",
                    instant=True,
                ),
            ),
            levels=(Level(1, CRITICAL),),
            width=8,
            runbook="MetalGpuRestarted",
        ),
    )


def power_panels() -> tuple[Panel, ...]:
    """Power, energy, heat, and what cools."""
    return (
        Panel(
            title="Power",
            about="Electrical power, by rail.",
            queries=(
                Query(
                    expr=total(semconv.POWER, "instance", "rail"),
                    legend="{{instance}} {{rail}}",
                ),
            ),
            unit="watt",
            low=0,
        ),
        Panel(
            title="Temperature",
            about="By sensor; the hottest device where there are several.",
            queries=(
                Query(
                    expr=highest(semconv.TEMPERATURE, "instance", "sensor"),
                    legend="{{instance}} {{sensor}}",
                ),
            ),
            unit="celsius",
        ),
        Panel(
            title="Thermal state",
            about="What the system says of its heat; serious and critical slow the GPU.",
            kind="timeline",
            queries=(
                Query(
                    expr=coded(semconv.THERMAL_STATE, "state", THERMAL.codes, "instance"),
                    legend="{{instance}}",
                ),
            ),
            values=THERMAL.values,
            width=8,
            runbook="MetalThrottling",
        ),
        Panel(
            title="Energy",
            about="Energy used within the time shown, by rail.",
            kind="stat",
            queries=(
                Query(expr=increase(semconv.ENERGY, "rail"), legend="{{rail}}", instant=True),
            ),
            unit="joule",
            width=8,
        ),
        Panel(
            title="Fans",
            about="Turns a minute, and the most a fan makes.",
            queries=(
                Query(
                    expr=highest(semconv.FAN_SPEED, "instance", "fan"),
                    legend="{{instance}} {{fan}}",
                ),
                Query(
                    expr=highest(semconv.FAN_SPEED_LIMIT, "instance", "fan"),
                    legend="limit {{instance}} {{fan}}",
                ),
            ),
            unit="rotrpm",
            low=0,
            width=8,
        ),
    )
