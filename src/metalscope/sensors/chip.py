"""Which Apple chip this is, and what a chip of that kind can do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Final

from metalscope.readings import DeviceInfo, ResourceMetrics
from metalscope.sensors.base import Offer, SensorUnavailableError
from metalscope.sensors.chips import gpu_family, peak_bandwidth
from metalscope.sensors.ioregistry import accelerators
from metalscope.sensors.native.corefoundation import CoreFoundation
from metalscope.sensors.native.iokit import IOKit
from metalscope.sensors.native.system import System

__all__ = ["Chip", "ChipSensor", "open_sensor"]

_FAMILIES: Final = tuple(f"Apple{number}" for number in range(12, 6, -1))
"""What a Mac's GPU can be of, newest first; one that PyObjC does not know is passed over."""

_ROSETTA: Final = "this Python is built for Intel and runs under Rosetta: use one for arm64"


def open_sensor() -> ChipSensor:
    """Open the sensor.

    Raises:
        SensorUnavailableError: this is not macOS, or not on a chip of Apple's.
    """
    if sys.platform != "darwin":
        raise SensorUnavailableError("this is not macOS")
    return ChipSensor(Chip.find(System(), IOKit(CoreFoundation())))


@dataclass(frozen=True, slots=True)
class Chip:
    """What is known of the chip; what is not is ``None``."""

    name: str | None
    gpu_cores: int | None
    memory_bytes: int | None
    model: str | None
    """The Mac's, such as ``Mac14,6``."""

    @classmethod
    def find(cls, system: System, iokit: IOKit) -> Chip:
        """Ask the system; what it does not answer is ``None``."""
        try:
            cores = next((one.cores for one in accelerators(iokit) if one.cores), None)
        except SensorUnavailableError:
            cores = None  # a fact less; that the registry is shut is said by its own sensor
        return cls(
            name=system.text("machdep.cpu.brand_string"),
            gpu_cores=cores,
            memory_bytes=system.integer("hw.memsize"),
            model=system.text("hw.model"),
        )

    @property
    def peak_bandwidth(self) -> float | None:
        """Bytes per second between memory and chip at most, as Apple says it."""
        return peak_bandwidth(self.name, self.gpu_cores) if self.name else None


class ChipSensor:
    """Knows the chip; reads nothing, since nothing of it changes.

    Args:
        chip: the chip.

    Raises:
        SensorUnavailableError: it is not one of Apple's.
    """

    name = "chip"

    def __init__(self, chip: Chip) -> None:
        if chip.name is None or not chip.name.startswith("Apple "):
            raise SensorUnavailableError(
                f"the chip is not one of Apple's: {chip.name or 'the system does not name it'}",
                _ROSETTA if (chip.name or "").startswith("VirtualApple") else "",
            )
        self._chip = chip
        self._name = chip.name

    def read(self) -> tuple[ResourceMetrics, ...]:
        """Nothing."""
        return ()

    def devices(self) -> Iterator[DeviceInfo]:
        """Describe the GPU: cores, family, and the most traffic its memory has."""
        facts = {
            "family": _family(self._name),
            "gpu_cores": self._chip.gpu_cores,
            "model": self._chip.model,
            "peak_memory_bytes_per_second": _whole(self._chip.peak_bandwidth),
        }
        yield DeviceInfo(
            name=self._name,
            backend="metal",
            memory_bytes=self._chip.memory_bytes,
            unified_memory=True,
            properties=tuple((key, str(value)) for key, value in facts.items() if value),
        )

    def offers(self) -> Iterator[Offer]:
        """Say which facts are known of this chip."""
        chip = self._chip
        yield Offer(f"chip: {self._name}")
        yield Offer("GPU core count", "" if chip.gpu_cores else "the registry does not tell it")
        yield (
            Offer("GPU family")
            if _family(self._name)
            else Offer(
                "GPU family",
                "metalscope's table does not have this chip",
                "pip install 'metalscope[metal]', and Metal itself is asked",
            )
        )
        yield (
            Offer("peak memory bandwidth")
            if chip.peak_bandwidth
            else Offer(
                "peak memory bandwidth",
                "Apple has published no figure for this chip that metalscope knows of",
            )
        )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _family(chip: str) -> str | None:
    """What Metal says, where PyObjC is installed; else what Apple's tables say of the chip."""
    if find_spec("Metal") is None:
        return gpu_family(chip)
    metal = import_module("Metal")
    device = metal.MTLCreateSystemDefaultDevice()
    if device is None:
        return gpu_family(chip)
    for name in _FAMILIES:
        constant = getattr(metal, f"MTLGPUFamily{name}", None)
        if constant is not None and device.supportsFamily_(constant):
            return name
    return gpu_family(chip)
