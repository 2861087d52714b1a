"""What an accelerator hands out: device memory and compiled kernels."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from metalscope.drivers.arguments import Layout

if TYPE_CHECKING:
    from metalscope.accelerator import MetalAccelerator

__all__ = ["Buffer", "Kernel"]


class Buffer:
    """Device memory of one accelerator, alive until :meth:`free` or the accelerator's end.

    ``with acc.allocate(4096) as buffer: ...`` frees it at the end of the block.
    """

    def __init__(self, owner: MetalAccelerator, layout: Layout, memory: Any) -> None:
        self._owner = owner
        self._layout = layout
        self._memory = memory
        self._users = 0
        self._freed = False

    @property
    def nbytes(self) -> int:
        """Its size in bytes."""
        return self._layout.nbytes

    @property
    def dtype(self) -> str:
        """The type of an element, as a function of arrays sees it."""
        return self._layout.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, as a function of arrays sees it."""
        return self._layout.shape

    def free(self) -> None:
        """Give the memory back; idempotent. What runs on another thread keeps it to its end."""
        self._owner.free(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.free()

    def __repr__(self) -> str:
        state = ", freed" if self._freed else ""
        return f"<Buffer {self.nbytes} bytes, {self.dtype}{list(self.shape)}{state}>"


class Kernel:
    """Compiled code of one accelerator. ``name`` is what its launches are recorded under."""

    def __init__(self, owner: MetalAccelerator, name: str, program: Any) -> None:
        self.name = name
        self._owner = owner
        self._program = program

    def __repr__(self) -> str:
        return f"<Kernel {self.name!r}>"
