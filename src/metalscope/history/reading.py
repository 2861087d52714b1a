"""Reading the past: from any thread of any process, while it is written."""

# ruff: noqa: S608 - what is put into SQL are the names of our own tables and columns

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import TYPE_CHECKING, Final

from metalscope.forecast.base import Series
from metalscope.history.answers import (
    Reading,
    covered_seconds,
    exactly,
    numbers_of,
    operation_rows,
    operations_chosen,
    series_within,
)
from metalscope.history.facts import (
    HistoryError,
    Measure,
    OperationTotals,
    Outcomes,
    ReadingFacts,
    SeriesKey,
    StepDurations,
)
from metalscope.history.figures import DamagedRowError, OperationFigures
from metalscope.history.schema import READING, TIERS
from metalscope.history.spread import cells_by_step, quantiles_of
from metalscope.history.steps import Values, values_of
from metalscope.history.totals import totals_of
from metalscope.history.windows import Window, parts_of, two_ticks, width_that_reaches
from metalscope.moments import microseconds, moment
from metalscope.sqlite_file.opening import connect_readonly

if TYPE_CHECKING:
    from sqlite3 import Connection

__all__ = ["HistoryReader"]

_MEASURES: Final[tuple[Measure, ...]] = ("operations", "errors", "duration_ms")


class HistoryReader:
    """Answers from the file at ``path``. Any thread may ask; nothing stays open between two calls.

    Each answer is of one moment, though the file is written meanwhile. All methods raise
    :class:`~metalscope.history.facts.HistoryError` where the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def keys(
        self, since: datetime | None = None, until: datetime | None = None
    ) -> tuple[SeriesKey, ...]:
        """Every series that is kept, in order; those of all operations together first. Of each
        operation there are ``operations``, ``errors`` and ``duration_ms``.

        Args:
            since, until: where both are given, only those of which something is known from
                ``since`` until before ``until``.
        """
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT id, what, kind, name, device FROM series ORDER BY what, kind, name, device"
            ).fetchall()
            if since is not None and until is not None:
                within = series_within(connection, since, until)
                rows = [row for row in rows if row[0] in within]
        keys = []
        for _, what, *label in rows:
            measures = ("resource",) if what == READING else _MEASURES
            keys += [SeriesKey(measure, *label) for measure in measures]
        # "all" comes before "operation" and "reading".
        return tuple(keys)

    def readings(self) -> dict[SeriesKey, ReadingFacts]:
        """Unit and limit of every reading that is kept, as last told."""
        found = {}
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT kind, name, device, unit, ceiling FROM series WHERE what = ?", (READING,)
            )
            for *label, unit, ceiling in rows:
                if type(ceiling) not in {int, float, NoneType}:
                    raise DamagedRowError(f"{ceiling!r} is no limit")
                found[SeriesKey("resource", *label)] = ReadingFacts(str(unit), ceiling)
        return found

    def limit(self, key: SeriesKey) -> float | None:
        """What a reading cannot pass, in its unit, as last told; ``None`` where no one says."""
        facts = self.readings().get(key)
        return None if facts is None else facts.limit

    def span(self) -> tuple[datetime, datetime] | None:
        """The first and the last moment of which something is known; ``None`` if there is none."""
        moments: list[int] = []
        with self._reading() as connection:
            for tier in TIERS:
                first, last = connection.execute(
                    f"SELECT MIN(at), MAX(at) FROM covered_{tier.name}"
                ).fetchone()
                if first is not None:
                    moments += (first, last)
        if not moments:
            return None
        return moment(min(moments) * 1000), moment(max(moments) * 1000)

    def series(
        self,
        key: SeriesKey,
        since: datetime,
        until: datetime,
        step: timedelta,
        *,
        reading: Reading = "mean",
    ) -> Series:
        """The values of one series from ``since`` until before ``until``.

        Steps begin at whole multiples of the step since the epoch. A step longer than a minute
        becomes whole minutes, one longer than an hour whole hours, rounded up, because that is how
        the past is kept. A value is ``None`` where telemetry did not run or the past is no longer
        kept as finely. An operation that did not run has a rate of 0 and no duration.

        Args:
            key: which.
            since: its step is the first.
            until: the last step holds the moment before it.
            step: time between two values.
            reading: which of the readings in a step of a ``resource``.

        Raises:
            ValueError: the step is not longer than zero, or ``until`` not after ``since``, or
                there would be more than 1,000,000 values.
        """
        return self.many([key], since, until, step, reading=reading)[0]

    def many(
        self,
        keys: Sequence[SeriesKey],
        since: datetime,
        until: datetime,
        step: timedelta,
        *,
        reading: Reading = "mean",
        together: bool = False,
    ) -> tuple[Series, ...]:
        """The values of many series, read at once, in the order of the keys; else as
        :meth:`series`.

        Args:
            keys: which.
            since, until, step, reading: as in :meth:`series`.
            together: answer with one series instead, of all these operations as one.

        Raises:
            ValueError: as :meth:`series`, or ``together`` is asked of readings, or of different
                measures.
        """
        window = Window.of(since, until, step)
        with self._reading() as connection:
            values = values_of(connection, window, keys, reading, together=together)
        return _as_series(window, values)

    def quantiles(
        self,
        keys: Sequence[SeriesKey],
        q: float,
        since: datetime,
        until: datetime,
        step: timedelta,
        *,
        together: bool = False,
    ) -> tuple[Series, ...]:
        """The ``q`` quantile, 0..1, in ms, of operations that went well and were timed in a step,
        in the order of the keys, whose measure does not count. ``None`` where there were none.

        Args:
            keys: which operations.
            q: the share of durations that are no longer.
            since, until, step: as in :meth:`series`.
            together: answer with one series instead, of all these operations as one.

        Raises:
            ValueError: as :meth:`series`, or ``q`` is outside 0..1.
        """
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"q must be between 0 and 1, not {q!r}")
        window = Window.of(since, until, step)
        with self._reading() as connection:
            values = quantiles_of(connection, window, q, keys, together=together)
        return _as_series(window, values)

    def durations(
        self, keys: Sequence[SeriesKey], since: datetime, until: datetime, step: timedelta
    ) -> StepDurations:
        """How long these operations took, all as one, step by step. Their measure does not count.

        Args:
            keys: which operations.
            since, until, step: as in :meth:`series`.

        Raises:
            ValueError: as :meth:`series`.
        """
        window = Window.of(since, until, step)
        with self._reading() as connection:
            numbers = list(numbers_of(connection, keys).values())
            cells = tuple(
                (number, cell, count)
                for _, number, cells in cells_by_step(connection, window, numbers, together=True)
                for cell, count in cells
            )
        return StepDurations(window.start_ms / 1000, window.step_ms / 1000, window.steps, cells)

    def step_that_reaches(self, since: datetime, step: timedelta) -> timedelta:
        """The shortest time, no shorter than ``step``, of which every one from ``since`` on has a
        value where telemetry ran.

        Two ticks are in it, since a tick is part of the step in which it ended. Of a time of which
        single ticks are forgotten it is at least a minute, and an hour where minutes are.
        """
        since_ms = microseconds(since) // 1000
        with self._reading() as connection:
            width = width_that_reaches(connection, since_ms)
            ticks = two_ticks(connection, since_ms)
        return max(step, timedelta(milliseconds=max(width, ticks)))

    def outcomes(
        self, since: datetime, until: datetime, step: timedelta, operation: str = "*"
    ) -> tuple[Outcomes, ...]:
        """How operations ended, step by step, oldest first; steps of which nothing is known, or in
        which none ended, are left out. Steps are those of :meth:`series`.

        Args:
            since, until, step: as in :meth:`series`.
            operation: as in :attr:`ObjectiveOptions.operation
                <metalscope.health_options.ObjectiveOptions.operation>`: ``kind:name`` with ``*``
                and ``?``, or a name alone. ``*`` holds those past ``max_series`` too.
        """
        window = Window.of(since, until, step)
        found: dict[int, OperationFigures] = {}
        with self._reading() as connection:
            chosen = operations_chosen(connection, operation)
            for part in parts_of(connection, window):
                for at, _, figures in operation_rows(connection, part, chosen):
                    number = (at - window.start_ms) // window.step_ms
                    found.setdefault(number, OperationFigures()).add(figures)
        return tuple(
            Outcomes(
                start=(window.start_ms + number * window.step_ms) / 1000,
                ok=one.operations - one.errors,
                failed=one.errors,
                errors=MappingProxyType(one.failures),
                durations=tuple(sorted(one.ok_cells.items())),
            )
            for number, one in sorted(found.items())
            if one.operations
        )

    def operations(self, since: datetime, until: datetime) -> tuple[OperationTotals, ...]:
        """What ran from ``since`` until before ``until``, as exactly as it is kept: all operations
        together first, then each, the busiest first.
        """
        with self._reading() as connection:
            return totals_of(connection, since, until)

    def covered(self, since: datetime, until: datetime) -> float:
        """How many seconds of that time telemetry ran."""
        with self._reading() as connection:
            return sum(
                seconds
                for part in exactly(connection, since, until)
                for _, seconds in covered_seconds(connection, part, 1)
            )

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A connection that sees one moment."""
        import sqlite3  # noqa: PLC0415 - only where a history is read

        connection = None
        try:
            connection = self._connect()
            connection.execute("BEGIN")
            yield connection
        except (sqlite3.Error, UnicodeDecodeError, DamagedRowError, OSError) as error:
            raise HistoryError(f"{self.path}: {error}") from error
        finally:
            if connection is not None:
                connection.close()

    def _connect(self) -> Connection:
        return connect_readonly(self.path)


def _as_series(window: Window, values: list[Values]) -> tuple[Series, ...]:
    return tuple(Series(window.start_ms / 1000, window.step_ms / 1000, one) for one in values)
