"""What both recorders share: which series there are, what they have counted, how they end."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from metalscope.errors import classify
from metalscope.fork import reset_in_child
from metalscope.histogram import DurationHistogram
from metalscope.operation import OK, MetalError, OperationKind

ROOM: Final = "recorder"
"""Where internal errors of recording are counted."""

OTHER: Final = "other"
"""The name under which recordings past the cap on distinct names are counted."""

MAX_NAME_LENGTH: Final = 200
"""Longer names are cut to this many characters."""

MAX_AMOUNT: Final = 2**63 - 1
"""The most nanoseconds or bytes one operation can have."""

ErrorLike = MetalError | str | BaseException | None
OnError = Callable[[str, BaseException], None]


class Series(NamedTuple):
    """What tells one counted thing from another."""

    kind: str
    name: str
    device: str
    outcome: str


Remembered = tuple[Series, int | None, int, int, int]
"""One of the last operations: its series, duration in ns, ``None`` where it was not timed, bytes,
when it ended by the clock of :func:`time.perf_counter_ns`, and the thread."""

Told = Callable[[Series, int | None, int, int | None, BaseException | None], object]
"""Told of a notable operation: series, duration in ns, bytes, device time in ns, exception."""

Reading = tuple[tuple[tuple[int, int], ...], int, int | None, int | None, int, int, int, int]
"""A cell's cells, sum_ns, min_ns, max_ns, nbytes, gpu_ns, gpu_count and untimed at one moment."""


class Cell(Protocol):
    """The counts of one series."""

    @property
    def series(self) -> Series:
        """What it counts."""
        ...

    def total(self) -> int:
        """Return how many operations it has counted."""
        ...

    def read(self) -> Reading:
        """Return all it has counted, of one moment."""
        ...

    def close(self) -> None:
        """Let nothing more be added: what still arrives goes to the series' next cell."""
        ...


C = TypeVar("C", bound=Cell)


class Totals(NamedTuple):
    """A cell's content at one moment."""

    durations: DurationHistogram = DurationHistogram()
    nbytes: int = 0
    gpu_ns: int = 0
    gpu_count: int = 0
    untimed: int = 0
    """Operations that were counted and not timed."""

    @property
    def operations(self) -> int:
        """How many there were, timed or not."""
        return self.durations.count + self.untimed

    @classmethod
    def of(cls, cell: Cell) -> Totals:
        """Read a cell."""
        cells, sum_ns, min_ns, max_ns, nbytes, gpu_ns, gpu_count, untimed = cell.read()
        durations = DurationHistogram(cells, sum_ns, min_ns, max_ns)
        return cls(durations, nbytes, gpu_ns, gpu_count, untimed)


class RecorderBase(ABC, Generic[C]):
    """Counts operations by kind, name, device and outcome.

    Args:
        max_series: how many distinct (kind, name, device) are kept apart. Recordings of further
            ones go to the series named ``other`` of their kind, and are counted in
            :attr:`overflowed`.
        on_error: told of what goes wrong inside, as (room, exception). Recording never raises.
    """

    def __init__(self, *, max_series: int, on_error: OnError) -> None:
        self._max_series = max_series
        self._on_error = on_error
        self._cells: dict[Series, C] = {}
        self.told_above_ns = MAX_AMOUNT
        """Of operations that took longer, in ns, a watch is told."""
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Forget every count."""
        # Re-entrant: a finalizer or signal handler may record while its own thread admits a name.
        # One lock guards which series there are, the other what is known of them, so that no
        # recording waits for a collection.
        self._lock = threading.RLock()
        self._reading = threading.RLock()
        self._admitted: set[tuple[str, str, str]] = set()
        self._known: dict[Series, tuple[int, Totals]] = {}
        self.overflowed = 0
        for cell in self._cells.copy().values():
            self._drop(cell)

    def outcome_of(self, error: ErrorLike) -> str:
        """The outcome word for what a caller passed as an error; unknown words are reported."""
        if error is None:
            return OK
        try:
            if isinstance(error, BaseException):
                return classify(error) or OK
            return MetalError(error)
        except Exception as failure:  # noqa: BLE001 - an exception's own __str__ may raise
            self._on_error(ROOM, failure)
            return MetalError.INTERNAL_ERROR

    def series_of(self, kind: str, name: str, device: str, outcome: str) -> Series | None:
        """The series that counts such an operation; ``None`` where none does, or can."""
        cells = self._cells
        try:
            cell = cells.get((kind, name, device, outcome))  # type: ignore[call-overload]
        except Exception:  # noqa: BLE001 - a name that cannot be hashed can still be shown
            cell = None
        try:
            if cell is None:
                known = _kind(kind)
                cell = cells.get(Series(known, _label(name), _label(device), outcome))
                if cell is None:
                    cell = cells.get(Series(known, OTHER, "", outcome))
        except Exception:  # noqa: BLE001 - it was told of when it could not be counted
            return None
        return None if cell is None else cell.series

    def collect(self) -> dict[Series, Totals]:
        """All counts since the start, by series; series that were evicted are left out."""
        with self._reading:
            totals = {}
            for series, cell in self._cells.copy().items():
                total = cell.total()
                if not total:
                    continue
                known = self._known.get(series)
                if known is None or known[0] != total:
                    # If more came since, it is read once too often and not once too few.
                    known = self._known[series] = (total, Totals.of(cell))
                totals[series] = known[1]
            return totals

    def evict(self, series: Iterable[Series]) -> dict[Series, Totals]:
        """Forget series, return what they had counted; their names leave the cap free.

        Cells that never counted go with them; one that begins to at this moment is in the answer.
        An operation under way may hold such a cell. It finds it closed at its end, and is counted
        in a new one under its name.
        """
        with self._reading:
            gone = {one: Totals() for one in series}
            with self._lock:
                dropped = [
                    cell
                    for cell in self._cells.copy().values()
                    if cell.series in gone or not cell.total()
                ]
                for cell in dropped:
                    self._drop(cell)
                self._admitted &= {one[:3] for one in self._cells}
            for cell in dropped:
                if cell.total():
                    gone[cell.series] = Totals.of(cell)
            return gone

    @abstractmethod
    def _new_cell(self, series: Series) -> C: ...

    def _admit(self, kind: str, name: str, device: str, outcome: str) -> C:
        """Find or make the cell of a series seen for the first time, oddly spelt, or past the cap.

        Raises:
            ValueError: ``kind`` is no OperationKind.
        """
        series = Series(_kind(kind), _label(name), _label(device), outcome)
        with self._lock:
            # A series named so by the caller, or found closed, has not overflown.
            known = series[:3] in self._admitted or series[1:3] == (OTHER, "")
            if not known:
                if len(self._admitted) >= self._max_series:
                    self.overflowed += 1
                    series = Series(series.kind, OTHER, "", outcome)
                else:
                    self._admitted.add(series[:3])
            cell = self._cells.get(series)
            if cell is None:
                # One tuple serves as key here and as label set in the collector.
                cell = self._cells[series] = self._new_cell(series)
            return cell

    def _drop(self, cell: C) -> None:
        """Take a cell out, then close it; what comes between is in its last reading."""
        self._cells.pop(cell.series, None)
        self._known.pop(cell.series, None)
        cell.close()


def _kind(kind: str) -> OperationKind:
    try:
        return OperationKind(kind)
    except ValueError:
        known = ", ".join(OperationKind)
        raise ValueError(f"unknown operation kind {kind!r}; expected one of: {known}") from None


def _label(value: object) -> str:
    # Lone surrogates cannot be encoded to UTF-8, and one such name would break every exposition.
    text = str(value).encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= MAX_NAME_LENGTH else text[: MAX_NAME_LENGTH - 1] + "…"
