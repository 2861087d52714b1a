"""Series to forecast: made ones, whose law is known, and real ones that come inside packages."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from metalscope.forecast.base import Series

HOUR = 3600.0
MONDAY = 1_767_571_200.0
"""2026-01-05, a Monday, s since the epoch."""


@dataclass(frozen=True)
class Case:
    """One series to forecast ``steps`` ahead; ``season`` is the period of the seasonal-naive."""

    kind: str
    name: str
    series: Series
    steps: int
    season: int
    window: int
    """So many values are shown to the forecaster at a time."""


def load(seed: int, *, weeks: int = 8, trend: float = 0.0, noise: float = 0.08) -> Series:
    """Operations a second by the hour: busy on working days, with noise, bursts and gaps."""
    rng = random.Random(seed)
    values: list[float | None] = []
    drift = 0.0
    for hour in range(weeks * 168):
        day, of_day = hour // 24 % 7, hour % 24
        busy = 1.0 if day < 5 else 0.45
        shape = 0.35 + 0.65 * busy * math.exp(-(((of_day - 14) / 5.0) ** 2))
        drift = 0.95 * drift + rng.gauss(0, noise / 3)
        value = 400.0 * shape * (1 + trend * hour / 168 + drift + rng.gauss(0, noise))
        if rng.random() < 0.005:
            value *= rng.uniform(1.5, 3.0)
        values.append(None if rng.random() < 0.01 else max(0.0, value))
    return Series(MONDAY, HOUR, values)


def growth(seed: int, *, count: int = 400, noise: float = 2e8) -> Series:
    """Bytes in use, by the minute: a leak under the ups and downs of work."""
    rng = random.Random(seed)
    value, rate, wander = 4e9, rng.uniform(2e6, 2e7), 0.0
    values: list[float | None] = []
    for _ in range(count):
        value += rate * rng.uniform(0.2, 1.8)
        wander = 0.8 * wander + rng.gauss(0, noise / 2)
        values.append(max(0.0, value + wander))
    return Series(MONDAY, 60.0, values)


def flat(seed: int, *, count: int = 600) -> Series:
    """A level with noise, and nothing else."""
    rng = random.Random(seed)
    return Series(MONDAY, 60.0, [max(0.0, rng.gauss(100.0, 8.0)) for _ in range(count)])


def wandering(seed: int, *, count: int = 600) -> Series:
    """A random walk, of which nothing but the last value is worth knowing."""
    rng = random.Random(seed)
    value, values = 500.0, []
    for _ in range(count):
        value = max(0.0, value + rng.gauss(0, 4))
        values.append(value)
    return Series(MONDAY, 60.0, values)


def steps(seed: int, *, count: int = 800) -> Series:
    """Levels that hold for a while: jobs that come and go."""
    rng = random.Random(seed)
    level, values = 100.0, []
    for _ in range(count):
        if rng.random() < 0.01:
            level = rng.uniform(40.0, 300.0)
        values.append(max(0.0, level + rng.gauss(0, 5)))
    return Series(MONDAY, 60.0, values)


_MADE: dict[str, tuple[Callable[[int], Series], int, int, int]] = {
    # kind: maker, steps ahead, period of the seasonal-naive, values shown
    "load with day and week": (load, 24, 168, 504),
    "load that grows": (lambda seed: load(seed, trend=0.06), 24, 168, 504),
    "memory that leaks": (growth, 30, 1, 180),
    "flat": (flat, 30, 1, 240),
    "wandering": (wandering, 30, 1, 240),
    "steps": (steps, 30, 1, 240),
}


def made(seeds: int) -> Iterator[Case]:
    """The made kinds, several seeds each."""
    for kind, (make, ahead, season, window) in _MADE.items():
        for seed in range(seeds):
            yield Case(kind, f"seed {seed}", make(seed), ahead, season, window)


def public() -> Iterator[Case]:
    """Real series inside packages, of those that are installed: load-like, with a day in it, or
    without any season."""
    yield from _of_statsmodels()
    yield from _of_pmdarima()
    yield from _of_river()


def _of_statsmodels() -> Iterator[Case]:
    try:
        from statsmodels.datasets import nile
    except ImportError:
        return
    values = nile.load_pandas().data["volume"].tolist()
    series = Series(0.0, 365.25 * 86_400, values)
    yield Case("public", "Nile at Aswan, yearly (statsmodels)", series, 5, 1, 60)


def _of_pmdarima() -> Iterator[Case]:
    try:
        from pmdarima.datasets import load_msft, load_taylor
    except ImportError:
        return
    half = load_taylor().tolist()
    hours = [(one + other) / 2 for one, other in zip(half[::2], half[1::2], strict=True)]
    series = Series(MONDAY, HOUR, hours)
    yield Case("public", "electricity, hourly (pmdarima, taylor)", series, 24, 168, 504)
    price = load_msft()["Close"].tolist()[-2000:]
    series = Series(0.0, 86_400.0, price)
    yield Case("public", "price of a share, daily (pmdarima, msft)", series, 10, 1, 200)


def _of_river() -> Iterator[Case]:
    try:
        from river.datasets import WaterFlow
    except ImportError:
        return
    points = [(moment["Time"], value) for moment, value in WaterFlow()]
    start = points[0][0].timestamp()
    values: list[float | None] = [None] * (int((points[-1][0].timestamp() - start) / HOUR) + 1)
    for moment, value in points:
        values[int((moment.timestamp() - start) / HOUR)] = value
    series = Series(start, HOUR, values)
    yield Case("public", "water flow, hourly (river)", series, 24, 168, 504)
