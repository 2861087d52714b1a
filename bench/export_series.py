"""The series that every way of exporting sends, and what moves them."""

from __future__ import annotations

CATEGORIES = ("fast", "normal", "slow", "very_slow")

SERIES_A_NAME = 4 + len(CATEGORIES)
"""Operations, their durations, bytes and GPU time, and one for each category."""

SPOOL_BYTES = 1_000_000
"""Most that may wait: a dozen snapshots of 10,000 series."""

CYCLE = 16

# A 64th of a millisecond, as in scrape.py.
STEP_NS = 15_625


def durations(names: int, turn: int) -> list[int]:
    """Durations in ns, other ones each turn, over many buckets: up to 312 ms.

    After :data:`CYCLE` turns they come again, so that no bucket is used for the first time later.
    """
    turn %= CYCLE
    return [STEP_NS * (1 + (place * 37 + turn * 101) ** 2 % 20_011) for place in range(names)]


def name_of(place: int) -> str:
    return f"kernel_{place:05}"
