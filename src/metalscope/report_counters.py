"""The performance counters as rows of the report's table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from metalscope.amounts import ABSENT, amount, number
from metalscope.counter_statistics import (
    BandStatistics,
    PerformanceCounters,
    RateStatistics,
    ReadingStatistics,
    WorkStatistics,
)
from metalscope.readings import DeviceInfo, ReadingUnit

__all__ = ["COUNTERS_HEAD", "DEVICES_HEAD", "counter_rows", "device_rows"]

Row = tuple[str, ...]

COUNTERS_HEAD: Final = ("counter", "now", "mean", "min", "max", "since the start")
DEVICES_HEAD: Final = (
    "device", "backend", "memory", "working set", "largest buffer", "threads a group",
)  # fmt: skip


def counter_rows(counters: PerformanceCounters) -> tuple[Row, ...]:
    """Rates of work and errors, then what the sensors read, each with its state in words."""
    errors = counters.errors
    parts = ", ".join(f"{count} {component}" for component, count in errors.by_component.items())
    return (
        *_work("allocations", counters.allocations),
        *_work("kernels", counters.kernels),
        ("errors a second", *_rate(errors.rate), parts or "none"),
        *(_reading(one) for one in counters.readings),
    )


def device_rows(devices: Iterable[DeviceInfo]) -> tuple[Row, ...]:
    """What each device can take."""
    return tuple(
        (
            device.name,
            device.backend,
            amount(device.memory_bytes, "bytes"),
            amount(device.recommended_working_set_bytes, "bytes"),
            amount(device.max_buffer_bytes, "bytes"),
            amount(device.max_threads_per_threadgroup, "count"),
        )
        for device in devices
    )


def _work(name: str, work: WorkStatistics) -> Iterable[Row]:
    facts = [f"{work.count} ({work.failures} failed, {work.slow} above {work.slow_above_ms:g} ms)"]
    if work.by_size is not None:
        facts += [f"{count} {size}" for size, count in work.by_size.items() if count]
    yield (f"{name} a second", *_rate(work.rate), ", ".join(facts))
    if work.nbytes:
        total = amount(work.nbytes, "bytes")
        yield (f"bytes of {name}", *_rate(work.bytes_rate, "bytes_per_second"), total)


def _rate(rate: RateStatistics, unit: ReadingUnit | None = None) -> Row:
    values = (rate.current, rate.mean, rate.minimum, rate.maximum)
    return tuple(number(one) if unit is None else amount(one, unit) for one in values)


def _reading(one: ReadingStatistics) -> Row:
    title = " ".join(part for part in (one.kind.replace("_", " "), one.name, one.device) if part)
    if one.unit == "level":
        now = one.band.current if one.band is not None else None
        return (title, now or ABSENT, ABSENT, ABSENT, ABSENT, "; ".join(_facts(one)) or ABSENT)
    values = (one.current, one.mean, one.minimum, one.maximum)
    return (title, *(amount(x, one.unit) for x in values), "; ".join(_facts(one)) or ABSENT)


def _facts(one: ReadingStatistics) -> Iterable[str]:
    if one.near_exhaustion:
        yield "near exhaustion"
    if one.band is not None:
        yield _bands(one.band)
    if one.peak > one.maximum:
        yield f"peak {amount(one.peak, one.unit)}"
    if one.limit is not None:
        yield f"limit {amount(one.limit, one.unit)}"
    if one.growth is not None:
        yield f"grew by {amount(one.growth, one.unit)}"
    if one.rate is not None and one.rate.mean is not None:
        yield f"{number(one.rate.mean)} {one.unit} a second"


def _bands(band: BandStatistics) -> str:
    samples = sum(band.samples.values())
    shares = [f"{word} {100 * count / samples:.0f} %" for word, count in band.samples.items()]
    return f"{band.current or 'absent now'} ({', '.join(shares)} of samples)"
