"""What is forgotten: what is past its time, what has no room, what a wrong clock dated.

All of it within the caller's transaction.
"""

# ruff: noqa: S608 - what is put into SQL are the names of our own tables and columns

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from metalscope.history.schema import TIERS, Tier
from metalscope.history.tiers import forgotten_mark_of, lies_by_time, mark_of

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = ["forget", "forget_misdated", "forget_oldest", "forget_unused_series"]

_OLDEST_SHARE: Final = 16
"""One in so many of a tier's stretches goes at once where there is no more room."""

# Roughly the bytes of a row, by which it is told which tier takes most.
_ROW_BYTES: Final = {"operation": 90, "reading": 40, "covered": 15}


def forget(connection: Connection, tier: Tier, before: int) -> None:
    """Forget what lies before a moment, in ms since the epoch."""
    gone = connection.execute(f"DELETE FROM covered_{tier.name} WHERE at < ?", (before,))
    if gone.rowcount:
        connection.execute(
            "INSERT INTO about(key, value) VALUES (?, ?) "
            "ON CONFLICT(key) DO UPDATE SET value = MAX(value, excluded.value)",
            (forgotten_mark_of(tier), before),
        )
    # By series, since minutes and hours lie so; ticks lie by time.
    by_series = "" if lies_by_time(tier) else "series IN (SELECT id FROM series) AND "
    for what in ("operation", "reading"):
        connection.execute(
            f"DELETE FROM {what}_{tier.name} WHERE {by_series}at < ?",
            (before,),
        )


def forget_misdated(connection: Connection, after: int) -> None:
    """Forget what lies after a moment that is still to come: a clock was wrong.

    ``after``, in ms since the epoch, is a whole hour.
    """
    for tier in TIERS:
        for what in ("covered", "operation", "reading"):
            connection.execute(f"DELETE FROM {what}_{tier.name} WHERE at >= ?", (after,))
    for mark in (*map(mark_of, TIERS[1:]), *map(forgotten_mark_of, TIERS)):
        connection.execute(
            "UPDATE about SET value = ? WHERE key = ? AND value > ?", (after, mark, after)
        )


def forget_oldest(connection: Connection) -> None:
    """Forget the oldest sixteenth of the tier that takes most room."""
    for tier in sorted(TIERS, key=lambda one: _weight(connection, one), reverse=True):
        stretches = _count(connection, f"covered_{tier.name}")
        if stretches:
            last = max(1, stretches // _OLDEST_SHARE) - 1
            (at,) = connection.execute(
                f"SELECT at FROM covered_{tier.name} ORDER BY at LIMIT 1 OFFSET ?", (last,)
            ).fetchone()
            forget(connection, tier, at + 1)
            return


def _weight(connection: Connection, tier: Tier) -> int:
    return sum(
        size * _count(connection, f"{what}_{tier.name}") for what, size in _ROW_BYTES.items()
    )


def _count(connection: Connection, table: str) -> int:
    (count,) = connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
    return int(count)


def forget_unused_series(connection: Connection) -> None:
    """Forget names of which nothing is kept, so that others have their place."""
    unused = " AND ".join(
        f"NOT EXISTS (SELECT 1 FROM {what}_{tier.name} WHERE series = id)"
        for tier in TIERS
        if not lies_by_time(tier)
        for what in ("operation", "reading")
    )
    recent = " AND ".join(
        f"id NOT IN (SELECT DISTINCT series FROM {what}_{tier.name})"
        for tier in TIERS
        if lies_by_time(tier)
        for what in ("operation", "reading")
    )
    connection.execute(f"DELETE FROM series WHERE {unused} AND {recent}")
