"""What sensors read, once more by OpenTelemetry's names for hardware: ``hw.gpu.*`` and its like.

OpenTelemetry semantic conventions, "Semantic conventions for hardware": GPU, common, temperature
and fan metrics (status: development). Only what a sensor read has a value, and only what those
conventions have a name for is here; dashboards of their making then work beside our own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from metalscope.export.view import MetricView
from metalscope.families import Family, LabelValues
from metalscope.semconv import Metric, MetricType, Unit
from metalscope.snapshot import MetalTelemetrySnapshot, ResourceKind, ResourceMetrics

__all__ = ["HARDWARE", "UP_DOWN_COUNTERS", "hardware_families"]

_GPU: Final = ("hw.id", "hw.name", "hw.vendor", "hw.type")
_COMPONENT: Final = ("hw.id", "hw.name", "hw.type")
_TEMPERATURE: Final = ("hw.id", "hw.name", "hw.parent", "hw.sensor_location")


def _metric(name: str, type_: MetricType, text: str, labels: tuple[str, ...], unit: Unit) -> Metric:
    return Metric(name, type_, text, labels, unit)


GPU_UTILIZATION: Final = _metric(
    "hw.gpu.utilization",
    "gauge",
    "Fraction of time spent in a specific task.",
    (*_GPU, "hw.gpu.task"),
    "ratio",
)
GPU_MEMORY_USAGE: Final = _metric("hw.gpu.memory.usage", "gauge", "GPU memory used.", _GPU, "bytes")
GPU_MEMORY_LIMIT: Final = _metric(
    "hw.gpu.memory.limit", "gauge", "Size of the GPU memory.", _GPU, "bytes"
)
GPU_MEMORY_UTILIZATION: Final = _metric(
    "hw.gpu.memory.utilization", "gauge", "Fraction of GPU memory used.", _GPU, "ratio"
)
ENERGY: Final = _metric(
    "hw.energy", "counter", "Energy consumed by the component.", _COMPONENT, "joules"
)
POWER: Final = _metric(
    "hw.power", "gauge", "Instantaneous power consumed by the component.", _COMPONENT, "watts"
)
TEMPERATURE: Final = _metric(
    "hw.temperature", "gauge", "Temperature in degrees Celsius.", _TEMPERATURE, "celsius"
)
FAN_SPEED: Final = _metric(
    "hw.fan.speed", "gauge", "Fan speed in revolutions per minute.", ("hw.id", "hw.name"), "rpm"
)
FAN_SPEED_LIMIT: Final = _metric(
    "hw.fan.speed.limit", "gauge", "Speed limit in rpm.", ("hw.id", "hw.name"), "rpm"
)
FAN_SPEED_RATIO: Final = _metric(
    "hw.fan.speed_ratio",
    "gauge",
    "Fan speed expressed as a fraction of its maximum speed.",
    ("hw.id", "hw.name"),
    "ratio",
)

UP_DOWN_COUNTERS: Final = frozenset({GPU_MEMORY_USAGE.name, GPU_MEMORY_LIMIT.name})
"""Those whose instrument is an up-down counter, sent as a sum that is not monotonic."""

# The whole GPU, by the source that measures the time it was active before the one that is told.
_WHOLE_GPU: Final = ("active", "device")
_GPU_MEMORY_IN_USE: Final = "gpu_in_use"
# hw.type has no word for the neural engine, and the memory of the GPU's own is a part of the GPU.
_RAIL_TYPES: Final = {"gpu": "gpu", "cpu": "cpu", "dram": "memory"}

Values = Iterator[tuple[LabelValues, float]]


def hardware_families(snapshot: MetalTelemetrySnapshot, view: MetricView) -> Iterator[Family]:
    """The families of :data:`HARDWARE` the snapshot has values for, as ``view`` lets them through.

    The view knows them by their own names: ``deny = ["hw.*"]`` leaves them out, and so does an
    ``allow`` none of whose globs fits.
    """
    return view.selected(
        Family(metric, values=list(dict(values(snapshot)).items()))
        for metric, values in HARDWARE.items()
    )


def _readings(snapshot: MetalTelemetrySnapshot, kind: ResourceKind) -> Iterator[ResourceMetrics]:
    return (reading for reading in snapshot.resources if reading.kind is kind)


def _gpu(snapshot: MetalTelemetrySnapshot, device: str) -> LabelValues:
    """``hw.id``, ``hw.name``, ``hw.vendor`` and ``hw.type`` of a GPU; empty where not known."""
    known = snapshot.system.devices if snapshot.system else ()
    name = next(
        (
            one.name
            for one in known
            if device in (one.name, dict(one.properties).get("device")) and one.name
        ),
        device,
    )
    return device or "gpu", name, "Apple" if name.startswith("Apple ") else "", "gpu"


def _gpu_utilization(snapshot: MetalTelemetrySnapshot) -> Values:
    for engine in reversed(_WHOLE_GPU):
        for reading in _readings(snapshot, ResourceKind.GPU_UTILIZATION):
            if reading.name == engine:
                yield (*_gpu(snapshot, reading.device), "general"), reading.current / 100.0


def _gpu_memory(pick: Callable[[ResourceMetrics], float | None]) -> Callable[..., Values]:
    def values(snapshot: MetalTelemetrySnapshot) -> Values:
        for reading in _readings(snapshot, ResourceKind.GPU_MEMORY):
            value = pick(reading)
            if reading.name == _GPU_MEMORY_IN_USE and value is not None:
                yield _gpu(snapshot, reading.device), value

    return values


def _rail(kind: ResourceKind) -> Callable[..., Values]:
    def values(snapshot: MetalTelemetrySnapshot) -> Values:
        for reading in _readings(snapshot, kind):
            type_ = _RAIL_TYPES.get(reading.name)
            if type_ is not None and reading.current >= 0:
                yield (reading.device or reading.name, reading.name, type_), reading.current

    return values


def _temperature(snapshot: MetalTelemetrySnapshot) -> Values:
    for reading in _readings(snapshot, ResourceKind.TEMPERATURE):
        labels = (f"temperature:{reading.name}", reading.name, reading.device, reading.name)
        yield labels, reading.current


def _fan(pick: Callable[[ResourceMetrics], float | None]) -> Callable[..., Values]:
    def values(snapshot: MetalTelemetrySnapshot) -> Values:
        for reading in _readings(snapshot, ResourceKind.FAN_SPEED):
            value = pick(reading)
            if value is not None:
                yield (f"fan:{reading.name}", reading.name), value

    return values


def _share(reading: ResourceMetrics) -> float | None:
    return reading.current / reading.limit if reading.limit else None


HARDWARE: Final[dict[Metric, Callable[[MetalTelemetrySnapshot], Values]]] = {
    GPU_UTILIZATION: _gpu_utilization,
    GPU_MEMORY_USAGE: _gpu_memory(lambda reading: reading.current),
    GPU_MEMORY_LIMIT: _gpu_memory(lambda reading: reading.limit),
    GPU_MEMORY_UTILIZATION: _gpu_memory(_share),
    ENERGY: _rail(ResourceKind.ENERGY),
    POWER: _rail(ResourceKind.POWER),
    TEMPERATURE: _temperature,
    FAN_SPEED: _fan(lambda reading: reading.current),
    FAN_SPEED_LIMIT: _fan(lambda reading: reading.limit),
    FAN_SPEED_RATIO: _fan(_share),
}
"""The metrics of the conventions that have a sensor here, in the order they are sent."""
