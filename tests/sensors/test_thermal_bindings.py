from __future__ import annotations

import ctypes
import json
import os
import struct
from pathlib import Path

import pytest
from record_foundation_names import names_of
from standin_heat import HotMac, in_forked_child
from standin_mac import recorded

from metalscope.readings import ThermalState
from metalscope.sensors.base import SensorUnavailableError
from metalscope.sensors.native import foundation, smc
from metalscope.sensors.native.library import Library

NAMES = json.loads(
    (Path(__file__).parent / "recorded" / "pyobjc_foundation_names.json").read_text()
)


# -- the SMC -------------------------------------------------------------------------------------


def test_the_request_is_laid_out_as_the_smc_wants_it() -> None:
    data = smc._KeyData
    assert ctypes.sizeof(data) == 80
    # The offsets that github.com/beltex/SMCKit's SMCParamStruct and exelban/stats' have.
    assert (data.info.offset, data.result.offset, data.command.offset) == (28, 40, 42)
    assert (data.index.offset, data.bytes.offset) == (44, 48)


def test_a_number_is_read_as_its_type_says(hot: HotMac) -> None:
    hot.smc_service()
    for key, (kind, raw) in recorded("smc_fans")["keys"].items():
        hot.key(key, kind, bytes.fromhex(raw))
    hot.key("F2Ac", "fpe2", (1998 << 2 | 2).to_bytes(2, "big"))
    connection = hot.open_smc()

    assert connection.number("FNum") == 2
    assert connection.number("F0Ac") == pytest.approx(3596.94, abs=0.01)
    assert connection.number("F0Mx") == 5616
    assert connection.number("F2Ac") == 1998.5
    connection.close()


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("ch8*", b"fan\0"),
        ("flt ", b"\0\0"),
        ("fpe2", b"\0\0\0\0"),
        ("flt ", struct.pack("<f", float("nan"))),
        ("flt ", struct.pack("<f", float("inf"))),
    ],
)
def test_what_is_no_number_is_absent(hot: HotMac, kind: str, raw: bytes) -> None:
    hot.smc_service()
    hot.key("Tg05", kind, raw)
    connection = hot.open_smc()

    assert connection.number("Tg05") is None
    assert connection.number("none") is None
    connection.close()


def test_keys_are_found_by_how_they_begin(hot: HotMac) -> None:
    hot.smc_service()
    keys = recorded("smc_temperatures")["report-m2"]
    for key, raw in keys.items():
        hot.key(key, "flt ", bytes.fromhex(raw))
    hot.count_keys(len(keys))
    connection = hot.open_smc()

    assert connection.keys("Tg") == ("Tg0e", "Tg0f", "Tg0m", "Tg0n", "Tg0q", "Tg0r")
    assert connection.keys("Zz") == ()
    connection.close()


def test_an_smc_that_says_more_keys_than_it_has_ends_the_search(hot: HotMac) -> None:
    hot.smc_service()
    hot.number("Tg05", 40)
    hot.count_keys(9)
    connection = hot.open_smc()

    assert connection.keys("T") == ("Tg05",)
    connection.close()


def test_what_a_key_is_is_asked_once(hot: HotMac) -> None:
    hot.smc_service()
    hot.number("Tg05", 40)
    connection = hot.open_smc()
    before = hot.smc_calls
    for _ in range(3):
        connection.number("Tg05")
        connection.number("none")

    assert hot.smc_calls - before == 1 + 3 + 1
    connection.close()


def test_of_the_services_the_one_that_answers_is_opened(hot: HotMac) -> None:
    hot.smc_service()
    hot.open_smc().close()
    assert hot.endpoint == "AppleSMCKeysEndpoint"


def test_an_intel_macs_only_service_is_opened(hot: HotMac) -> None:
    hot.mac.entry(["AppleSMC"], {}, name="AppleSMC")
    hot.open_smc().close()
    assert hot.endpoint == "AppleSMC"


def test_nothing_of_the_smc_is_left_open(hot: HotMac) -> None:
    hot.smc_service()
    hot.number("Tg05", 40)
    before = hot.mac.live
    for _ in range(3):
        connection = hot.open_smc()
        connection.number("Tg05")
        connection.close()
        connection.close()

    assert hot.connections == 0
    assert hot.mac.live == before


def test_an_smc_that_is_not_there_or_shut_says_so(hot: HotMac) -> None:
    with pytest.raises(SensorUnavailableError, match="no SMC"):
        hot.open_smc()
    hot.smc_service()
    hot.smc_opening_fails(-536870207)
    before = hot.mac.live
    with pytest.raises(SensorUnavailableError, match="0xe00002c1"):
        hot.open_smc()
    assert hot.mac.live == before


def test_an_smc_that_stops_answering_says_so(hot: HotMac) -> None:
    hot.smc_service()
    connection = hot.open_smc()
    hot.smc_answering_fails(0x10000003)
    with pytest.raises(SensorUnavailableError, match="0x10000003"):
        connection.number("Tg05")
    connection.close()
    with pytest.raises(SensorUnavailableError, match="closed"):
        connection.number("Tg05")


# -- the temperature sensors ---------------------------------------------------------------------


def test_sensors_are_read_by_name(hot: HotMac) -> None:
    for name, celsius in recorded("hid_temperatures")["sensors"]:
        hot.sensor(name, celsius)
    client = hot.open_hid()

    assert tuple(client.read(("GPU MTR", "PMU tdev"))) == (
        ("GPU MTR Temp Sensor1", 27.0),
        ("GPU MTR Temp Sensor4", 27.6),
        ("PMU tdev1", 29.9),
        ("PMU tdev4", -21.5),
    )
    client.close()


def test_only_the_sensors_asked_for_are_asked(hot: HotMac) -> None:
    for name, celsius in recorded("hid_temperatures")["sensors"]:
        hot.sensor(name, celsius)
    client = hot.open_hid()

    assert len(tuple(client.read(("GPU MTR",)))) == hot.hid_events == 2
    client.close()


def test_a_sensor_without_a_name_or_a_reading_harms_none(hot: HotMac) -> None:
    hot.sensor("", 40)
    hot.sensor("GPU MTR Temp Sensor1", None)
    hot.sensor("GPU MTR Temp Sensor4", 41.5)
    client = hot.open_hid()

    assert tuple(client.read(("GPU MTR",))) == (
        ("GPU MTR Temp Sensor1", None),
        ("GPU MTR Temp Sensor4", 41.5),
    )
    client.close()


def test_nothing_of_the_event_system_is_left(hot: HotMac) -> None:
    before = hot.mac.live
    client = hot.open_hid()
    assert tuple(client.read(("GPU MTR",))) == ()
    for name, celsius in recorded("hid_temperatures")["sensors"]:
        hot.sensor(name, celsius)
    hot.sensor("GPU MTR Temp Sensor9", None)
    opened = hot.mac.live
    for _ in range(3):
        assert len(tuple(client.read(("GPU MTR", "PMU")))) == 9
    assert hot.mac.live == opened
    next(client.read(("GPU MTR",)))  # left half-way
    client.close()
    client.close()
    assert hot.mac.live == before


# -- NSProcessInfo -------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ThermalState)
@pytest.mark.parametrize("saves_power", [False, True])
def test_foundation_is_asked(hot: HotMac, state: ThermalState, saves_power: bool) -> None:
    hot.info(state, saves_power=saves_power)
    info = hot.open_info()

    assert info.thermal_state() == state
    assert info.low_power_mode() is saves_power
    assert hot.pools == 0


def test_a_message_it_would_not_understand_is_not_sent(hot: HotMac) -> None:
    hot.before_macos_12()
    info = hot.open_info()

    assert info.low_power_mode() is None
    assert info.thermal_state() == 0
    assert hot.pools == 0


def test_a_class_that_is_not_there_is_a_reason(hot: HotMac) -> None:
    hot.without_process_info()
    with pytest.raises(SensorUnavailableError, match="NSProcessInfo"):
        hot.open_info()


def test_the_selectors_are_those_of_apples_class() -> None:
    asked = {foundation._SHARED, foundation._THERMAL_STATE, foundation._LOW_POWER_MODE}
    assert asked == set(NAMES["documentation"])
    assert all(
        url.startswith("https://developer.apple.com/") for url in NAMES["documentation"].values()
    )


def test_the_published_wheel_knows_the_answers() -> None:
    assert NAMES["version"] == "13.0"
    # "Z" is Objective-C's BOOL, one byte.
    assert NAMES["selectors"][foundation._LOW_POWER_MODE] == "Z"
    assert {state.name.title(): int(state) for state in ThermalState} == NAMES["thermal_states"]


def test_the_recorded_names_are_those_of_the_wheel() -> None:
    wheel = os.environ.get("METALSCOPE_PYOBJC_COCOA_WHEEL")
    if not wheel:
        pytest.skip("METALSCOPE_PYOBJC_COCOA_WHEEL names no wheel to compare with")
    assert names_of(Path(wheel)) == NAMES


# -- the stand-ins notice ------------------------------------------------------------------------


def test_a_connection_of_the_parent_would_be_noticed_in_a_child(hot: HotMac) -> None:
    hot.smc_service()
    connection = hot.open_smc()

    def use() -> tuple[int, str]:
        try:
            connection.number("Tg05")
        except SensorUnavailableError as error:
            return hot.mac.misuses, error.why
        return hot.mac.misuses, ""

    misuses, why = in_forked_child(use)
    assert misuses == 1
    assert "0xe00002c2" in why
    connection.close()


def test_a_library_that_is_not_there_is_a_reason(hot: HotMac, tmp_path: Path) -> None:
    with pytest.raises(SensorUnavailableError, match="cannot be opened"):
        Library(str(tmp_path / "none.dylib"))
    with pytest.raises(SensorUnavailableError, match="IOServiceOpen"):
        smc.Smc(hot.mac.iokit, hot.hid_path)
