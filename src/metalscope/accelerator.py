"""MetalAccelerator: run kernels of your own, with every operation recorded."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from metalscope.default import get_telemetry
from metalscope.device_objects import Buffer, Kernel
from metalscope.drivers.arguments import Grid, Layout, bytes_of, check_range, check_timeout
from metalscope.drivers.base import Driver, Source
from metalscope.drivers.memory import MemoryPool
from metalscope.drivers.registry import AUTO, open_driver
from metalscope.errors import InvalidArgumentError, InvalidOperationError
from metalscope.health.guard import Guard
from metalscope.manager import MetalTelemetryManager
from metalscope.operation import Component, OperationKind
from metalscope.recorder import Operation
from metalscope.snapshot import DeviceInfo, MetalTelemetrySnapshot

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from metalscope.health.breaker import CircuitBreaker
    from metalscope.report import MetalProductionReport

__all__ = ["Buffer", "Kernel", "MetalAccelerator"]

logger = logging.getLogger("metalscope")


class MetalAccelerator:
    """One device, opened through a driver, with every operation recorded.

    Each method that does device work raises a
    :class:`~metalscope.errors.MetalOperationError` where it fails, and counts the operation
    either way. All methods may be called from several threads at once; threads that use the same
    buffer at once order their work themselves. An accelerator is not for use after a fork.

    Args:
        driver: a driver's name, an opened driver, or ``"auto"`` for the best there is:
            ``metal``, ``webgpu`` or ``mlx`` on a GPU, else ``mlx`` or ``webgpu`` on the processor.
        telemetry: where to record. Without it the process's default telemetry; where there is
            none either, telemetry of its own, started now and shut down by :meth:`close`.
        guard: pass every operation through two circuit breakers of the telemetry: ``device``, and
            ``memory`` for an allocation, ``compiler`` for a compilation, ``kernel`` for the rest.
            What one of them refuses raises a :class:`~metalscope.errors.CircuitOpenError`; it is
            no operation, and counted in the breaker's ``rejected`` alone. Off by default.

    Raises:
        ConfigurationError: no driver has that name.
        MissingExtraError: the driver's library is not installed.
        DeviceUnavailableError: there is no device, with the reason of each driver tried.
    """

    def __init__(
        self,
        driver: str | Driver[Any, Any] = AUTO,
        telemetry: MetalTelemetryManager | None = None,
        *,
        guard: bool = False,
    ) -> None:
        self._driver = driver if isinstance(driver, Driver) else open_driver(driver)
        self.device_info: DeviceInfo = self._driver.device_info
        self._device = self._driver.device_label
        known = telemetry if telemetry is not None else get_telemetry()
        self._owns_telemetry = known is None
        self.telemetry = known if known is not None else MetalTelemetryManager().start()
        self._guard = Guard(self.telemetry.breaker) if guard else None
        self._lock = threading.RLock()
        self._buffers: set[Buffer] = set()
        self._in_flight = 0
        self._closed = False
        self.telemetry.add_device(self.device_info)
        self._pool = MemoryPool.join(self.telemetry, self.driver_name, self._device)
        logger.info("MetalAccelerator uses %s on %s", self.driver_name, self.device_info.name)

    @property
    def driver_name(self) -> str:
        """Which driver it runs on."""
        return self._driver.name

    @property
    def language(self) -> str:
        """What :meth:`compile` takes."""
        return self._driver.language

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    # -- memory ------------------------------------------------------------------------------

    def allocate(
        self,
        nbytes: int,
        *,
        dtype: str = "uint8",
        shape: int | tuple[int, ...] | None = None,
        name: str = "buffer",
    ) -> Buffer:
        """Return ``nbytes`` zeroed bytes of device memory.

        Args:
            nbytes: how many.
            dtype: the type of an element, such as ``"float32"``. Like ``shape`` it matters to
                the mlx driver alone, whose kernels get arrays; elsewhere the source says it.
            shape: the shape of the array; one row where it is left out.
            name: what the allocation is recorded under.

        Raises:
            InvalidArgumentError: the size is not positive, or does not fit dtype and shape.
            ResourceLimitExceededError: it passes the device's largest buffer.
            OutOfMemoryError: the device has no such memory left.
        """
        with self._operation(OperationKind.ALLOCATE, name) as operation:
            with self._using():
                layout = Layout.of(nbytes, dtype, shape)
                buffer = Buffer(self, layout, self._driver.allocate(layout))
                with self._lock:
                    self._buffers.add(buffer)
                    self._pool.add(nbytes)
            operation.add_bytes(nbytes)
        self.telemetry.counters.allocated(nbytes)
        return buffer

    def free(self, buffer: Buffer) -> None:
        """Give a buffer's memory back; idempotent. See :meth:`Buffer.free`."""
        if buffer._owner is not self:
            raise InvalidArgumentError(f"{buffer!r} is no buffer of this accelerator")
        with self._lock:
            buffer._freed = True
            self._release_unused(buffer)

    def copy_in(self, buffer: Buffer, data: ReadableBuffer, *, offset: int = 0) -> None:
        """Write bytes into a buffer, from ``offset`` on, before any later launch.

        Args:
            buffer: where to.
            data: anything with the buffer protocol, contiguous: bytes, ``array``, NumPy arrays.
            offset: in bytes.

        Raises:
            InvalidArgumentError: it does not fit, or is no such data.
            InvalidOperationError: the buffer was freed.
        """
        with self._operation(OperationKind.TRANSFER, "copy_in") as operation:
            with self._using(buffer):
                view = bytes_of(data)
                check_range(buffer.nbytes, offset, view.nbytes)
                self._driver.copy_in(buffer._memory, view, offset)
            operation.add_bytes(view.nbytes)

    def copy_out(self, buffer: Buffer, *, offset: int = 0, nbytes: int | None = None) -> bytes:
        """Read bytes of a buffer, after every launch before has written them.

        Args:
            buffer: where from.
            offset: in bytes.
            nbytes: how many; all from ``offset`` on where it is left out.

        Raises:
            InvalidArgumentError: the buffer has no such bytes.
            InvalidOperationError: the buffer was freed.
        """
        with self._operation(OperationKind.TRANSFER, "copy_out") as operation:
            with self._using(buffer):
                size = buffer.nbytes - offset if nbytes is None else nbytes
                check_range(buffer.nbytes, offset, size)
                data = self._driver.copy_out(buffer._memory, offset, size)
            operation.add_bytes(size)
        return data

    # -- kernels -----------------------------------------------------------------------------

    def compile(
        self, source: Source, entry: str | None = None, *, name: str | None = None
    ) -> Kernel:
        """Make a kernel.

        Args:
            source: text in the driver's :attr:`language`, or a function of arrays.
            entry: which kernel function of the text; needed where there are several.
            name: what the compilation and the launches are recorded under; the entry's or the
                function's name where it is left out.

        Raises:
            CompilationError: with the compiler's own text.
            InvalidArgumentError: no such entry, or not this driver's language.
        """
        label = name or entry or getattr(source, "__name__", None) or "kernel"
        with self._operation(OperationKind.COMPILE, label), self._using():
            return Kernel(self, label, self._driver.compile(source, entry))

    def launch(
        self,
        kernel: Kernel,
        inputs: Sequence[Buffer] = (),
        outputs: Sequence[Buffer] = (),
        *,
        threads: int | tuple[int, ...] | None = None,
        group: int | tuple[int, ...] | None = None,
        timeout: float | None = None,
    ) -> None:
        """Run a kernel and return when it is done, so that its duration is the work's own.

        Args:
            kernel: of :meth:`compile`.
            inputs: buffers it reads, bound first.
            outputs: buffers it writes, bound after the inputs.
            threads: how many threads, in up to three dimensions. The mlx driver needs none.
            group: how many of them form a group; the driver chooses where it is left out.
            timeout: seconds to wait. What has not ended by then goes on, and what it writes
                into the outputs is undefined until :meth:`synchronize` returns.

        Raises:
            OperationTimeoutError: it took longer than ``timeout``.
            InvalidArgumentError: the buffers do not fit the kernel.
            InvalidOperationError: a buffer was freed, or the device refused the work.
            DeviceLostError: the device is gone; so are all its buffers.
        """
        label = kernel.name if isinstance(kernel, Kernel) else "kernel"
        with self._operation(OperationKind.EXECUTE, label) as operation:
            with self._using(*inputs, *outputs):
                if getattr(kernel, "_owner", None) is not self:
                    raise InvalidArgumentError(f"{kernel!r} is no kernel of this accelerator")
                grid = Grid.of(threads, group)
                check_timeout(timeout)
                gpu_ns = self._driver.launch(
                    kernel._program,
                    [buffer._memory for buffer in inputs],
                    [buffer._memory for buffer in outputs],
                    grid,
                    timeout,
                )
            if gpu_ns is not None:
                operation.set_gpu_ns(gpu_ns)

    def synchronize(self, *, timeout: float | None = None) -> None:
        """Wait until the device has done all it was given, launches that timed out included.

        Raises:
            OperationTimeoutError: that took longer than ``timeout`` seconds.
        """
        with self._operation(OperationKind.SYNCHRONIZE, "synchronize"), self._using():
            check_timeout(timeout)
            self._driver.synchronize(timeout)

    # -- telemetry ---------------------------------------------------------------------------

    def get_telemetry_report(self) -> MetalProductionReport:
        """Collect now and analyse what was recorded, by this accelerator and all others."""
        return self.telemetry.generate_report()

    def export_telemetry(self) -> MetalTelemetrySnapshot:
        """Hand a fresh snapshot to every consumer of the telemetry; return it."""
        return self.telemetry.export_now()

    def breaker(self, name: str, component: Component | str | None = None) -> CircuitBreaker:
        """The telemetry's circuit breaker of that name; see its own method ``breaker``."""
        return self.telemetry.breaker(name, component)

    # -- life --------------------------------------------------------------------------------

    def close(self) -> None:
        """Free all buffers and let the device go; idempotent.

        Never waits: what other threads have in flight ends first, and the last of them lets the
        device go.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            last = self._in_flight == 0
        if last:
            self._let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = " closed" if self._closed else ""
        return f"<MetalAccelerator {self.driver_name} on {self.device_info.name!r}{state}>"

    # -- inside ------------------------------------------------------------------------------

    def _operation(self, kind: OperationKind, name: str) -> AbstractContextManager[Operation]:
        if self._guard is None:
            return self.telemetry.operation(kind, name, device=self._device)
        return self._guarded(self._guard, kind, name)

    @contextmanager
    def _guarded(self, guard: Guard, kind: OperationKind, name: str) -> Iterator[Operation]:
        device, component = guard.breakers(kind)
        # The breakers outside: what they refuse is no operation.
        with (
            device,
            component,
            self.telemetry.operation(kind, name, device=self._device) as operation,
        ):
            yield operation

    @contextmanager
    def _using(self, *buffers: Buffer) -> Iterator[None]:
        """Hold the device open and the buffers alive for the length of the block."""
        with self._lock:
            if self._closed:
                raise InvalidOperationError("the accelerator is closed")
            for buffer in buffers:
                if getattr(buffer, "_owner", None) is not self:
                    raise InvalidArgumentError(f"{buffer!r} is no buffer of this accelerator")
                if buffer._freed:
                    raise InvalidOperationError("a buffer is used after it was freed")
            for buffer in buffers:
                buffer._users += 1
            self._in_flight += 1
        try:
            yield
        finally:
            with self._lock:
                for buffer in buffers:
                    buffer._users -= 1
                    self._release_unused(buffer)
                self._in_flight -= 1
                last = self._closed and self._in_flight == 0
            if last:
                self._let_go()

    def _release_unused(self, buffer: Buffer) -> None:
        if not buffer._freed or buffer._users or buffer not in self._buffers:
            return
        self._buffers.remove(buffer)
        self._pool.subtract(buffer.nbytes)
        memory, buffer._memory = buffer._memory, None
        self._driver.free(memory)

    def _let_go(self) -> None:
        with self._lock:
            for buffer in tuple(self._buffers):
                self.free(buffer)
        try:
            self._driver.close()
        finally:
            self._pool.leave(self.telemetry)
            if self._owns_telemetry:
                self.telemetry.shutdown()
