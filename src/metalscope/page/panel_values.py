"""What a panel shows: the answers to its series, put together."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from math import inf, isfinite
from typing import TYPE_CHECKING, Final

from metalscope.page.labels import label_of, label_of_answer
from metalscope.page.source import (
    Durations,
    Line,
    Lines,
    PageSource,
    SourceError,
    TimeRange,
    Wanted,
)

if TYPE_CHECKING:
    from metalscope.page.panels import Panel, Series

__all__ = ["durations_of", "lines_of"]

_MOST_LINES: Final = 200
"""Of a panel; also the most a source is asked for."""


def lines_of(
    panel: Panel, source: PageSource, within: TimeRange, *, host: str
) -> tuple[Lines, tuple[str, ...]]:
    """The lines of all series of a panel, or of its query, with a label for each."""
    if panel.query is not None:
        answer = source.query(panel.query, within, limit=panel.limit)
        lines = tuple(replace(line, unit=panel.unit or line.unit) for line in answer.lines)
        labels = tuple(label_of_answer(line, otherwise=panel.title) for line in lines)
        return replace(answer, lines=lines), labels
    answers = [_lines_of_series(panel, one, source, within, host) for one in panel.series]
    start, step = _grid(
        [(one.start, one.step) for one in answers if one.lines]
        or [(answers[0].start, answers[0].step)]
    )
    shares = _shares([len(answer.lines) for answer in answers])
    several = len({one.measure for one in panel.series}) > 1
    shown: list[Line] = []
    labels_of_series: list[str] = []
    for one, answer, share in zip(panel.series, answers, shares, strict=True):
        for line in answer.lines[:share]:
            shown.append(_written(line, panel, one))
            labels_of_series.append(label_of(line, one, with_measure=several))
    there = sum(len(answer.lines) + answer.omitted for answer in answers)
    return Lines(start, step, tuple(shown), omitted=there - len(shown)), tuple(labels_of_series)


def _lines_of_series(
    panel: Panel, one: Series, source: PageSource, within: TimeRange, host: str
) -> Lines:
    if one.measure is None:
        # The panel's own check lets none through.
        raise ValueError(f"a series of the panel {panel.title!r} has no measure")
    wanted = Wanted(
        one.measure,
        by=one.by,
        kind=one.kind,
        name=one.name,
        device=one.device,
        host=host,
        # A step's growth is from the last total of one to the last of the next; and which grow
        # fastest is not known before all have been looked at.
        reading="last" if one.rate else one.reading,
        limit=_MOST_LINES if one.rate else panel.limit,
    )
    answer = source.lines(wanted, within)
    if not one.rate:
        return answer
    grown = [
        replace(line, values=_growth(line.values, answer.step), ceiling=None)
        for line in answer.lines
    ]
    grown.sort(key=_mean, reverse=True)
    omitted = answer.omitted + max(0, len(grown) - panel.limit)
    return replace(answer, lines=tuple(grown[: panel.limit]), omitted=omitted)


def _growth(totals: Sequence[float | None], step: float) -> list[float | None]:
    """Growth a second since the last total that is known; a counter that fell began again at 0."""
    growth: list[float | None] = []
    last: tuple[int, float] | None = None
    for at, total in enumerate(totals):
        if total is None or last is None:
            growth.append(None)
        else:
            more = total - last[1] if total >= last[1] else total
            growth.append(more / ((at - last[0]) * step))
        if total is not None:
            last = (at, total)
    return growth


def _mean(line: Line) -> float:
    known = [value for value in line.values if value is not None]
    return sum(known) / len(known) if known else -inf


def _written(line: Line, panel: Panel, one: Series) -> Line:
    """A line in the units of its panel."""
    # What a number is once it is multiplied only the panel can say.
    own = "" if one.scale != 1 else f"{line.unit}/s" if one.rate else line.unit
    if one.scale == 1:
        return replace(line, unit=panel.unit or own)
    return replace(
        line,
        unit=panel.unit or own,
        values=[_scaled(value, one.scale) for value in line.values],
        ceiling=_scaled(line.ceiling, one.scale),
    )


def _scaled(value: float | None, scale: float) -> float | None:
    # Past what a number can hold it is no number that could be drawn, or written as JSON.
    return value * scale if value is not None and isfinite(value * scale) else None


def _shares(counts: Sequence[int]) -> list[int]:
    """How many lines each of several series may show, so that all together do not pass the most."""
    ranked = sorted((rank, at) for at, count in enumerate(counts) for rank in range(count))
    shares = [0] * len(counts)
    for _, at in ranked[:_MOST_LINES]:
        shares[at] += 1
    return shares


def _grid(grids: list[tuple[float, float]]) -> tuple[float, float]:
    """Where the steps of all answers begin, and how long they are."""
    if any(grid != grids[0] for grid in grids):
        raise SourceError("the past was told in different steps within one panel; ask again")
    return grids[0]


def durations_of(panel: Panel, source: PageSource, within: TimeRange, *, host: str) -> Durations:
    """The durations of all series together; none is counted in a cell that it may not be in."""
    answers = [
        source.durations(
            Wanted("duration_ms", kind=one.kind, name=one.name, device=one.device, host=host),
            within,
        )
        for one in panel.series
    ]
    start, step = _grid([(one.start, one.step) for one in answers])
    edges = _shared_edges(answers)
    counts: dict[tuple[int, int], float] = {}
    for answer in answers:
        # A cell lies within the shared one that ends where it ends, or behind it.
        places = [bisect_left(edges, edge) for edge in answer.edges_ms] + [len(edges)]
        for at, cell, count in answer.cells:
            key = (at, places[cell])
            counts[key] = counts.get(key, 0) + count
    cells = tuple((at, cell, count) for (at, cell), count in sorted(counts.items()))
    return Durations(start, step, max(one.steps for one in answers), tuple(edges), cells)


def _shared_edges(answers: Sequence[Durations]) -> list[float]:
    """All edges, without those that lie within a cell that holds durations."""
    edges = sorted({edge for answer in answers for edge in answer.edges_ms})
    for answer in answers:
        bounds = (-inf, *answer.edges_ms, inf)
        for cell in {cell for _, cell, _ in answer.cells}:
            low, high = bounds[cell], bounds[cell + 1]
            edges = [edge for edge in edges if not low < edge < high]
    return edges
