"""The slope of a series that outliers do not bend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from metalscope.robust_statistics import median, theil_sen

__all__ = ["slope_of"]

MOST_POINTS: Final = 48
"""More points are first drawn together: pairs grow with the square of their number."""


def slope_of(values: Sequence[float | None]) -> float | None:
    """Theil and Sen's slope, a step; ``None`` below three points.

    Beyond 48 points, medians of neighbours stand for them.
    """
    points = [(float(index), value) for index, value in enumerate(values) if value is not None]
    if len(points) > MOST_POINTS:
        points = _drawn_together(points)
    if len(points) < 3:
        return None
    return theil_sen([at for at, _ in points], [value for _, value in points])


def _drawn_together(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    size = -(-len(points) // MOST_POINTS)
    groups = [points[i : i + size] for i in range(len(points) % size, len(points), size)]
    return [
        (median([index for index, _ in group]), median([value for _, value in group]))
        for group in groups
    ]
