"""Compare ways of doing the same work, fairly: interleaved rounds, medians, spread.

A machine's speed drifts while a benchmark runs. So all variants run in every round, the order
turns from round to round, and a ratio is taken within each round before the median is.
"""

from __future__ import annotations

import gc
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter


@dataclass(frozen=True)
class Variant:
    """One way of doing the work. ``around`` is entered before and left after the clock runs."""

    run: Callable[[], object]
    around: Callable[[], AbstractContextManager[object]] = nullcontext


@dataclass(frozen=True)
class Spread:
    """The median of some measurements, with their quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        low, _, high = quantiles(values, n=4, method="inclusive")
        return cls(median(values), low, high)

    def scaled(self, factor: float) -> Spread:
        return Spread(self.median * factor, self.low * factor, self.high * factor)

    def __str__(self) -> str:
        return f"{self.median:.4g} ({self.low:.4g} to {self.high:.4g})"


@dataclass(frozen=True)
class Comparison:
    """Seconds of every round, by variant; round ``i`` of one ran next to round ``i`` of another."""

    seconds: Mapping[str, Sequence[float]]

    def spread(self, variant: str) -> Spread:
        return Spread.of(self.seconds[variant])

    def ratio(self, variant: str, to: str) -> Spread:
        pairs = zip(self.seconds[variant], self.seconds[to], strict=True)
        return Spread.of([a / b for a, b in pairs])


def compare(
    variants: Mapping[str, Variant],
    *,
    rounds: int,
    warmup: int = 1,
    clock: Callable[[], float] = perf_counter,
) -> Comparison:
    """Run every variant once a round, after ``warmup`` rounds that do not count.

    ``clock`` gives seconds: :func:`time.process_time` measures the processor, not the wall.
    """
    names = list(variants)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-warmup, rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            variant = variants[name]
            with variant.around():
                gc.collect()
                start = clock()
                variant.run()
                took = clock() - start
            if number >= 0:
                seconds[name].append(took)
    return Comparison(seconds)


@dataclass(frozen=True)
class Machine:
    """What the numbers were measured on."""

    processor: str
    processors: int | None
    system: str
    python: str

    @classmethod
    def here(cls) -> Machine:
        return cls(
            processor=_processor(),
            processors=os.cpu_count(),
            system=f"{platform.system()} {platform.machine()}",
            python=f"{platform.python_implementation()} {platform.python_version()}",
        )

    def to_dict(self) -> dict[str, object]:
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.processor}, {self.processors} cores, {self.system}, {self.python}"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
