from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import pytest
from standin_mac import StandInMac, recorded

from metalscope.readings import ResourceKind, ResourceMetrics
from metalscope.sensors.base import DescribesItself, Sensor, SensorUnavailableError
from metalscope.sensors.ioregistry import IORegistrySensor, accelerators, open_sensor
from metalscope.sensors.native.corefoundation import CoreFoundation, Owned


def add_recorded_gpu(mac: StandInMac, **statistics: object) -> None:
    found = recorded("m1_pro_accelerator")
    properties = dict(found["properties"])
    properties["PerformanceStatistics"] = properties["PerformanceStatistics"] | statistics
    mac.entry(found["classes"], properties)


def test_it_reads_what_a_real_driver_said(mac: StandInMac) -> None:
    add_recorded_gpu(mac)

    readings = tuple(IORegistrySensor(mac.iokit).read())

    assert readings == (
        ResourceMetrics(ResourceKind.GPU_UTILIZATION, "device", "gpu:0", current=2),
        ResourceMetrics(ResourceKind.GPU_UTILIZATION, "renderer", "gpu:0", current=2),
        ResourceMetrics(ResourceKind.GPU_UTILIZATION, "tiler", "gpu:0", current=2),
        ResourceMetrics(ResourceKind.GPU_MEMORY, "gpu_in_use", "gpu:0", current=340983808),
        ResourceMetrics(ResourceKind.GPU_MEMORY, "gpu_allocated", "gpu:0", current=1214005248),
        ResourceMetrics(ResourceKind.RECOVERIES, "gpu", "gpu:0", current=0),
    )


def test_a_key_the_driver_does_not_have_is_an_absent_value(mac: StandInMac) -> None:
    mac.entry(["IOAccelerator"], {"PerformanceStatistics": {"Device Utilization %": 40}})

    sensor = IORegistrySensor(mac.iokit)

    assert [one.name for one in sensor.read()] == ["device"]
    absent = {offer.what: offer.why_not for offer in sensor.offers() if not offer.works}
    assert "GPU: Tiler Utilization %" in absent
    assert "GPU: Device Utilization %" not in absent
    assert "does not say it" in absent["GPU: recoveryCount"]


def test_a_driver_without_statistics_gives_no_reading(mac: StandInMac) -> None:
    mac.entry(["IOAccelerator"], {"model": "Apple M9"})

    assert tuple(IORegistrySensor(mac.iokit).read()) == ()


@pytest.mark.parametrize("nonsense", ["busy", -1, True, [1], b"\x01"])
def test_a_value_that_is_no_figure_is_absent(mac: StandInMac, nonsense: object) -> None:
    mac.entry(["IOAccelerator"], {"PerformanceStatistics": {"Device Utilization %": nonsense}})

    assert tuple(IORegistrySensor(mac.iokit).read()) == ()


def test_a_utilization_past_the_whole_is_the_whole(mac: StandInMac) -> None:
    mac.entry(["IntelAccelerator", "IOAccelerator"], {"PerformanceStatistics": {
        "Device Utilization %": 113, "recoveryCount": 113,
    }})  # fmt: skip

    readings = {one.name: one.current for one in IORegistrySensor(mac.iokit).read()}

    assert readings == {"device": 100, "gpu": 113}


def test_two_gpus_are_told_apart(mac: StandInMac) -> None:
    add_recorded_gpu(mac)
    add_recorded_gpu(mac, **{"Device Utilization %": 77})

    busy = {
        one.device: one.current
        for one in IORegistrySensor(mac.iokit).read()
        if one.name == "device"
    }

    assert busy == {"gpu:0": 2, "gpu:1": 77}


def test_the_model_and_the_number_of_cores_are_facts_of_the_gpu(mac: StandInMac) -> None:
    mac.entry(["AGXAcceleratorG13G", "IOAccelerator"], {
        "model": "Apple M1", "gpu-core-count": recorded("m1_air_gpu")["gpu_core_count"],
    })  # fmt: skip
    mac.entry(["IntelAccelerator", "IOAccelerator"], {"model": b"Intel UHD Graphics 630\0"})

    first, second = accelerators(mac.iokit)

    assert (first.model, first.cores) == ("Apple M1", 7)
    assert (second.model, second.cores) == ("Intel UHD Graphics 630", None)


def test_a_machine_without_a_gpu_says_so_when_it_is_opened(mac: StandInMac) -> None:
    mac.entry(["AppleSMC"], {})

    with pytest.raises(SensorUnavailableError, match="no GPU") as caught:
        IORegistrySensor(mac.iokit)
    assert caught.value.remedy


def test_a_registry_that_fails_says_how(mac: StandInMac) -> None:
    add_recorded_gpu(mac)
    sensor = IORegistrySensor(mac.iokit)
    mac.registry_fails(-536870201)  # kIOReturnUnsupported

    with pytest.raises(SensorUnavailableError, match="0xe00002c7"):
        tuple(sensor.read())
    (offer,) = sensor.offers()
    assert "0xe00002c7" in offer.why_not


def test_reading_a_thousand_times_leaves_nothing_behind(mac: StandInMac) -> None:
    add_recorded_gpu(mac)
    sensor = IORegistrySensor(mac.iokit)
    before = mac.live

    for _ in range(1000):
        tuple(sensor.read())
    tuple(sensor.offers())

    assert mac.live == before


def test_a_reading_that_fails_leaves_nothing_behind(mac: StandInMac) -> None:
    add_recorded_gpu(mac)
    sensor = IORegistrySensor(mac.iokit)
    mac.registry_fails(5)
    before = mac.live

    for _ in range(10):
        with pytest.raises(SensorUnavailableError):
            tuple(sensor.read())

    assert mac.live == before


def test_it_is_a_sensor_that_describes_itself(mac: StandInMac) -> None:
    add_recorded_gpu(mac)
    sensor = IORegistrySensor(mac.iokit)

    assert isinstance(sensor, Sensor)
    assert isinstance(sensor, DescribesItself)
    assert sensor.name == "ioregistry"
    assert all(offer.works for offer in sensor.offers())


@pytest.mark.skipif(sys.platform == "darwin", reason="on a Mac it opens")
def test_off_macos_it_says_that_this_is_not_macos() -> None:
    with pytest.raises(SensorUnavailableError, match="not macOS"):
        open_sensor()


# -- the binding ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "Apple M1 Pro",
        "µJ and 𝄞",
        "",
        0,
        -1,
        2**63 - 1,
        0.5,
        True,
        False,
        b"\x00\x01\xff",
        b"",
        [],
        [1, "two", [3.0]],
        {"a": {"b": [True, b"c"]}, "d": "e"},
    ],
)
def test_a_core_foundation_value_becomes_the_python_one(mac: StandInMac, value: object) -> None:
    reference = mac.make(value)

    found = mac.core.value(reference)

    mac.release(reference)
    assert found == value
    assert type(found) is type(value)


def test_an_object_of_a_type_it_does_not_know_is_left_out(mac: StandInMac) -> None:
    make = mac._core.standin_other
    make.restype = ctypes.c_void_p
    other = make(ctypes.c_void_p(mac.make("its child")))

    assert mac.core.value(other) is None
    mac.release(other)


def test_what_is_owned_is_released_once(mac: StandInMac) -> None:
    before = mac.live

    with mac.core.string("text") as owned:
        owned.release()

    assert mac.live == before
    with pytest.raises(ValueError, match="released"):
        _ = owned.reference


def test_what_is_given_away_is_not_released(mac: StandInMac) -> None:
    before = mac.live
    with mac.core.string("text") as owned:
        reference = owned.give()

    assert mac.live == (before[0] + 1, before[1])
    mac.release(reference)


def test_what_is_kept_outlives_what_it_was_got_from(mac: StandInMac) -> None:
    dictionary = mac.make({"inner": "text"})
    borrowed = mac.core.get(dictionary, "inner")
    assert borrowed is not None
    with mac.core.keep(borrowed) as kept:
        mac.release(dictionary)
        assert mac.core.text(kept.reference) == "text"


def test_a_dictionary_for_matching_holds_its_numbers(mac: StandInMac) -> None:
    before = mac.live

    with mac.core.dictionary({"PrimaryUsagePage": 0xFF00, "PrimaryUsage": 5}) as made:
        assert mac.core.value(made.reference) == {"PrimaryUsagePage": 0xFF00, "PrimaryUsage": 5}

    assert mac.live == before


def test_a_null_that_should_be_an_object_names_the_function(mac: StandInMac) -> None:
    with pytest.raises(SensorUnavailableError, match="CFSomethingCreate returned nothing"):
        mac.core.own(None, "CFSomethingCreate")


def test_the_stand_in_notices_a_release_too_many(built_mac: StandInMac) -> None:
    built_mac.clear()
    owned = built_mac.core.string("text")
    reference = owned.reference
    owned.release()

    Owned(built_mac.core, reference).release()

    assert built_mac.misuses == 1


def test_a_library_that_is_not_there_makes_the_sensor_unavailable(tmp_path: Path) -> None:
    with pytest.raises(SensorUnavailableError, match="cannot be opened"):
        CoreFoundation(str(tmp_path / "none.so"))


def test_a_library_without_a_function_makes_the_sensor_unavailable(mac: StandInMac) -> None:
    with pytest.raises(SensorUnavailableError, match="has no function CFRelease"):
        CoreFoundation(mac.system.path)
