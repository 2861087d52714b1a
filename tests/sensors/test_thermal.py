from __future__ import annotations

import sys

import pytest
from standin_heat import (
    TEMPERATURE,
    HotMac,
    add_fans,
    add_later_sensors,
    add_m1_sensors,
    add_smc,
    reasons,
    temperatures,
)
from standin_mac import recorded

from metalscope.readings import ResourceKind, ResourceMetrics, ThermalState
from metalscope.sensors.base import SensorUnavailableError
from metalscope.sensors.thermal import open_sensor

# -- what the system says of itself --------------------------------------------------------------


def test_the_states_of_the_system_are_read(hot: HotMac) -> None:
    hot.info(ThermalState.SERIOUS, saves_power=True)

    assert tuple(hot.open_sensor().read()) == (
        ResourceMetrics(ResourceKind.THERMAL_STATE, "system", "", current=2),
        ResourceMetrics(ResourceKind.LOW_POWER_MODE, "system", "", current=1),
    )


def test_a_state_nobody_knows_is_absent(hot: HotMac) -> None:
    hot.info(4, saves_power=False)

    sensor = hot.open_sensor()

    assert [one.kind for one in sensor.read()] == [ResourceKind.LOW_POWER_MODE]
    assert reasons(sensor)["thermal state"][0] == "this macOS does not tell it"


def test_before_macos_12_low_power_mode_is_absent(hot: HotMac) -> None:
    hot.before_macos_12()

    sensor = hot.open_sensor()

    assert [one.kind for one in sensor.read()] == [ResourceKind.THERMAL_STATE]
    assert reasons(sensor)["low-power mode"] == (
        "macOS tells it from version 12 on",
        "update macOS",
    )


# -- temperatures --------------------------------------------------------------------------------


def test_an_m1_is_read_by_the_names_of_its_sensors(hot: HotMac) -> None:
    add_m1_sensors(hot)

    found = {one.name: one for one in hot.open_sensor().read() if one.kind is TEMPERATURE}

    assert set(found) == {"gpu", "soc"}
    assert found["gpu"].current == pytest.approx((27.0 + 27.6) / 2)
    assert found["gpu"].device == "gpu:0"
    assert found["soc"].current == pytest.approx((29.0 + 28.7 + 28.5) / 3)
    assert found["soc"].device == ""


def test_efficiency_and_performance_cores_are_the_cpu(hot: HotMac) -> None:
    for celsius, name in enumerate(recorded("hid_temperatures")["core_names"], start=40):
        hot.sensor(name, celsius)

    assert temperatures(hot.open_sensor()) == {"cpu": 41.5}


@pytest.mark.parametrize("report", ["report-m2", "report-m2-max"])
def test_a_later_chip_is_read_by_the_keys_of_its_gpu(hot: HotMac, report: str) -> None:
    add_later_sensors(hot)
    values = add_smc(hot, report)

    found = temperatures(hot.open_sensor())

    assert found == {"gpu": pytest.approx(sum(values) / len(values))}
    assert 30 < found["gpu"] < 37


def test_a_gpu_that_is_off_has_no_temperature(hot: HotMac) -> None:
    add_later_sensors(hot)
    values = add_smc(hot, "report-m3-max-2")
    assert max(values) == 0
    sensor = hot.open_sensor()

    assert temperatures(sensor) == {}
    assert "the part is off" in reasons(sensor)["GPU temperature"][0]


def test_a_sensor_that_is_off_is_left_out_of_the_mean(hot: HotMac) -> None:
    # 8.425 is what an M2 Max says for a part that is off (github.com/oshi/oshi pull request 3531).
    add_smc(hot, Tg04=8.425, Tg05=40, Tg0C=150.5, Tg0D=42)
    assert temperatures(hot.open_sensor()) == {"gpu": 41}


@pytest.mark.parametrize(
    ("celsius", "believed"), [(-21.5, 0), (0, 0), (0.1, 1), (150, 1), (151, 0)]
)
def test_what_no_chip_survives_is_not_believed(hot: HotMac, celsius: float, believed: bool) -> None:
    hot.sensor("GPU MTR Temp Sensor1", celsius)
    assert temperatures(hot.open_sensor()) == ({"gpu": celsius} if believed else {})


def test_sensors_by_name_come_before_keys(hot: HotMac) -> None:
    add_m1_sensors(hot)
    add_smc(hot, Tg05=90)
    assert temperatures(hot.open_sensor())["gpu"] == pytest.approx(27.3)


def test_a_part_stays_with_the_source_it_began_with(hot: HotMac) -> None:
    hot.sensor("GPU MTR Temp Sensor1", None)
    add_smc(hot, Tg05=41)
    began_with_keys = hot.open_sensor()
    assert temperatures(began_with_keys) == {"gpu": 41}

    hot.no_sensors()
    hot.sensor("GPU MTR Temp Sensor1", 30)
    began_with_sensors = hot.open_sensor()

    assert temperatures(began_with_sensors) == {"gpu": 30}
    assert temperatures(began_with_keys) == {"gpu": 41}
    hot.no_sensors()
    hot.sensor("GPU MTR Temp Sensor1", None)
    assert temperatures(began_with_sensors) == {}


def test_where_names_say_nothing_the_sensors_are_listed_once(hot: HotMac) -> None:
    add_later_sensors(hot)
    add_smc(hot, Tg05=41)
    sensor = hot.open_sensor()
    temperatures(sensor)
    hot.sensor("GPU MTR Temp Sensor1", 30)

    assert temperatures(sensor) == {"gpu": 41}
    assert hot.hid_events == 0


def test_the_keys_are_searched_once(hot: HotMac) -> None:
    add_smc(hot, "report-m2-max")
    sensor = hot.open_sensor()
    temperatures(sensor)
    temperatures(sensor)
    before = hot.smc_calls
    temperatures(sensor)

    keys = [key for key in recorded("smc_temperatures")["report-m2-max"] if key.startswith("Tg")]
    assert hot.smc_calls - before == len(keys)  # that there are no fans is remembered too


def test_an_intel_macs_keys_are_not_its_gpus(hot: HotMac) -> None:
    add_m1_sensors(hot)
    add_smc(hot, Tg1b=40)

    sensor = hot.open_sensor(apple_silicon=False)

    assert temperatures(sensor) == {}
    assert reasons(sensor)["GPU temperature"] == ("it is read on chips of Apple's only", "")


# -- fans ----------------------------------------------------------------------------------------


def test_fans_are_read_with_their_limit(hot: HotMac) -> None:
    add_fans(hot)

    fans = [one for one in hot.open_sensor(apple_silicon=False).read() if one.unit == "rpm"]

    assert [(one.name, round(one.current), one.limit) for one in fans] == [
        ("0", 3597, 5616),
        ("1", 3352, 5200),
    ]


def test_a_fan_that_stands_still_is_a_reading(hot: HotMac) -> None:
    # An M2 Ultra's, github.com/metaspartan/mactop issue 78.
    hot.smc_service()
    hot.key("FNum", "ui8 ", b"\1")
    hot.number("F0Ac", 0.0)
    hot.number("F0Mx", 3500.0)

    fans = [one for one in hot.open_sensor().read() if one.kind is ResourceKind.FAN_SPEED]

    assert fans == [ResourceMetrics(ResourceKind.FAN_SPEED, "0", "", current=0, limit=3500)]


def test_a_fan_without_a_speed_is_absent_and_one_without_a_limit_has_none(hot: HotMac) -> None:
    hot.smc_service()
    hot.key("FNum", "ui8 ", b"\3")
    hot.number("F0Ac", 1200)
    hot.number("F1Ac", -1)
    hot.number("F2Mx", 3500)

    fans = [one for one in hot.open_sensor().read() if one.kind is ResourceKind.FAN_SPEED]

    assert fans == [ResourceMetrics(ResourceKind.FAN_SPEED, "0", "", current=1200, limit=None)]


def test_a_mac_without_fans_says_so(hot: HotMac) -> None:
    add_smc(hot, Tg05=40)
    assert reasons(hot.open_sensor())["fans"] == ("the SMC knows of no fan", "")


@pytest.mark.skipif(sys.platform == "darwin", reason="this is macOS")
def test_elsewhere_than_on_macos_there_is_none() -> None:
    with pytest.raises(SensorUnavailableError, match="macOS"):
        open_sensor()
