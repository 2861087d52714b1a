"""Values of many series step by step, each part of the time read once for all of them."""

# ruff: noqa: S608 - what is put into SQL are the names of our own tables and columns

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from metalscope.history.answers import Reading, covered_seconds, numbers_of, place
from metalscope.history.facts import Measure, SeriesKey
from metalscope.history.schema import TIERS
from metalscope.history.windows import Part, Window, parts_of, stretches
from metalscope.operation import NS_PER_MS

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = ["TOGETHER", "Values", "values_of"]

Values = list[float | None]
"""One a step."""

TOGETHER: Final = 0
"""The number of what is no series: all that were chosen, as one. SQLite numbers from 1."""

_ROWS_AT_ONCE: Final = 6000
"""So many groups SQLite makes at once; sorting more takes longer than asking again."""

Pair = tuple[float, float]

# Which two columns a measure is made of.
_COLUMNS: Final[Mapping[Measure, str]] = {
    "operations": "TOTAL(operations), 0.0",
    "errors": "TOTAL(errors), 0.0",
    "error_rate": "TOTAL(errors), TOTAL(operations)",
    "duration_ms": f"TOTAL(busy_ns) / {NS_PER_MS}, TOTAL(timed)",
}

# With MAX, the other column is of the row that has it (SQLite, "Bare columns in an aggregate").
_OF_TICKS: Final[Mapping[Reading, str]] = {
    "mean": "TOTAL(value), COUNT(*)",
    "low": "CAST(MIN(value) AS REAL), 0",
    "high": "CAST(MAX(value) AS REAL), 0",
    "last": "CAST(value AS REAL), MAX(at)",
}
_OF_MORE: Final[Mapping[Reading, str]] = {
    "mean": "TOTAL(total), TOTAL(samples)",
    "low": "CAST(MIN(low) AS REAL), 0",
    "high": "CAST(MAX(high) AS REAL), 0",
    "last": "CAST(last AS REAL), MAX(at)",
}


def values_of(
    connection: Connection,
    window: Window,
    keys: Sequence[SeriesKey],
    reading: Reading,
    *,
    together: bool = False,
) -> list[Values]:
    """The values of each key, or of all together, which are then operations of one measure.

    Raises:
        ValueError: these cannot be taken together.
        sqlite3.Error, DamagedRowError: it cannot be read.
    """
    nothing: Values = [None] * window.steps
    measures = sorted({key.measure for key in keys})
    if together and measures[1:] + [one for one in measures if one == "resource"]:
        raise ValueError("together: must be asked of operations, by one measure")
    numbers = numbers_of(connection, keys)
    found: dict[Measure, dict[int, Values]] = {}
    for measure in measures:
        chosen = [number for key, number in numbers.items() if key.measure == measure]
        if measure == "resource":
            found[measure] = _readings(connection, window, chosen, reading)
        elif chosen:
            found[measure] = _operations(connection, window, measure, chosen, together=together)
    if together:
        return [values for one in found.values() for values in one.values()] or [nothing]
    return [found[key.measure][numbers[key]] if key in numbers else list(nothing) for key in keys]


def _operations(
    connection: Connection,
    window: Window,
    measure: Measure,
    chosen: Sequence[int],
    *,
    together: bool = False,
) -> dict[int, Values]:
    """The values of operations by the number of their series, or of all as :data:`TOGETHER`."""
    parts = parts_of(connection, window)
    column = "series" if not together else str(TOGETHER)
    rows = _by_step(
        connection, window, parts, "operation", lambda _: _COLUMNS[measure], chosen, column
    )
    numbers = [TOGETHER] if together else chosen
    found = _gathered(rows, numbers, _added)
    if measure in {"operations", "errors"}:
        # By the second, of all the time that is known: also of that in which it did not run.
        seconds = _seconds(connection, window, parts)
        return {
            number: [
                sums.get(step, (0.0, 0.0))[0] / length if length > 0 else None
                for step, length in seconds
            ]
            for number, sums in found.items()
        }
    return _ratios(window, found)


def _readings(
    connection: Connection, window: Window, chosen: Sequence[int], reading: Reading
) -> dict[int, Values]:
    """The values of readings by the number of their series."""
    rows = _by_step(
        connection,
        window,
        parts_of(connection, window),
        "reading",
        lambda part: (_OF_TICKS if part.tier is TIERS[0] else _OF_MORE)[reading],
        chosen,
        "series",
    )
    found = _gathered(rows, chosen, _JOINED[reading])
    if reading == "mean":
        return _ratios(window, found)
    return {
        number: [values[step][0] if step in values else None for step in _steps(window)]
        for number, values in found.items()
    }


def _steps(window: Window) -> range:
    """Which steps since the epoch."""
    first = window.start_ms // window.step_ms
    return range(first, first + window.steps)


def _seconds(connection: Connection, window: Window, parts: list[Part]) -> list[tuple[int, float]]:
    """How many seconds of each step are known."""
    known: dict[int, float] = {}
    for part in parts:
        for step, length in covered_seconds(connection, part, window.step_ms):
            known[step] = known.get(step, 0.0) + length
    return [(step, known.get(step, 0.0)) for step in _steps(window)]


def _ratios(window: Window, found: Mapping[int, Mapping[int, Pair]]) -> dict[int, Values]:
    """The first of each pair by the second, where that is not 0."""
    nothing = (0.0, 0.0)
    return {
        number: [
            pair[0] / pair[1] if (pair := sums.get(step, nothing))[1] else None
            for step in _steps(window)
        ]
        for number, sums in found.items()
    }


def _by_step(  # noqa: PLR0917 - each is of another type
    connection: Connection,
    window: Window,
    parts: list[Part],
    what: str,
    columns: Callable[[Part], str],
    chosen: Sequence[int],
    series: str,
) -> Iterator[tuple[int, int, float, float]]:
    """Which series, which step since the epoch, and two columns of it; earlier tiers first."""
    if not chosen:
        return
    for pieces in stretches(window, parts, _ROWS_AT_ONCE // len(chosen)):
        for piece in pieces:
            where, values = place(piece, chosen)
            yield from connection.execute(
                f"SELECT {series}, at / ?, {columns(piece)} FROM {what}_{piece.tier.name} "
                f"WHERE {where} GROUP BY 1, 2",
                (window.step_ms, *values),
            )


def _gathered(
    rows: Iterator[tuple[int, int, float, float]],
    numbers: Sequence[int],
    joined: Callable[[Pair, Pair], Pair],
) -> dict[int, dict[int, Pair]]:
    """The pairs of each series by step; two tiers may each know a part of a step."""
    found: dict[int, dict[int, Pair]] = {number: {} for number in numbers}
    for number, step, first, second in rows:
        steps = found[number]
        pair = (first, second)
        steps[step] = joined(steps[step], pair) if step in steps else pair
    return found


def _added(one: Pair, later: Pair) -> Pair:
    return one[0] + later[0], one[1] + later[1]


_JOINED: Final[Mapping[Reading, Callable[[Pair, Pair], Pair]]] = {
    "mean": _added,
    "low": min,
    "high": max,
    "last": lambda _, later: later,
}
