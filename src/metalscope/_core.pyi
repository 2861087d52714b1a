from collections.abc import Callable
from typing import Final

from metalscope._recorder_base import ErrorLike, OnError, Reading, Series
from metalscope._recorder_pure import Operation as Operation

UNRECORDED: Final[Operation]

class Cell:
    @property
    def series(self) -> Series: ...
    def total(self) -> int: ...
    def read(self) -> Reading: ...
    def close(self) -> None: ...

class HotPath:
    def __new__(
        cls,
        *,
        cells: dict[Series, Cell],
        admit: Callable[[str, str, str, str], Cell],
        outcome_of: Callable[[ErrorLike], str],
        on_error: OnError,
        edges: tuple[int, ...],
        enabled: bool,
        sample_rate: float,
    ) -> HotPath: ...
    def operation(
        self, kind: str, name: str, *, nbytes: int = 0, device: str = ""
    ) -> Operation: ...
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
    ) -> None: ...
    def new_cell(self, series: Series) -> Cell: ...

class Recording:
    def operation(
        self, kind: str, name: str, *, nbytes: int = 0, device: str = ""
    ) -> Operation: ...
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
    ) -> None: ...
    def _use(self, hot: HotPath, /) -> None: ...
