"""The recorder in Python alone, for where the compiled one is not built.

It is exact on free-threaded interpreters too: all that threads share on the way is an append to a
list; see ``_recorder_cell.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any, Final

from metalscope._recorder_base import (
    MAX_AMOUNT,
    ROOM,
    ErrorLike,
    OnError,
    RecorderBase,
    Remembered,
    Series,
    Told,
    Totals,
)
from metalscope._recorder_cell import PENDING, Cell, Details
from metalscope._recorder_looking import Diversion, Looking
from metalscope._recorder_operation import UNRECORDED, Operation, UntimedOperation, amount
from metalscope.operation import OK, OperationKind

__all__ = ["UNRECORDED", "Operation", "Recorder", "Recording"]

# What a caller who gives no such argument passes; recognised by identity, the cheapest test.
_NO_BYTES: Final = 0
_NO_DEVICE: Final = ""


class Recording:
    """What has :meth:`operation` and :meth:`record`; :meth:`_record_by` says which recorder counts.

    A manager inherits from it, for a method found on the class is called at less cost than a
    callable kept in the instance.
    """

    _plain: dict[str, dict[str, Cell]]
    _counting: Recorder

    def operation(self, kind: str, name: str, *, nbytes: int = 0, device: str = "") -> Operation:
        """Time one operation: ``with tel.operation("execute", "matmul", nbytes=4096): ...``.

        Works with ``async with`` too. ``kind`` is one of
        :class:`~metalscope.operation.OperationKind`; ``nbytes`` the bytes it moves or allocates;
        ``device`` which device it runs on, where there are several. Nothing is ever raised: bad
        values are counted as internal errors and logged.
        """
        operation = Operation()
        try:
            cell = operation._cell = self._plain[kind][name]
            if device is not _NO_DEVICE:
                return self._counting.operate(kind, name, nbytes, device)
            if nbytes is not _NO_BYTES:
                if nbytes.__class__ is not int or not 0 <= nbytes <= MAX_AMOUNT:
                    return self._counting.operate(kind, name, nbytes, device)
                operation._cell = Details(cell, nbytes)
        except Exception:  # noqa: BLE001 - whatever a name's hash or comparison raises
            return self._counting.operate(kind, name, nbytes, device)
        return operation

    def record(
        self,
        kind: str,
        name: str,
        *,
        duration_ns: int,
        nbytes: int = 0,
        error: ErrorLike = None,
        device: str = "",
        gpu_ns: int | None = None,
    ) -> None:
        """Count an operation timed elsewhere.

        ``duration_ns`` and ``gpu_ns``, the time the device itself was busy, are nanoseconds.
        ``error`` is a :class:`~metalscope.operation.MetalError`, its value, or an exception.
        Nothing is ever raised. A bad duration is counted as an internal error and logged, and the
        operation not counted; other bad values are counted, logged and left out.
        """
        try:
            if duration_ns.__class__ is not int or not 0 <= duration_ns <= MAX_AMOUNT:
                duration_ns = amount(duration_ns, "duration_ns")
            if nbytes is _NO_BYTES and device is _NO_DEVICE and error is None and gpu_ns is None:
                try:
                    cell = self._plain[kind][name]
                except Exception:  # noqa: BLE001 - as in operation()
                    cell = self._counting.find(kind, name, device, OK)
                cell.append(duration_ns)
                if len(cell) > PENDING:
                    cell.fold()
                if duration_ns > cell.look_above_ns:
                    cell.look(duration_ns)
                return
            recorder = self._counting
            recorder.count(
                (kind, name, device),
                recorder.outcome_of(error),
                duration_ns,
                recorder.known_amount(nbytes, "nbytes") or 0,
                None if gpu_ns is None else recorder.known_amount(gpu_ns, "gpu_ns"),
                raised=error if isinstance(error, BaseException) else None,
            )
        except Exception as failure:  # noqa: BLE001 - law: telemetry never breaks the program
            self._counting.report(failure)

    def _record_by(self, recorder: Recorder) -> None:
        self._plain = recorder.plain
        self._counting = recorder
        # Where less is to be done, an attribute stands before the method that does it all; a
        # subclass that has methods of its own keeps them.
        if type(self).operation is Recording.operation and recorder.operate_otherwise:
            self.operation = recorder.operate_otherwise  # type: ignore[method-assign]
        if type(self).record is Recording.record and recorder.record_otherwise:
            self.record = recorder.record_otherwise  # type: ignore[method-assign]
        if type(self).record is Recording.record and not recorder.enabled:
            self.record = _record_nothing  # type: ignore[method-assign]


class Recorder(Recording, RecorderBase[Cell]):
    """Counts in cells that all threads append to.

    Where not ``enabled``, ``operation`` and ``record`` count nothing. ``sample_rate`` is the share
    of operations, 0 to 1, that ``operation`` times; all are counted.
    """

    def __init__(
        self,
        *,
        max_series: int,
        on_error: OnError,
        enabled: bool = True,
        sample_rate: float = 1.0,
    ) -> None:
        self.plain: dict[str, dict[str, Cell]] = {kind.value: {} for kind in OperationKind}
        """Cells of operations that were ok and named no device, by kind and name."""
        self.enabled = enabled
        self._sample_rate = sample_rate
        self.operate_otherwise: Callable[..., Operation] | None = None
        """What ``operation`` is where it is not simply to time every one."""
        self.record_otherwise: Callable[..., None] | None = None
        """What ``record`` is where it is not simply to count."""
        self._looking = Looking(self.report)
        self.look_at = self._looking.look_at
        self._diversion: Diversion | None = None
        if not enabled:
            self.operate_otherwise = _operate_unrecorded
        elif sample_rate < 1.0:
            self.operate_otherwise = self._operate_sampled
        self._closed: list[Cell] = []
        super().__init__(max_series=max_series, on_error=on_error)
        self._record_by(self)

    @property
    def look_above_ns(self) -> int:
        """Longer operations than this, in ns, are looked at once they are counted."""
        return self._looking.above_ns

    def watch(self, above_ns: int, told: Told | None) -> None:
        """Have ``told`` called for operations that failed or took longer, once they are counted.

        It is called on the thread they ran on, with series, duration in ns, bytes, device time in
        ns and the exception; what is not known is ``None``.
        """
        self.told_above_ns = MAX_AMOUNT if told is None else above_ns
        self._looking.watch(above_ns, told, self._cells.copy().values())

    def remember(self, count: int) -> None:
        """Keep so many of the last operations, for :meth:`remembered`; 0 keeps none."""
        self._looking.remember(count, self._cells.copy().values())

    def remembered(self) -> list[Remembered]:
        """The last operations, oldest first."""
        return self._looking.remembered()

    def divert(
        self,
        *,
        operation: Callable[..., Operation],
        record: Callable[..., None],
        own: ContextVar[Any],
        span_type: type,
        foreign_module: str,
    ) -> None:
        """Let these have what runs in a span, and what begins a trace.

        An operation is diverted where ``own`` holds a ``span_type``, where the module named is
        loaded and its variable, see :meth:`found_foreign`, holds anything, and, where ``own``
        holds nothing, once after :meth:`skip` others. Whoever records by this recorder must be
        given it anew.
        """
        self._diversion = diversion = Diversion(
            self.plain_operation,
            self.plain_record,
            operation=operation,
            record=record,
            own=own,
            span_type=span_type,
            foreign_module=foreign_module,
            report=self.report,
        )
        self.operate_otherwise, self.record_otherwise = diversion.operation, diversion.record
        self._record_by(self)

    def found_foreign(self, variable: ContextVar[Any] | None) -> None:
        """Look at this context variable of another library; ``None``: it has none."""
        assert self._diversion is not None  # noqa: S101 - for the type checker
        self._diversion.found_foreign(variable)

    def skip(self, count: int) -> None:
        """Divert the next operation outside of any trace after so many."""
        assert self._diversion is not None  # noqa: S101 - for the type checker
        self._diversion.skip = count

    def plain_operation(
        self, kind: str, name: str, *, nbytes: int = 0, device: str = ""
    ) -> Operation:
        """What ``operation`` does where nothing is diverted."""
        if self._sample_rate < 1.0:
            return self._operate_sampled(kind, name, nbytes=nbytes, device=device)
        return Recording.operation(self, kind, name, nbytes=nbytes, device=device)

    def plain_record(
        self,
        kind: str,
        name: str,
        *,
        duration_ns: int,
        nbytes: int = 0,
        error: ErrorLike = None,
        device: str = "",
        gpu_ns: int | None = None,
    ) -> None:
        """What ``record`` does where nothing is diverted."""
        Recording.record(
            self, kind, name, duration_ns=duration_ns, nbytes=nbytes, error=error, device=device,
            gpu_ns=gpu_ns,
        )  # fmt: skip

    def count(
        self,
        series: tuple[str, str, str] | Series,
        outcome: str,
        duration_ns: int | None,
        nbytes: int = 0,
        gpu_ns: int | None = None,
        *,
        raised: BaseException | None = None,
    ) -> None:
        """Count one operation whose cell is not at hand; one without a duration was not timed.

        Raises:
            ValueError: the kind is no OperationKind.
        """
        cell = self.find(series[0], series[1], series[2], outcome)
        detailed = cell.detailed
        detailed.append((duration_ns, nbytes, gpu_ns))
        if len(detailed) > PENDING:
            cell.fold()
        if outcome != OK or (0 if duration_ns is None else duration_ns) > cell.look_above_ns:
            self.look_at(cell, duration_ns, nbytes, gpu_ns, raised)

    def report(self, error: BaseException) -> None:
        """Tell of what went wrong."""
        self._on_error(ROOM, error)

    def start_at_zero(self) -> None:
        """Forget every count."""
        super().start_at_zero()
        self._closed.clear()
        self._looking.forget()

    def collect(self) -> dict[Series, Totals]:
        """All counts since the start, by series; series that were evicted are left out."""
        with self._reading:
            self._count_strays()
            return super().collect()

    def evict(self, series: Iterable[Series]) -> dict[Series, Totals]:
        """Forget series, return what they had counted; their names leave the cap free."""
        with self._reading:
            self._count_strays()
            self._closed.clear()
            return super().evict(series)

    def operate(self, kind: str, name: str, nbytes: int = 0, device: str = "") -> Operation:
        """Make an operation whose cell is not at hand."""
        operation = Operation()
        try:
            cell = operation._cell = self.find(kind, name, device, OK)
            if nbytes is not _NO_BYTES:
                operation._cell = Details(cell, self.known_amount(nbytes, "nbytes") or 0)
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            self.report(error)
            return UNRECORDED
        return operation

    def _operate_sampled(
        self, kind: str, name: str, *, nbytes: int = 0, device: str = ""
    ) -> Operation:
        try:
            cell = self.plain[kind][name] if device is _NO_DEVICE else None
        except Exception:  # noqa: BLE001 - as in operation()
            cell = None
        try:
            if cell is None:
                cell = self.find(kind, name, device, OK)
            # Threads that come between do no more than shift which operation is the timed one.
            phase = cell.phase + self._sample_rate
            if phase >= 1.0:
                cell.phase = phase - 1.0
                operation = Operation()
            else:
                cell.phase = phase
                operation = UntimedOperation()
            if nbytes is _NO_BYTES:
                operation._cell = cell
            else:
                operation._cell = Details(cell, self.known_amount(nbytes, "nbytes") or 0)
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            self.report(error)
            return UNRECORDED
        return operation

    def find(self, kind: str, name: str, device: str, outcome: str) -> Cell:
        """Find or make the cell of a series.

        Raises:
            ValueError: the kind is no OperationKind.
        """
        try:
            return self._cells[kind, name, device, outcome]  # type: ignore[index]
        except Exception:  # noqa: BLE001 - a name that cannot be hashed can still be shown
            return self._admit(kind, name, device, outcome)

    def known_amount(self, value: int, what: str) -> int | None:
        """The value as a whole number; ``None`` and a report where it is none that can be added."""
        try:
            return amount(value, what)
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            self.report(error)
            return None

    def _new_cell(self, series: Series) -> Cell:
        cell = Cell(self, series)
        # So that the first one is timed, unless none is.
        cell.phase = 1.0 - self._sample_rate if self._sample_rate else 0.0
        if series.outcome == OK and not series.device:
            self.plain[series.kind][series.name] = cell
        return cell

    def _drop(self, cell: Cell) -> None:
        series = cell.series
        if self.plain[series.kind].get(series.name) is cell:
            del self.plain[series.kind][series.name]
        super()._drop(cell)
        self._closed.append(cell)

    def _count_strays(self) -> None:
        """Count what reached a cell just as it was being closed."""
        for cell in self._closed:
            durations, detailed = cell[:], cell.detailed[:]
            del cell[: len(durations)], cell.detailed[: len(detailed)]
            for duration_ns in durations:
                cell.append(duration_ns)
            for one in detailed:
                cell.detailed.append(one)


def _operate_unrecorded(
    kind: str,  # noqa: ARG001
    name: str,  # noqa: ARG001
    *,
    nbytes: int = 0,  # noqa: ARG001
    device: str = "",  # noqa: ARG001
) -> Operation:
    return UNRECORDED


def _record_nothing(
    kind: str,
    name: str,
    *,
    duration_ns: int,
    nbytes: int = 0,
    error: ErrorLike = None,
    device: str = "",
    gpu_ns: int | None = None,
) -> None: ...
