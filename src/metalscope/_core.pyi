from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

from metalscope._recorder_base import ErrorLike, OnError, Reading, Remembered, Series, Told
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
    def plain_operation(
        self, kind: str, name: str, *, nbytes: int = 0, device: str = ""
    ) -> Operation: ...
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
    ) -> None: ...
    def watch(self, above_ns: int, told: Told | None, /) -> None: ...
    def remember(self, count: int, /) -> None: ...
    def remembered(self) -> list[Remembered]: ...
    def divert(
        self,
        *,
        operation: Callable[..., Operation],
        record: Callable[..., None],
        own: ContextVar[Any],
        span_type: type,
        modules: dict[str, Any],
        foreign_module: str,
    ) -> None: ...
    def found_foreign(self, variable: ContextVar[Any] | None, /) -> None: ...
    def skip(self, count: int, /) -> None: ...
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
