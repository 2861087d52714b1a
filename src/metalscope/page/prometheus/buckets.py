"""Counts of durations by bucket: what is in each, and quantiles."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

__all__ = ["at_most", "bound", "cells", "quantile"]


def bound(text: str) -> float | None:
    """The upper bound of a bucket, as the label ``le`` says; ``None`` where it says none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return None if value != value else value  # noqa: PLR0124 - no number


def cells(cumulative: Mapping[float, float]) -> list[tuple[float, float]]:
    """Upper bounds, ascending, each with what is in its own bucket alone, never less than 0."""
    found, before = [], 0.0
    for edge, count in sorted(cumulative.items()):
        found.append((edge, max(0.0, count - before)))
        # Buckets of several scrapes may contradict each other by a little.
        before = max(before, count)
    return found


def quantile(share: float, cumulative: Mapping[float, float]) -> float | None:
    """How much no more than this share is above; ``None`` where nothing is counted.

    Interpolated within its bucket; in the last one, which has no end, where that begins
    (prometheus.io, "Query functions", ``histogram_quantile``).
    """
    counted = cells(cumulative)
    total = sum(count for _, count in counted)
    if total <= 0:
        return None
    rank, below, begins = share * total, 0.0, 0.0
    for edge, count in counted:
        if count and below + count >= rank:
            if edge == inf:
                return begins
            return begins + (edge - begins) * (rank - below) / count
        below += count
        begins = edge if edge != inf else begins
    return begins


def at_most(cumulative: Mapping[float, float]) -> float | None:
    """What none is longer than: the end of the last bucket with any; ``None`` if it has no end."""
    ends = [edge for edge, count in cells(cumulative) if count > 0]
    return ends[-1] if ends and ends[-1] != inf else None
