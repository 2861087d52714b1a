from __future__ import annotations

import sys
from pathlib import Path

import pytest
from standin_mac import StandInMac

from metalscope.readings import DeviceInfo
from metalscope.sensors.base import DescribesItself, KnowsDevices, Sensor, SensorUnavailableError
from metalscope.sensors.chip import Chip, ChipSensor, open_sensor
from metalscope.sensors.chips import gpu_family, peak_bandwidth


@pytest.fixture(autouse=True)
def without_pyobjc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "Metal", None)


def a_mac(mac: StandInMac, chip: str, *, cores: int | None = None) -> Chip:
    mac.fact("machdep.cpu.brand_string", chip)
    mac.fact("hw.memsize", 34359738368)
    mac.fact("hw.model", "Mac14,6")
    mac.entry(["AGXAcceleratorG14X", "IOAccelerator"], {"gpu-core-count": cores} if cores else {})
    return Chip.find(mac.system, mac.iokit)


def test_it_describes_the_gpu_of_the_chip(mac: StandInMac) -> None:
    sensor = ChipSensor(a_mac(mac, "Apple M2 Max", cores=38))

    assert list(sensor.devices()) == [
        DeviceInfo(
            name="Apple M2 Max",
            backend="metal",
            memory_bytes=34359738368,
            unified_memory=True,
            properties=(
                ("family", "Apple8"),
                ("gpu_cores", "38"),
                ("model", "Mac14,6"),
                ("peak_memory_bytes_per_second", "400000000000"),
            ),
        )
    ]
    assert tuple(sensor.read()) == ()


def test_a_chip_of_which_little_is_known_has_few_facts(mac: StandInMac) -> None:
    mac.fact("machdep.cpu.brand_string", "Apple M9 Ultra")
    sensor = ChipSensor(Chip.find(mac.system, mac.iokit))

    (device,) = sensor.devices()

    assert device.name == "Apple M9 Ultra"
    assert device.memory_bytes is None
    assert device.properties == ()
    assert [offer.what for offer in sensor.offers() if not offer.works] == [
        "GPU core count",
        "GPU family",
        "peak memory bandwidth",
    ]


def test_a_registry_that_cannot_be_asked_costs_the_core_count_only(mac: StandInMac) -> None:
    mac.registry_fails(5)

    chip = a_mac(mac, "Apple M4 Pro", cores=20)

    assert chip.gpu_cores is None
    assert chip.peak_bandwidth == 273e9


@pytest.mark.parametrize("chip", ["Intel(R) Core(TM) i7-8750H CPU @ 2.20GHz", None])
def test_a_machine_without_a_chip_of_apples_says_so(mac: StandInMac, chip: str | None) -> None:
    if chip is not None:
        mac.fact("machdep.cpu.brand_string", chip)

    with pytest.raises(SensorUnavailableError, match="not one of Apple's"):
        ChipSensor(Chip.find(mac.system, mac.iokit))


def test_a_python_for_intel_on_a_chip_of_apples_is_told_what_to_do(mac: StandInMac) -> None:
    with pytest.raises(SensorUnavailableError) as caught:
        ChipSensor(a_mac(mac, "VirtualApple @ 2.50GHz"))

    assert "Rosetta" in caught.value.remedy


@pytest.mark.parametrize(
    ("chip", "cores", "gigabytes"),
    [
        ("Apple M1", 8, None),
        ("Apple M1 Pro", None, 200),
        ("Apple M1 Ultra", 64, 800),
        ("Apple M3 Max", 40, 400),
        ("Apple M3 Max", 30, None),
        ("Apple M3 Max", None, None),
        ("Apple M4", 10, 120),
        ("Apple M4 Max", 32, 410),
        ("Apple M4 Max", 40, 546),
        ("Apple M5", 10, 153),
        ("Apple M4 Ultra", 80, None),
        ("Apple processor", None, None),
        ("", None, None),
    ],
)
def test_peak_bandwidth_is_that_of_the_chip_or_unknown(
    chip: str, cores: int | None, gigabytes: float | None
) -> None:
    found = peak_bandwidth(chip, cores)

    assert found == (None if gigabytes is None else gigabytes * 1e9)


@pytest.mark.parametrize(
    ("chip", "family"),
    [
        ("Apple M1 Ultra", "Apple7"),
        ("Apple M2", "Apple8"),
        ("Apple M3 Pro", "Apple9"),
        ("Apple M4", "Apple9"),
        ("Apple M9", None),
        ("Intel", None),
    ],
)
def test_the_family_is_that_of_the_generation_or_unknown(chip: str, family: str | None) -> None:
    assert gpu_family(chip) == family


def test_metal_itself_is_asked_for_the_family_where_pyobjc_is_installed(
    mac: StandInMac, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The names and numbers of MTLDevice.h, on a device of the family Apple9; PyObjC is for macOS.
    (tmp_path / "Metal.py").write_text(
        "MTLGPUFamilyApple7, MTLGPUFamilyApple8, MTLGPUFamilyApple9 = 1007, 1008, 1009\n"
        "MTLGPUFamilyApple10 = 1010\n"
        "class Device:\n"
        "    def supportsFamily_(self, family):\n"
        "        return family <= MTLGPUFamilyApple9\n"
        "MTLCreateSystemDefaultDevice = Device\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "Metal")

    (device,) = ChipSensor(a_mac(mac, "Apple M9")).devices()

    monkeypatch.delitem(sys.modules, "Metal")
    assert ("family", "Apple9") in device.properties


def test_a_fact_of_four_bytes_is_a_number_too(mac: StandInMac) -> None:
    mac._system.standin_fact(b"hw.ncpu", b"\x0a\0\0\0", 4)

    assert mac.system.integer("hw.ncpu") == 10
    assert mac.system.integer("hw.none") is None
    assert mac.system.text("hw.none") is None


def test_it_is_a_sensor_that_knows_devices_and_describes_itself(mac: StandInMac) -> None:
    sensor = ChipSensor(a_mac(mac, "Apple M1"))

    assert isinstance(sensor, Sensor)
    assert isinstance(sensor, KnowsDevices)
    assert isinstance(sensor, DescribesItself)


@pytest.mark.skipif(sys.platform == "darwin", reason="on a Mac it opens")
def test_off_macos_it_says_that_this_is_not_macos() -> None:
    with pytest.raises(SensorUnavailableError, match="not macOS"):
        open_sensor()
