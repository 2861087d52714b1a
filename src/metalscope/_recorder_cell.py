"""The cells of the pure recorder: durations are appended, and added up a hundred at a time.

That is cheaper than finding a bucket each time, and exact under threads with and without a global
interpreter lock, because an append to a list is atomic in both. What has been added up is taken
off the front of the list by one thread at a time, under the cell's lock.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final

from metalscope._recorder_base import MAX_AMOUNT, Reading, Series
from metalscope.histogram import EDGES_NS
from metalscope.operation import OK

if TYPE_CHECKING:
    from metalscope._recorder_pure import Recorder

PENDING: Final = 127
"""How many durations a cell holds before they are added up: 5 kB, and no slower than with more."""

_ALL_EDGES: Final = (*EDGES_NS, MAX_AMOUNT)


Detail = tuple[int | None, int, int | None]
"""Duration, ``None`` where it was not timed; bytes; device time where it is known."""

_UNTIMED: Final[Detail] = (None, 0, None)


class Detailed(list[Detail]):
    """Operations not yet added up of which more is known than a duration, or not that."""

    __slots__ = ("cell",)

    def __init__(self, cell: Cell) -> None:
        self.cell = cell


class Cell(list[int]):
    """The counts of one series. As a list it holds the durations not yet added up.

    It closes by becoming of another class, whose ``append`` counts elsewhere. Under the global
    interpreter lock no thread can be between looking ``append`` up and calling it; without one it
    can, for that moment, and what it appends then is fetched by the next collection.
    """

    __slots__ = (
        "counts", "detailed", "gpu_count", "gpu_ns", "lock", "look_above_ns", "max_ns", "min_ns",
        "nbytes", "phase", "recorder", "series", "sum_ns", "untimed_count",
    )  # fmt: skip

    def __init__(self, recorder: Recorder, series: Series) -> None:
        self.recorder = recorder
        self.series = series
        self.look_above_ns = recorder.look_above_ns
        self.lock = threading.RLock()
        self.detailed = Detailed(self)
        # Replaced at each change, never changed, so that its identity tells whether one happened.
        self.counts: dict[int, int] = {}
        self.sum_ns = 0
        self.min_ns = MAX_AMOUNT
        self.max_ns = 0
        self.nbytes = 0
        self.gpu_ns = 0
        self.gpu_count = 0
        self.untimed_count = 0
        self.phase = 0.0

    def look(self, duration_ns: int) -> None:
        """Have an operation looked at that was just appended."""
        self.recorder.look_at(self, duration_ns)

    def untimed(self) -> None:
        """Count an operation that was not timed."""
        detailed = self.detailed
        detailed.append(_UNTIMED)
        if len(detailed) > PENDING:
            self.fold()
        if self.look_above_ns < 0:
            self.recorder.look_at(self, None)

    def failed(self, duration_ns: int | None, error: BaseException) -> None:
        """Count, in another cell, an operation that an exception ended."""
        recorder = self.recorder
        recorder.count(self.series, recorder.outcome_of(error), duration_ns, raised=error)

    def fold(self) -> None:
        """Add up what is pending."""
        with self.lock:
            counts = self.counts
            details = self.detailed[:]
            batch = self[:]
            plain = len(batch)
            nbytes = gpu_ns = gpu_count = untimed = 0
            if details:
                durations, sizes, times = zip(*details, strict=True)
                untimed = durations.count(None)
                batch += [one for one in durations if one is not None] if untimed else durations
                nbytes = sum(sizes)
                known = [time for time in times if time is not None]
                gpu_ns, gpu_count = sum(known), len(known)
            if not batch and not untimed:
                return
            batch.sort()
            folded = counts.copy()
            start = 0
            while start < len(batch):
                cell = bisect_left(_ALL_EDGES, batch[start])
                end = bisect_right(batch, _ALL_EDGES[cell], start)
                folded[cell] = folded.get(cell, 0) + end - start
                start = end
            sum_ns = sum(batch)
            low, high = (batch[0], batch[-1]) if batch else (MAX_AMOUNT, 0)
            # A signal handler that recorded may have folded all this meanwhile. From here on none
            # can: CPython runs handlers at calls and backward jumps only, and there are none.
            if self.counts is counts:
                self.counts = folded
                self.sum_ns += sum_ns
                if low < self.min_ns:  # noqa: PLR1730 - min() is a call
                    self.min_ns = low
                if high > self.max_ns:  # noqa: PLR1730
                    self.max_ns = high
                self.nbytes += nbytes
                self.gpu_ns += gpu_ns
                self.gpu_count += gpu_count
                self.untimed_count += untimed
                del self[:plain]
                del self.detailed[: len(details)]

    def total(self) -> int:
        """Return how many operations it has counted."""
        self.fold()
        return sum(self.counts.values()) + self.untimed_count

    def read(self) -> Reading:
        """Return all it has counted."""
        with self.lock:
            self.fold()
            cells = tuple(sorted(self.counts.items()))
            extremes = (self.min_ns, self.max_ns) if cells else (None, None)
            more = (self.nbytes, self.gpu_ns, self.gpu_count, self.untimed_count)
            return cells, self.sum_ns, *extremes, *more

    def close(self) -> None:
        """Let nothing more be added: what still arrives goes to the series' next cell."""
        # The next cell looks at it.
        self.look_above_ns = MAX_AMOUNT
        self.__class__ = ClosedCell
        self.detailed.__class__ = ClosedDetailed


class ClosedCell(Cell):
    """What a cell becomes when its series is evicted or the process forks."""

    __slots__ = ()

    def append(self, duration_ns: int, /) -> None:
        self.recorder.count(self.series, self.series.outcome, duration_ns)

    def __len__(self) -> int:
        return 0


class ClosedDetailed(Detailed):
    """The same for operations of which more is known."""

    __slots__ = ()

    def append(self, detailed: Detail, /) -> None:
        cell = self.cell
        cell.recorder.count(cell.series, cell.series.outcome, *detailed)

    def __len__(self) -> int:
        return 0


class Details:
    """Stands between an operation and its cell once more is known than a duration."""

    __slots__ = ("cell", "gpu_ns", "nbytes", "outcome")

    look_above_ns = MAX_AMOUNT
    """It has them looked at itself."""

    def __init__(self, cell: Cell, nbytes: int = 0) -> None:
        self.cell = cell
        self.nbytes = nbytes
        self.outcome: str | None = None
        self.gpu_ns: int | None = None

    def look(self, duration_ns: int) -> None: ...

    def untimed(self) -> None:
        self.append(None)

    def append(self, duration_ns: int | None) -> None:
        cell = self.cell
        if self.outcome is None or self.outcome == OK:
            detailed = cell.detailed
            detailed.append((duration_ns, self.nbytes, self.gpu_ns))
            if len(detailed) > PENDING:
                cell.fold()
            if cell.look_above_ns < (0 if duration_ns is None else duration_ns):
                cell.recorder.look_at(cell, duration_ns, self.nbytes, self.gpu_ns)
        else:
            cell.recorder.count(cell.series, self.outcome, duration_ns, self.nbytes, self.gpu_ns)

    def failed(self, duration_ns: int | None, error: BaseException) -> None:
        recorder = self.cell.recorder
        outcome = recorder.outcome_of(error) if self.outcome is None else self.outcome
        recorder.count(
            self.cell.series, outcome, duration_ns, self.nbytes, self.gpu_ns, raised=error
        )

    def fold(self) -> None: ...

    def __len__(self) -> int:
        return 0
