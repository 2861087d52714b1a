"""What counters of a window mean: power, residency, frequency, traffic. Pure arithmetic.

No function here returns a negative number, or a percentage outside 0 to 100, whatever it is
given: a counter may be reset, and a driver may publish nonsense. Where there is no answer, the
answer is ``None``.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from itertools import takewhile
from math import isfinite
from typing import Final, TypeAlias

__all__ = [
    "States",
    "active_percent",
    "byte_scale",
    "gpu_frequencies",
    "joule_scale",
    "mean_frequency",
    "mean_traffic",
    "rate",
]

States: TypeAlias = Sequence[tuple[str, int]]
"""The states of a channel, each with the ticks spent in it."""

_IDLE: Final = frozenset({"OFF", "IDLE", "DOWN"})
_JOULES: Final = {"J": 1.0, "mJ": 1e-3, "uJ": 1e-6, "µJ": 1e-6, "nJ": 1e-9, "pJ": 1e-12}
_BYTES: Final = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_BUCKET: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*GB/s\s*", re.IGNORECASE)
_PAIR: Final = struct.Struct("<II")


def rate(amount: float, seconds: float) -> float | None:
    """Amount per second over a window; ``None`` without time, or where it runs backwards."""
    if seconds <= 0 or amount < 0:
        return None
    found = amount / seconds
    return found if isfinite(found) else None


def joule_scale(unit: str) -> float | None:
    """Joules per unit of an energy channel's label (``mJ``, ``uJ``, ``nJ``, …)."""
    return _JOULES.get(unit)


def byte_scale(unit: str) -> int | None:
    """Bytes per unit of a traffic channel's label; no label means bytes."""
    return _BYTES.get(unit)


def active_percent(states: States) -> float | None:
    """Share of a window in any state but an idle one (``OFF``, ``IDLE``, ``DOWN``), in percent.

    ``None`` where no time passed in any state, or a state lost time.
    """
    total = _total(states)
    if not total:
        return None
    idle = sum(ticks for name, ticks in states if _is_idle(name))
    return 100.0 * ((total - idle) / total)  # in this order: never above 100 by rounding


def mean_frequency(states: States, frequencies: Sequence[float]) -> float | None:
    """Mean clock while busy, in hertz: each state's frequency by the time spent in it.

    The busy states are in the order of the table. ``None`` where nothing was busy, and where there
    was time in a state past the table's end: then it is not the table of this channel.
    """
    if not _total(states):
        return None
    busy = [ticks for name, ticks in states if not _is_idle(name)]
    if any(busy[len(frequencies) :]):
        return None
    time = sum(busy)
    if not time:
        return None
    return sum(f * t for f, t in zip(frequencies, busy, strict=False)) / time


def mean_traffic(states: States) -> float | None:
    """Bytes per second of a histogram: time at each rate, a state's name being the rate.

    A state ``32GB/s`` after one ``16GB/s`` holds the time between 16 and 32 GB/s, so it counts as
    24; the first one counts as half of its name. The answer is right to half a bucket's width.
    """
    if not _total(states):
        return None
    below = weighted = 0.0
    time = 0
    for name, ticks in states:
        bucket = _BUCKET.fullmatch(name)
        if bucket is None:
            continue
        upper = float(bucket[1]) * 1e9
        weighted += ticks * (below + upper) / 2
        time += ticks
        below = upper
    return weighted / time if time else None


def gpu_frequencies(table: bytes) -> tuple[float, ...]:
    """Hertz of each busy state from a ``voltage-states`` property; empty if it is not a GPU's.

    The property is pairs of 32-bit numbers, frequency and voltage, and a GPU's starts with the
    state that is off, 0, and may have another table after it, from the next 0 on. It need not be in
    order. Since the M4, Apple writes the tables of
    processor cores in kHz; the unit is told by size, as GPUs run between 100 MHz and 4 GHz, so that
    a GPU table in kHz would be read rightly too.
    """
    whole = len(table) - len(table) % _PAIR.size
    clocks = [clock for clock, _ in _PAIR.iter_unpack(table[:whole])]
    busy = list(takewhile(bool, clocks[1:]))
    if not busy or clocks[0]:
        return ()
    for scale in (1.0, 1e3):
        if all(1e8 <= clock * scale <= 4e9 for clock in busy):
            return tuple(clock * scale for clock in busy)
    return ()


def _is_idle(state: str) -> bool:
    return state.strip().upper() in _IDLE


def _total(states: Iterable[tuple[str, int]]) -> int:
    """The ticks in all states; 0, too, where one lost time and so the window means nothing."""
    ticks = [ticks for _, ticks in states]
    return 0 if any(one < 0 for one in ticks) else sum(ticks)
