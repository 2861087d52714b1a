"""The slope of a series that outliers do not bend."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Final

__all__ = ["theil_sen"]

MOST_POINTS: Final = 48
"""More points are first drawn together: pairs grow with the square of their number."""


def theil_sen(values: Sequence[float | None]) -> float | None:
    """The median of the slopes between all pairs of points, a step; ``None`` below three points.

    Up to 29 % of the points may be anything (Sen 1968, doi:10.1080/01621459.1968.10480934). Beyond
    48 points, medians of neighbours stand for them.
    """
    points = [(float(index), value) for index, value in enumerate(values) if value is not None]
    if len(points) > MOST_POINTS:
        points = _drawn_together(points)
    if len(points) < 3:
        return None
    slopes = [
        (later - value) / (at - index)
        for number, (index, value) in enumerate(points)
        for at, later in points[number + 1 :]
    ]
    return median(slopes)


def _drawn_together(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    size = -(-len(points) // MOST_POINTS)
    groups = [points[i : i + size] for i in range(len(points) % size, len(points), size)]
    return [
        (median(index for index, _ in group), median(value for _, value in group))
        for group in groups
    ]
