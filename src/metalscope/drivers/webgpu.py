"""The webgpu driver: WGSL through wgpu-py, over Metal on a Mac and Vulkan elsewhere."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, Self, TypeVar

from metalscope.drivers.arguments import Grid, Layout
from metalscope.drivers.base import Driver, Source, load, needs_grid, typed
from metalscope.drivers.wgsl import entry_points
from metalscope.errors import (
    DeviceUnavailableError,
    InvalidArgumentError,
    OperationTimeoutError,
    ResourceLimitExceededError,
)
from metalscope.operation import MetalError
from metalscope.snapshot import DeviceInfo

__all__ = ["WebGPUDriver"]

# Copies move whole words, at offsets that are whole words (WebGPU, COPY_BUFFER_ALIGNMENT).
_WORD: Final = 4
# Two 64-bit timestamps, at the start and the end of the compute pass.
_STAMPS: Final = struct.Struct("=QQ")
_TIMESTAMPS: Final = "timestamp-query"
_SOFTWARE: Final = "CPU"

# wgpu-native tells these only in words. They are of wgpu 29 and looked for in lower case.
_LOST: Final = "device is lost"
_NO_MEMORY: Final = "not enough memory"
_LIMIT: Final = ("maximum buffer size", "exceeds", "limit")


Result = TypeVar("Result")


@dataclass(slots=True)
class _Program:
    pipeline: Any
    group_size: tuple[int, int, int] | None


@dataclass(slots=True)
class _Fence:
    """What one launch in flight needs: mapping ``readback`` succeeds once its work is done."""

    readback: Any
    resolved: Any
    queries: Any


class WebGPUDriver(Driver[Any, _Program]):
    """A WebGPU adapter, the fastest there is, with all that it allows.

    Buffers are bound in the order of the inputs, then the outputs, at ``@group(0)``
    ``@binding(0)`` and on; a kernel has to use each of them. ``threads`` is rounded up to whole
    workgroups, so a kernel guards its index. Device time is the span between two timestamps
    around the compute pass.
    """

    name = "webgpu"
    language = "WGSL"

    def __init__(self, wgpu: Any, adapter: Any) -> None:
        self._wgpu = wgpu
        timed = _TIMESTAMPS in adapter.features
        self.device = adapter.request_device_sync(required_features=[_TIMESTAMPS] if timed else [])
        self._limits: dict[str, int] = dict(self.device.limits)
        self._period = _timestamp_period(self.device) if timed else None
        self._info = _device_info(adapter.info, self._limits, self._period)
        # Against two threads that patch different bytes of one word.
        self._patching = threading.Lock()
        self._idle_fences: list[_Fence] = []
        # What is waited for with a limit, and maybe no longer.
        self._late: set[threading.Thread] = set()

    @classmethod
    def open(cls, *, gpu_only: bool = False) -> Self:
        """Open the adapter that wgpu thinks the fastest."""
        wgpu = load("wgpu", what="the webgpu driver", extra="webgpu")
        try:
            adapter = wgpu.gpu.request_adapter_sync(power_preference="high-performance")
        except RuntimeError as error:
            raise DeviceUnavailableError(f"there is no WebGPU adapter: {error}") from error
        if gpu_only and adapter.info["adapter_type"] == _SOFTWARE:
            raise DeviceUnavailableError(f"{adapter.info['device']} computes on the processor")
        try:
            return cls(wgpu, adapter)
        except (RuntimeError, wgpu.GPUError) as error:
            raise DeviceUnavailableError(str(error)) from error

    @property
    def device_info(self) -> DeviceInfo:
        """The facts of the adapter and the limits of the device."""
        return self._info

    def allocate(self, layout: Layout) -> Any:
        """Create a buffer for storage, uniforms and copies."""
        usage = self._wgpu.BufferUsage
        flags = usage.STORAGE | usage.UNIFORM | usage.COPY_SRC | usage.COPY_DST
        return self._buffer(_whole_words(layout.nbytes), flags)

    def free(self, memory: Any) -> None:
        """Nothing to do: wgpu releases the buffer with its last use.

        To destroy it would be rash: a launch that timed out may not have submitted its work yet,
        and wgpu-native ends the process over work with a destroyed buffer.
        """

    def copy_in(self, memory: Any, data: memoryview, offset: int) -> None:
        """Hand the bytes to the queue, which moves them before the next submitted work."""
        start, end = _word_span(offset, data.nbytes)
        with self._patching, self._typed_errors(MetalError.INVALID_OPERATION):
            if (start, end) != (offset, offset + data.nbytes):
                words = bytearray(self.device.queue.read_buffer(memory, start, end - start))
                words[offset - start : offset - start + data.nbytes] = data
                data = memoryview(words)
            self.device.queue.write_buffer(memory, start, data)

    def copy_out(self, memory: Any, offset: int, nbytes: int) -> bytes:
        """Copy to a mappable buffer, wait, read."""
        start, end = _word_span(offset, nbytes)
        usage = self._wgpu.BufferUsage
        with self._typed_errors(MetalError.INVALID_OPERATION):
            readback = self._buffer(end - start, usage.COPY_DST | usage.MAP_READ)
            encoder = self.device.create_command_encoder()
            encoder.copy_buffer_to_buffer(memory, start, readback, 0, end - start)
            self._run(encoder, readback)
            data = bytes(readback.read_mapped(copy=False)[offset - start :][:nbytes])
            readback.unmap()
            readback.destroy()
        return data

    def compile(self, source: Source, entry: str | None) -> _Program:
        """Compile the module, then the pipeline of one entry point."""
        if not isinstance(source, str):
            raise InvalidArgumentError("the webgpu driver compiles WGSL text")
        with self._typed_errors(MetalError.COMPILATION_ERROR):
            module = self.device.create_shader_module(label=entry or "", code=source)
        entries = entry_points(source)
        if entry is None:
            if len(entries) != 1:
                raise InvalidArgumentError(f"entry= names one of {', '.join(entries) or 'none'}")
            (entry,) = entries
        elif entry not in entries:
            raise InvalidArgumentError(
                f"the source has no entry {entry!r}, only {', '.join(entries) or 'none'}"
            )
        with self._typed_errors(MetalError.COMPILATION_ERROR):
            pipeline = self.device.create_compute_pipeline(
                label=entry, layout="auto", compute={"module": module, "entry_point": entry}
            )
        return _Program(pipeline, entries[entry])

    def launch(
        self,
        program: _Program,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        grid: Grid | None,
        timeout: float | None,
    ) -> int | None:
        """Submit one compute pass and wait for it."""
        groups = self._groups(program, needs_grid(grid, self.name))
        with self._typed_errors(MetalError.INVALID_ARGUMENT):
            return self._within(timeout, lambda: self._pass(program, [*inputs, *outputs], groups))

    def synchronize(self, timeout: float | None) -> None:
        """Submit an empty piece of work and wait for it: the queue is in order.

        A launch that timed out may not have submitted its own yet, so its thread is waited for.
        """
        late = tuple(self._late)

        def settle() -> None:
            for thread in late:
                thread.join()
            self._empty_pass()

        with self._typed_errors(MetalError.INVALID_OPERATION):
            self._within(timeout, settle)

    def close(self) -> None:
        """Let the device go; wgpu releases it with its last object."""
        self._idle_fences.clear()
        del self.device

    # -- inside ------------------------------------------------------------------------------

    def _buffer(self, size: int, usage: int) -> Any:
        with self._typed_errors(MetalError.INVALID_ARGUMENT):
            return self.device.create_buffer(size=size, usage=usage)

    def _bind_group(self, program: _Program, buffers: Sequence[Any]) -> Any:
        return self.device.create_bind_group(
            layout=program.pipeline.get_bind_group_layout(0),
            entries=[
                {"binding": binding, "resource": {"buffer": buffer}}
                for binding, buffer in enumerate(buffers)
            ],
        )

    def _groups(self, program: _Program, grid: Grid) -> tuple[int, int, int]:
        size = program.group_size or grid.group
        if size is None:
            raise InvalidArgumentError(
                "the kernel's @workgroup_size is no plain number; say it with group="
            )
        if grid.group not in (None, size):
            raise InvalidArgumentError(f"the kernel's @workgroup_size is {size}, not {grid.group}")
        x, y, z = (-(-threads // one) for threads, one in zip(grid.threads, size, strict=True))
        most = self._limits["max-compute-workgroups-per-dimension"]
        if max(x, y, z) > most:
            raise ResourceLimitExceededError(
                f"{grid.threads} threads are {(x, y, z)} workgroups, "
                f"of which the device takes {most} a dimension"
            )
        return x, y, z

    def _pass(
        self, program: _Program, buffers: Sequence[Any], groups: tuple[int, int, int]
    ) -> int | None:
        fence = self._take_fence()
        encoder = self.device.create_command_encoder()
        compute_pass = encoder.begin_compute_pass(**_timestamp_writes(fence))
        compute_pass.set_pipeline(program.pipeline)
        if buffers:
            compute_pass.set_bind_group(0, self._bind_group(program, buffers))
        compute_pass.dispatch_workgroups(*groups)
        compute_pass.end()
        if fence.queries is not None:
            encoder.resolve_query_set(fence.queries, 0, 2, fence.resolved, 0)
        start, end = self._finish(fence, encoder)
        return round((end - start) * self._period) if self._period and end >= start > 0 else None

    def _empty_pass(self) -> None:
        self._finish(self._take_fence(), self.device.create_command_encoder())

    def _take_fence(self) -> _Fence:
        try:
            return self._idle_fences.pop()
        except IndexError:
            pass
        usage = self._wgpu.BufferUsage
        return _Fence(
            readback=self._buffer(_STAMPS.size, usage.COPY_DST | usage.MAP_READ),
            resolved=self._buffer(_STAMPS.size, usage.COPY_SRC | usage.QUERY_RESOLVE),
            queries=(
                self.device.create_query_set(type="timestamp", count=2) if self._period else None
            ),
        )

    def _finish(self, fence: _Fence, encoder: Any) -> tuple[int, int]:
        encoder.copy_buffer_to_buffer(fence.resolved, 0, fence.readback, 0, _STAMPS.size)
        self._run(encoder, fence.readback)
        start, end = _STAMPS.unpack(fence.readback.read_mapped(copy=False))
        fence.readback.unmap()
        self._idle_fences.append(fence)
        return start, end

    def _within(self, timeout: float | None, call: Callable[[], Result]) -> Result:
        """Return what the call returns, or stop waiting for it: wgpu itself waits for ever."""
        if timeout is None:
            return call()
        future: Future[Result] = Future()

        def run() -> None:
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - it is the waiting caller's
                future.set_exception(error)
            finally:
                self._late.discard(threading.current_thread())

        thread = threading.Thread(target=run, name="metalscope-webgpu", daemon=True)
        self._late.add(thread)
        thread.start()
        try:
            return future.result(timeout)
        except TimeoutError:
            if future.done():
                raise
            raise OperationTimeoutError(f"not finished within {timeout:g} s") from None

    def _run(self, encoder: Any, readback: Any) -> None:
        # wgpu-native ends the process over invalid work, a lost device included; finish() raises
        # for it, so there is nothing between the two.
        commands = encoder.finish()
        self.device.queue.submit([commands])
        readback.map_sync(self._wgpu.MapMode.READ)

    @contextmanager
    def _typed_errors(self, meaning: MetalError) -> Iterator[None]:
        """Raise what wgpu raises as one of ours; ``meaning`` is what a validation error means."""
        wgpu = self._wgpu
        try:
            yield
        except wgpu.GPUError as error:
            text = str(error).strip()
            if isinstance(error, wgpu.GPUOutOfMemoryError) or _NO_MEMORY in text.lower():
                word = MetalError.OUT_OF_MEMORY
            elif _LOST in text.lower():
                word = MetalError.DEVICE_LOST
            elif isinstance(error, wgpu.GPUInternalError):
                word = MetalError.INTERNAL_ERROR
            elif meaning is not MetalError.COMPILATION_ERROR and _passes_a_limit(text):
                word = MetalError.RESOURCE_LIMIT_EXCEEDED
            else:
                word = meaning
            raise typed(word, text) from error
        except RuntimeError as error:
            if type(error) is not RuntimeError:
                raise
            raise typed(error) from error


def _timestamp_writes(fence: _Fence) -> dict[str, Any]:
    if fence.queries is None:
        return {}
    return {
        "timestamp_writes": {
            "query_set": fence.queries,
            "beginning_of_pass_write_index": 0,
            "end_of_pass_write_index": 1,
        }
    }


def _timestamp_period(device: Any) -> float | None:
    # Timestamps are ticks; only wgpu-native's own call tells how many ns one is. Without it there
    # is no device time: a guess would be wrong by a factor of up to a hundred.
    try:
        native = import_module("wgpu.backends.wgpu_native").lib
        return float(native.wgpuQueueGetTimestampPeriod(device.queue._internal)) or None
    except (ImportError, AttributeError):
        return None


def _device_info(info: Any, limits: dict[str, int], period: float | None) -> DeviceInfo:
    return DeviceInfo(
        name=info["device"] or info["description"] or info["vendor"],
        backend="webgpu",
        max_buffer_bytes=limits["max-buffer-size"],
        max_threads_per_threadgroup=limits["max-compute-invocations-per-workgroup"],
        properties=(
            ("adapter_type", str(info["adapter_type"])),
            ("backend_type", str(info["backend_type"])),
            ("driver", str(info["description"])),
            ("device_time", _TIMESTAMPS if period else "not offered"),
        ),
    )


def _passes_a_limit(text: str) -> bool:
    lowered = text.lower()
    return any(phrase in lowered for phrase in _LIMIT)


def _whole_words(nbytes: int) -> int:
    return -(-nbytes // _WORD) * _WORD


def _word_span(offset: int, nbytes: int) -> tuple[int, int]:
    return offset // _WORD * _WORD, _whole_words(offset + nbytes)
