"""Steps of time, and which tier answers for which part of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from metalscope.history.schema import TIERS, Tier
from metalscope.history.tiers import folded_until, kept_since
from metalscope.moments import microseconds

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = ["Part", "Window", "finest_parts", "parts_of"]

MOST_STEPS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Window:
    """``steps`` steps of ``step_ms``, the first at ``start_ms`` since the epoch, a whole multiple
    of the step.
    """

    start_ms: int
    step_ms: int
    steps: int

    @classmethod
    def of(cls, since: datetime, until: datetime, step: timedelta) -> Window:
        """The steps that hold the time from ``since`` until before ``until``.

        A step longer than a tier's rows stand for becomes a whole number of them.

        Raises:
            ValueError: as :meth:`HistoryReader.series <metalscope.history.HistoryReader.series>`.
        """
        step_ms = -(-step // timedelta(milliseconds=1))
        if step_ms <= 0:
            raise ValueError("step must be longer than zero")
        if until <= since:
            raise ValueError("until must be after since")
        for tier in TIERS[1:]:
            if step_ms > tier.width_ms:
                step_ms = -(-step_ms // tier.width_ms) * tier.width_ms
        first = microseconds(since) // (step_ms * 1000)
        past = -(-microseconds(until) // (step_ms * 1000))
        if past - first > MOST_STEPS:
            raise ValueError(f"there must be at most {MOST_STEPS:,} steps, not {past - first:,}")
        return cls(first * step_ms, step_ms, past - first)

    @property
    def end_ms(self) -> int:
        """Where the last step ends."""
        return self.start_ms + self.steps * self.step_ms


@dataclass(frozen=True, slots=True)
class Part:
    """A tier answers for the time from ``since`` until before ``until``, in ms since the epoch."""

    tier: Tier
    since: int
    until: int


def parts_of(connection: Connection, window: Window) -> list[Part]:
    """The coarsest tiers whose rows fit into a step, and finer ones for what is not in them yet.

    Raises:
        sqlite3.Error, DamagedRowError: it cannot be read.
    """
    parts, since = [], window.start_ms
    for tier in reversed(TIERS):
        if tier.width_ms <= window.step_ms:
            until = window.end_ms if tier is TIERS[0] else folded_until(connection, tier)
            until = min(until, window.end_ms)
            if since < until:
                parts.append(Part(tier, since, until))
                since = until
    return parts


def finest_parts(connection: Connection, since: int, until: int) -> list[Part]:
    """The finest tiers that still have each part of the time from ``since`` until ``until``, in ms.

    Raises:
        sqlite3.Error, DamagedRowError: it cannot be read.
    """
    parts = []
    for tier, finer in zip(TIERS[::-1], (*TIERS[-2::-1], None), strict=True):
        ends = until
        if finer is not None:
            # From there on the finer one lacks no part of a row of this one.
            whole = -(-kept_since(connection, finer) // tier.width_ms) * tier.width_ms
            ends = min(whole, folded_until(connection, tier), until)
        if since < ends:
            parts.append(Part(tier, since, ends))
            since = ends
    return parts
