"""What sensors say: a value of one kind, in that kind's unit, and the facts of a device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from typing import Any, Final, Literal

__all__ = [
    "DeviceInfo",
    "MemoryPressure",
    "ReadingUnit",
    "ResourceKind",
    "ResourceMetrics",
    "ThermalState",
]

ReadingUnit = Literal[
    "bytes", "bytes_per_second", "celsius", "count", "hertz", "joules", "level", "percent", "rpm",
    "watts",
]  # fmt: skip


class ResourceKind(StrEnum):
    """What a resource reading measures, and so its unit."""

    MEMORY = "memory"
    """Device memory, or unified memory held for the device; bytes."""
    GPU_MEMORY = "gpu_memory"
    """Unified memory the GPU's driver holds, for all processes of the machine together; bytes."""
    HOST_MEMORY = "host_memory"
    """Memory of the host or of the process as a whole; bytes."""
    GPU_UTILIZATION = "gpu_utilization"
    """How busy the GPU or one of its engines is; percent."""
    CPU_UTILIZATION = "cpu_utilization"
    """Load of all processors together; percent."""
    FREQUENCY = "frequency"
    """Mean clock while busy; hertz. ``limit`` is the highest there is."""
    BANDWIDTH = "bandwidth"
    """Memory traffic; bytes per second. ``limit`` is what the chip can do at most."""
    POWER = "power"
    """Electrical power of one rail; watts."""
    ENERGY = "energy"
    """Energy one rail has used since the sensor was opened; joules, only ever grows."""
    TEMPERATURE = "temperature"
    """Degrees Celsius."""
    FAN_SPEED = "fan_speed"
    """Turns a minute."""
    THERMAL_STATE = "thermal_state"
    """A level of :class:`ThermalState`."""
    MEMORY_PRESSURE = "memory_pressure"
    """A level of :class:`MemoryPressure`."""
    LOW_POWER_MODE = "low_power_mode"
    """1 where the system saves power, else 0."""
    RECOVERIES = "recoveries"
    """How often the system has restarted the GPU since boot; a count, only ever grows."""

    @property
    def unit(self) -> ReadingUnit:
        """The unit of every reading of this kind."""
        return _UNITS[self]


_UNITS: Final[dict[ResourceKind, ReadingUnit]] = {
    ResourceKind.MEMORY: "bytes",
    ResourceKind.GPU_MEMORY: "bytes",
    ResourceKind.HOST_MEMORY: "bytes",
    ResourceKind.GPU_UTILIZATION: "percent",
    ResourceKind.CPU_UTILIZATION: "percent",
    ResourceKind.FREQUENCY: "hertz",
    ResourceKind.BANDWIDTH: "bytes_per_second",
    ResourceKind.POWER: "watts",
    ResourceKind.ENERGY: "joules",
    ResourceKind.TEMPERATURE: "celsius",
    ResourceKind.FAN_SPEED: "rpm",
    ResourceKind.THERMAL_STATE: "level",
    ResourceKind.MEMORY_PRESSURE: "level",
    ResourceKind.LOW_POWER_MODE: "level",
    ResourceKind.RECOVERIES: "count",
}


class ThermalState(IntEnum):
    """``NSProcessInfoThermalState``, with Apple's numbers (developer.apple.com, Foundation)."""

    NOMINAL = 0
    FAIR = 1
    SERIOUS = 2
    CRITICAL = 3


class MemoryPressure(IntEnum):
    """How short the system is of memory, from fine to about to end processes."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2
    CRITICAL = 3


@dataclass(frozen=True, slots=True)
class ResourceMetrics:
    """One reading of a sensor, in the unit of its kind.

    ``name`` tells readings of one kind apart: a memory pool, an engine of the GPU, a power rail.
    ``peak`` is the highest value the source knows of, ``limit`` what cannot be passed; ``None``
    means that the source does not say.
    """

    kind: ResourceKind
    name: str
    device: str
    current: float
    peak: float | None = None
    limit: float | None = None

    @property
    def unit(self) -> ReadingUnit:
        """The unit of ``current``, ``peak`` and ``limit``."""
        return self.kind.unit

    @property
    def is_of_the_host(self) -> bool:
        """Whether every process of this host that reads it reads the same figure."""
        if self.kind is ResourceKind.HOST_MEMORY:
            # The host's memory has a size; a process's share of it has none.
            return self.limit is not None
        return self.kind is not ResourceKind.MEMORY

    @property
    def utilization_percent(self) -> float | None:
        """``current`` as a share of ``limit``, or the reading itself where it is a percentage."""
        if self.unit == "percent":
            return self.current
        return 100.0 * self.current / self.limit if self.limit else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "kind": self.kind.value,
            "name": self.name,
            "device": self.device,
            "unit": self.unit,
            "current": self.current,
            "peak": self.peak,
            "limit": self.limit,
            "utilization_percent": self.utilization_percent,
        }


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """A device some part of the program uses. Absent facts are ``None``."""

    name: str
    backend: str
    memory_bytes: int | None = None
    recommended_working_set_bytes: int | None = None
    max_buffer_bytes: int | None = None
    max_threads_per_threadgroup: int | None = None
    unified_memory: bool | None = None
    properties: tuple[tuple[str, str], ...] = ()

    def completed_by(self, other: DeviceInfo) -> DeviceInfo:
        """The same device with what ``other`` knows of it besides."""
        absent = {
            name: getattr(other, name) for name in _DEVICE_FACTS if getattr(self, name) is None
        }
        properties = dict(other.properties) | dict(self.properties)
        return replace(self, **absent, properties=tuple(sorted(properties.items())))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "name": self.name,
            "backend": self.backend,
            "memory_bytes": self.memory_bytes,
            "recommended_working_set_bytes": self.recommended_working_set_bytes,
            "max_buffer_bytes": self.max_buffer_bytes,
            "max_threads_per_threadgroup": self.max_threads_per_threadgroup,
            "unified_memory": self.unified_memory,
            "properties": dict(self.properties),
        }


_DEVICE_FACTS: Final = (
    "memory_bytes",
    "recommended_working_set_bytes",
    "max_buffer_bytes",
    "max_threads_per_threadgroup",
    "unified_memory",
)
