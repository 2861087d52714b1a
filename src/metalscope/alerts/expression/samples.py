"""What expressions look at, sampled from snapshot to snapshot and kept as long as they need it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final

from metalscope.alerts.expression.ast import Selector
from metalscope.alerts.expression.keys import Keys
from metalscope.alerts.expression.moment import Vector, milliseconds
from metalscope.alerts.expression.reading import Reading, Readings
from metalscope.alerts.expression.series import ALWAYS, NEVER, Series
from metalscope.alerts.expression.shelf import Shelf
from metalscope.alerts.expression.wanted import LOOKBACK, wanted

if TYPE_CHECKING:
    from metalscope.alerts.expression.compiled import Expression
    from metalscope.alerts.storing import SampleRow
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["MOST_SAMPLES", "Samples"]

MOST_SAMPLES: Final = 8_000_000
"""Samples in memory, of 8 bytes, or 16 of counters; 1000 series over a day are 5.8 million."""

_TIDY_EVERY: Final = 64
"""Samplings between two times that what is too old is let go; it costs a look at each series."""


class Samples:
    """The series that some expressions look at, over the time they look back.

    Moments are kept in whole ms. Series past ``max_series``, and those for which
    :data:`MOST_SAMPLES` have no room, are not kept, and each value not kept is counted in
    ``overflowed``. ``interval`` is the time between two samplings, in s. For one thread at a time.
    """

    def __init__(
        self,
        expressions: Iterable[Expression],
        *,
        max_series: int = 20_000,
        interval: float = 15.0,
    ) -> None:
        self._wanted = needs = wanted(expression.node for expression in expressions)
        self._shelves = {name: Shelf(name, need) for name, need in needs.items()}
        self._readings = Readings(needs)
        self._longest_ms = milliseconds(max((need.seconds for need in needs.values()), default=0.0))
        self._lookback_ms = milliseconds(max(LOOKBACK, interval))
        self._interval = interval
        self._max_series = max_series
        self._series = 0
        self._room = MOST_SAMPLES
        self._times: list[int] = []
        self._base = 0
        self._started: int | None = None
        self._epoch = 0
        self._turns = 0
        self._known: tuple[int, dict[str, Vector]] = (0, {})
        self.overflowed = 0

    # -- filling ---------------------------------------------------------------------------------

    @property
    def latest(self) -> float | None:
        """When the latest sample was taken, in s since the epoch."""
        return self._times[-1] / 1000 if self._times else None

    def earliest_needed(self, at: float) -> float:
        """The moment, in s, before which no sample is needed any more at ``at``."""
        needed = milliseconds(at) - self._longest_ms
        # The one before is where the window begins.
        place = bisect_right(self._times, needed) - 1
        return self._times[place] / 1000 if place >= 0 else needed / 1000

    def take(self, snapshot: MetalTelemetrySnapshot) -> Sequence[SampleRow]:
        """Sample a snapshot; returns what is worth keeping past the end of the process.

        Samples that lie after the snapshot's moment, as the clock was set back, are let go. What
        counters counted meanwhile is not lost by that, and not counted twice. A moment that was
        sampled already is not sampled again.
        """
        at = milliseconds(snapshot.timestamp.timestamp())
        started = milliseconds(snapshot.started_at.timestamp())
        if self._times and at == self._times[-1]:
            return ()
        if self._times and at < self._times[-1]:
            self._forget_from(at)
        rows = self._sample(at, started, self._readings.of(snapshot), keep=True)
        if not self._longest_ms:
            return ()
        # How often the clock was set back tells which rows of a moment came later. That there were
        # none besides is worth knowing too.
        return [(f"[{self._turns}]", at / 1000, started / 1000), *rows]

    def restore(self, rows: Iterable[SampleRow]) -> None:
        """Take what an earlier process sampled, in the order of time, before anything else.

        Rows that no expression asks for, and what is no such row, are passed over.
        """
        keys = Keys(self._wanted)
        for at, group in groupby(rows, key=lambda row: row[1]):
            readings: list[Reading] = []
            started, turn = self._started or 0, self._turns
            for key, _, value in group:
                found = keys.read(key)
                if isinstance(found, int):
                    started, turn = milliseconds(value), found
                elif found is not None:
                    readings.append((*found[:2], [(found[2], value)]))
            # What was sampled before the clock was set back, of a time that came again.
            outdated = turn < self._turns or (self._times and milliseconds(at) <= self._times[-1])
            if not outdated:
                self._turns = turn
                self._sample(milliseconds(at), started, readings, keep=False)

    def _sample(
        self, at: int, started: int, readings: Iterable[Reading], *, keep: bool
    ) -> list[SampleRow]:
        if started != self._started:
            # Of several processes told as one, one may end, and they all began at another time.
            self._epoch += not self._times or started >= self._times[-1]
            self._started = started
        # A counter that appears now counted from 0 on: it was not there at the sampling before. At
        # the very first that is known only of those that began with the process.
        appeared = ALWAYS if self._times else started
        sampling = self._base + len(self._times)
        self._times.append(at)
        self._known = (0, {})
        seconds = at / 1000
        rows: list[SampleRow] = []
        for name, names, readings_of_name in readings:
            shelf = self._shelves[name]
            known = shelf.of(names)
            epoch = 0 if shelf.from_boot else self._epoch
            kept = keep and shelf.needs.seconds > 0
            for values, value in readings_of_name:
                if value != value:  # noqa: PLR0124 - NaN says nothing, so it is no sample
                    continue
                series = known.get(values)
                if series is None:
                    since = NEVER if shelf.from_boot else appeared
                    series = self._new(shelf, names, values, sampling, since)
                    if series is None:
                        continue
                series.append(sampling, value, epoch)
                if kept:
                    rows.append((series.key, seconds, value))
        if sampling % _TIDY_EVERY == 0:
            self._tidy(at)
        return rows

    def _new(
        self, shelf: Shelf, names: tuple[str, ...], values: tuple[str, ...], first: int, since: int
    ) -> Series | None:
        need = self._space(shelf)
        if self._series >= self._max_series or need > self._room:
            self.overflowed += 1
            return None
        self._series += 1
        self._room -= need
        return shelf.add(names, values, first, since)

    def _space(self, shelf: Shelf) -> int:
        return int(shelf.needs.seconds / self._interval) + _TIDY_EVERY

    # -- forgetting ------------------------------------------------------------------------------

    def _forget_from(self, at: int) -> None:
        """The clock was set back: nothing is known of what is to come."""
        self._turns += 1
        keep = bisect_left(self._times, at)
        del self._times[keep:]
        for shelf in self._shelves.values():
            for series in shelf:
                series.forget_from(self._base + keep, is_first=not keep)

    def _tidy(self, at: int) -> None:
        for shelf in self._shelves.values():
            first = self._base + self._before(at - milliseconds(shelf.needs.seconds))
            gone = set()
            for series in shelf:
                is_dead = series.end <= first
                series.forget(first)
                # A counter that goes on after an absence must be known by what it was.
                if is_dead and not (shelf.needs.counted and not shelf.restarts):
                    gone.add(series.labels)
            if gone:
                shelf.remove(gone)
                self._series -= len(gone)
                self._room += len(gone) * self._space(shelf)
        old = self._before(at - self._longest_ms)
        del self._times[:old]
        self._base += old

    def _before(self, moment: int) -> int:
        """The place of the last sampling at or before a moment, or of the first there is."""
        return max(0, bisect_right(self._times, moment) - 1)

    # -- asking ----------------------------------------------------------------------------------

    def select(self, text: str, node: Selector) -> Sequence[Series]:
        """The series a selector means, of all times; ``text`` is the selector's own."""
        shelf = self._shelves.get(node.metric)
        return shelf.select(text, node.matchers) if shelf is not None else ()

    def known_at(self, at: int) -> dict[str, Vector]:
        """A place for what was found at a moment, in ms; empty at another, and with new samples."""
        if self._known[0] != at:
            self._known = at, {}
        return self._known[1]

    def sampling_at(self, at: int, *, back: bool) -> int | None:
        """The number of the last sampling at or before ``at``, in ms.

        With ``back`` it must not be older than Prometheus looks back.
        """
        place = bisect_right(self._times, at) - 1
        if place < 0 or (back and self._times[place] < at - self._lookback_ms):
            return None
        return self._base + place

    def window(self, begin: int, end: int) -> tuple[int, int, int]:
        """Numbers of samplings for the time from ``begin`` to ``end``, in ms, both included.

        The last one at or before ``begin``, the first in the window, and the first after it.
        """
        times, base = self._times, self._base
        low = bisect_left(times, begin)
        before = low if low < len(times) and times[low] == begin else low - 1
        return base + before, base + low, base + bisect_right(times, end)
