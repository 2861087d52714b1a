from __future__ import annotations

from metalscope.readings import DeviceInfo, ResourceKind, ResourceMetrics
from metalscope.sensors.base import Offer, SensorUnavailableError
from metalscope.sensors.board import SensorBoard
from metalscope.sensors.host import open_sensor
from metalscope.sensors.registry import find_sensors, sensor_names


class Steady:
    name = "steady"

    def __init__(self):
        self.times = 0

    def read(self):
        self.times += 1
        yield ResourceMetrics(ResourceKind.POWER, "gpu", "", float(self.times))


class Failing:
    name = "failing"

    def read(self):
        yield ResourceMetrics(ResourceKind.TEMPERATURE, "gpu", "", 50.0)
        raise OSError("no such register")


def board(fresh_for=0.0):
    errors = []
    made = SensorBoard(lambda room, error: errors.append((room, str(error))), fresh_for=fresh_for)
    return made, errors


def test_a_sensor_that_fails_harms_no_other_and_is_told_of():
    made, errors = board()
    made.add(Failing())
    made.add(Steady())
    kinds = [reading.kind for reading in made.read()]
    assert kinds == [ResourceKind.TEMPERATURE, ResourceKind.POWER]
    assert errors == [("sensor.failing", "no such register")]


def test_a_reading_is_handed_out_again_while_it_is_fresh():
    made, _ = board(fresh_for=3600)
    steady = Steady()
    made.add(steady)
    assert made.read() == made.read()
    assert steady.times == 1
    made.add(Failing())
    made.read()
    assert steady.times == 2


def test_a_sensor_that_was_removed_is_read_no_more():
    made, _ = board()
    steady = Steady()
    made.add(steady)
    made.remove(steady)
    assert made.read() == ()
    assert steady.times == 0


def test_two_that_speak_of_one_device_complete_each_other():
    made, _ = board()
    made.add_device(DeviceInfo("Apple M1", "metal", memory_bytes=8, properties=(("cores", "8"),)))
    made.add_device(DeviceInfo("other", "metal"))
    made.add_device(
        DeviceInfo("Apple M1", "metal", max_buffer_bytes=4, properties=(("low_power", "no"),))
    )
    (_, device) = made.devices
    assert (device.memory_bytes, device.max_buffer_bytes) == (8, 4)
    assert device.properties == (("cores", "8"), ("low_power", "no"))


def test_every_sensor_opens_or_says_in_words_why_not():
    findings = list(find_sensors())
    assert tuple(finding.name for finding in findings) == sensor_names()
    for finding in findings:
        assert finding.error is None, finding
        assert (finding.sensor is None) == bool(finding.why_not)
        for offer in finding.offers():
            assert isinstance(offer, Offer)


def test_sensors_that_are_not_wanted_are_not_opened():
    made, errors = board()
    made.open_found(without=sensor_names())
    assert made.read() == ()
    made.open_found(without=[name for name in sensor_names() if name != "host"])
    assert {reading.kind for reading in made.read()} == {ResourceKind.HOST_MEMORY}
    made.open_found()
    assert errors == []


def test_processor_load_is_absent_until_there_was_time_to_measure_it(monkeypatch):
    now = 100.0
    monkeypatch.setattr("metalscope.sensors.host.monotonic", lambda: now)
    sensor = open_sensor()

    def load():
        return [one.current for one in sensor.read() if one.kind is ResourceKind.CPU_UTILIZATION]

    assert load() == []
    now += 0.2
    (measured,) = load()
    assert load() == [measured]


def test_why_a_sensor_is_not_there_is_kept_with_what_to_do():
    error = SensorUnavailableError("no such library", "install it")
    assert (error.why, error.remedy, str(error)) == (
        "no such library",
        "install it",
        "no such library",
    )
