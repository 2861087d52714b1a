"""The memory that accelerators hold, as a sensor: one pool a driver, device and telemetry."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from metalscope.snapshot import ResourceKind, ResourceMetrics

if TYPE_CHECKING:
    from metalscope.manager import MetalTelemetryManager

__all__ = ["MemoryPool"]


class MemoryPool:
    """Bytes in live buffers, now and at most.

    Accelerators of one driver on one device share a pool, so that there is one reading, not two
    of the same name.
    """

    def __init__(self, driver: str, device: str) -> None:
        self.name = f"accelerator_{driver}"
        self.device = device
        self.current = 0
        self.peak = 0
        self._users = 0
        self._lock = threading.Lock()

    @classmethod
    def join(cls, telemetry: MetalTelemetryManager, driver: str, device: str) -> MemoryPool:
        """The pool of this driver and device, made known to telemetry by its first user."""
        with _lock:
            pools = _pools.setdefault(telemetry, {})
            pool = pools.setdefault((driver, device), cls(driver, device))
            pool._users += 1
        telemetry.add_sensor(pool)
        return pool

    def leave(self, telemetry: MetalTelemetryManager) -> None:
        """Undo :meth:`join`; the last user takes the reading away."""
        with _lock:
            self._users -= 1
            if self._users:
                return
            pools = _pools.get(telemetry, {})
            for key in [key for key, pool in pools.items() if pool is self]:
                del pools[key]
        telemetry.remove_sensor(self)

    def add(self, nbytes: int) -> None:
        """Count a buffer."""
        with self._lock:
            self.current += nbytes
            self.peak = max(self.peak, self.current)

    def subtract(self, nbytes: int) -> None:
        """Count a buffer no more."""
        with self._lock:
            self.current -= nbytes

    def read(self) -> Iterator[ResourceMetrics]:
        """Yield the one reading; the device says no limit that would be the pool's own."""
        with self._lock:
            current, peak = self.current, self.peak
        yield ResourceMetrics(ResourceKind.MEMORY, self.name, self.device, current, peak)


_lock: Final = threading.Lock()
_pools: WeakKeyDictionary[MetalTelemetryManager, dict[tuple[str, str], MemoryPool]] = (
    WeakKeyDictionary()
)
