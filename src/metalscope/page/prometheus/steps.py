"""Steps of time, as they are asked for and as answers are put onto them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from math import isfinite
from typing import Any, Final, Self

from metalscope.moments import microseconds
from metalscope.page.source import Line, Lines, TimeRange

__all__ = ["MOST_STEPS", "Steps", "highest", "number"]

MOST_STEPS: Final = 11_000
"""Prometheus answers no more points of one series (web/api/v1, "exceeded maximum resolution")."""


def number(text: Any) -> float | None:
    """A sample's value as it is written; ``None`` where it is none, or no finite one."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if isfinite(value) else None


@dataclass(frozen=True, slots=True)
class Steps:
    """``count`` steps of ``step_ms``, the first at ``start_ms`` since the epoch, a whole multiple.

    What is of a step is asked for a millisecond before its end, so that it holds its begin and not
    the begin of the next.
    """

    start_ms: int
    step_ms: int
    count: int

    @classmethod
    def of(cls, within: TimeRange) -> Self:
        """The steps that hold some time.

        Raises:
            ValueError: there are none, or more than 11,000.
        """
        step_ms = -(-within.step // timedelta(milliseconds=1))
        if step_ms <= 0:
            raise ValueError("step must be longer than zero")
        if within.until <= within.since:
            raise ValueError("until must be after since")
        first = microseconds(within.since) // (step_ms * 1000)
        past = -(-microseconds(within.until) // (step_ms * 1000))
        if past - first > MOST_STEPS:
            raise ValueError(f"there must be at most {MOST_STEPS:,} steps, not {past - first:,}")
        return cls(first * step_ms, step_ms, past - first)

    @property
    def end_ms(self) -> int:
        """Where the last step ends."""
        return self.start_ms + self.count * self.step_ms

    @property
    def first_asked(self) -> float:
        """The moment at which the first step is asked for, s since the epoch."""
        return (self.start_ms + self.step_ms - 1) / 1000

    @property
    def last_asked(self) -> float:
        """The moment at which the last step is asked for."""
        return (self.end_ms - 1) / 1000

    def place(self, samples: Iterable[tuple[float, float | None]]) -> list[float | None]:
        """The samples of an answer, one a step."""
        values: list[float | None] = [None] * self.count
        for at, value in samples:
            place = round((at - self.first_asked) * 1000 / self.step_ms)
            if 0 <= place < self.count:
                values[place] = value
        return values

    def up_to(self, now: float, values: list[float | None]) -> list[float | None]:
        """Without the steps that have not begun: what they would hold is older."""
        known = max(0, min(self.count, -int((self.start_ms - now * 1000) // self.step_ms)))
        return values[:known] + [None] * (self.count - known)

    def lines(self, found: Iterable[Line], limit: int, omitted: int = 0) -> Lines:
        """The highest of these lines; those without any value are none."""
        shown, more = highest(found, limit)
        return Lines(self.start_ms / 1000, self.step_ms / 1000, shown, omitted + more)


def highest(found: Iterable[Line], limit: int) -> tuple[tuple[Line, ...], int]:
    """The ``limit`` lines that are highest on average, and how many more there are."""
    ranked = []
    for line in found:
        known = [value for value in line.values if value is not None]
        if known:
            names = (line.kind, line.name, line.device, line.host, sorted(line.labels.items()))
            ranked.append((-sum(known) / len(known), names, line))
    ranked.sort(key=lambda one: one[:2])
    return tuple(line for *_, line in ranked[:limit]), max(0, len(ranked) - limit)
