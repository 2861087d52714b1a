"""Rows of a timeline, on each of which spans nest and never cross.

Viewers of the Trace Event Format draw what is on one thread as a stack, so there of two events
either one lies within the other or they do not touch ("Duration Events" may only nest; Perfetto's
FAQ, "Why are overlapping events in JSON traces not displayed correctly?"). The spans of asyncio's
tasks cross on their thread, so a thread has as many rows as that takes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

__all__ = ["MOST_ROWS", "Lying", "Row", "Rows"]

MOST_ROWS: Final = 64
"""Rows of one thread; what fits on none of them has to be shown in another way."""

_MOST_THREADS: Final = 256
"""Threads whose rows are remembered; one that was quiet for longest gets new ones."""
_MOST_INTERVALS: Final = 1024
"""What is remembered of a row; past it the oldest two become one, gap and all."""


class Row(NamedTuple):
    """Where a span goes: the row's number in the file, and which of its thread's it is.

    ``is_new`` is whether it was not there before. ``start`` and ``end`` are the span's, as it is to
    be drawn.
    """

    number: int
    place: int
    is_new: bool
    start: int
    end: int


class _Row:
    """What lies on one row: intervals apart from each other, in order, and no more than those."""

    __slots__ = ("intervals", "number", "trace_id")

    def __init__(self) -> None:
        self.number = 0
        self.trace_id = 0
        self.intervals: list[tuple[int, int]] = []

    @property
    def is_new(self) -> bool:
        """Whether nothing was ever put here."""
        return self.number == 0

    def put(self, start: int, end: int, slack: int) -> tuple[int, int] | None:
        """Put an interval here, its ends moved by ``slack`` at most where that is needed.

        ``None`` where it would cross another, or might: within one that came earlier, as nothing
        is known of what lies there.
        """
        found = self.intervals
        # Those that it touches in more than a point.
        after = len(found)
        while after and found[after - 1][0] >= end:
            after -= 1
        first = after
        while first and found[first - 1][1] > start:
            first -= 1
        if first < after and found[after - 1][1] > end:
            last_start, last_end = found[after - 1]
            if last_end - end <= slack and start - last_start <= slack:
                start, end = min(start, last_start), last_end
            elif last_start >= start and end - last_start <= slack:
                end, after = last_start, after - 1
            else:
                return None
        if first < after and found[first][0] < start:
            early, past = start - found[first][0], found[first][1] - start
            if past <= min(slack, early):
                start, first = found[first][1], first + 1
            elif early <= slack:
                start = found[first][0]
            else:
                return None
        found[first:after] = [(start, end)]
        if len(found) > _MOST_INTERVALS:
            found[:2] = [(found[0][0], found[1][1])]
        return start, end


class Lying(NamedTuple):
    """A span, as far as rows have to do with it. ``thread`` is the thread's number and name."""

    thread: tuple[int, str]
    trace_id: int
    start: int
    end: int


class Rows:
    """Finds for each span a row of its thread.

    Spans that are written together are planned together, so that each trace has a row of its own
    for as long as it goes on; where its spans cross each other, they go where they do not.

    Args:
        slack: how far an end of a span may be moved, so that two do not cross that nearly nest.
    """

    def __init__(self, *, slack: int = 0) -> None:
        self._slack = slack
        self._threads: OrderedDict[tuple[int, str], list[_Row]] = OrderedDict()
        self._planned: dict[tuple[tuple[int, str], int], int] = {}
        self._last = 0

    def plan(self, spans: Iterable[Lying]) -> None:
        """Choose rows for the traces of these spans, which are given to :meth:`find` next."""
        extents: dict[tuple[int, str], dict[int, tuple[int, int]]] = {}
        for thread, trace_id, start, end in spans:
            of_thread = extents.setdefault(thread, {})
            before = of_thread.get(trace_id, (start, end))
            of_thread[trace_id] = (min(before[0], start), max(before[1], end))
        self._planned = {
            (thread, trace_id): place
            for thread, of_thread in extents.items()
            for trace_id, place in _places(of_thread, self._threads.get(thread, ())).items()
        }

    def find(self, span: Lying) -> Row | None:
        """The row for a span; ``None`` where each of the :data:`MOST_ROWS` would be crossed.

        Of those that nest the inner ones have to come first.
        """
        thread, trace_id, start, end = span
        rows = self._threads.setdefault(thread, [])
        self._threads.move_to_end(thread)
        while len(self._threads) > _MOST_THREADS:
            self._threads.popitem(last=False)
        planned = self._planned.get((thread, trace_id), 0)
        while len(rows) <= planned:
            rows.append(_Row())
        for place in _order(rows, planned):
            row = rows[place]
            where = row.put(start, end, self._slack)
            if where is not None:
                return self._found(row, place, trace_id, where)
        if len(rows) == MOST_ROWS:
            return None
        row = _Row()
        row.put(start, end, 0)
        rows.append(row)
        return self._found(row, len(rows) - 1, trace_id, (start, end))

    def _found(self, row: _Row, place: int, trace_id: int, where: tuple[int, int]) -> Row:
        is_new = row.is_new
        if is_new:
            self._last += 1
            row.number = self._last
        row.trace_id = trace_id
        return Row(row.number, place, is_new, *where)


def _order(rows: Sequence[_Row], first: int) -> Iterator[int]:
    """In which order rows are tried; those in use come before those that nothing is on yet."""
    yield first
    others = (place for place in range(len(rows)) if place != first)
    yield from sorted(others, key=lambda place: rows[place].is_new)


def _places(extents: Mapping[int, tuple[int, int]], rows: Sequence[_Row]) -> dict[int, int]:
    """A row for each trace of a thread: where it was before, else one that is free so long."""
    known = {row.trace_id: place for place, row in enumerate(rows)}
    taken: dict[int, list[tuple[int, int]]] = {}
    for trace_id in extents.keys() & known.keys():
        taken.setdefault(known[trace_id], []).append(extents[trace_id])
    found: dict[int, int] = {}
    free_from: list[int] = []
    for trace_id, (start, end) in sorted(extents.items(), key=lambda one: one[1]):
        if trace_id in known:
            found[trace_id] = known[trace_id]
            continue
        for place in range(MOST_ROWS):
            if place == len(free_from):
                free_from.append(start)
            crossed = (one[0] < end and start < one[1] for one in taken.get(place, ()))
            if free_from[place] <= start and not any(crossed):
                found[trace_id], free_from[place] = place, end
                break
    return found
