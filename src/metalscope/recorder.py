"""The hot path: count and time operations as cheaply as the machine allows.

Each thread writes to cells only it writes to, so no lock is taken to record;
:meth:`Recorder.collect` reads all threads' cells and adds them up. What a thread counted outlives
it: when the thread ends, its cells are folded into a base. In the child of a fork everything
starts at zero.

Two facts make the plain ``+=`` below exact. Only the owning thread writes a cell, which holds with
and without a global interpreter lock. And within the thread, CPython runs signal handlers and
pending finalizers only at calls and backward jumps, of which an augmented assignment to a list
item or slot has none, so a handler that records cannot come between its read and its write.
"""

from __future__ import annotations

import threading
import weakref
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import perf_counter_ns
from types import TracebackType
from typing import Final, NamedTuple, Self

from metalscope.errors import classify
from metalscope.fork import reset_in_child
from metalscope.histogram import EDGES_NS, DurationHistogram
from metalscope.operation import OK, MetalError, OperationKind

__all__ = ["MAX_NAME_LENGTH", "OTHER", "UNRECORDED", "Operation", "Recorder", "Series", "Totals"]

OTHER: Final = "other"
"""The name under which recordings past the cap on distinct names are counted."""

MAX_NAME_LENGTH: Final = 200
"""Longer names are cut to this many characters."""

ErrorLike = MetalError | str | BaseException | None
OnError = Callable[[str, BaseException], None]


class Series(NamedTuple):
    """What tells one counted thing from another."""

    kind: str
    name: str
    device: str
    outcome: str


class Cell:
    """One thread's counts of one series. Written by its thread, read by the collector.

    The writer updates ``counts`` last and the reader copies it first, so whatever is counted has
    its sum and extremes in place.
    """

    __slots__ = ("counts", "gpu_count", "gpu_ns", "max_ns", "min_ns", "nbytes", "sum_ns")

    def __init__(self) -> None:
        self.counts = [0] * (len(EDGES_NS) + 1)
        self.sum_ns = 0
        self.min_ns = 1 << 63
        self.max_ns = -1
        self.nbytes = 0
        self.gpu_ns = 0
        self.gpu_count = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """A cell's content at one moment."""

    durations: DurationHistogram = field(default_factory=DurationHistogram)
    nbytes: int = 0
    gpu_ns: int = 0
    gpu_count: int = 0

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.durations + other.durations,
            self.nbytes + other.nbytes,
            self.gpu_ns + other.gpu_ns,
            self.gpu_count + other.gpu_count,
        )

    def since(self, earlier: Totals) -> Totals:
        """What was added after ``earlier``."""
        return Totals(
            self.durations.since(earlier.durations),
            self.nbytes - earlier.nbytes,
            self.gpu_ns - earlier.gpu_ns,
            self.gpu_count - earlier.gpu_count,
        )


class _Reader:
    """Reads one cell again and again, and does the work only when it changed."""

    __slots__ = ("_counts", "cell", "totals")

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self._counts: list[int] | None = None
        self.totals = Totals()

    def read(self) -> Totals:
        counts = self.cell.counts.copy()
        if counts != self._counts:
            cell = self.cell
            self.totals = Totals(
                DurationHistogram.from_counts(counts, cell.sum_ns, cell.min_ns, cell.max_ns)
                if cell.max_ns >= 0
                else DurationHistogram(),
                cell.nbytes,
                cell.gpu_ns,
                cell.gpu_count,
            )
            self._counts = counts
        return self.totals


class _Token:
    """Lives in a thread's locals; its end is the end of the thread."""

    __slots__ = ("__weakref__",)


class _Shard:
    """The cells of one thread."""

    __slots__ = ("__weakref__", "cells", "on_thread_end", "readers")

    def __init__(self) -> None:
        self.cells: dict[tuple[str, str, str, str], Cell] = {}
        self.readers: dict[Series, _Reader] = {}
        self.on_thread_end: weakref.ref[_Token] | None = None


class _Local(threading.local):
    cells: dict[tuple[str, str, str, str], Cell]
    shard: _Shard
    token: _Token


class Recorder:
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
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Forget every count."""
        # Re-entrant: a finalizer or signal handler may record while its own thread admits a name.
        self._lock = threading.RLock()
        self._local = _Local()
        self._shards: list[_Shard] = []
        self._ended: deque[_Shard] = deque()
        self._base: dict[Series, Totals] = {}
        self._admitted: set[tuple[str, str, str]] = set()
        self._limbo: list[tuple[Series, _Reader, Totals]] = []
        self.overflowed = 0

    def record(  # noqa: PLR0917 - positional arguments are the cheap ones
        self,
        kind: str,
        name: str,
        device: str,
        outcome: str,
        duration_ns: int,
        nbytes: int = 0,
        gpu_ns: int | None = None,
    ) -> None:
        """Count one finished operation. Bad input is reported to ``on_error``, never raised."""
        try:
            try:
                cell = self._local.cells[kind, name, device, outcome]
            except (AttributeError, KeyError):
                cell = self._admit(kind, name, device, outcome)
            if duration_ns < 0 or nbytes < 0:
                raise ValueError(  # noqa: TRY301 - handled as every other failure in here
                    f"operation {kind} {name!r}: duration_ns and nbytes must not be negative, "
                    f"got {duration_ns!r} and {nbytes!r}"
                )
            cell.sum_ns += duration_ns
            if duration_ns < cell.min_ns:  # noqa: PLR1730 - min() costs a call
                cell.min_ns = duration_ns
            if duration_ns > cell.max_ns:  # noqa: PLR1730
                cell.max_ns = duration_ns
            if nbytes:
                cell.nbytes += nbytes
            if gpu_ns is not None:
                cell.gpu_ns += gpu_ns
                cell.gpu_count += 1
            cell.counts[bisect_left(EDGES_NS, duration_ns)] += 1
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            self._on_error("recorder", error)

    def outcome_of(self, error: ErrorLike) -> str:
        """The outcome word for what a caller passed as an error; unknown words are reported."""
        if error is None:
            return OK
        try:
            if isinstance(error, BaseException):
                return classify(error) or OK
            return MetalError(error)
        except Exception as failure:  # noqa: BLE001 - an exception's own __str__ may raise
            self._on_error("recorder", failure)
            return MetalError.INTERNAL_ERROR

    def _admit(self, kind: str, name: str, device: str, outcome: str) -> Cell:
        """Find or make this thread's cell of a series seen for the first time, or past the cap."""
        local = self._local
        try:
            shard = local.shard
        except AttributeError:
            shard = self._open_shard()
        series = Series(_kind(kind), _label(name), _label(device), outcome)
        with self._lock:
            if series[:3] not in self._admitted:
                if len(self._admitted) >= self._max_series:
                    self.overflowed += 1
                    series = Series(series.kind, OTHER, "", outcome)
                else:
                    self._admitted.add(series[:3])
            cell = shard.cells.get(series)
            if cell is None:
                # One tuple serves as key here and as label set in the collector.
                cell = shard.cells[series] = Cell()
                shard.readers[series] = _Reader(cell)
            return cell

    def _open_shard(self) -> _Shard:
        shard, token = _Shard(), _Token()
        ended = self._ended
        shard.on_thread_end = weakref.ref(token, lambda _: ended.append(shard))
        with self._lock:
            self._shards.append(shard)
        self._local.shard = shard
        self._local.cells = shard.cells
        self._local.token = token
        return shard

    def collect(self) -> dict[Series, Totals]:
        """All counts since the start, by series; series that were evicted are left out."""
        with self._lock:
            while self._ended:
                self._fold(self._ended.popleft())
            self._recall_from_limbo()
            totals = dict(self._base)
            for shard in self._shards:
                for series, reader in list(shard.readers.items()):
                    added = reader.read()
                    if added.durations.cells:
                        before = totals.get(series)
                        totals[series] = added if before is None else before + added
            return totals

    def evict(self, series: Iterable[Series]) -> dict[Series, Totals]:
        """Forget series, return what they had counted; their names leave the cap free.

        A thread may hold one of these cells at this very moment. Evicted cells are therefore
        watched until the next eviction, and what still reaches one is counted again under its name.
        """
        with self._lock:
            self._recall_from_limbo()
            self._limbo.clear()
            gone = {}
            for one in series:
                totals = self._base.pop(one, Totals())
                for shard in self._shards:
                    reader = shard.readers.pop(one, None)
                    if reader is not None:
                        shard.cells.pop(one, None)
                        self._limbo.append((one, reader, reader.totals))
                        totals = totals + reader.totals
                gone[one] = totals
            kept = {one[:3] for one in self._base}
            kept.update(one[:3] for shard in self._shards for one in shard.readers)
            self._admitted &= kept
            return gone

    def _fold(self, shard: _Shard) -> None:
        self._shards.remove(shard)
        for series, reader in shard.readers.items():
            self._base[series] = self._base.get(series, Totals()) + reader.read()

    def _recall_from_limbo(self) -> None:
        for position, (series, reader, known) in enumerate(self._limbo):
            now = reader.read()
            if now is not known:
                self._base[series] = self._base.get(series, Totals()) + now.since(known)
                self._limbo[position] = (series, reader, now)


class Operation:
    """Times one operation as a context manager, sync or async.

    An exception passes through untouched and makes the outcome the
    :class:`~metalscope.operation.MetalError` it is read as; see
    :func:`~metalscope.errors.classify`.
    """

    __slots__ = (
        "_device", "_error", "_gpu_ns", "_kind", "_name", "_nbytes", "_recorder", "_start",
    )  # fmt: skip

    def __init__(self, recorder: Recorder, kind: str, name: str, nbytes: int, device: str) -> None:
        self._recorder = recorder
        self._kind = kind
        self._name = name
        self._nbytes = nbytes
        self._device = device
        self._error: ErrorLike = None
        self._gpu_ns: int | None = None

    def set_error(self, error: MetalError | str | BaseException) -> None:
        """Count the operation as failed although no exception leaves the block."""
        self._error = error

    def add_bytes(self, nbytes: int) -> None:
        """Add to the bytes the operation moved or allocated."""
        self._nbytes += nbytes

    def set_gpu_ns(self, gpu_ns: int) -> None:
        """Say how long the device itself was busy, ns."""
        self._gpu_ns = gpu_ns

    def __enter__(self) -> Self:
        self._start = perf_counter_ns()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        duration_ns = perf_counter_ns() - self._start
        outcome = OK
        if exc is not None or self._error is not None:
            outcome = self._recorder.outcome_of(exc if self._error is None else self._error)
        self._recorder.record(
            self._kind, self._name, self._device, outcome, duration_ns, self._nbytes, self._gpu_ns
        )

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(exc_type, exc, traceback)


class _Unrecorded(Operation):
    """What a disabled recorder hands out: one object for all, which does nothing."""

    __slots__ = ()

    def __init__(self) -> None: ...

    def set_error(self, error: MetalError | str | BaseException) -> None: ...

    def add_bytes(self, nbytes: int) -> None: ...

    def set_gpu_ns(self, gpu_ns: int) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None: ...


UNRECORDED: Final[Operation] = _Unrecorded()
"""An operation that is not counted."""


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
