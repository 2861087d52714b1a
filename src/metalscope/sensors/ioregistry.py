"""What the GPU's driver says of itself, by IOKit's public functions."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from metalscope.readings import ResourceKind, ResourceMetrics
from metalscope.sensors.base import Offer, SensorUnavailableError
from metalscope.sensors.native.corefoundation import CoreFoundation, Value
from metalscope.sensors.native.iokit import IOKit

__all__ = ["Accelerator", "IORegistrySensor", "accelerators", "open_sensor"]

_CLASS: Final = "IOAccelerator"
_STATISTICS: Final = "PerformanceStatistics"
# Apple documents the call, not the keys; these are those of AGXAccelerator on Apple silicon
# (ioreg -r -d 1 -c IOAccelerator), and they differ by chip and macOS.
_READINGS: Final = (
    ("Device Utilization %", ResourceKind.GPU_UTILIZATION, "device"),
    ("Renderer Utilization %", ResourceKind.GPU_UTILIZATION, "renderer"),
    ("Tiler Utilization %", ResourceKind.GPU_UTILIZATION, "tiler"),
    ("In use system memory", ResourceKind.GPU_MEMORY, "gpu_in_use"),
    ("Alloc system memory", ResourceKind.GPU_MEMORY, "gpu_allocated"),
    ("recoveryCount", ResourceKind.RECOVERIES, "gpu"),
)


def open_sensor() -> IORegistrySensor:
    """Open the sensor.

    Raises:
        SensorUnavailableError: this is not macOS, or it has no GPU whose driver says anything.
    """
    if sys.platform != "darwin":
        raise SensorUnavailableError("this is not macOS")
    return IORegistrySensor(IOKit(CoreFoundation()))


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A GPU as the registry has it; what its driver does not say is ``None`` or left out."""

    model: str | None
    cores: int | None
    statistics: dict[str, Value]


def accelerators(iokit: IOKit) -> tuple[Accelerator, ...]:
    """The GPUs of this machine.

    Raises:
        SensorUnavailableError: the registry cannot be asked.
    """
    with iokit.services(_CLASS) as entries:
        return tuple(_accelerator(iokit, entry) for entry in entries)


class IORegistrySensor:
    """Reads how busy a GPU is, what memory is held for it, and how often it was restarted.

    Nothing is kept between readings but the libraries, so it works in a forked child as it is.

    Args:
        iokit: IOKit.

    Raises:
        SensorUnavailableError: there is no GPU in the registry.
    """

    name = "ioregistry"

    def __init__(self, iokit: IOKit) -> None:
        self._iokit = iokit
        if not accelerators(iokit):
            raise SensorUnavailableError(
                "the registry has no GPU", "a virtual machine may have none: run on the Mac itself"
            )

    def read(self) -> Iterator[ResourceMetrics]:
        """Yield percent, bytes and counts, those of them that the driver says."""
        for index, statistics in enumerate(self._statistics()):
            for key, kind, name in _READINGS:
                current = _figure(kind, statistics.get(key))
                if current is not None:
                    yield ResourceMetrics(kind, name, f"gpu:{index}", current=current)

    def offers(self) -> Iterator[Offer]:
        """Say of each key whether the driver has it, after asking it."""
        try:
            statistics = self._statistics()
        except SensorUnavailableError as error:
            yield Offer("GPU statistics", error.why, error.remedy)
            return
        for key, kind, _ in _READINGS:
            if any(_figure(kind, one.get(key)) is not None for one in statistics):
                yield Offer(f"GPU: {key}")
            else:
                yield Offer(f"GPU: {key}", "this GPU's driver does not say it on this macOS")

    def _statistics(self) -> tuple[dict[str, Value], ...]:
        with self._iokit.services(_CLASS) as entries:
            found = (self._iokit.property(entry, _STATISTICS) for entry in entries)
            return tuple(one if isinstance(one, dict) else {} for one in found)


def _accelerator(iokit: IOKit, entry: int) -> Accelerator:
    model, cores = iokit.property(entry, "model"), iokit.property(entry, "gpu-core-count")
    if isinstance(model, bytes):  # as the drivers of Intel's and AMD's GPUs have it
        model = model.rstrip(b"\0").decode("utf-8", "replace")
    statistics = iokit.property(entry, _STATISTICS)
    return Accelerator(
        model=model if isinstance(model, str) and model else None,
        cores=cores if isinstance(cores, int) and cores > 0 else None,
        statistics=statistics if isinstance(statistics, dict) else {},
    )


def _figure(kind: ResourceKind, value: Value | None) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    # A driver of Intel's has said more than 100 % (github.com/exelban/stats issue 649).
    return min(value, 100) if kind is ResourceKind.GPU_UTILIZATION else value
