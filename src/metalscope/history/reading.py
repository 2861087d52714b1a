"""Reading the past: from any thread of any process, while it is written."""

# ruff: noqa: S608 - what is put into SQL are the names of our own tables and columns

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from metalscope.forecast.base import Series
from metalscope.history.answers import (
    Reading,
    covered_seconds,
    finest,
    operation_rows,
    operations_chosen,
    values_of,
    what_of,
)
from metalscope.history.facts import (
    HistoryError,
    Measure,
    OperationTotals,
    Outcomes,
    SeriesKey,
)
from metalscope.history.figures import DamagedRowError, OperationFigures
from metalscope.history.schema import ALL, READING, TIERS
from metalscope.history.windows import Window, parts_of
from metalscope.moments import moment
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

    def keys(self) -> tuple[SeriesKey, ...]:
        """Every series that is kept, in order; those of all operations together first."""
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT what, kind, name, device FROM series ORDER BY what, kind, name, device"
            ).fetchall()
        keys = []
        for what, *label in rows:
            measures = ("resource",) if what == READING else _MEASURES
            keys += [SeriesKey(measure, *label) for measure in measures]
        # "all" comes before "operation" and "reading".
        return tuple(keys)

    def limit(self, key: SeriesKey) -> float | None:
        """What a reading cannot pass, in its unit, as last told; ``None`` where no one says."""
        with self._reading() as connection:
            row = connection.execute(
                "SELECT ceiling FROM series WHERE what = ? AND kind = ? AND name = ? "
                "AND device = ?",
                (what_of(key), key.kind, key.name, key.device),
            ).fetchone()
        return None if row is None or row[0] is None else float(row[0])

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
        window = Window.of(since, until, step)
        with self._reading() as connection:
            values = values_of(connection, window, key, reading)
        return Series(window.start_ms / 1000, window.step_ms / 1000, values)

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
        totals: dict[int, OperationFigures] = {}
        with self._reading() as connection:
            labels = {
                series: (what, kind, name, device)
                for series, what, kind, name, device in connection.execute(
                    "SELECT id, what, kind, name, device FROM series WHERE what <> ?", (READING,)
                )
            }
            for part in finest(connection, since, until):
                for _, series, figures in operation_rows(connection, part, list(labels)):
                    totals.setdefault(series, OperationFigures()).add(figures)
        ordered = sorted(
            totals.items(), key=lambda one: (labels[one[0]][0] != ALL, -one[1].operations)
        )
        return tuple(
            OperationTotals(
                *labels[series][1:],
                one.operations, one.errors, one.timed, one.busy_ns, one.at_least_ns,
                one.at_most_ns, one.nbytes, one.gpu_ns, one.gpu_count,
            )
            for series, one in ordered
        )  # fmt: skip

    def covered(self, since: datetime, until: datetime) -> float:
        """How many seconds of that time telemetry ran."""
        with self._reading() as connection:
            return sum(
                seconds
                for part in finest(connection, since, until)
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
