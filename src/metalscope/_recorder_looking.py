"""What the pure recorder does besides counting: tell of notable operations, remember the last,
and let others have those that run in a trace."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

from metalscope._recorder_base import MAX_AMOUNT, Remembered, Told
from metalscope.operation import OK

if TYPE_CHECKING:
    from metalscope._recorder_cell import Cell
    from metalscope._recorder_operation import Operation

__all__ = ["Diversion", "Looking"]

_ALWAYS: Final = -1


class Looking:
    """Looks at operations that were counted: each cell has one figure, above which they are."""

    def __init__(self, report: Callable[[BaseException], None]) -> None:
        self._report = report
        self.above_ns = MAX_AMOUNT
        self._notable_ns = MAX_AMOUNT
        self._on_notable: Told | None = None
        self._ring: deque[Remembered] | None = None

    def watch(self, above_ns: int, told: Told | None, cells: Iterable[Cell]) -> None:
        """Have ``told`` called for operations that failed or took longer."""
        self._notable_ns, self._on_notable = above_ns, told
        self._look_above(cells)

    def remember(self, count: int, cells: Iterable[Cell]) -> None:
        """Keep so many of the last operations."""
        self._ring = deque(maxlen=count) if count else None
        self._look_above(cells)

    def remembered(self) -> list[Remembered]:
        """Those kept, oldest first."""
        ring = self._ring
        return [] if ring is None else list(ring.copy())

    def forget(self) -> None:
        """Forget the last operations, in a forked child."""
        if self._ring is not None:
            self._ring.clear()

    def look_at(
        self,
        cell: Cell,
        duration_ns: int | None,
        nbytes: int = 0,
        gpu_ns: int | None = None,
        raised: BaseException | None = None,
    ) -> None:
        """Look at an operation that was counted in ``cell``."""
        ring, told = self._ring, self._on_notable
        series = cell.series
        if ring is not None:
            ring.append((series, duration_ns, nbytes, perf_counter_ns(), threading.get_ident()))
        failed = series.outcome != OK
        if told is not None and (failed or (duration_ns or 0) > self._notable_ns):
            try:
                told(series, duration_ns, nbytes, gpu_ns, raised)
            except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
                self._report(error)

    def _look_above(self, cells: Iterable[Cell]) -> None:
        above = self._notable_ns if self._on_notable is not None else MAX_AMOUNT
        self.above_ns = above if self._ring is None else _ALWAYS
        for cell in cells:
            cell.look_above_ns = self.above_ns


class Diversion:
    """Stands before ``operation`` and ``record``; as the compiled recorder's, it looks for a span.

    Args:
        plain_operation, plain_record: what is called where nothing is diverted.
        operation, record: what has the operations that run in a span or begin a trace.
        own: the context variable with the span of this library.
        span_type: the class of spans that are kept; others are of traces that are not.
        foreign_module: the module of another library with spans, once that is loaded.
        report: told of what goes wrong.
    """

    def __init__(
        self,
        plain_operation: Callable[..., Operation],
        plain_record: Callable[..., None],
        *,
        operation: Callable[..., Operation],
        record: Callable[..., None],
        own: ContextVar[Any],
        span_type: type,
        foreign_module: str,
        report: Callable[[BaseException], None],
    ) -> None:
        self._plain_operation, self._plain_record = plain_operation, plain_record
        self._operation, self._record = operation, record
        self._own = own
        self._span_type = span_type
        self._foreign_module: str | None = foreign_module
        self._foreign: ContextVar[Any] | None = None
        self._report = report
        self.skip = sys.maxsize

    def found_foreign(self, variable: ContextVar[Any] | None) -> None:
        """Look at this context variable from now on; ``None``: there is none."""
        self._foreign_module, self._foreign = None, variable

    def operation(self, kind: str, name: str, *, nbytes: int = 0, device: str = "") -> Operation:
        if self._is_diverted():
            try:
                return self._operation(kind, name, nbytes=nbytes, device=device)
            except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
                self._report(error)
        return self._plain_operation(kind, name, nbytes=nbytes, device=device)

    def record(self, kind: str, name: str, **what: Any) -> None:
        if self._is_diverted():
            try:
                return self._record(kind, name, **what)
            except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
                self._report(error)
        return self._plain_record(kind, name, **what)

    def _is_diverted(self) -> bool:
        span = self._own.get(None)
        if span.__class__ is self._span_type or self._is_in_foreign():
            return True
        if span is not None:
            return False
        if self.skip == 0:
            return True
        self.skip -= 1
        return False

    def _is_in_foreign(self) -> bool:
        if self._foreign is None:
            return self._foreign_module in sys.modules
        return bool(self._foreign.get(None))
