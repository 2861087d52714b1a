"""How long operations took, step by step, from the cells of their histograms."""

# ruff: noqa: S608 - what is put into SQL are the names of our own tables and columns

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from metalscope.histogram import EDGES_NS, quantile_of_cells
from metalscope.history.answers import numbers_of, place
from metalscope.history.facts import SeriesKey
from metalscope.history.figures import DamagedRowError, add_packed
from metalscope.history.steps import TOGETHER, Values
from metalscope.history.windows import Window, parts_of, stretches

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = ["cells_by_step", "quantiles_of"]

Cells = list[tuple[int, int]]

_HISTOGRAMS_AT_ONCE: Final = 4000
"""So many are held in memory; past that, what is known of the first steps is given first."""


def cells_by_step(
    connection: Connection, window: Window, chosen: Sequence[int], *, together: bool = False
) -> Iterator[tuple[int, int, Cells]]:
    """Which series, or :data:`~metalscope.history.steps.TOGETHER`, which step of the window, and
    the cells of what went well and was timed in it, ascending.

    Raises:
        sqlite3.Error, DamagedRowError: it cannot be read.
    """
    if not chosen:
        return
    parts = parts_of(connection, window)
    column = "series" if not together else str(TOGETHER)
    at_once = _HISTOGRAMS_AT_ONCE // (1 if together else len(chosen))
    for pieces in stretches(window, parts, at_once):
        found: dict[tuple[int, int], dict[int, int]] = {}
        for piece in pieces:
            where, values = place(piece, chosen)
            rows = connection.execute(
                f"SELECT {column}, CAST(at / ? AS INTEGER), ok_cells "
                f"FROM operation_{piece.tier.name} WHERE {where} AND ok_cells IS NOT NULL",
                (window.step_ms, *values),
            )
            for series, step, packed in rows:
                cells = found.get((series, step))
                if cells is None:
                    cells = found[series, step] = defaultdict(int)
                add_packed(packed, cells)
        first = window.start_ms // window.step_ms
        for (series, step), cells in found.items():
            yield series, step - first, _ordered(cells)


def quantiles_of(
    connection: Connection,
    window: Window,
    q: float,
    keys: Sequence[SeriesKey],
    *,
    together: bool = False,
) -> list[Values]:
    """The ``q`` quantile of each step in ms, of each key, or of all together.

    Raises:
        sqlite3.Error, DamagedRowError: it cannot be read.
    """
    numbers = numbers_of(connection, keys)
    chosen = sorted(set(numbers.values()))
    found: dict[int, Values] = {number: [None] * window.steps for number in (TOGETHER, *chosen)}
    for number, step, cells in cells_by_step(connection, window, chosen, together=together):
        found[number][step] = quantile_of_cells(cells, q)
    if together:
        return [found[TOGETHER]]
    return [
        found[numbers[key]] if key in numbers else list[float | None]([None] * window.steps)
        for key in keys
    ]


def _ordered(cells: dict[int, int]) -> Cells:
    ordered = sorted(cells.items())
    if ordered and ordered[-1][0] > len(EDGES_NS):
        raise DamagedRowError(f"there is no cell {ordered[-1][0]}")
    return ordered
