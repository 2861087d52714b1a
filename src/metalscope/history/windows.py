"""Steps of time, and which tier answers for which part of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Final

from metalscope.history.schema import TIERS, Tier
from metalscope.history.tiers import folded_until, kept_since
from metalscope.moments import microseconds

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = [
    "Part",
    "Window",
    "exact_parts",
    "parts_of",
    "stretches",
    "two_ticks",
    "width_that_reaches",
]

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


def stretches(window: Window, parts: list[Part], most: int) -> Iterator[list[Part]]:
    """The parts, cut where steps begin so that each piece of time has at most ``most`` steps."""
    length = max(1, most) * window.step_ms
    for since in range(window.start_ms, window.end_ms, length):
        until = since + length
        pieces = [
            Part(part.tier, max(part.since, since), min(part.until, until))
            for part in parts
            if part.since < until and since < part.until
        ]
        if pieces:
            yield pieces


def width_that_reaches(connection: Connection, since: int) -> int:
    """For how long the rows stand, in ms, of the finest tier that still reaches back to ``since``,
    in ms since the epoch; of the coarsest where none does.

    Of what it lacks at its beginning, as long as one of the next tier's rows is overlooked: what is
    forgotten meanwhile must not change how finely the whole is shown.

    Raises:
        sqlite3.Error, DamagedRowError: it cannot be read.
    """
    for tier, coarser in pairwise(TIERS):
        if kept_since(connection, tier) <= since + coarser.width_ms:
            return tier.width_ms
    return TIERS[-1].width_ms


def two_ticks(connection: Connection, since: int) -> int:
    """How long two of the latest ticks from ``since`` on take, in ms, rounded so that it stays the
    same from one to the next; 0 where there are none.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    rows = connection.execute(
        "SELECT CAST(seconds AS REAL) FROM covered_ticks WHERE at >= ? ORDER BY at DESC LIMIT 99",
        (since,),
    ).fetchall()
    seconds = 2 * median([length for (length,) in rows]) if rows else 0.0
    return round(1000 * (round(seconds) if seconds >= 1 else round(seconds, 1)))


def exact_parts(connection: Connection, since: int, until: int) -> list[Part]:
    """The time from ``since`` until ``until``, in ms, as exactly as it is kept, of as few rows as
    say the same: whole hours and minutes are read as such, since the tiers agree.

    Raises:
        sqlite3.Error, DamagedRowError: it cannot be read.
    """
    return [
        fewer
        for part in _finest_parts(connection, since, until)
        for fewer in _of_fewer_rows(connection, part)
    ]


def _of_fewer_rows(connection: Connection, part: Part) -> Iterator[Part]:
    """The same, with what is whole in it from the next coarser tier."""
    since = until = part.since
    if part.tier is not TIERS[-1]:
        coarser = TIERS[TIERS.index(part.tier) + 1]
        width = coarser.width_ms
        since = -(-max(part.since, kept_since(connection, coarser)) // width) * width
        until = min(part.until, folded_until(connection, coarser)) // width * width
    if since >= until:
        yield part
        return
    if part.since < since:
        yield Part(part.tier, part.since, since)
    yield from _of_fewer_rows(connection, Part(coarser, since, until))
    if until < part.until:
        yield Part(part.tier, until, part.until)


def _finest_parts(connection: Connection, since: int, until: int) -> list[Part]:
    """The finest tiers that still have each part of some time, in ms since the epoch."""
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
