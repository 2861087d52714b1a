"""The recorder over the compiled hot path."""

from __future__ import annotations

from metalscope._core import UNRECORDED, Cell, HotPath, Operation
from metalscope._recorder_base import OnError, RecorderBase, Series
from metalscope.histogram import EDGES_NS

__all__ = ["UNRECORDED", "Operation", "Recorder"]


class Recorder(RecorderBase[Cell]):
    """Counts in cells that all threads share and only compiled code writes; see ``_core.c``.

    Where not ``enabled``, ``operation`` and ``record`` count nothing.
    """

    def __init__(self, *, max_series: int, on_error: OnError, enabled: bool = True) -> None:
        super().__init__(max_series=max_series, on_error=on_error)
        self._hot = HotPath(
            cells=self._cells,
            admit=self._admit,
            outcome_of=self.outcome_of,
            on_error=on_error,
            edges=EDGES_NS,
            enabled=enabled,
        )
        self.operation = self._hot.operation
        self.record = self._hot.record

    def _new_cell(self, series: Series) -> Cell:
        return self._hot.new_cell(series)
