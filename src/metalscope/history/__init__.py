"""The past, kept in one SQLite file: each tick for a while, then by the minute, then by the hour.

:class:`History` is what one process writes with, and reads with from any of its threads.
:class:`HistoryReader` reads the same file from anywhere, while it is being written::

    history = History(HistoryOptions(path=...), on_error=...)   # ConfigurationError if unusable
    history.append(snapshot)                                    # returns at once, never raises
    reader = History.open_readonly(path)

    reader.keys() -> tuple[SeriesKey, ...]
    reader.series(key, since, until, step, reading="mean") -> metalscope.forecast.base.Series
    reader.many(keys, since, until, step) -> tuple[Series, ...]
    reader.quantiles(keys, 0.99, since, until, step) -> tuple[Series, ...]
    reader.durations(keys, since, until, step) -> StepDurations
    reader.readings() -> dict[SeriesKey, ReadingFacts]
    reader.outcomes(since, until, step, "execute:attention*") -> tuple[Outcomes, ...]
    reader.operations(since, until) -> tuple[OperationTotals, ...]
    reader.limit(key) -> float | None
    reader.span() -> tuple[datetime, datetime] | None

``SeriesKey("operations")`` is all operations together, ``SeriesKey("operations", "execute",
"matmul", "m1")`` those of one name, ``SeriesKey("resource", "memory", "active", "m1")`` a reading,
``SeriesKey("resource", "custom", 'queue_length{queue="a"}')`` a metric of the program's own.
Reading raises :class:`HistoryError` where the file cannot be read.
"""

from metalscope.history.facts import (
    HistoryError,
    OperationTotals,
    Outcomes,
    ReadingFacts,
    SeriesKey,
    StepDurations,
)
from metalscope.history.history import History
from metalscope.history.reading import HistoryReader

__all__ = [
    "History",
    "HistoryError",
    "HistoryReader",
    "OperationTotals",
    "Outcomes",
    "ReadingFacts",
    "SeriesKey",
    "StepDurations",
]
