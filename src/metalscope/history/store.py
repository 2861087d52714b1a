"""The open file: one commit a tick, kept within its time and its size."""

# ruff: noqa: S608 - what is put into SQL are the names of our own tables and columns

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from metalscope.history.differences import Label, ReadingOfOne, Tick
from metalscope.history.facts import CUSTOM
from metalscope.history.figures import ReadingFigures
from metalscope.history.retention import (
    forget,
    forget_misdated,
    forget_oldest,
    forget_unused_series,
)
from metalscope.history.schema import ALL, HOUR_MS, MINUTE_MS, OPERATION, READING, TIERS
from metalscope.history.tiers import Stretch, fold, insert_tick
from metalscope.moments import microseconds
from metalscope.sqlite_file.committing import OpenFile
from metalscope.sqlite_file.opening import OwnFile

if TYPE_CHECKING:
    from metalscope.health_options import HistoryOptions

__all__ = ["Store", "run_of"]

_DAY_MS: Final = 24 * HOUR_MS
_SETTLED_SECONDS: Final = 600.0
"""What a clock says of the past's age is believed after it has run even for so long."""
_JUMP_SECONDS: Final = 60.0
_NO_LABEL: Final = ("", "", "")


class Store:
    """One connection that writes. Not safe under threads: one at a time.

    Args:
        file: which.
        options: how long and how much of it is kept.
        elapsed: seconds that only ever grow.

    Raises:
        ConfigurationError, DamagedFileError, sqlite3.Error: as
            :func:`~metalscope.sqlite_file.opening.open_for_writing`.
    """

    def __init__(
        self, file: OwnFile, options: HistoryOptions, *, elapsed: Callable[[], float]
    ) -> None:
        self._options = options
        self._elapsed = elapsed
        self._keep_ms = [
            int(keep.total_seconds() * 1000)
            for keep in (options.keep_ticks, options.keep_minutes, options.keep_hours)
        ]
        self.overflowed = 0
        """Operations and readings left out of a tick since ``max_series`` others are kept."""
        self._file = OpenFile(file, options.max_bytes)
        self._connection = self._file.connection
        self._series: dict[tuple[str, Label], int] = {}
        self._ceilings: dict[int, float | None] = {}
        self._custom = 0
        try:
            self._load_series()
        except BaseException:
            self._file.abandon()
            raise
        self._kept_minute = self._kept_hour = -1
        self._even_since: tuple[int, float] | None = None
        self._last: tuple[int, float] | None = None

    # -- writing -----------------------------------------------------------------------------

    @property
    def is_in_place(self) -> bool:
        """Whether the file that is open is still the one of its name."""
        return self._file.is_in_place

    def run(self) -> str | None:
        """Whose counts were written last, as :meth:`commit` was told."""
        row = self._connection.execute("SELECT value FROM about WHERE key = 'run'").fetchone()
        return None if row is None else str(row[0])

    def commit(self, tick: Tick, *, run: str) -> None:
        """Write one tick, all of it or nothing. ``run`` is whose counts it is made of.

        Raises:
            sqlite3.Error, DamagedRowError: nothing of it is written.
        """
        known, ceilings, custom = dict(self._series), dict(self._ceilings), self._custom
        try:
            self._file.in_transaction(self._write, tick, run)
        except BaseException:
            self._series, self._ceilings, self._custom = known, ceilings, custom
            raise

    def keep_limits(self, now: datetime) -> None:
        """Forget what is past its time, and what there is no more room for.

        Raises:
            sqlite3.Error: it could not be written; what was committed is there.
        """
        at = _milliseconds(now)
        if self._has_settled(at):
            self._keep_to_time(at)
        self._file.keep_to_size(self._forget_some)

    def close(self) -> None:
        """Put the log into the file and let go of it."""
        self._file.close()

    def abandon(self) -> None:
        """Let go of the file as it is."""
        self._file.abandon()

    # -- inside ------------------------------------------------------------------------------

    def _write(self, tick: Tick, run: str) -> None:
        at = _milliseconds(tick.timestamp)
        operations = {self._series_of_all(): tick.everything}
        # Readings first: a program has a fixed number of them, and any number of operations.
        readings = self._readings(tick.readings)
        busiest_first = sorted(tick.operations.items(), key=lambda one: -one[1].operations)
        for label, figures in busiest_first:
            series = self._series_of(OPERATION, label)
            if series is not None:
                operations[series] = figures
        readings.update(self._readings(tick.custom))
        insert_tick(self._connection, Stretch(at, 1, tick.seconds, operations, readings))
        self._connection.execute(
            "INSERT INTO about(key, value) VALUES ('run', ?) "
            "ON CONFLICT(key) DO UPDATE SET value = excluded.value WHERE value <> excluded.value",
            (run,),
        )
        fold(self._connection, at)

    def _readings(self, readings: Mapping[Label, ReadingOfOne]) -> dict[int, ReadingFigures]:
        return {
            series: ReadingFigures.of_one(reading.value)
            for label, reading in readings.items()
            if (series := self._series_of_reading(label, reading)) is not None
        }

    def _series_of_reading(self, label: Label, reading: ReadingOfOne) -> int | None:
        series = self._series_of(READING, label, reading.unit)
        if series is not None and self._ceilings.get(series) != reading.limit:
            self._connection.execute(
                "UPDATE series SET ceiling = ? WHERE id = ?", (reading.limit, series)
            )
            self._ceilings[series] = reading.limit
        return series

    def _series_of_all(self) -> int:
        # It is no series of its own, so it is there before the first of them is.
        return self._series.get((ALL, _NO_LABEL)) or self._make_series(ALL, _NO_LABEL, "")

    def _series_of(self, what: str, label: Label, unit: str = "") -> int | None:
        """The number of a series, made where there is room for one more."""
        series = self._series.get((what, label))
        if series is not None:
            return series
        kind, name, device = label
        stored = _storable(kind), _storable(name), _storable(device)
        if stored != label:
            return self._series_of(what, stored, unit)
        if len(self._series) > self._options.max_series or (
            kind == CUSTOM and what == READING and self._has_half_of_custom()
        ):
            self.overflowed += 1
            return None
        return self._make_series(what, label, unit)

    def _has_half_of_custom(self) -> bool:
        """Whether the program's own metrics have as much of the room as they may: of those there
        may be more than of all else, and operations that come later must find a place.
        """
        return 2 * self._custom >= self._options.max_series

    def _make_series(self, what: str, label: Label, unit: str) -> int:
        made = self._connection.execute(
            "INSERT INTO series(what, kind, name, device, unit) VALUES (?, ?, ?, ?, ?)",
            (what, *label, unit),
        )
        assert made.lastrowid is not None  # noqa: S101 - for the type checker
        self._series[what, label] = made.lastrowid
        self._custom += what == READING and label[0] == CUSTOM
        return made.lastrowid

    def _load_series(self) -> None:
        rows = self._connection.execute(
            "SELECT id, what, kind, name, device, ceiling FROM series"
        ).fetchall()
        self._series = {(what, tuple(label)): series for series, what, *label, _ in rows}
        self._ceilings = {series: ceiling for series, *_, ceiling in rows}
        self._custom = sum(what == READING and kind == CUSTOM for _, what, kind, *_ in rows)

    def _keep_to_time(self, at: int) -> None:
        if self._kept_minute != at // MINUTE_MS:
            self._kept_minute = at // MINUTE_MS
            self._file.in_transaction(forget, self._connection, TIERS[0], at - self._keep_ms[0])
        # The other tiers' rows lie all over the file, so theirs is done seldom.
        if self._kept_hour != at // HOUR_MS:
            self._kept_hour = at // HOUR_MS
            self._file.in_transaction(self._forget_by_the_hour, at)
            self._load_series()

    def _forget_by_the_hour(self, at: int) -> None:
        for tier, keep in zip(TIERS[1:], self._keep_ms[1:], strict=True):
            forget(self._connection, tier, at - keep)
        forget_misdated(self._connection, (at + _DAY_MS) // HOUR_MS * HOUR_MS)
        forget_unused_series(self._connection)

    def _has_settled(self, at: int) -> bool:
        """Whether the clock has run even for some time: one that was wrong for a moment must not
        have the past forgotten.
        """
        elapsed = self._elapsed()
        last, self._last = self._last, (at, elapsed)
        if last is None or abs((at - last[0]) / 1000 - (elapsed - last[1])) > _JUMP_SECONDS:
            self._even_since = self._last
        assert self._even_since is not None  # noqa: S101 - for the type checker
        return elapsed - self._even_since[1] >= _SETTLED_SECONDS

    def _forget_some(self) -> bool:
        if not self._has_rows():
            return False
        forget_oldest(self._connection)
        return True

    def _has_rows(self) -> bool:
        tables = " UNION ALL ".join(f"SELECT at FROM covered_{tier.name}" for tier in TIERS)
        return self._connection.execute(f"SELECT 1 FROM ({tables}) LIMIT 1").fetchone() is not None


def _milliseconds(moment: datetime) -> int:
    return max(0, microseconds(moment) // 1000)


def _storable(text: str) -> str:
    """The text; where it holds halves of a character, which UTF-8 cannot have, with their codes."""
    return text.encode("utf-8", "backslashreplace").decode()


def run_of(started_at: datetime) -> str:
    """How a run of the program is told from another."""
    return str(microseconds(started_at))
