from __future__ import annotations

import ast
import ctypes
import inspect
import json
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
from standin_heat import in_forked_child
from standin_mac import StandInMac

from metalscope.readings import MemoryPressure, ResourceKind, ResourceMetrics
from metalscope.sensors import memory
from metalscope.sensors.base import DescribesItself, Offer, Sensor, SensorUnavailableError
from metalscope.sensors.memory import LEVELS, MemorySensor, MetalMemory, open_metal, open_sensor

PRESSURE = "kern.memorystatus_vm_pressure_level"
NAMES = json.loads(
    (Path(__file__).parents[1] / "accelerator" / "pyobjc_metal_names.json").read_text()
)


class MTLDevice:
    """The device of a Mac with 16 GiB, as PyObjC shows it: a property of Metal's is a method."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self.working_set = 11453251584

    def currentAllocatedSize(self) -> int:  # noqa: N802 - Metal's name
        assert self._bridge.pools == 1, "outside of a pool"
        return 268435456

    def recommendedMaxWorkingSetSize(self) -> int:  # noqa: N802
        assert self._bridge.pools == 1, "outside of a pool"
        return self.working_set


class Bridge:
    """PyObjC's modules ``objc`` and ``Metal``."""

    def __init__(self) -> None:
        self.pools = 0
        self.device: MTLDevice | None = MTLDevice(self)

    @contextmanager
    def autorelease_pool(self):
        self.pools += 1
        yield
        self.pools -= 1

    def create(self) -> MTLDevice | None:
        assert self.pools == 1, "outside of a pool"
        return self.device


@pytest.fixture
def bridge(monkeypatch: pytest.MonkeyPatch) -> Bridge:
    bridge = Bridge()
    for name, attribute, value in (
        ("objc", "autorelease_pool", bridge.autorelease_pool),
        ("Metal", "MTLCreateSystemDefaultDevice", bridge.create),
    ):
        module = ModuleType(name)
        setattr(module, attribute, value)
        monkeypatch.setitem(sys.modules, name, module)
    return bridge


def kernel_says(mac: StandInMac, level: int) -> None:
    """As the kernel does: 32 bits, whatever sysctl's other integers have."""
    raw = level.to_bytes(4, "little", signed=True)
    mac._system.standin_fact(PRESSURE.encode(), raw, ctypes.c_size_t(len(raw)))


def without_metal() -> MetalMemory:
    raise SensorUnavailableError("no Metal", "install it")


@pytest.mark.parametrize(
    ("said", "level"),
    [(1, MemoryPressure.LOW), (2, MemoryPressure.MEDIUM), (4, MemoryPressure.CRITICAL)],
)
def test_the_kernels_level_is_read(mac: StandInMac, said: int, level: MemoryPressure) -> None:
    kernel_says(mac, said)

    assert tuple(MemorySensor(mac.system, without_metal).read()) == (
        ResourceMetrics(ResourceKind.MEMORY_PRESSURE, "system", "", current=level),
    )


def test_the_level_is_read_anew_each_time(mac: StandInMac) -> None:
    kernel_says(mac, 1)
    sensor = MemorySensor(mac.system, without_metal)
    tuple(sensor.read())
    mac._system.standin_facts_clear()
    kernel_says(mac, 4)

    assert [one.current for one in sensor.read()] == [MemoryPressure.CRITICAL]


@pytest.mark.parametrize("said", [0, 3, 8, -1])
def test_a_level_the_kernel_does_not_have_is_absent(mac: StandInMac, said: int) -> None:
    kernel_says(mac, said)
    sensor = MemorySensor(mac.system, without_metal)

    assert tuple(sensor.read()) == ()
    assert f"says {said}" in next(iter(sensor.offers())).why_not


def test_the_kernel_never_says_high() -> None:
    # NOTE_MEMORYSTATUS_PRESSURE_NORMAL, _WARN, _CRITICAL: xnu bsd/sys/event_private.h.
    assert set(LEVELS) == {0x1, 0x2, 0x4}
    assert set(MemoryPressure) - set(LEVELS.values()) == {MemoryPressure.HIGH}
    assert list(LEVELS.values()) == sorted(LEVELS.values())


def test_what_metal_holds_is_read_with_what_works_well(mac: StandInMac, bridge: Bridge) -> None:
    kernel_says(mac, 1)
    sensor = MemorySensor(mac.system, open_metal)

    assert tuple(sensor.read())[1:] == (
        ResourceMetrics(
            ResourceKind.MEMORY, "metal_allocated", "gpu:0", current=268435456, limit=11453251584
        ),
    )
    assert bridge.pools == 0
    assert tuple(sensor.offers()) == (
        Offer("memory pressure"),
        Offer("memory allocated by Metal"),
    )
    assert isinstance(sensor, Sensor)
    assert isinstance(sensor, DescribesItself)


def test_a_limit_that_metal_does_not_give_is_absent(mac: StandInMac, bridge: Bridge) -> None:
    assert bridge.device is not None
    bridge.device.working_set = 0

    (reading,) = MemorySensor(mac.system, open_metal).read()

    assert reading.limit is None


def test_metal_alone_is_worth_a_sensor(mac: StandInMac, bridge: Bridge) -> None:
    sensor = MemorySensor(mac.system, open_metal)

    assert [one.name for one in sensor.read()] == ["metal_allocated"]
    assert "kernel has no" in next(iter(sensor.offers())).why_not


def test_without_either_there_is_no_sensor(mac: StandInMac) -> None:
    with pytest.raises(SensorUnavailableError, match=r"kernel has no.*no Metal") as raised:
        MemorySensor(mac.system, without_metal)
    assert raised.value.remedy == "install it"


def test_a_mac_without_a_device_says_so(mac: StandInMac, bridge: Bridge) -> None:
    kernel_says(mac, 1)
    bridge.device = None

    offers = tuple(MemorySensor(mac.system, open_metal).offers())

    assert offers[1].why_not == "there is no Metal device"


def test_a_missing_library_is_a_reason_with_a_remedy(
    mac: StandInMac, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel_says(mac, 1)
    monkeypatch.setitem(sys.modules, "Metal", None)

    offers = tuple(MemorySensor(mac.system, open_metal).offers())

    assert "cannot be imported" in offers[1].why_not
    assert offers[1].remedy == "pip install 'metalscope[metal]'"


def test_a_forked_child_asks_the_kernel_only(mac: StandInMac, bridge: Bridge) -> None:
    kernel_says(mac, 2)
    sensor = MemorySensor(mac.system, open_metal)

    names, offers = in_forked_child(
        lambda: ([one.name for one in sensor.read()], tuple(sensor.offers()))
    )

    assert names == ["system"]
    assert offers[0].works
    assert "forked child" in offers[1].why_not
    assert [one.name for one in sensor.read()] == ["system", "metal_allocated"]


# -- the names -----------------------------------------------------------------------------------


def names_asked_of(*variables: str) -> set[str]:
    """The attributes that the module takes of these variables."""
    return {
        node.attr
        for node in ast.walk(ast.parse(inspect.getsource(memory)))
        if isinstance(node, ast.Attribute)
        and (node.value.id if isinstance(node.value, ast.Name) else getattr(node.value, "attr", ""))
        in variables
    }


def test_the_published_wheel_knows_each_name() -> None:
    selectors = names_asked_of("device")
    assert selectors == {"currentAllocatedSize", "recommendedMaxWorkingSetSize"}
    for selector in selectors:
        # "Q" is NSUInteger.
        assert NAMES["selectors"][selector] == {"arguments": 0, "returns": "Q"}
    assert names_asked_of("metal") == {"MTLCreateSystemDefaultDevice"} <= set(NAMES["functions"])
    assert names_asked_of("objc") == {"autorelease_pool"} <= set(NAMES["default_bridge"])


@pytest.mark.skipif(sys.platform == "darwin", reason="this is macOS")
def test_elsewhere_than_on_macos_there_is_none() -> None:
    with pytest.raises(SensorUnavailableError, match="macOS"):
        open_sensor()
