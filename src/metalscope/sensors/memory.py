"""Memory pressure, and what Metal holds of unified memory for this process.

Not read on Linux: ``/proc/pressure/memory`` is a share of time lost to waiting for memory, without
levels, and where "high" begins would be metalscope's invention. The host's memory is there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from metalscope.readings import MemoryPressure, ResourceKind, ResourceMetrics
from metalscope.sensors.base import Offer, SensorUnavailableError
from metalscope.sensors.native.system import System

__all__ = ["LEVELS", "MemorySensor", "MetalMemory", "open_metal", "open_sensor"]

_PRESSURE: Final = "kern.memorystatus_vm_pressure_level"

LEVELS: Final = {
    1: MemoryPressure.LOW,
    2: MemoryPressure.MEDIUM,
    4: MemoryPressure.CRITICAL,
}
"""What the kernel says of memory pressure, in metalscope's words.

1, 2 and 4 are ``NOTE_MEMORYSTATUS_PRESSURE_NORMAL``, ``…_WARN`` and ``…_CRITICAL``, which is what
xnu makes of its own levels (``convert_internal_pressure_level_to_dispatch_level`` in
github.com/apple-oss-distributions/xnu ``bsd/kern/kern_memorystatus_notify.c``). Inside, it knows
"urgent" between the two; it tells no one apart from "warn", so ``HIGH`` is never said here. "Warn"
is when it asks programs to give memory back, "critical" when it may end them: the lower and the
higher of the remaining words would say less, or more, than that.
"""

_NO_METAL: Final = "PyObjC's Metal cannot be imported"
_NO_METAL_REMEDY: Final = "pip install 'metalscope[metal]'"
_NO_DEVICE: Final = "there is no Metal device"
_IN_CHILD: Final = "this is a forked child, which Metal does not serve"
_IN_CHILD_REMEDY: Final = "start the process anew instead of forking it"


def open_sensor() -> MemorySensor:
    """Open the sensor.

    Raises:
        SensorUnavailableError: this is not macOS, or it says nothing of memory.
    """
    if sys.platform != "darwin":
        raise SensorUnavailableError("this is not macOS")
    return MemorySensor(System(), open_metal)


@dataclass(frozen=True, slots=True)
class MetalMemory:
    """The default device, by PyObjC: its modules ``Metal`` and ``objc``, and the device."""

    objc: Any
    device: Any

    def allocated(self) -> tuple[int, int]:
        """Bytes that the process has on the device, and how many work well.

        The names are of developer.apple.com/documentation/metal/mtldevice.
        """
        with self.objc.autorelease_pool():
            device = self.device
            return int(device.currentAllocatedSize()), int(device.recommendedMaxWorkingSetSize())


def open_metal() -> MetalMemory:
    """Open the device that every library of the process gets its memory from.

    Raises:
        SensorUnavailableError: PyObjC's Metal cannot be imported, or there is no device.
    """
    try:
        objc, metal = import_module("objc"), import_module("Metal")
    except ImportError as error:
        raise SensorUnavailableError(f"{_NO_METAL}: {error}", _NO_METAL_REMEDY) from error
    with objc.autorelease_pool():
        device = metal.MTLCreateSystemDefaultDevice()
    if device is None:
        raise SensorUnavailableError(_NO_DEVICE, "a virtual machine may have none")
    return MetalMemory(objc, device)


class MemorySensor:
    """Reads how short the system is of memory, and how much of it Metal holds for this process.

    ``metal_allocated`` is of all libraries of the process together, MLX's and PyTorch's arrays
    among them. In a forked child only the pressure is read; it is a question to the kernel.

    Args:
        system: answers that question.
        metal: opens the device.

    Raises:
        SensorUnavailableError: neither is there.
    """

    name = "memory"

    def __init__(self, system: System, metal: Callable[[], MetalMemory]) -> None:
        self._system = system
        self._pid = os.getpid()
        self._metal: MetalMemory | None = None
        self._allocated = Offer("memory allocated by Metal")
        try:
            self._metal = metal()
        except SensorUnavailableError as error:
            self._allocated = Offer(self._allocated.what, error.why, error.remedy)
            if system.integer(_PRESSURE) is None:
                why = f"the kernel has no {_PRESSURE}, and {error.why}"
                raise SensorUnavailableError(why, error.remedy) from error

    def read(self) -> Iterator[ResourceMetrics]:
        """Yield a level, and bytes."""
        level = LEVELS.get(self._system.integer(_PRESSURE) or 0)
        if level is not None:
            yield ResourceMetrics(ResourceKind.MEMORY_PRESSURE, "system", "", current=level)
        # In a child the device is only kept: to let go of it would be to talk to its driver.
        if self._metal is not None and not self._in_child:
            current, most = self._metal.allocated()
            yield ResourceMetrics(
                ResourceKind.MEMORY,
                "metal_allocated",
                "gpu:0",
                current=current,
                limit=most or None,
            )

    def offers(self) -> Iterator[Offer]:
        """Say whether each is read here, after reading."""
        found = {one.kind for one in self.read()}
        if ResourceKind.MEMORY_PRESSURE in found:
            yield Offer("memory pressure")
        else:
            said = self._system.integer(_PRESSURE)
            yield Offer(
                "memory pressure",
                f"the kernel has no {_PRESSURE}"
                if said is None
                else f"the kernel says {said}, which is none of its known levels",
                "see whether a newer metalscope knows this macOS",
            )
        if self._metal is not None and self._in_child:
            yield Offer(self._allocated.what, _IN_CHILD, _IN_CHILD_REMEDY)
        else:
            yield self._allocated

    @property
    def _in_child(self) -> bool:
        return self._pid != os.getpid()
