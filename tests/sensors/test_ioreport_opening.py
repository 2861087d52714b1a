"""What ``open_sensor`` does on a Mac, with the stand-in's frameworks in the place of Apple's."""

from __future__ import annotations

import sys

import pytest
from standin_mac import StandInMac, recorded

from metalscope.readings import ResourceKind
from metalscope.sensors import chip, ioregistry, ioreport
from metalscope.sensors.base import SensorUnavailableError
from metalscope.sensors.registry import Finding


@pytest.fixture
def on_macos(mac: StandInMac, monkeypatch: pytest.MonkeyPatch) -> StandInMac:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setitem(sys.modules, "Metal", None)
    for module in (chip, ioregistry, ioreport):
        monkeypatch.setattr(module, "CoreFoundation", lambda: mac.core)
        monkeypatch.setattr(module, "IOKit", lambda core: mac.iokit)
    for module in (chip, ioreport):
        monkeypatch.setattr(module, "System", lambda: mac.system)
    monkeypatch.setattr(ioreport, "IOReport", lambda core: mac.ioreport)
    return mac


def test_the_sensors_of_one_mac_agree(on_macos: StandInMac) -> None:
    mac, table = on_macos, bytes.fromhex(recorded("dvfs_tables")["m1_max_gpu"]["hex"])
    mac.fact("machdep.cpu.brand_string", "Apple M1 Max")
    mac.fact("hw.tbfrequency", 24_000_000)
    mac.entry(["AGXAcceleratorG13X", "IOAccelerator"], {
        "gpu-core-count": 32, "PerformanceStatistics": {"Device Utilization %": 60},
    })  # fmt: skip
    mac.dvfs(table)
    gpu = mac.channel("GPU Stats", "GPU Performance States", "GPUPH", "24Mticks", ["OFF", "P1"])
    rail = mac.channel("Energy Model", "", "CPU Energy", "mJ")
    read = mac.channel("AMC Stats", "Perf Counters", "DCS RD", "B")
    write = mac.channel("AMC Stats", "Perf Counters", "DCS WR", "B")
    for channel in (rail, read, write):
        mac.publish(channel, 1, stamp=24_000_000)

    counters, registry, chips = (one.open_sensor() for one in (ioreport, ioregistry, chip))
    tuple(counters.read())
    mac.spend(gpu, [10, 30])
    for channel in (rail, read, write):
        mac.publish(channel, 4001, stamp=24_000_000 * 3)
    found = {(one.kind, one.name): one for one in (*counters.read(), *registry.read())}

    assert found[ResourceKind.GPU_UTILIZATION, "active"].current == 75
    assert found[ResourceKind.GPU_UTILIZATION, "device"].current == 60
    assert found[ResourceKind.FREQUENCY, "gpu"].current == pytest.approx(388.8e6)
    assert found[ResourceKind.FREQUENCY, "gpu"].limit == pytest.approx(1296e6)
    assert found[ResourceKind.POWER, "cpu"].current == pytest.approx(2.0)
    assert found[ResourceKind.BANDWIDTH, "total"].current == pytest.approx(4000)
    assert found[ResourceKind.BANDWIDTH, "total"].limit == 400e9
    (device,) = chips.devices()
    assert ("gpu_cores", "32") in device.properties


@pytest.mark.parametrize("module", [chip, ioregistry, ioreport])
def test_a_mac_that_tells_nothing_makes_no_sensor_and_no_fault(
    on_macos: StandInMac, module: object
) -> None:
    before = on_macos.live

    with pytest.raises(SensorUnavailableError) as caught:
        module.open_sensor()  # type: ignore[attr-defined]

    assert Finding("x", why_not=caught.value.why).offers()[0].why_not == caught.value.why
    assert on_macos.live == before


@pytest.mark.skipif(sys.platform == "darwin", reason="there they are")
@pytest.mark.parametrize("module", [chip, ioregistry, ioreport])
def test_without_apples_libraries_a_sensor_is_unavailable(
    module: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    with pytest.raises(SensorUnavailableError, match="cannot be opened"):
        module.open_sensor()  # type: ignore[attr-defined]
