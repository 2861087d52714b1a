from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from standin_heat import (
    TEMPERATURE,
    HotMac,
    add_fans,
    add_later_sensors,
    add_m1_sensors,
    add_smc,
    in_forked_child,
    reasons,
    temperatures,
)
from standin_mac import recorded

from metalscope.readings import ResourceKind, ResourceMetrics
from metalscope.sensors import thermal
from metalscope.sensors.base import DescribesItself, Sensor, SensorUnavailableError
from metalscope.sensors.thermal import ThermalSensor

# -- sources that fail ---------------------------------------------------------------------------


def test_what_works_is_offered_and_what_does_not_has_a_reason(hot: HotMac) -> None:
    add_m1_sensors(hot)
    sensor = hot.open_sensor()

    assert isinstance(sensor, Sensor)
    assert isinstance(sensor, DescribesItself)
    found = {offer.what: offer for offer in sensor.offers()}
    assert [what for what, offer in found.items() if offer.works] == [
        "thermal state",
        "low-power mode",
        "GPU temperature",
        "SoC temperature",
    ]
    assert found["fans"].why_not == "this Mac has no SMC"
    assert found["CPU temperature"].why_not == "this Mac has no SMC"


def test_a_mac_without_any_of_it_has_no_such_sensor(hot: HotMac) -> None:
    hot.without_process_info()
    with pytest.raises(SensorUnavailableError, match=r"NSProcessInfo.*no SMC") as raised:
        hot.open_sensor(apple_silicon=False)
    assert raised.value.remedy


def test_an_smc_that_fails_takes_nothing_else_with_it_and_is_told_of(hot: HotMac) -> None:
    add_m1_sensors(hot)
    add_fans(hot)
    sensor = hot.open_sensor()
    assert len(tuple(sensor.read())) == 6
    hot.smc_answering_fails(0x10000003)

    with pytest.raises(SensorUnavailableError, match="does not answer"):
        tuple(sensor.read())

    assert {one.kind for one in what_came_before_the_failure(sensor)} == {
        ResourceKind.THERMAL_STATE,
        ResourceKind.LOW_POWER_MODE,
        TEMPERATURE,
    }
    assert "0x10000003" in reasons(sensor)["fans"][0]
    assert reasons(sensor)["GPU temperature"] == ("", "")
    hot.smc_answering_fails(0)
    assert len(tuple(sensor.read())) == 6


def test_temperatures_that_fail_leave_the_fans(hot: HotMac) -> None:
    add_smc(hot, Tg05=40)
    hot.key("FNum", "ui8 ", b"\1")
    hot.number("F0Ac", 1200)
    hot.refuse_listing()
    sensor = hot.open_sensor()

    kinds = [one.kind for one in what_came_before_the_failure(sensor)]

    assert kinds[-1] is ResourceKind.FAN_SPEED
    assert TEMPERATURE not in kinds
    with pytest.raises(SensorUnavailableError, match="0xe00002c1"):
        tuple(sensor.read())
    said = reasons(sensor)
    assert "0xe00002c1" in said["GPU temperature"][0]
    assert said["fans"] == ("", "")


def what_came_before_the_failure(sensor: ThermalSensor) -> Iterator[ResourceMetrics]:
    readings = iter(sensor.read())
    while True:
        try:
            yield next(readings)
        except (SensorUnavailableError, StopIteration):
            return


@pytest.mark.parametrize(("fact", "kinds"), [(1, {"gpu"}), (0, set()), (None, set())])
def test_on_a_mac_it_opens_what_the_system_has(
    hot: HotMac, monkeypatch: pytest.MonkeyPatch, fact: int | None, kinds: set[str]
) -> None:
    add_smc(hot, Tg05=40)
    if fact is not None:
        hot.mac.fact("hw.optional.arm64", fact)
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr(thermal, "CoreFoundation", lambda: hot.mac.core)
    monkeypatch.setattr(thermal, "IOKit", lambda core: hot.mac.iokit)
    monkeypatch.setattr(thermal, "System", lambda: hot.mac.system)
    monkeypatch.setattr(thermal, "ProcessInfo", hot.open_info)
    monkeypatch.setattr(thermal, "HidTemperatures", lambda iokit: hot.open_hid())
    monkeypatch.setattr(thermal, "Smc", lambda iokit: hot.open_smc())

    sensor = thermal.open_sensor()

    assert set(temperatures(sensor)) == kinds
    assert ResourceKind.THERMAL_STATE in {one.kind for one in sensor.read()}


# -- ownership and forks -------------------------------------------------------------------------


def test_a_sensor_that_is_let_go_closes_what_it_opened(hot: HotMac) -> None:
    add_m1_sensors(hot)
    add_fans(hot)
    gc.collect()  # the sensors of other tests
    before, connections = hot.mac.live, hot.connections
    sensor = hot.open_sensor()
    assert hot.connections == connections + 1
    assert hot.mac.live > before
    for _ in range(5):
        tuple(sensor.read())
        tuple(sensor.offers())
    del sensor
    gc.collect()

    assert hot.connections == connections
    assert hot.mac.live == before
    assert hot.pools == 0


def test_a_sensor_that_could_not_be_opened_leaves_nothing_open(hot: HotMac) -> None:
    hot.without_process_info()
    hot.smc_service()
    hot.smc_opening_fails(-536870207)
    gc.collect()
    before = hot.mac.live
    with pytest.raises(SensorUnavailableError):
        hot.open_sensor(apple_silicon=False)
    gc.collect()
    assert hot.mac.live == before


def test_a_forked_child_opens_the_smc_anew_and_leaves_the_rest_alone(hot: HotMac) -> None:
    add_later_sensors(hot)
    values = add_smc(hot, "report-m2")
    for key, (kind, raw) in recorded("smc_fans")["keys"].items():
        hot.key(key, kind, bytes.fromhex(raw))
    gc.collect()
    connections = hot.connections
    held = [hot.open_sensor()]
    before = tuple(held[0].read())

    def work() -> tuple[tuple[ResourceMetrics, ...], int, int, dict[str, tuple[str, str]], int]:
        readings = tuple(held[0].read())
        opened, said = hot.connections, reasons(held[0])
        held.clear()
        gc.collect()
        closed = opened - hot.connections
        return readings, opened, closed, said, hot.mac.misuses + hot.info_misuses

    readings, opened, closed, said, misuses = in_forked_child(work)
    of_the_smc = {TEMPERATURE, ResourceKind.FAN_SPEED}
    assert {one.kind for one in readings} == of_the_smc
    assert readings == tuple(one for one in before if one.kind in of_the_smc)
    assert readings[0].current == pytest.approx(sum(values) / len(values))
    assert (opened, closed) == (1, 1)
    assert misuses == 0, "the parent's were used, or closed"
    assert "forked child" in said["thermal state"][0]
    assert "the parent reads it" in said["thermal state"][1]
    assert said["GPU temperature"] == ("", "")
    assert tuple(held[0].read()) == before
    assert hot.connections == connections + 1


def test_a_part_read_by_name_does_not_change_its_source_in_a_child(hot: HotMac) -> None:
    add_m1_sensors(hot)
    add_smc(hot, Tg05=90)
    sensor = hot.open_sensor()
    assert temperatures(sensor)["gpu"] == pytest.approx(27.3)

    found, said, misuses = in_forked_child(
        lambda: (temperatures(sensor), reasons(sensor), hot.mac.misuses)
    )

    assert found == {}
    assert "forked child" in said["GPU temperature"][0]
    assert misuses == 0
