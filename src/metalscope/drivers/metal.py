"""The metal driver: Metal Shading Language on Apple's own framework, through PyObjC.

Apple, "Metal" (developer.apple.com/documentation/metal) describes every call. PyObjC spells a
selector's colons as underscores and returns ``(value, NSError)`` from methods that take an
``error:`` argument.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from math import prod
from typing import Any, Final, Self

from metalscope.drivers.arguments import Grid, Layout
from metalscope.drivers.base import Driver, Source, load, needs_grid, typed
from metalscope.errors import (
    CompilationError,
    DeviceUnavailableError,
    InternalOperationError,
    InvalidArgumentError,
    OperationTimeoutError,
    OutOfMemoryError,
    ResourceLimitExceededError,
)
from metalscope.operation import MetalError
from metalscope.snapshot import DeviceInfo

__all__ = ["COMMAND_BUFFER_ERRORS", "MetalDriver"]

COMMAND_BUFFER_ERRORS: Final[dict[str, MetalError]] = {
    "MTLCommandBufferErrorNone": MetalError.INTERNAL_ERROR,
    "MTLCommandBufferErrorInternal": MetalError.INTERNAL_ERROR,
    "MTLCommandBufferErrorTimeout": MetalError.TIMEOUT,
    # The kernel touched memory that is not its own.
    "MTLCommandBufferErrorPageFault": MetalError.INVALID_OPERATION,
    # Too many hangs: the system takes no more work from this process.
    "MTLCommandBufferErrorAccessRevoked": MetalError.DEVICE_LOST,
    "MTLCommandBufferErrorBlacklisted": MetalError.DEVICE_LOST,
    # The process may not use the GPU now, such as an app in the background.
    "MTLCommandBufferErrorNotPermitted": MetalError.DEVICE_UNAVAILABLE,
    "MTLCommandBufferErrorOutOfMemory": MetalError.OUT_OF_MEMORY,
    "MTLCommandBufferErrorInvalidResource": MetalError.INVALID_OPERATION,
    "MTLCommandBufferErrorMemoryless": MetalError.RESOURCE_LIMIT_EXCEEDED,
    "MTLCommandBufferErrorDeviceRemoved": MetalError.DEVICE_LOST,
    "MTLCommandBufferErrorStackOverflow": MetalError.RESOURCE_LIMIT_EXCEEDED,
}
"""What each code of ``MTLCommandBufferErrorDomain`` is recorded as."""

# Apple, "Metal Feature Set Tables": entries in the buffer argument table, all GPU families.
MAX_BUFFERS: Final = 31
# The families a Mac can be of, newest first; the first one supported is the most telling.
_FAMILIES: Final = (
    "MTLGPUFamilyApple10",
    "MTLGPUFamilyApple9",
    "MTLGPUFamilyApple8",
    "MTLGPUFamilyApple7",
    "MTLGPUFamilyMac2",
)


class MetalDriver(Driver[Any, Any]):
    """The system's default Metal device, with one command queue.

    Buffers are shared between processor and GPU and bound in the order of the inputs, then the
    outputs, at ``[[buffer(0)]]`` and on. Device time is ``GPUEndTime - GPUStartTime``.
    """

    name = "metal"
    language = "Metal Shading Language"

    def __init__(self, metal: Any, objc: Any, device: Any) -> None:
        self._metal = metal
        self._objc = objc
        self._device = device
        self._max_buffer = int(device.maxBufferLength())
        self._info = _device_info(metal, device)
        self._errors = {
            int(getattr(metal, constant)): word for constant, word in COMMAND_BUFFER_ERRORS.items()
        }
        self._queue = device.newCommandQueue()
        if self._queue is None:
            raise DeviceUnavailableError("Metal gave no command queue")

    @classmethod
    def open(cls, *, gpu_only: bool = False) -> Self:  # noqa: ARG003 - Metal devices are GPUs
        """Open the system's default device."""
        try:
            metal = load("Metal", what="the metal driver", extra="metal")
        except ImportError as error:
            if sys.platform == "darwin":
                raise
            raise DeviceUnavailableError("Metal is part of macOS alone") from error
        objc = load("objc", what="the metal driver", extra="metal")
        device = metal.MTLCreateSystemDefaultDevice()
        if device is None:
            raise DeviceUnavailableError("this Mac has no Metal device")
        return cls(metal, objc, device)

    @property
    def device_info(self) -> DeviceInfo:
        """The facts that the device gives of itself."""
        return self._info

    def allocate(self, layout: Layout) -> Any:
        """Create a buffer that processor and GPU share; Metal fills it with zeros."""
        if layout.nbytes > self._max_buffer:
            raise ResourceLimitExceededError(
                f"{layout.nbytes} bytes pass the device's largest buffer, {self._max_buffer}"
            )
        buffer = self._device.newBufferWithLength_options_(
            layout.nbytes, self._metal.MTLResourceStorageModeShared
        )
        if buffer is None:
            raise OutOfMemoryError(f"Metal gave no buffer of {layout.nbytes} bytes")
        return buffer

    def free(self, memory: Any) -> None:
        """Nothing to do: the buffer goes with its last reference, a command buffer's included."""

    def copy_in(self, memory: Any, data: memoryview, offset: int) -> None:
        """Write through the shared memory."""
        self._bytes(memory)[offset : offset + data.nbytes] = data

    def copy_out(self, memory: Any, offset: int, nbytes: int) -> bytes:
        """Read through the shared memory, after what was launched before."""
        self.synchronize(None)
        return bytes(self._bytes(memory)[offset : offset + nbytes])

    def compile(self, source: Source, entry: str | None) -> Any:
        """Compile the library, then the pipeline of one kernel function."""
        if not isinstance(source, str):
            raise InvalidArgumentError("the metal driver compiles Metal Shading Language text")
        with self._objc.autorelease_pool():
            library, error = self._device.newLibraryWithSource_options_error_(source, None, None)
            # With warnings alone there is an error and a library.
            if library is None:
                raise CompilationError(_text(error))
            names = [str(name) for name in library.functionNames()]
            if entry is None and len(names) == 1:
                entry = names[0]
            if entry not in names:
                raise InvalidArgumentError(
                    f"entry= names one of {', '.join(names) or 'none'}, not {entry!r}"
                )
            function = library.newFunctionWithName_(entry)
            pipeline, error = self._device.newComputePipelineStateWithFunction_error_(
                function, None
            )
            if pipeline is None:
                raise CompilationError(_text(error))
        return pipeline

    def launch(
        self,
        program: Any,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        grid: Grid | None,
        timeout: float | None,
    ) -> int | None:
        """Encode one dispatch, commit it and wait."""
        grid = needs_grid(grid, self.name)
        group = _group(program, grid)
        buffers = (*inputs, *outputs)
        if len(buffers) > MAX_BUFFERS:
            raise ResourceLimitExceededError(
                f"{len(buffers)} buffers pass the {MAX_BUFFERS} a kernel can have"
            )
        size = self._metal.MTLSizeMake
        with self._objc.autorelease_pool():
            commands = self._commands()
            encoder = commands.computeCommandEncoder()
            if encoder is None:
                raise InternalOperationError("Metal gave no compute encoder")
            encoder.setComputePipelineState_(program)
            for index, buffer in enumerate(buffers):
                encoder.setBuffer_offset_atIndex_(buffer, 0, index)
            encoder.dispatchThreads_threadsPerThreadgroup_(size(*grid.threads), size(*group))
            encoder.endEncoding()
            self._run(commands, timeout)
            start, end = commands.GPUStartTime(), commands.GPUEndTime()
        # Both are seconds of one clock, and 0 where the GPU did not run it.
        return round((end - start) * 1e9) if end >= start > 0 else None

    def synchronize(self, timeout: float | None) -> None:
        """Commit an empty command buffer and wait for it: the queue is in order."""
        with self._objc.autorelease_pool():
            self._run(self._commands(), timeout)

    def close(self) -> None:
        """Let the queue and the device go."""
        del self._queue, self._device

    # -- inside ------------------------------------------------------------------------------

    def _bytes(self, buffer: Any) -> memoryview:
        view: memoryview = buffer.contents().as_buffer(buffer.length())
        return view

    def _commands(self) -> Any:
        commands = self._queue.commandBuffer()
        if commands is None:
            raise InternalOperationError("Metal gave no command buffer")
        return commands

    def _run(self, commands: Any, timeout: float | None) -> None:
        if timeout is None:
            commands.commit()
            commands.waitUntilCompleted()
        else:
            done = threading.Event()
            commands.addCompletedHandler_(lambda _: done.set())
            commands.commit()
            if not done.wait(timeout):
                raise OperationTimeoutError(f"not finished within {timeout:g} s")
        if commands.status() == self._metal.MTLCommandBufferStatusError:
            raise self._failure(commands.error())

    def _failure(self, error: Any) -> Exception:
        if error is None or str(error.domain()) != str(self._metal.MTLCommandBufferErrorDomain):
            return InternalOperationError(_text(error))
        word = self._errors.get(int(error.code()), MetalError.INTERNAL_ERROR)
        return typed(word, _text(error))


def _text(error: Any) -> str:
    return str(error.localizedDescription()) if error is not None else "Metal gave no reason"


def _group(pipeline: Any, grid: Grid) -> tuple[int, int, int]:
    most = int(pipeline.maxTotalThreadsPerThreadgroup())
    if grid.group is not None:
        # Metal ends the process over a group that is too large.
        if prod(grid.group) > most:
            raise ResourceLimitExceededError(
                f"a group of {prod(grid.group)} threads passes the kernel's {most}"
            )
        return grid.group
    x, y, z = grid.threads
    if y == z == 1:
        return min(x, most), 1, 1
    # Whole SIMD groups along x, as many of them as fit along y.
    width = min(x, int(pipeline.threadExecutionWidth()))
    return width, min(y, most // width), 1


def _device_info(metal: Any, device: Any) -> DeviceInfo:
    group = device.maxThreadsPerThreadgroup()
    # A PyObjC older than a family does not know its name.
    known = [name for name in _FAMILIES if hasattr(metal, name)]
    family = next((name for name in known if device.supportsFamily_(getattr(metal, name))), None)
    properties = [("registry_id", f"{int(device.registryID()):#x}")]
    if family is not None:
        properties.append(("family", family.removeprefix("MTLGPUFamily")))
    return DeviceInfo(
        name=str(device.name()),
        backend="metal",
        recommended_working_set_bytes=int(device.recommendedMaxWorkingSetSize()),
        max_buffer_bytes=int(device.maxBufferLength()),
        max_threads_per_threadgroup=int(group.width),
        unified_memory=bool(device.hasUnifiedMemory()),
        properties=tuple(properties),
    )
