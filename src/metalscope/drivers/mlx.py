"""The mlx driver: kernels are Python functions of arrays, compiled by ``mx.compile``.

MLX is lazy and its streams belong to threads, so every call here evaluates what it made before
it returns; an evaluated array may be read from any thread.
"""

from __future__ import annotations

import inspect
import mmap
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

from metalscope.drivers.arguments import Grid, Layout
from metalscope.drivers.base import Driver, Source, load, typed
from metalscope.errors import (
    CompilationError,
    DeviceUnavailableError,
    InvalidArgumentError,
    OperationTimeoutError,
    OutOfMemoryError,
    ResourceLimitExceededError,
)
from metalscope.sensors.mlx import device_info, device_label
from metalscope.snapshot import DeviceInfo

__all__ = ["MLXDriver"]

# What MLX itself raises. A type that is none of these comes from the caller's own function and
# goes through untouched.
_OF_MLX: Final = (RuntimeError, ValueError, TypeError, IndexError, OverflowError, MemoryError)
_NOT_TRACEABLE: Final = "function transformations"


@dataclass(slots=True)
class _Cell:
    """An array and its place: launches replace the array, the layout stays."""

    array: Any
    layout: Layout


class MLXDriver(Driver[_Cell, Callable[..., Any]]):
    """MLX on its default device: Metal on a Mac, the processor elsewhere.

    A launch calls the function with the arrays of ``inputs`` and puts what it returns into
    ``outputs``. MLX gives no device time. With a timeout the launch runs on a thread of the
    driver's own, one at a time, as MLX has no way to wait for a while.
    """

    name = "mlx"
    language = "Python functions of mlx.core arrays"

    def __init__(self, mx: Any) -> None:
        self._mx = mx
        # The bare functions: a launch is one operation, also where MLX itself is instrumented.
        self._eval = inspect.unwrap(mx.eval)
        self._compile = inspect.unwrap(mx.compile)
        self._synchronize = inspect.unwrap(mx.synchronize)
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
        self._info = device_info(mx)
        self._on_processor = mx.default_device().type != mx.DeviceType.gpu

    @classmethod
    def open(cls, *, gpu_only: bool = False) -> Self:
        """Open MLX's default device."""
        mx = load("mlx.core", what="the mlx driver", extra="mlx")
        if gpu_only and mx.default_device().type != mx.DeviceType.gpu:
            raise DeviceUnavailableError("MLX computes on the processor here")
        return cls(mx)

    @property
    def device_info(self) -> DeviceInfo:
        """The facts of MLX's default device."""
        return self._info

    @property
    def device_label(self) -> str:
        """``gpu:0`` or ``cpu:0``, as all else that is recorded of MLX."""
        return device_label(self._mx)

    def allocate(self, layout: Layout) -> _Cell:
        """Return zeros of the layout's shape and type."""
        if self._on_processor:
            _refuse_the_impossible(layout.nbytes)
        with _typed_errors():
            zeros = self._mx.zeros(layout.shape, dtype=self._dtype(layout))
            self._eval(zeros)
        return _Cell(zeros, layout)

    def free(self, memory: _Cell) -> None:
        """Drop the array; MLX keeps the memory in its cache for the next one."""
        memory.array = None

    def copy_in(self, memory: _Cell, data: memoryview, offset: int) -> None:
        """Replace the array by one with these bytes in their place."""
        mx, layout = self._mx, memory.layout
        with _typed_errors():
            flat = mx.array(data)
            if flat.nbytes != layout.nbytes:
                patched = mx.view(memory.array.reshape(-1), mx.uint8)
                patched[offset : offset + flat.nbytes] = flat
                flat = patched
            array = mx.view(flat, self._dtype(layout)).reshape(layout.shape)
            self._eval(array)
        memory.array = array

    def copy_out(self, memory: _Cell, offset: int, nbytes: int) -> bytes:
        """Read the array's bytes."""
        mx = self._mx
        with _typed_errors():
            flat = mx.view(memory.array.reshape(-1), mx.uint8)[offset : offset + nbytes]
            self._eval(flat)
            return bytes(memoryview(flat))

    def compile(self, source: Source, entry: str | None) -> Callable[..., Any]:
        """Wrap the function in ``mx.compile``; MLX traces it when it first runs."""
        if not callable(source):
            raise InvalidArgumentError(
                "the mlx driver compiles functions of arrays, not source text; "
                "call mx.fast.metal_kernel inside such a function"
            )
        if entry is not None:
            raise InvalidArgumentError("a function has no entry to choose")
        with _typed_errors():
            compiled: Callable[..., Any] = self._compile(source)
        return compiled

    def launch(
        self,
        program: Callable[..., Any],
        inputs: Sequence[_Cell],
        outputs: Sequence[_Cell],
        grid: Grid | None,  # noqa: ARG002 - arrays know their own sizes
        timeout: float | None,
    ) -> int | None:
        """Call the function, evaluate what it returns, put it into the outputs."""
        arrays = [cell.array for cell in inputs]

        def run() -> list[Any]:
            with _typed_errors():
                return self._run(program, arrays, outputs)

        results = run() if timeout is None else self._own_thread().run(run, timeout)
        for cell, result in zip(outputs, results, strict=True):
            cell.array = result
        return None

    def synchronize(self, timeout: float | None) -> None:
        """Wait for this thread's stream and for launches that timed out before."""
        with _typed_errors():
            if timeout is None:
                self._synchronize()
            if timeout is not None or self._worker is not None:
                self._own_thread().run(self._synchronize, timeout)

    def close(self) -> None:
        """Hand on the thread that launches with a timeout ran on."""
        if self._worker is not None:
            self._worker.hand_back()

    def _dtype(self, layout: Layout) -> Any:
        # The one name that Python keeps for itself.
        return getattr(self._mx, "bool_" if layout.dtype == "bool" else layout.dtype)

    def _own_thread(self) -> _Worker:
        with self._lock:
            if self._worker is None:
                self._worker = _Worker.take()
            return self._worker

    def _run(
        self, program: Callable[..., Any], arrays: list[Any], outputs: Sequence[_Cell]
    ) -> list[Any]:
        try:
            returned = program(*arrays)
        except ValueError as error:
            if _NOT_TRACEABLE not in str(error):
                raise
            raise CompilationError(str(error)) from error
        results = list(returned) if isinstance(returned, (list, tuple)) else [returned]
        if len(results) != len(outputs):
            raise InvalidArgumentError(
                f"the kernel returned {len(results)} arrays for {len(outputs)} outputs"
            )
        for position, (cell, result) in enumerate(zip(outputs, results, strict=True)):
            results[position] = self._fitting(result, cell.layout, position)
        self._eval(*results)
        return results

    def _fitting(self, result: Any, layout: Layout, position: int) -> Any:
        mx = self._mx
        if not isinstance(result, mx.array):
            raise InvalidArgumentError(f"output {position} is no array but {result!r}")
        if result.dtype != self._dtype(layout) or result.nbytes != layout.nbytes:
            raise InvalidArgumentError(
                f"output {position} is {result.dtype} of shape {tuple(result.shape)}; "
                f"its buffer holds {layout.dtype} of shape {layout.shape}"
            )
        return result.reshape(layout.shape)


class _Worker:
    """One daemon thread that runs calls in order, so that a caller can stop waiting for them.

    It never ends by itself: MLX frees a thread's compiled functions when the thread ends, and
    where the interpreter is ending too, that ends the process with an abort. Workers are handed
    on to the next driver instead.
    """

    _idle: ClassVar[list[_Worker]] = []

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._last: Future[Any] | None = None
        threading.Thread(target=self._serve, name="metalscope-mlx", daemon=True).start()

    @classmethod
    def take(cls) -> _Worker:
        """A worker nobody else uses."""
        try:
            return cls._idle.pop()
        except IndexError:
            return cls()

    def hand_back(self) -> None:
        """Let another driver have it, unless a launch that timed out still holds it."""
        if self._last is None or self._last.done():
            self._idle.append(self)

    def run(self, call: Callable[[], Any], timeout: float | None) -> Any:
        """Return what the call returns, or raise what it raises.

        Raises:
            OperationTimeoutError: neither happened in time.
        """
        future: Future[Any] = Future()
        with self._lock:
            self._calls.put((call, future))
            self._last = future
        try:
            return future.result(timeout)
        except TimeoutError:
            # The call may itself raise TimeoutError; only an unfinished one has passed our time.
            if future.done():
                raise
            raise OperationTimeoutError(f"not finished within {timeout:g} s") from None

    def _serve(self) -> None:
        while True:
            call, future = self._calls.get()
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - it is the waiting caller's
                future.set_exception(error)
            # Else an idle worker would keep the last call's arrays alive.
            del call, future


if hasattr(os, "register_at_fork"):
    # The list crosses a fork, the threads do not.
    os.register_at_fork(after_in_child=_Worker._idle.clear)


def _refuse_the_impossible(nbytes: int) -> None:
    # MLX's processor build does not look at what malloc returns, and a null ends the process.
    try:
        mmap.mmap(-1, nbytes).close()
    except (OSError, OverflowError, ValueError) as error:
        raise OutOfMemoryError(f"the system gave no {nbytes} bytes: {error}") from error


@contextmanager
def _typed_errors() -> Iterator[None]:
    try:
        yield
    except _OF_MLX as error:
        if type(error) not in _OF_MLX:
            raise
        if isinstance(error, OverflowError):
            raise ResourceLimitExceededError(str(error)) from error
        raise typed(error) from error
