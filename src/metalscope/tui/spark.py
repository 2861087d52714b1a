"""A line of bars for the last minutes, and the history it is drawn from."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["History", "sparkline"]

POINTS: Final = 300
"""Values kept of each gauge: five minutes at a tick of one second."""

_BARS: Final = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], width: int, ceiling: float | None = None) -> str:
    """The newest ``width`` values as bars, the newest at the right; a gap where there is none.

    The top of the scale is ``ceiling``, or the highest of the values shown.
    """
    if width <= 0:
        return ""
    shown = list(values)[-width:]
    top = ceiling or max((value for value in shown if value is not None), default=0)
    return "".join(_bar(value, top) for value in shown).rjust(width)


def _bar(value: float | None, top: float) -> str:
    if value is None:
        return " "
    if top <= 0 or value <= 0:
        return _BARS[0]
    # Above zero is above the lowest bar.
    steps = len(_BARS) - 1
    return _BARS[min(steps, max(1, round(value / top * steps)))]


class History:
    """The last values of each gauge, by title."""

    def __init__(self) -> None:
        self._values: dict[str, deque[float | None]] = {}

    def add(self, values: Mapping[str, float | None]) -> None:
        """Take the values of one moment."""
        for title, value in values.items():
            self._values.setdefault(title, deque(maxlen=POINTS)).append(value)

    def of(self, title: str) -> tuple[float | None, ...]:
        """The values of one gauge, oldest first."""
        return tuple(self._values.get(title, ()))

    def forget(self) -> None:
        """Begin anew."""
        self._values.clear()
