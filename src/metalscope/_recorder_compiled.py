"""The recorder over the compiled hot path."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from metalscope import _core
from metalscope._core import UNRECORDED, Cell, HotPath, Operation
from metalscope._recorder_base import (
    MAX_AMOUNT,
    ErrorLike,
    OnError,
    RecorderBase,
    Remembered,
    Series,
    Told,
)
from metalscope.histogram import EDGES_NS

__all__ = ["UNRECORDED", "Operation", "Recorder", "Recording"]


class Recording(_core.Recording):
    """What has ``operation`` and ``record``; ``_record_by`` says which recorder counts."""

    def _record_by(self, recorder: Recorder) -> None:
        self._use(recorder.hot)


class Recorder(Recording, RecorderBase[Cell]):
    """Counts in cells that all threads share and only compiled code writes; see ``_core.c``.

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
        self._remembers = 0
        super().__init__(max_series=max_series, on_error=on_error)
        self.hot = HotPath(
            cells=self._cells,
            admit=self._admit,
            outcome_of=self.outcome_of,
            on_error=on_error,
            edges=EDGES_NS,
            enabled=enabled,
            sample_rate=sample_rate,
        )
        """Finds cells and adds to them."""
        self._record_by(self)

    def watch(self, above_ns: int, told: Told | None) -> None:
        """Have ``told`` called for operations that failed or took longer, once they are counted.

        It is called on the thread they ran on, with series, duration in ns, bytes, device time in
        ns and the exception; what is not known is ``None``.
        """
        self.hot.watch(above_ns, told)
        self.told_above_ns = MAX_AMOUNT if told is None else above_ns

    def remember(self, count: int) -> None:
        """Keep so many of the last operations, for :meth:`remembered`; 0 keeps none."""
        self._remembers = count
        self.hot.remember(count)

    def remembered(self) -> list[Remembered]:
        """The last operations, oldest first."""
        return self.hot.remembered()

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
        holds nothing, once after :meth:`skip` others.
        """
        self.hot.divert(
            operation=operation,
            record=record,
            own=own,
            span_type=span_type,
            modules=sys.modules,
            foreign_module=foreign_module,
        )

    def found_foreign(self, variable: ContextVar[Any] | None) -> None:
        """Look at this context variable of another library; ``None``: it has none."""
        self.hot.found_foreign(variable)

    def skip(self, count: int) -> None:
        """Divert the next operation outside of any trace after so many."""
        self.hot.skip(count)

    def plain_operation(
        self, kind: str, name: str, *, nbytes: int = 0, device: str = ""
    ) -> Operation:
        """What ``operation`` does where nothing is diverted."""
        return self.hot.plain_operation(kind, name, nbytes=nbytes, device=device)

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
        self.hot.plain_record(
            kind, name, duration_ns=duration_ns, nbytes=nbytes, error=error, device=device,
            gpu_ns=gpu_ns,
        )  # fmt: skip

    def start_at_zero(self) -> None:
        """Forget every count, and the last operations."""
        super().start_at_zero()
        if self._remembers:
            self.hot.remember(self._remembers)

    def _new_cell(self, series: Series) -> Cell:
        return self.hot.new_cell(series)
