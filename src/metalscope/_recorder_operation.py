"""The operations of the pure recorder: they time themselves and append to their cells."""

from __future__ import annotations

from operator import index
from time import perf_counter_ns
from types import TracebackType
from typing import Final, Self

from metalscope._recorder_base import MAX_AMOUNT
from metalscope._recorder_cell import PENDING, Cell, Details
from metalscope.operation import MetalError

__all__ = ["UNRECORDED", "Operation", "UntimedOperation", "amount"]


class Operation:
    """Times one operation as a context manager, sync or async.

    An exception passes through untouched and makes the outcome the
    :class:`~metalscope.operation.MetalError` it is read as; see
    :func:`~metalscope.errors.classify`.
    """

    __slots__ = ("_cell", "_start")

    _cell: Cell | Details
    _start: int

    def set_error(self, error: MetalError | str | BaseException) -> None:
        """Count the operation as failed although no exception leaves the block."""
        details = self._details()
        details.outcome = None if error is None else details.cell.recorder.outcome_of(error)

    def add_bytes(self, nbytes: int) -> None:
        """Add to the bytes the operation moved or allocated."""
        details = self._details()
        try:
            details.nbytes = amount(details.nbytes + amount(nbytes, "nbytes"), "nbytes")
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            details.cell.recorder.report(error)

    def set_gpu_ns(self, gpu_ns: int) -> None:
        """Say how long the device itself was busy, ns."""
        details = self._details()
        try:
            details.gpu_ns = amount(gpu_ns, "gpu_ns")
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            details.cell.recorder.report(error)

    def _details(self) -> Details:
        cell = self._cell
        if not isinstance(cell, Details):
            cell = self._cell = Details(cell)
        return cell

    def __enter__(self) -> Self:
        self._start = perf_counter_ns()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            duration_ns = perf_counter_ns() - self._start
            cell = self._cell
            if exc is None:
                cell.append(duration_ns)
                if len(cell) > PENDING:
                    cell.fold()
                if duration_ns > cell.look_above_ns:
                    cell.look(duration_ns)
            else:
                cell.failed(duration_ns, exc)
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            self._details().cell.recorder.report(error)

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

    def set_error(self, error: MetalError | str | BaseException) -> None: ...

    def add_bytes(self, nbytes: int) -> None: ...

    def set_gpu_ns(self, gpu_ns: int) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class UntimedOperation(Operation):
    """One that is counted without a look at the clock."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if exc is None:
                self._cell.untimed()
            else:
                self._cell.failed(None, exc)
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            self._details().cell.recorder.report(error)


UNRECORDED: Final[Operation] = _Unrecorded()
"""An operation that is not counted."""


def amount(value: int, what: str) -> int:
    """The value as a whole number that can be added.

    Raises:
        TypeError: it is no whole number.
        ValueError: it is negative, or past 2**63 - 1.
    """
    whole = index(value)
    if not 0 <= whole <= MAX_AMOUNT:
        raise ValueError(f"{what} must be from 0 to 2**63 - 1, not {whole!r}")
    return whole
