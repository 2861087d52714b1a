"""Where the hooks of wgpu record, for which devices, and that a call within a call counts once."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from metalscope.errors import classify
from metalscope.operation import MetalError
from metalscope.readings import DeviceInfo

if TYPE_CHECKING:
    from metalscope.manager import MetalTelemetryManager

__all__ = ["ROOM", "Scope", "device_info", "meaning", "within_driver"]

ROOM: Final = "instrument.webgpu"
_DRIVER: Final = "metalscope.drivers.webgpu"

# wgpu-native says these only in words; of wgpu 29, looked for in lower case.
_LOST: Final = ("device is lost", "device was lost", "device lost")
_NO_MEMORY: Final = ("not enough memory", "out of memory")
_LIMIT: Final = ("maximum buffer size", "exceeds the limit", "exceeds the max")


class _Inside(threading.local):
    call = False
    """Whether the thread is within a call that is being recorded."""


class Scope:
    """What the hooks of one installation share.

    Args:
        gpu_error: the class ``wgpu.GPUError``.
    """

    def __init__(self, gpu_error: type[Exception]) -> None:
        self.telemetry: MetalTelemetryManager | None = None
        self.inside: Final = _Inside()
        self._gpu_error = gpu_error
        self._labels: dict[int, tuple[weakref.ref[Any], str | None]] = {}

    def watched(self, owner: Any) -> tuple[MetalTelemetryManager, str] | None:
        """Where to record a call of ``owner``, and its device's label; ``None`` where not at all.

        That is within a call that is recorded, without telemetry, and on an accelerator's device.
        """
        telemetry = self.telemetry
        if telemetry is None or self.inside.call:
            return None
        device = self.device_of(telemetry, owner)
        return None if device is None else (telemetry, device)

    def device_of(self, telemetry: MetalTelemetryManager, owner: Any) -> str | None:
        """The label of the device ``owner`` is or belongs to.

        ``None`` for that of a ``MetalAccelerator``, which records what it does itself.
        """
        try:
            device = owner._device
            known = self._labels.get(id(device))
            return known[1] if known is not None else self._meet(telemetry, device)
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            telemetry.internal_error(ROOM, error)
            return ""

    def only_device(self) -> str:
        """The label of the one device the program uses; empty if it uses several."""
        labels = {label for _, label in tuple(self._labels.values()) if label is not None}
        return labels.pop() if len(labels) == 1 else ""

    def error_of(self, kind: str, error: BaseException) -> MetalError | BaseException:
        """What an exception of wgpu's means in an operation of ``kind``."""
        if isinstance(error, self._gpu_error):
            return meaning(str(error), kind)
        # A plain RuntimeError is how wgpu-py refuses what the state of an object does not allow.
        if type(error) is RuntimeError and classify(error) is MetalError.INTERNAL_ERROR:
            return MetalError.INVALID_OPERATION
        return error

    def guarded(
        self, telemetry: MetalTelemetryManager, work: Callable[..., None], *args: Any
    ) -> None:
        """Do ``work(*args)``; where that fails, count it."""
        try:
            work(*args)
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            telemetry.internal_error(ROOM, error)

    def _meet(self, telemetry: MetalTelemetryManager, device: Any) -> str | None:
        key, labels = id(device), self._labels
        label = None
        # The accelerator's driver keeps its device to itself: its first use tells whose it is.
        if not within_driver():
            info = device_info(device)
            telemetry.add_device(info)
            label = info.name
        labels[key] = (weakref.ref(device, lambda _: labels.pop(key, None)), label)
        return label


def within_driver() -> bool:
    """Whether the call comes from the driver of ``MetalAccelerator``. Slow; for once a device."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__") == _DRIVER:
            return True
        frame = frame.f_back
    return False


def device_info(device: Any) -> DeviceInfo:
    """Describe a device with the facts of its adapter and its own limits."""
    facts, limits = device.adapter_info, device.limits
    return DeviceInfo(
        name=facts["device"] or facts["description"] or facts["vendor"],
        backend="webgpu",
        max_buffer_bytes=limits.get("max-buffer-size"),
        max_threads_per_threadgroup=limits.get("max-compute-invocations-per-workgroup"),
        properties=tuple(
            (key, str(value))
            for key, value in (
                ("adapter_type", facts.get("adapter_type")),
                ("backend_type", facts.get("backend_type")),
                ("driver", facts.get("description")),
                ("vendor", facts.get("vendor")),
                ("max_storage_binding_bytes", limits.get("max-storage-buffer-binding-size")),
            )
            if value
        ),
    )


def meaning(text: str, kind: str) -> MetalError:
    """What a GPUError with this text means in an operation of ``kind``."""
    lowered = text.lower()
    if any(phrase in lowered for phrase in _LOST):
        return MetalError.DEVICE_LOST
    if any(phrase in lowered for phrase in _NO_MEMORY):
        return MetalError.OUT_OF_MEMORY
    if kind == "compile":
        return MetalError.COMPILATION_ERROR
    if any(phrase in lowered for phrase in _LIMIT):
        return MetalError.RESOURCE_LIMIT_EXCEEDED
    return MetalError.INVALID_ARGUMENT if kind == "allocate" else MetalError.INVALID_OPERATION
