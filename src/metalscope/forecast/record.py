"""The past of a reading in bounded memory, for where there is no history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from metalscope.forecast.base import Series

__all__ = ["Record"]

MOST_UNKNOWN: Final = 0.2
"""Share of steps without a reading; readings that are further apart than steps leave more."""


class Record:
    """The highest value in each step of the past.

    Steps begin at ``finest`` s and double when ``slots`` of them are full, until ``slots`` steps
    hold ``longest`` s; then the oldest goes. About 16 bytes a slot.
    """

    def __init__(self, *, slots: int = 240, finest: float = 1.0, longest: float = 86_400.0) -> None:
        self._slots = slots
        self._longest = longest
        self._step = finest
        self._first = 0
        self._values: list[float | None] = []

    def add(self, now: float, value: float) -> None:
        """Take a reading at ``now``, s since the epoch; one of an earlier step is left out."""
        index = int(now // self._step)
        if not self._values:
            self._first = index
        while index - self._first >= self._slots and self._step * self._slots < self._longest:
            self._coarsen()
            index = int(now // self._step)
        if index < self._first + len(self._values) - 1:
            return
        if index - self._first >= 2 * self._slots:
            self._first, self._values = index, []
        self._values += [None] * (index - self._first - len(self._values) + 1)
        self._values[-1] = _higher(self._values[-1], value)
        surplus = len(self._values) - self._slots
        if surplus > 0:
            del self._values[:surplus]
            self._first += surplus

    def series(self) -> Series:
        """What is kept, without the last step, which is not over.

        Steps are as much longer as it takes for most of them to hold a reading.
        """
        first, step, values = self._first, self._step, self._values[:-1]
        while len(values) > 1 and values.count(None) > MOST_UNKNOWN * len(values):
            values = _by_two(values, first)
            first, step = first // 2, 2 * step
        return Series(first * step, step, tuple(values))

    def _coarsen(self) -> None:
        self._values = _by_two(self._values, self._first)
        self._first //= 2
        self._step *= 2


def _by_two(values: Sequence[float | None], first: int) -> list[float | None]:
    if first % 2:
        values = [None, *values]
    return [
        _higher(values[i], values[i + 1] if i + 1 < len(values) else None)
        for i in range(0, len(values), 2)
    ]


def _higher(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)
