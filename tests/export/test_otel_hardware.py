from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import Gauge, Sum
from opentelemetry.semconv._incubating.metrics import hw_metrics
from otlp_receiver import Key, Received, points
from snapshots import full

from metalscope.export.otlp.encoder import request_of
from metalscope.export.otlp.hardware import HARDWARE, hardware_families
from metalscope.export.otlp.metrics import metrics_data
from metalscope.export.view import MetricView
from metalscope.export_options import SelectionOptions, Temporality
from metalscope.families import Family
from metalscope.snapshot import (
    DeviceInfo,
    MetalTelemetrySnapshot,
    ResourceKind,
    ResourceMetrics,
)

GPU = (("hw.id", "gpu:0"), ("hw.name", "Apple M1 Max"), ("hw.vendor", "Apple"), ("hw.type", "gpu"))
READINGS = (
    ResourceMetrics(ResourceKind.GPU_UTILIZATION, "device", "gpu:0", 40.0),
    ResourceMetrics(ResourceKind.GPU_UTILIZATION, "active", "gpu:0", 37.5),
    ResourceMetrics(ResourceKind.GPU_UTILIZATION, "tiler", "gpu:0", 3.0),
    ResourceMetrics(ResourceKind.GPU_MEMORY, "gpu_in_use", "gpu:0", 4096, limit=16384),
    ResourceMetrics(ResourceKind.GPU_MEMORY, "gpu_allocated", "gpu:0", 8192),
    ResourceMetrics(ResourceKind.ENERGY, "gpu", "gpu:0", 120.5),
    ResourceMetrics(ResourceKind.ENERGY, "gpu_sram", "gpu:0", 1.5),
    ResourceMetrics(ResourceKind.ENERGY, "ane", "", 9.0),
    ResourceMetrics(ResourceKind.POWER, "cpu", "", 3.25),
    ResourceMetrics(ResourceKind.POWER, "dram", "", 0.5),
    ResourceMetrics(ResourceKind.TEMPERATURE, "gpu", "gpu:0", 61.5),
    ResourceMetrics(ResourceKind.TEMPERATURE, "soc", "", 50.0),
    ResourceMetrics(ResourceKind.FAN_SPEED, "0", "", 1450, limit=5800),
)


def machine(*readings: ResourceMetrics) -> MetalTelemetrySnapshot:
    snapshot = full()
    assert snapshot.system is not None
    device = DeviceInfo("Apple M1 Max", "mlx", properties=(("device", "gpu:0"),))
    return replace(snapshot, resources=readings, system=replace(snapshot.system, devices=(device,)))


def sent(
    snapshot: MetalTelemetrySnapshot, view: MetricView | None = None, **options: Any
) -> dict[Key, Received]:
    view = view or MetricView()

    def hardware(one: MetalTelemetrySnapshot) -> Iterator[Family]:
        return hardware_families(one, view)

    data = metrics_data(snapshot, view, more=hardware, **options)
    found = points([request_of(data)])
    return {key: got for key, got in found.items() if key[0].startswith("hw.")}


def test_readings_arrive_under_the_names_of_the_conventions() -> None:
    temperature = ("hw.sensor_location", "gpu")
    assert {key: got.value for key, got in sent(machine(*READINGS)).items()} == {
        ("hw.gpu.utilization", (*GPU, ("hw.gpu.task", "general"))): 0.375,
        ("hw.gpu.memory.usage", GPU): 4096,
        ("hw.gpu.memory.limit", GPU): 16384,
        ("hw.gpu.memory.utilization", GPU): 0.25,
        ("hw.energy", (("hw.id", "gpu:0"), ("hw.name", "gpu"), ("hw.type", "gpu"))): 120.5,
        ("hw.power", (("hw.id", "cpu"), ("hw.name", "cpu"), ("hw.type", "cpu"))): 3.25,
        ("hw.power", (("hw.id", "dram"), ("hw.name", "dram"), ("hw.type", "memory"))): 0.5,
        (
            "hw.temperature",
            (("hw.id", "temperature:gpu"), ("hw.name", "gpu"), ("hw.parent", "gpu:0"), temperature),
        ): 61.5,
        (
            "hw.temperature",
            (("hw.id", "temperature:soc"), ("hw.name", "soc"), ("hw.sensor_location", "soc")),
        ): 50.0,
        ("hw.fan.speed", (("hw.id", "fan:0"), ("hw.name", "0"))): 1450,
        ("hw.fan.speed.limit", (("hw.id", "fan:0"), ("hw.name", "0"))): 5800,
        ("hw.fan.speed_ratio", (("hw.id", "fan:0"), ("hw.name", "0"))): 0.25,
    }


@pytest.mark.parametrize("metric", HARDWARE, ids=lambda metric: metric.name)
def test_names_units_and_instruments_are_those_of_the_conventions_package(metric: Any) -> None:
    constant = metric.name.upper().replace(".", "_")
    assert getattr(hw_metrics, constant) == metric.name
    created = _Instruments()
    create = getattr(hw_metrics, f"create_{constant.lower()}")
    create(created) if "gauge" not in _kind(constant) else create(created, None)
    [(kind, unit)] = created.made
    [resource] = metrics_data(
        machine(*READINGS),
        MetricView([SelectionOptions(deny=("*",))]),
        more=lambda one: hardware_families(one, MetricView()),
    ).resource_metrics
    [sent_as] = [m for m in resource.scope_metrics[0].metrics if m.name == metric.name]
    assert sent_as.unit == unit
    if kind == "gauge":
        assert isinstance(sent_as.data, Gauge)
    else:
        assert isinstance(sent_as.data, Sum)
        assert sent_as.data.is_monotonic == (kind == "counter")


def _kind(constant: str) -> str:
    import inspect

    create = getattr(hw_metrics, f"create_{constant.lower()}")
    return "gauge" if "callbacks" in inspect.signature(create).parameters else "counter"


class _Instruments:
    """A meter that notes what the conventions' own code asks it to create."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str]] = []

    def create_counter(self, name: str, unit: str, description: str) -> None:
        self.made.append(("counter", unit))

    def create_up_down_counter(self, name: str, unit: str, description: str) -> None:
        self.made.append(("updowncounter", unit))

    def create_observable_gauge(
        self, name: str, callbacks: Any, unit: str, description: str
    ) -> None:
        self.made.append(("gauge", unit))


def test_without_a_sensor_there_is_nothing() -> None:
    assert sent(machine()) == {}


def test_a_gpu_nobody_describes_has_no_vendor() -> None:
    reading = ResourceMetrics(ResourceKind.GPU_UTILIZATION, "device", "gpu:3", 50.0)
    [((name, labels), got)] = sent(machine(reading)).items()
    assert (name, got.value) == ("hw.gpu.utilization", 0.5)
    assert dict(labels) == {
        "hw.id": "gpu:3", "hw.name": "gpu:3", "hw.type": "gpu", "hw.gpu.task": "general",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        (SelectionOptions(deny=("hw.*",)), set()),
        (SelectionOptions(allow=("metal_*",)), set()),
        (
            SelectionOptions(allow=("hw.fan.*",), deny=("*ratio",)),
            {"hw.fan.speed", "hw.fan.speed.limit"},
        ),
    ],
)
def test_the_filters_of_the_exporter_hold_for_them(
    selection: SelectionOptions, names: set[str]
) -> None:
    found = sent(machine(*READINGS), MetricView([selection]))
    assert {name for name, _ in found} == names


def test_energy_is_a_difference_and_memory_is_not_where_differences_are_sent() -> None:
    before = machine(*READINGS)
    grown = ResourceMetrics(ResourceKind.ENERGY, "gpu", "gpu:0", 123.0)
    after = machine(*(one for one in READINGS if one.kind is not ResourceKind.ENERGY), grown)
    found = sent(after, temporality=Temporality.DELTA, since=before)
    values = {name: got.value for (name, _), got in found.items()}
    assert values["hw.energy"] == 2.5
    assert values["hw.gpu.memory.usage"] == 4096
