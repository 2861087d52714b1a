"""The gauges at the top: which readings they show, and what stands where there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from metalscope.readings import (
    MemoryPressure,
    ReadingUnit,
    ResourceKind,
    ResourceMetrics,
    ThermalState,
)
from metalscope.tui.text import (
    ABSENT,
    bytes_text,
    ms_text,
    percent_text,
    rate_text,
    scaled_text,
    visible,
)

__all__ = ["TITLES", "Gauge", "all_gauges", "reading_text"]

WHY_ABSENT: Final = "see metalscope doctor"


@dataclass(frozen=True, slots=True)
class Gauge:
    """One value with its words. ``ceiling`` is the top of its scale, where it has one."""

    title: str
    value: float | None
    text: str = ABSENT
    note: str = ""
    ceiling: float | None = None


@dataclass(frozen=True, slots=True)
class _Reading:
    """Which reading is shown: the first of ``prefer``, else the highest there is.

    Where there is none of ``kind``, one of ``instead``.
    """

    title: str
    kind: ResourceKind
    text: Callable[[float], str]
    prefer: tuple[str, ...] = ()
    ceiling: float | None = None
    instead: ResourceKind | None = None


def _watts(value: float) -> str:
    return f"{value:.2f} W" if value < 10 else f"{value:.1f} W"


def _hertz(value: float) -> str:
    return f"{scaled_text(value)}Hz" if value >= 999.5 else f"{value:.0f} Hz"


def _per_second(value: float) -> str:
    # As chips are sold: GB of 1000**3 bytes.
    return f"{scaled_text(value)}B/s"


def _celsius(value: float) -> str:
    return f"{value:.0f} °C"


def _level(level: type[ThermalState] | type[MemoryPressure]) -> Callable[[float], str]:
    words = {member.value: member.name.lower() for member in level}
    return lambda value: words.get(int(value), f"level {value:g}")


_WORDS: Final[Mapping[ResourceKind, Callable[[float], str]]] = {
    ResourceKind.THERMAL_STATE: _level(ThermalState),
    ResourceKind.MEMORY_PRESSURE: _level(MemoryPressure),
    ResourceKind.LOW_POWER_MODE: lambda value: "on" if value else "off",
}
_UNITS: Final[Mapping[ReadingUnit, Callable[[float], str]]] = {
    "bytes": bytes_text,
    "bytes_per_second": _per_second,
    "celsius": _celsius,
    "hertz": _hertz,
    "joules": lambda value: f"{scaled_text(value)} J",
    "percent": percent_text,
    "rpm": lambda value: f"{value:.0f} rpm",
    "watts": _watts,
}


# In an accelerator's figures the word for the whole comes before those for its parts.
_READINGS: Final[tuple[_Reading, ...]] = (
    _Reading(
        "GPU load", ResourceKind.GPU_UTILIZATION, percent_text, ("device", "active"), ceiling=100
    ),
    _Reading(
        "GPU memory",
        ResourceKind.MEMORY,
        bytes_text,
        ("mlx_active", "torch_allocated", "metal_allocated", "gpu_in_use"),
        instead=ResourceKind.GPU_MEMORY,
    ),
    _Reading("Power", ResourceKind.POWER, _watts, ("gpu",)),
    _Reading("Heat", ResourceKind.TEMPERATURE, _celsius, ("gpu",)),
    _Reading("Frequency", ResourceKind.FREQUENCY, _hertz, ("gpu",)),
    _Reading("Bandwidth", ResourceKind.BANDWIDTH, _per_second, ("total",)),
    _Reading("CPU load", ResourceKind.CPU_UTILIZATION, percent_text, ("host",), ceiling=100),
    _Reading("Host memory", ResourceKind.HOST_MEMORY, bytes_text, ("used",)),
    _Reading(
        "Pressure", ResourceKind.MEMORY_PRESSURE, _level(MemoryPressure), ceiling=MemoryPressure(3)
    ),
)

TITLES: Final = (
    "Calls/s", "Errors/s", "Mean time",
    *(one.title for one in _READINGS),
)  # fmt: skip
"""Every gauge, in order."""


def all_gauges(
    pace: tuple[float, float, float | None] | None, readings: Sequence[ResourceMetrics]
) -> tuple[Gauge, ...]:
    """One gauge for each of :data:`TITLES`.

    ``pace`` is calls a second, errors a second and mean ms, ``None`` before there is one.
    """
    calls, errors, mean = pace or (None, None, None)
    thermal = _main(readings, ResourceKind.THERMAL_STATE, ())
    return (
        Gauge("Calls/s", calls, rate_text(calls)),
        Gauge("Errors/s", errors, f"!{rate_text(errors)}" if errors else rate_text(errors)),
        Gauge("Mean time", mean, ms_text(mean)),
        *(_gauge(one, readings, thermal) for one in _READINGS),
    )


def reading_text(reading: ResourceMetrics, value: float | None) -> str:
    """A reading's ``current``, ``peak`` or ``limit`` in words."""
    if value is None:
        return ABSENT
    words = _WORDS.get(reading.kind) or _UNITS.get(reading.unit)
    return words(value) if words else f"{value:g}"


def _gauge(
    one: _Reading, readings: Sequence[ResourceMetrics], thermal: ResourceMetrics | None
) -> Gauge:
    reading = _main(readings, one.kind, one.prefer)
    if reading is None and one.instead is not None:
        reading = _main(readings, one.instead, one.prefer)
    state = ""
    if one.kind is ResourceKind.TEMPERATURE and thermal is not None:
        state = _level(ThermalState)(thermal.current)
        if reading is None:
            # The system gives a word and no degrees.
            return Gauge(one.title, thermal.current, state, "state", ThermalState.CRITICAL)
    if reading is None:
        return Gauge(one.title, None, note=WHY_ABSENT)
    ceiling = one.ceiling or reading.limit
    text = one.text(reading.current)
    return Gauge(one.title, reading.current, text, state or visible(_note(reading)), ceiling)


def _note(reading: ResourceMetrics) -> str:
    if reading.limit and reading.unit == "bytes":
        return f"of {bytes_text(reading.limit)}"
    if reading.kind in {ResourceKind.MEMORY_PRESSURE, ResourceKind.CPU_UTILIZATION}:
        return ""
    return reading.name


def _main(
    readings: Sequence[ResourceMetrics], kind: ResourceKind, prefer: Sequence[str]
) -> ResourceMetrics | None:
    of_kind = [one for one in readings if one.kind is kind]
    named = {one.name: one for one in reversed(of_kind)}
    for name in prefer:
        if name in named:
            return named[name]
    return max(of_kind, key=lambda one: one.current, default=None)
