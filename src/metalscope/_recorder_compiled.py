"""The recorder over the compiled hot path."""

from __future__ import annotations

from metalscope import _core
from metalscope._core import UNRECORDED, Cell, HotPath, Operation
from metalscope._recorder_base import OnError, RecorderBase, Series
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

    def _new_cell(self, series: Series) -> Cell:
        return self.hot.new_cell(series)
