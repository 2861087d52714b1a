"""The page's past from the history of one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from statistics import fmean
from typing import TYPE_CHECKING, Final

from metalscope.histogram import MIN_INDEX, SCALE, DurationHistogram
from metalscope.history.facts import CUSTOM, HistoryError, OperationTotals, SeriesKey, StepDurations
from metalscope.operation import NS_PER_MS
from metalscope.operation_patterns import operations_like
from metalscope.page.source import (
    QUANTILES,
    Described,
    Durations,
    HostState,
    Line,
    Lines,
    OperationRow,
    Operations,
    SourceError,
    TimeRange,
    Wanted,
)

if TYPE_CHECKING:
    from metalscope.forecast.base import Series
    from metalscope.history import HistoryReader
    from metalscope.history.facts import Measure as Kept

__all__ = ["HistorySource"]

_KEPT: Final[dict[str, Kept]] = {
    "operations": "operations",
    "errors": "errors",
    "error_rate": "error_rate",
    "duration_ms": "duration_ms",
}
_UNITS: Final = {"operations": "/s", "errors": "/s", "error_rate": "ratio"}


class HistorySource:
    """Answers the page from a history; see :class:`~metalscope.page.source.PageSource`.

    Steps are those of the history: longer than asked for where the past is not kept as finely from
    ``since`` on, and at least as long as two ticks, so that there are no gaps between them. Of more
    operations than ``limit``, quantiles are given of those whose quantile over the whole time is
    highest.

    Args:
        reader: of whichever process's history.
    """

    def __init__(self, reader: HistoryReader) -> None:
        self._reader = reader

    def describe(self) -> Described:
        """From when to when it knows something; where the file is, is for nobody afar to know."""
        with _told():
            first, last = self._reader.span() or (None, None)
        return Described("history", "", first, last)

    def lines(self, wanted: Wanted, within: TimeRange) -> Lines:
        """The lines that are wanted, the highest first. Readings are given each."""
        _of_one_process(wanted.host)
        with _told():
            within = self._kept(within)
            if wanted.measure in {"resource", "custom"}:
                found = self._readings(wanted, within)
            else:
                found = self._operations(wanted, within)
        return _highest(found, wanted.limit)

    def operations(self, since: datetime, until: datetime, *, host: str, limit: int) -> Operations:
        """What ran, the busiest first; steps do not matter to how exact it is."""
        _of_one_process(host)
        with _told():
            totals = self._reader.operations(since, until)
            covered = self._reader.covered(since, until)
        everything = [_row(one) for one in totals if not one.kind]
        rows = [_row(one) for one in totals if one.kind]
        return Operations(
            total=everything[0] if everything else None,
            rows=tuple(rows[:limit]),
            covered_seconds=covered,
            omitted=max(0, len(rows) - limit),
        )

    def durations(self, wanted: Wanted, within: TimeRange) -> Durations:
        """How long operations that went well took, in eight cells to each doubling."""
        _of_one_process(wanted.host)
        with _told():
            within = self._kept(within)
            keys = self._chosen(wanted)
            found = self._reader.durations(keys, within.since, within.until, within.step)
        counts = [one for one in _exponential(found) if one[2]]
        exponents = [exponent for _, exponent, _ in counts] or [MIN_INDEX]
        # So that the lowest cell has both edges, but for the one that begins at 0.
        first = max(min(exponents) - 1, MIN_INDEX)
        return Durations(
            start=found.start,
            step=found.step,
            steps=found.steps,
            edges_ms=tuple(2 ** (n / 2**SCALE) for n in range(first, max(exponents) + 1)),
            cells=tuple((step, exponent - first, count) for step, exponent, count in counts),
        )

    def hosts(self) -> tuple[HostState, ...]:
        """None: a history is of one process."""
        return ()

    def query(
        self,
        text: str,  # noqa: ARG002 - the protocol's
        within: TimeRange,  # noqa: ARG002 - as above
        *,
        limit: int,  # noqa: ARG002 - as above
    ) -> Lines:
        """Nothing: there is no language to ask a history in."""
        raise ValueError(
            "query: there is no query language for a history; choose a measure, or have the page "
            "read a Prometheus (server.page.source)"
        )

    # -- inside ------------------------------------------------------------------------------

    def _kept(self, within: TimeRange) -> TimeRange:
        step = self._reader.step_that_reaches(within.since, within.step)
        return replace(within, step=step)

    def _chosen(self, wanted: Wanted, within: TimeRange | None = None) -> list[SeriesKey]:
        """The operations that are wanted: as one series where that is all of them."""
        patterns = (wanted.kind, wanted.name, wanted.device)
        if within is None and all(pattern and not pattern.strip("*") for pattern in patterns):
            # It also counts those that were too many to be kept apart.
            return [SeriesKey("operations")]
        is_like = _like(wanted)
        keys = self._keys(within)
        return [key for key in keys if key.measure == "operations" and key.kind and is_like(key)]

    def _keys(self, within: TimeRange | None) -> Sequence[SeriesKey]:
        if within is None:
            return self._reader.keys()
        return self._reader.keys(within.since, within.until)

    def _readings(self, wanted: Wanted, within: TimeRange) -> _Found:
        is_like = _like(wanted)
        keys = [
            key
            for key in self._keys(within)
            if key.measure == "resource"
            and (key.kind == CUSTOM) == (wanted.measure == "custom")
            and is_like(key)
        ]
        facts = self._reader.readings()
        times = (within.since, within.until, within.step)
        found = self._reader.many(keys or [_ALL], *times, reading=wanted.reading)
        lines = []
        for key, series in zip(keys, found, strict=False):
            known = facts.get(key)
            line = _line(key, series, "" if known is None else known.unit)
            lines.append(replace(line, ceiling=None if known is None else known.limit))
        return found[0], lines, 0

    def _operations(self, wanted: Wanted, within: TimeRange) -> _Found:
        together = wanted.by != "operation"
        keys = self._chosen(wanted, None if together else within)
        omitted = 0
        quantile = QUANTILES.get(wanted.measure)
        times = (within.since, within.until, within.step)
        if quantile is None:
            measure = _KEPT[wanted.measure]
            keys = [replace(key, measure=measure) for key in keys]
            found = self._reader.many(keys or [_ALL], *times, together=together)
        else:
            if not together and len(keys) > wanted.limit:
                omitted = len(keys) - wanted.limit
                keys = self._slowest(keys, quantile, within)[: wanted.limit]
            found = self._reader.quantiles(keys or [_ALL], quantile, *times, together=together)
        unit = _UNITS.get(wanted.measure, "ms")
        named = [_ALL] if together and keys else keys
        lines = [_line(key, one, unit) for key, one in zip(named, found, strict=False)]
        return found[0], lines, omitted

    def _slowest(self, keys: list[SeriesKey], q: float, within: TimeRange) -> list[SeriesKey]:
        """The keys by a quantile over the whole time, the highest first."""
        quantiles = {
            (one.kind, one.name, one.device): one.quantile_ms(q) or 0.0
            for one in self._reader.operations(within.since, within.until)
        }
        return sorted(
            keys, key=lambda key: (-quantiles.get((key.kind, key.name, key.device), 0.0), key)
        )


_Found = tuple["Series", list[Line], int]
"""A series, for its steps; the lines; and how many there are beyond them."""

_ALL: Final = SeriesKey("operations")


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except HistoryError as error:
        raise SourceError(f"the history cannot be read: {error}") from error


def _of_one_process(host: str) -> None:
    if host:
        raise ValueError(f"host = {host!r}: must be empty, since a history is of one process")


def _exponential(found: StepDurations) -> Iterator[tuple[int, int, int]]:
    """Which step, which exponential bucket by the exponent of its upper bound, and its count."""
    by_step: dict[int, list[tuple[int, int]]] = {}
    for step, cell, count in found.cells:
        by_step.setdefault(step, []).append((cell, count))
    for step, cells in sorted(by_step.items()):
        buckets = DurationHistogram(tuple(cells)).exponential()
        yield step, MIN_INDEX, buckets.zero_count
        for exponent, count in enumerate(buckets.counts, buckets.offset + 1):
            yield step, exponent, count


def _like(wanted: Wanted) -> Callable[[SeriesKey], bool]:
    # As names, since only there a colon is nothing special.
    kind, name, device = (
        operations_like(f"*:{pattern}") for pattern in (wanted.kind, wanted.name, wanted.device)
    )
    return lambda key: kind("", key.kind) and name("", key.name) and device("", key.device)


def _line(key: SeriesKey, series: Series, unit: str) -> Line:
    return Line(series.values, kind=key.kind, name=key.name, device=key.device, unit=unit)


def _highest(found: _Found, limit: int) -> Lines:
    steps, lines, omitted = found

    def average(line: Line) -> float:
        known = [value for value in line.values if value is not None]
        return fmean(known) if known else float("-inf")

    ordered = sorted(lines, key=lambda line: (-average(line), line.kind, line.name, line.device))
    return Lines(
        start=steps.start,
        step=steps.step,
        lines=tuple(ordered[:limit]),
        omitted=omitted + max(0, len(ordered) - limit),
    )


def _row(one: OperationTotals) -> OperationRow:
    return OperationRow(
        kind=one.kind,
        name=one.name,
        device=one.device,
        operations=one.operations,
        errors=one.errors,
        failures=one.failures,
        mean_ms=one.average_ms,
        p50_ms=one.quantile_ms(0.5),
        p90_ms=one.quantile_ms(0.9),
        p95_ms=one.quantile_ms(0.95),
        p99_ms=one.quantile_ms(0.99),
        p999_ms=one.quantile_ms(0.999),
        max_ms=None if one.at_most_ns is None else one.at_most_ns / NS_PER_MS,
        nbytes=one.nbytes,
        gpu_ms=one.gpu_ns / one.gpu_count / NS_PER_MS if one.gpu_count else None,
    )
