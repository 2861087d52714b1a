"""Lines of sensors: from which metric and labels each kind of reading comes back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final

from metalscope import semconv
from metalscope.history.answers import Reading
from metalscope.page.prometheus.asking import HOST, Asking, of_host
from metalscope.page.prometheus.growth import milliseconds
from metalscope.page.prometheus.selecting import fits, matching, selected
from metalscope.page.prometheus.steps import Steps
from metalscope.page.source import Line, Lines, Wanted
from metalscope.readings import MemoryPressure, ResourceKind, ThermalState
from metalscope.semconv import Metric

__all__ = ["OF_THE_PROGRAM", "OVER_TIME", "reading_lines"]

OVER_TIME: Final[Mapping[Reading, str]] = MappingProxyType(
    {
        "mean": "avg_over_time",
        "low": "min_over_time",
        "high": "max_over_time",
        "last": "last_over_time",
    }
)

_DRIVERS: Final = '"gpu_in_use|gpu_allocated"'
"""The pools that a GPU's driver holds for all processes; both kinds are one metric."""

OF_THE_PROGRAM: Final = f"pool!~{_DRIVERS}"
"""The matcher of the pools that are a program's own."""


@dataclass(frozen=True, slots=True)
class _Told:
    """How a kind of reading is told: its metric and that of its limit, and the label of its name.

    ``name`` is what it is called where no label says; ``scale`` is what a value is multiplied by.
    """

    metric: Metric
    limit: Metric | None = None
    label: str = ""
    name: str = ""
    matcher: str = ""
    scale: int = 1
    states: type[IntEnum] | None = None

    @property
    def has_device(self) -> bool:
        """Whether a label says which device it is."""
        return "device" in self.metric.labels

    @property
    def labels(self) -> tuple[str, ...]:
        """Those that tell readings of this kind apart."""
        device = ("device",) if self.has_device else ()
        return (HOST, *device, *(() if self.name else (self.label,)))


_TOLD: Final[Mapping[ResourceKind, _Told]] = MappingProxyType(
    {
        ResourceKind.MEMORY: _Told(
            semconv.MEMORY_USAGE, semconv.MEMORY_LIMIT, "pool", matcher=OF_THE_PROGRAM
        ),
        ResourceKind.GPU_MEMORY: _Told(
            semconv.MEMORY_USAGE, semconv.MEMORY_LIMIT, "pool", matcher=f"pool=~{_DRIVERS}"
        ),
        ResourceKind.HOST_MEMORY: _Told(
            semconv.HOST_MEMORY_USAGE, semconv.HOST_MEMORY_LIMIT, "pool"
        ),
        ResourceKind.GPU_UTILIZATION: _Told(semconv.GPU_UTILIZATION, label="engine"),
        ResourceKind.CPU_UTILIZATION: _Told(semconv.HOST_CPU_UTILIZATION, label="scope", scale=100),
        ResourceKind.FREQUENCY: _Told(semconv.GPU_FREQUENCY, semconv.GPU_FREQUENCY_LIMIT, "engine"),
        ResourceKind.BANDWIDTH: _Told(
            semconv.MEMORY_BANDWIDTH, semconv.MEMORY_BANDWIDTH_LIMIT, "channel"
        ),
        ResourceKind.POWER: _Told(semconv.POWER, label="rail"),
        ResourceKind.ENERGY: _Told(semconv.ENERGY, label="rail"),
        ResourceKind.TEMPERATURE: _Told(semconv.TEMPERATURE, label="sensor"),
        ResourceKind.FAN_SPEED: _Told(semconv.FAN_SPEED, semconv.FAN_SPEED_LIMIT, "fan"),
        ResourceKind.THERMAL_STATE: _Told(
            semconv.THERMAL_STATE, label="state", name="system", states=ThermalState
        ),
        ResourceKind.MEMORY_PRESSURE: _Told(
            semconv.MEMORY_PRESSURE, label="level", name="system", states=MemoryPressure
        ),
        ResourceKind.LOW_POWER_MODE: _Told(semconv.LOW_POWER_MODE, name="system"),
        ResourceKind.RECOVERIES: _Told(semconv.GPU_RECOVERIES, name="gpu"),
    }
)


def reading_lines(asking: Asking, wanted: Wanted, steps: Steps) -> Lines:
    """The readings of the kinds that are wanted.

    Raises:
        SourceError: there is no answer.
    """
    lines: list[Line] = []
    for kind, told in _TOLD.items():
        if (
            fits(wanted.kind, kind.value)
            and (not told.name or fits(wanted.name, told.name))
            and (told.has_device or fits(wanted.device, ""))
        ):
            lines += _of_kind(asking, kind, told, wanted, steps)
    return steps.lines(lines, wanted.limit)


def _of_kind(
    asking: Asking, kind: ResourceKind, told: _Told, wanted: Wanted, steps: Steps
) -> Iterator[Line]:
    # Two scrapes, so that a step between two of them has a value.
    window = milliseconds(asking.window_of(steps, least=2).seconds)
    matchers = [of_host(wanted.host), told.matcher]
    if told.has_device:
        matchers.append(matching("device", wanted.device))
    if not told.name:
        matchers.append(matching(told.label, wanted.name))
    if told.states is None:
        series = f"{selected(told.metric.name, *matchers)}[{window}]"
        times = f"{told.scale} * " if told.scale != 1 else ""
        by = ", ".join(told.labels)
        query = f"max by ({by}) ({times}{OVER_TIME[wanted.reading]}({series}))"
    else:
        query = _level(told, told.states, wanted.reading, window, matchers)
    found = asking.api.over(query, steps)
    if not found:
        return
    ceilings = _ceilings(asking, told, matchers, steps)
    now = asking.now()
    for one in found:
        yield Line(
            steps.up_to(now, steps.place(one.samples)),
            kind=kind.value,
            name=told.name or one.labels.get(told.label, ""),
            device=one.labels.get("device", ""),
            host=one.labels.get(HOST, ""),
            unit=kind.unit,
            ceiling=ceilings.get(_key(told, one.labels)),
        )


def _level(
    told: _Told, states: type[IntEnum], reading: Reading, window: str, matchers: list[str]
) -> str:
    """The number of a state, of a metric that is 1 for the state something is in."""
    series = {
        state: f"{selected(told.metric.name, *matchers, **{told.label: state.name.lower()})}"
        f"[{window}]"
        for state in states
    }
    if reading in {"low", "high"}:
        each = " or ".join(
            f"{state.value} * (max_over_time({one}) == 1)" for state, one in series.items()
        )
        return f"{'min' if reading == 'low' else 'max'} by ({HOST}) ({each})"
    each = " or ".join(
        f"{state.value} * {OVER_TIME[reading]}({one})" for state, one in series.items()
    )
    # One of two that scrape the same host.
    return f"max by ({HOST}) (sum by (job, {HOST}) ({each}))"


def _ceilings(
    asking: Asking, told: _Told, matchers: list[str], steps: Steps
) -> dict[tuple[str, ...], float]:
    """What readings cannot pass, as last told in the time that is shown."""
    if told.limit is None:
        return {}
    at = min(asking.now(), steps.last_asked)
    back = milliseconds(max(at - steps.start_ms / 1000, 60))
    series = f"{selected(told.limit.name, *matchers)}[{back}]"
    found = asking.api.at(f"max by ({', '.join(told.labels)}) (last_over_time({series}))", at)
    return {_key(told, one.labels): one.value for one in found if one.value is not None}


def _key(told: _Told, labels: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(labels.get(label, "") for label in told.labels)
