"""What a driver is: memory, kernels and launches on one device, nothing of telemetry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, ClassVar, Final, Generic, Self, TypeVar

from metalscope.drivers.arguments import Grid, Layout
from metalscope.errors import (
    CompilationError,
    DeviceLostError,
    DeviceUnavailableError,
    InternalOperationError,
    InvalidArgumentError,
    InvalidOperationError,
    MetalOperationError,
    MissingExtraError,
    OperationTimeoutError,
    OutOfMemoryError,
    ResourceLimitExceededError,
    classify,
)
from metalscope.operation import MetalError
from metalscope.snapshot import DeviceInfo

__all__ = ["Driver", "Source", "load", "needs_grid", "typed"]

Source = str | Callable[..., Any]
"""What a kernel is made of: text in the driver's language, or a function of arrays."""

Memory = TypeVar("Memory")
Program = TypeVar("Program")


class Driver(ABC, Generic[Memory, Program]):
    """One device, opened.

    ``Memory`` is what :meth:`allocate` returns and ``Program`` what :meth:`compile` returns;
    nobody but the driver looks inside them. Arguments arrive checked: sizes are in range, memory
    is alive and stays so until the call returns. Every method may be called from several threads
    at once. Failures are raised as a :class:`~metalscope.errors.MetalOperationError`, with the
    library's own text and the library's exception as the cause.
    """

    name: ClassVar[str]
    """The name the driver is asked for by."""
    language: ClassVar[str]
    """What kernels are written in."""

    @classmethod
    @abstractmethod
    def open(cls, *, gpu_only: bool = False) -> Self:
        """Open the best device there is.

        Args:
            gpu_only: refuse a device that computes on the processor.

        Raises:
            MissingExtraError: the library is not installed.
            DeviceUnavailableError: there is no such device, with the reason.
        """

    @property
    @abstractmethod
    def device_info(self) -> DeviceInfo:
        """The facts of the device."""

    @property
    def device_label(self) -> str:
        """What the device is called in metrics."""
        return self.device_info.name

    @abstractmethod
    def allocate(self, layout: Layout) -> Memory:
        """Return zeroed memory of ``layout.nbytes`` bytes."""

    @abstractmethod
    def free(self, memory: Memory) -> None:
        """Give memory back. Work already handed to the device may still use it."""

    @abstractmethod
    def copy_in(self, memory: Memory, data: memoryview, offset: int) -> None:
        """Write bytes from ``offset`` on, before any later launch reads them."""

    @abstractmethod
    def copy_out(self, memory: Memory, offset: int, nbytes: int) -> bytes:
        """Read bytes after everything launched before has written them."""

    @abstractmethod
    def compile(self, source: Source, entry: str | None) -> Program:
        """Make a kernel; ``entry`` names one of several in the source.

        Raises:
            CompilationError: with the compiler's own text.
            InvalidArgumentError: the source is not of this driver's language, or has no such
                entry.
        """

    @abstractmethod
    def launch(
        self,
        program: Program,
        inputs: Sequence[Memory],
        outputs: Sequence[Memory],
        grid: Grid | None,
        timeout: float | None,
    ) -> int | None:
        """Run a kernel to its end; return the ns the device was busy, where the device tells.

        Raises:
            OperationTimeoutError: it did not end within ``timeout`` seconds. It goes on running.
        """

    @abstractmethod
    def synchronize(self, timeout: float | None) -> None:
        """Wait until the device has done everything handed to it."""

    @abstractmethod
    def close(self) -> None:
        """Let the device go. Called once, after the last other call returned."""


_BY_ERROR: Final[dict[MetalError, type[MetalOperationError]]] = {
    kind.metal_error: kind
    for kind in (
        CompilationError,
        DeviceLostError,
        DeviceUnavailableError,
        InternalOperationError,
        InvalidArgumentError,
        InvalidOperationError,
        OperationTimeoutError,
        OutOfMemoryError,
        ResourceLimitExceededError,
    )
}


def typed(error: MetalError | Exception, text: str | None = None) -> MetalOperationError:
    """The exception for an error, or for what a library's exception says; never raises."""
    word = error if isinstance(error, MetalError) else classify(error)
    return _BY_ERROR[word or MetalError.INTERNAL_ERROR](text if text is not None else str(error))


def needs_grid(grid: Grid | None, driver: str) -> Grid:
    """The grid, which kernels written as source text cannot do without."""
    if grid is None:
        raise InvalidArgumentError(f"the {driver} driver needs threads=, how many to run")
    return grid


def load(module: str, *, what: str, extra: str) -> Any:
    """Import a driver's library.

    Raises:
        MissingExtraError: it is not installed; the text says which extra brings it.
        DeviceUnavailableError: it is installed and does not load.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(what, extra, cause=str(error)) from error
    except (OSError, RuntimeError) as error:
        raise DeviceUnavailableError(f"{module} does not load: {error}") from error
