from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest
from standin_mac import StandInMac, recorded

from metalscope.readings import ResourceKind, ResourceMetrics
from metalscope.sensors.base import DescribesItself, Sensor, SensorUnavailableError
from metalscope.sensors.ioreport import IOReportSensor, dvfs_table, open_sensor
from metalscope.sensors.native.ioreport import Counter, IOReport, Subscription

GPU_STATES = ("OFF", *(f"P{index}" for index in range(1, 16)))
TABLE = (396e6, 528e6, 720e6, 924e6, 1128e6, 1278e6)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


Values = dict[tuple[ResourceKind, str], float]


def values(readings: Iterator[ResourceMetrics]) -> Values:
    return {(one.kind, one.name): one.current for one in readings}


def gpu_channel(mac: StandInMac) -> int:
    return mac.channel("GPU Stats", "GPU Performance States", "GPUPH", "24Mticks", GPU_STATES)


def energy(mac: StandInMac, name: str, unit: str) -> int:
    return mac.channel("Energy Model", "", name, unit)


def histogram(mac: StandInMac, group: str, name: str, widths: range) -> int:
    return mac.channel(group, "DCS BW", name, "", [f"{width:>4}GB/s" for width in widths])


# -- GPU ------------------------------------------------------------------------------------------


def test_the_first_reading_takes_the_baseline_and_gives_nothing(
    mac: StandInMac, clock: Clock
) -> None:
    mac.spend(gpu_channel(mac), [5, 5])
    mac.publish(energy(mac, "GPU Energy", "nJ"), 10**9)
    sensor = IOReportSensor(mac.ioreport, frequencies=TABLE, clock=clock)

    assert tuple(sensor.read()) == ()


def test_active_residency_and_mean_clock_are_those_of_the_window(
    mac: StandInMac, clock: Clock
) -> None:
    gpu = gpu_channel(mac)
    mac.spend(gpu, [1000, 1000, 1000, 1000])
    sensor = IOReportSensor(mac.ioreport, frequencies=TABLE, clock=clock)
    tuple(sensor.read())
    mac.spend(gpu, [1600, 1100, 1000, 1300])
    clock.now += 1

    assert tuple(sensor.read()) == (
        ResourceMetrics(ResourceKind.GPU_UTILIZATION, "active", "gpu:0", current=40.0),
        ResourceMetrics(
            ResourceKind.FREQUENCY, "gpu", "gpu:0", current=639e6, limit=1278e6
        ),
    )  # fmt: skip


def test_without_the_table_of_clocks_residency_is_there_and_frequency_is_absent(
    mac: StandInMac, clock: Clock
) -> None:
    gpu = gpu_channel(mac)
    sensor = IOReportSensor(mac.ioreport, clock=clock)
    tuple(sensor.read())
    mac.spend(gpu, [1, 1])

    assert values(sensor.read()) == {(ResourceKind.GPU_UTILIZATION, "active"): 50.0}


def test_other_channels_of_the_gpu_are_left_alone(mac: StandInMac, clock: Clock) -> None:
    gpu = gpu_channel(mac)
    boost = mac.channel("GPU Stats", "GPU Performance States", "BSTGPUPH", "24Mticks", GPU_STATES)
    sensor = IOReportSensor(mac.ioreport, frequencies=TABLE, clock=clock)
    tuple(sensor.read())
    mac.spend(gpu, [3, 1])
    mac.spend(boost, [0, 9])

    assert values(sensor.read())[ResourceKind.GPU_UTILIZATION, "active"] == 25.0


def test_a_long_window_is_as_right_as_a_short_one(mac: StandInMac, clock: Clock) -> None:
    gpu, rail = gpu_channel(mac), energy(mac, "GPU Energy", "nJ")
    sensor = IOReportSensor(mac.ioreport, frequencies=TABLE, clock=clock)
    tuple(sensor.read())
    clock.now += 8 * 3600
    mac.spend(gpu, [24_000_000 * 7 * 3600, 24_000_000 * 3600])
    mac.publish(rail, 28_800 * 10**9)

    found = values(sensor.read())

    assert found[ResourceKind.GPU_UTILIZATION, "active"] == 12.5
    assert found[ResourceKind.POWER, "gpu"] == pytest.approx(1.0)


# -- the table of clocks --------------------------------------------------------------------------


def test_the_table_of_clocks_is_found_in_the_power_manager(mac: StandInMac) -> None:
    before = mac.live
    mac.dvfs(bytes.fromhex(recorded("m1_air_gpu")["perf_states"]))
    with_entries = mac.live

    assert dvfs_table(mac.iokit) == TABLE
    assert mac.live == with_entries
    assert with_entries[1] == before[1]


def test_the_table_of_an_m5_is_found_under_its_other_name(mac: StandInMac) -> None:
    said = recorded("dvfs_tables")
    mac.entry(["AppleARMIODevice"], name="pmgr", properties={
        "voltage-states9": bytes.fromhex(said["m5_max_cores"]["hex"]),
        "voltage-states14": bytes.fromhex(said["m5_max_gpu"]["hex"]),
    })  # fmt: skip

    assert dvfs_table(mac.iokit)[-1] == 1620e6


def test_a_machine_without_the_power_manager_has_no_table(mac: StandInMac) -> None:
    mac.entry(["AppleARMIODevice"], {"voltage-states9": b"\0" * 16}, name="aop")

    assert dvfs_table(mac.iokit) == ()


# -- power and energy -----------------------------------------------------------------------------


class Ultra:
    """The energy channels of a recorded M1 Ultra, published when they were."""

    def __init__(self, mac: StandInMac) -> None:
        self.said = recorded("m1_ultra_energy")
        self._mac = mac
        self._counts = dict.fromkeys(self.said["units"], 0)
        self._channels = {
            name: energy(mac, name, unit) for name, unit in self.said["units"].items()
        }

    def publish(self, index: int) -> float:
        """Publish a sample of the log; return its time."""
        sample = self.said["samples"][index]
        for name, channel in self._channels.items():
            self._counts[name] += sample["grew"].get(name, 0)
            published = sample["t"] - sample["age_ms"].get(name, 0.0) / 1000
            stamp = round(published * self.said["ticks_per_second"])
            self._mac.publish(channel, self._counts[name], stamp=stamp)
        return float(sample["t"])


def test_power_on_an_ultra_is_that_which_the_log_computed(mac: StandInMac, clock: Clock) -> None:
    ultra = Ultra(mac)
    clock.now = ultra.publish(0)
    sensor = IOReportSensor(
        mac.ioreport, ticks_per_second=ultra.said["ticks_per_second"], clock=clock
    )
    assert tuple(sensor.read()) == ()
    clock.now = ultra.publish(1)

    found = values(sensor.read())

    # The counters came in after 0.12 s and had grown for 1.73 s: by the time of reading, the
    # processors would have drawn 209 W.
    for rail, watts in ultra.said["watts_the_log_computed"].items():
        assert found[ResourceKind.POWER, rail] == pytest.approx(watts, rel=0.01, abs=0.01)
    assert found[ResourceKind.ENERGY, "cpu"] == pytest.approx(25.329)
    assert found[ResourceKind.ENERGY, "dram"] == pytest.approx(6.733)
    assert found[ResourceKind.ENERGY, "gpu"] == pytest.approx(0.0313852)


def test_power_holds_over_the_tail_of_a_batch_and_energy_goes_on(
    mac: StandInMac, clock: Clock
) -> None:
    ultra = Ultra(mac)
    sensor_ticks = ultra.said["ticks_per_second"]
    clock.now = ultra.publish(0)
    sensor = IOReportSensor(mac.ioreport, ticks_per_second=sensor_ticks, clock=clock)
    tuple(sensor.read())
    clock.now = ultra.publish(1)
    before = values(sensor.read())
    clock.now = ultra.publish(2)

    after = values(sensor.read())

    assert after[ResourceKind.POWER, "cpu"] == before[ResourceKind.POWER, "cpu"]
    assert after[ResourceKind.ENERGY, "cpu"] == pytest.approx(25.329 + 0.250)
    assert after[ResourceKind.POWER, "gpu"] == pytest.approx(0.03097322 / 0.119, rel=0.01)


def test_channels_that_are_part_of_a_sum_are_not_counted_again(
    mac: StandInMac, clock: Clock
) -> None:
    parts = ("GPU0_0", "PCPU1DTL26", "EACC_CPU", "PACC0_CPU0", "GPU CS0_0", "AMCC0_0", "DCS0_0")
    channels = [energy(mac, name, "mJ") for name in (*parts, "CPU Energy", "DRAM0")]
    channels.append(energy(mac, "GPU Energy", "nJ"))
    sensor = IOReportSensor(mac.ioreport, clock=clock)
    tuple(sensor.read())
    for channel in channels[:-1]:
        mac.publish(channel, 1000)
    mac.publish(channels[-1], 2 * 10**9)
    clock.now += 1

    power = {name: watts for (kind, name), watts in values(sensor.read()).items()
             if kind is ResourceKind.POWER}  # fmt: skip

    assert power == {"gpu": 2.0, "cpu": 1.0, "dram": 1.0}


@pytest.mark.parametrize("name", ["GPU0", "GPU0_0"])
def test_a_chip_without_the_sum_of_the_gpu_gives_its_one_part(
    mac: StandInMac, clock: Clock, name: str
) -> None:
    channel = energy(mac, name, "mJ")
    sensor = IOReportSensor(mac.ioreport, clock=clock)
    tuple(sensor.read())
    mac.publish(channel, 3000)
    clock.now += 1

    assert values(sensor.read())[ResourceKind.POWER, "gpu"] == 3.0


@pytest.mark.parametrize("die", ["DIE_0_", "DIE0 "])
def test_a_die_in_front_of_a_name_does_not_hide_it(mac: StandInMac, clock: Clock, die: str) -> None:
    channel = energy(mac, f"{die}CPU Energy", "mJ")
    sensor = IOReportSensor(mac.ioreport, clock=clock)
    tuple(sensor.read())
    mac.publish(channel, 3000)
    clock.now += 1

    assert values(sensor.read())[ResourceKind.POWER, "cpu"] == 3.0


def test_a_rail_with_a_unit_that_is_no_energy_is_absent(mac: StandInMac, clock: Clock) -> None:
    energy(mac, "ANE", "events")
    channel = energy(mac, "DRAM", "mJ")
    sensor = IOReportSensor(mac.ioreport, clock=clock)
    tuple(sensor.read())
    mac.publish(channel, 1000)
    clock.now += 1

    assert {name for _, name in values(sensor.read())} == {"dram"}


def test_energy_is_what_was_used_since_the_first_reading(mac: StandInMac, clock: Clock) -> None:
    channel = energy(mac, "CPU Energy", "mJ")
    mac.publish(channel, 999_000)
    sensor = IOReportSensor(mac.ioreport, clock=clock)
    tuple(sensor.read())
    for joules in (1, 2, 4):
        mac.publish(channel, 999_000 + joules * 1000)
        clock.now += 1
        assert values(sensor.read())[ResourceKind.ENERGY, "cpu"] == pytest.approx(joules)


def test_a_counter_that_was_reset_leaves_energy_as_it_was_and_power_absent(
    mac: StandInMac, clock: Clock
) -> None:
    channel = energy(mac, "CPU Energy", "mJ")
    mac.publish(channel, 5000)
    sensor = IOReportSensor(mac.ioreport, clock=clock)
    tuple(sensor.read())
    clock.now += 1
    mac.publish(channel, 6000)
    tuple(sensor.read())
    clock.now += 1
    mac.publish(channel, 10)

    assert values(sensor.read()) == {(ResourceKind.ENERGY, "cpu"): 1.0}


def test_a_counter_without_a_value_is_absent(mac: StandInMac, clock: Clock) -> None:
    channel = energy(mac, "CPU Energy", "mJ")
    sensor = IOReportSensor(mac.ioreport, clock=clock)
    for _ in range(3):
        mac.publish(channel, -(2**63))  # kIOReportInvalidIntValue
        clock.now += 1
        assert tuple(sensor.read()) == ()


def test_a_counter_that_is_not_published_any_more_has_no_power(
    mac: StandInMac, clock: Clock
) -> None:
    channel = energy(mac, "CPU Energy", "mJ")
    mac.publish(channel, 1, stamp=24_000_000)
    sensor = IOReportSensor(mac.ioreport, ticks_per_second=24e6, clock=clock)
    tuple(sensor.read())
    mac.publish(channel, 2001, stamp=48_000_000)
    clock.now += 1
    assert values(sensor.read())[ResourceKind.POWER, "cpu"] == 2.0
    clock.now += 60

    assert values(sensor.read()) == {(ResourceKind.ENERGY, "cpu"): 2.0}


def test_a_reading_at_the_same_moment_has_no_power_and_loses_no_energy(
    mac: StandInMac, clock: Clock
) -> None:
    channel = energy(mac, "CPU Energy", "mJ")
    sensor = IOReportSensor(mac.ioreport, clock=clock)
    tuple(sensor.read())
    mac.publish(channel, 1000)
    assert tuple(sensor.read()) == ()
    clock.now += 1

    assert values(sensor.read()) == {
        (ResourceKind.POWER, "cpu"): 1.0,
        (ResourceKind.ENERGY, "cpu"): 1.0,
    }


# -- memory traffic -------------------------------------------------------------------------------


def traffic(readings: Iterator[ResourceMetrics]) -> dict[str, float]:
    return {one.name: one.current for one in readings if one.kind is ResourceKind.BANDWIDTH}


def test_bytes_of_the_memory_controller_are_traffic(mac: StandInMac, clock: Clock) -> None:
    read = mac.channel("AMC Stats", "Perf Counters", "DCS RD", "B")
    write = mac.channel("AMC Stats", "Perf Counters", "DCS WR", "B")
    other = mac.channel("AMC Stats", "Perf Counters", "ECPU0 DCS RD", "B")
    sensor = IOReportSensor(mac.ioreport, clock=clock, peak_bandwidth=400e9)
    tuple(sensor.read())
    mac.publish(read, 3 * 10**9)
    mac.publish(write, 10**9)
    mac.publish(other, 10**9)
    clock.now += 2

    assert tuple(sensor.read()) == (
        ResourceMetrics(ResourceKind.BANDWIDTH, "read", "", current=1.5e9),
        ResourceMetrics(ResourceKind.BANDWIDTH, "total", "", current=2e9, limit=400e9),
        ResourceMetrics(ResourceKind.BANDWIDTH, "write", "", current=0.5e9),
    )


@pytest.mark.parametrize("group", ["PMP", "PMP0"])
def test_histograms_of_the_memory_controller_are_traffic(
    mac: StandInMac, clock: Clock, group: str
) -> None:
    both = histogram(mac, group, "AMCC RD+WR", range(32, 417, 32))
    agent = histogram(mac, group, "AGX RD+WR", range(1, 33))
    sensor = IOReportSensor(mac.ioreport, clock=clock)
    tuple(sensor.read())
    mac.spend(both, [75, 0, 25])
    mac.spend(agent, [0] * 31 + [100])
    clock.now += 1

    # Three quarters between 0 and 32, a quarter between 64 and 96 GB/s.
    assert traffic(sensor.read()) == {"total": pytest.approx(0.75 * 16e9 + 0.25 * 80e9)}


def test_reads_and_writes_have_histograms_of_their_own(mac: StandInMac, clock: Clock) -> None:
    channels = {name: histogram(mac, "PMP", f"AMCC {name}", range(16, 257, 16))
                for name in ("RD", "WR", "RD+WR")}  # fmt: skip
    sensor = IOReportSensor(mac.ioreport, clock=clock)
    tuple(sensor.read())
    for channel, bucket in zip(channels.values(), (1, 0, 2), strict=True):
        mac.spend(channel, [0] * bucket + [10])

    assert traffic(sensor.read()) == {"read": 24e9, "write": 8e9, "total": 40e9}


def test_the_controllers_of_two_dies_are_added(mac: StandInMac, clock: Clock) -> None:
    dies = [histogram(mac, f"PMP{die}", "AMCC RD+WR", range(32, 417, 32)) for die in (0, 1)]
    sensor = IOReportSensor(mac.ioreport, clock=clock)
    tuple(sensor.read())
    for die in dies:
        mac.spend(die, [10])

    assert traffic(sensor.read()) == {"total": 32e9}


def test_a_group_that_is_listed_and_refused_takes_nothing_with_it(
    mac: StandInMac, clock: Clock
) -> None:
    mac.channel("AMC Stats", "Perf Counters", "DCS RD", "B")
    gpu = gpu_channel(mac)
    both = histogram(mac, "PMP0", "AMCC RD+WR", range(32, 417, 32))
    mac.refuse("AMC Stats")
    sensor = IOReportSensor(mac.ioreport, clock=clock)
    tuple(sensor.read())
    mac.spend(gpu, [1, 1])
    mac.spend(both, [1])

    assert values(sensor.read()) == {
        (ResourceKind.GPU_UTILIZATION, "active"): 50.0,
        (ResourceKind.BANDWIDTH, "total"): 16e9,
    }


@pytest.mark.parametrize("how", ["in no sample", "without values", "without movement"])
def test_a_group_that_is_granted_and_stays_silent_is_left_for_the_next(
    mac: StandInMac, clock: Clock, how: str
) -> None:
    dead = mac.channel("AMC Stats", "Perf Counters", "DCS RD", "B")
    both = histogram(mac, "PMP", "AMCC RD+WR", range(32, 417, 32))
    gpu_channel(mac)
    if how == "in no sample":
        mac.leave_empty("AMC Stats")
    mac.publish(dead, 12345 if how == "without movement" else -(2**63))
    before = mac.live
    sensor = IOReportSensor(mac.ioreport, clock=clock)
    for ticks in range(1, 8):
        mac.spend(both, [ticks])
        clock.now += 1
        found = traffic(sensor.read())

    assert found == {"total": 16e9}
    del sensor
    assert mac.live == before  # the silent subscription, too, was given back


# -- ownership, failure, forking ------------------------------------------------------------------


def everything(mac: StandInMac) -> Callable[[int], None]:
    gpu = gpu_channel(mac)
    rails = [energy(mac, name, "mJ") for name in ("CPU Energy", "ANE", "DRAM", "GPU SRAM")]
    rails.append(energy(mac, "GPU Energy", "nJ"))
    both = histogram(mac, "PMP", "AMCC RD+WR", range(32, 417, 32))

    def step(index: int) -> None:
        mac.spend(gpu, [index * 2, index])
        mac.spend(both, [index])
        for rail in rails:
            mac.publish(rail, index * 1000, stamp=index * 24_000_000)

    return step


def test_reading_a_thousand_times_leaves_nothing_behind(mac: StandInMac, clock: Clock) -> None:
    step = everything(mac)
    sensor = IOReportSensor(mac.ioreport, frequencies=TABLE, ticks_per_second=24e6, clock=clock)
    before = mac.live

    for index in range(1, 1001):
        step(index)
        clock.now += 1
        found = values(sensor.read())

    assert mac.live == before
    assert len(found) == 13


def test_a_sensor_that_is_let_go_gives_everything_back(mac: StandInMac, clock: Clock) -> None:
    step = everything(mac)
    before = mac.live
    sensor = IOReportSensor(mac.ioreport, clock=clock)
    step(1)
    tuple(sensor.read())

    del sensor

    assert mac.live == before


def test_a_subscription_that_is_refused_leaves_nothing_behind(mac: StandInMac) -> None:
    mac.channel("AMC Stats", "Perf Counters", "DCS RD", "B")
    mac.refuse("AMC Stats")
    before = mac.live

    with pytest.raises(SensorUnavailableError, match="refuses a subscription to “AMC Stats”"):
        mac.ioreport.subscribe([("AMC Stats", None)], lambda _: True)

    assert mac.live == before


def test_a_sample_that_fails_is_raised_and_the_next_one_goes_on(
    mac: StandInMac, clock: Clock
) -> None:
    channel = energy(mac, "CPU Energy", "mJ")
    sensor = IOReportSensor(mac.ioreport, clock=clock)
    tuple(sensor.read())
    before = mac.live
    mac.sampling_fails()
    clock.now += 1
    with pytest.raises(SensorUnavailableError, match="IOReportCreateSamples returned nothing"):
        tuple(sensor.read())
    (offer,) = sensor.offers()
    assert "IOReportCreateSamples" in offer.why_not
    mac.sampling_fails(fails=False)
    mac.publish(channel, 6000)
    clock.now += 1

    assert values(sensor.read())[ResourceKind.POWER, "cpu"] == 3.0
    assert mac.live == before


def test_a_machine_without_any_of_the_channels_says_so_when_it_is_opened(mac: StandInMac) -> None:
    mac.channel("CPU Stats", "CPU Core Performance States", "ECPU0", "24Mticks", ["IDLE", "V0P1"])

    with pytest.raises(SensorUnavailableError, match="no group “Energy Model” and “GPU Stats”"):
        IOReportSensor(mac.ioreport)


class SubscriptionOfAProcess(Subscription):
    """As on a Mac: the ports of a subscription are not those of a forked child."""

    used_in_another: ClassVar[list[str]] = []

    def __init__(self, made: Subscription) -> None:
        super().__init__(made._library, made._subscription, made._channels)
        self.pid = os.getpid()

    def read(self) -> tuple[Counter, ...]:
        if os.getpid() != self.pid:
            self.used_in_another.append("read")
        return super().read()

    def close(self) -> None:
        if os.getpid() != self.pid:
            self.used_in_another.append("close")
        super().close()


class IOReportOfAProcess(IOReport):
    def subscribe(self, *arguments, **named):  # type: ignore[no-untyped-def]
        return SubscriptionOfAProcess(super().subscribe(*arguments, **named))


def test_a_forked_child_opens_anew_and_leaves_the_parents_subscription_alone(
    mac: StandInMac, clock: Clock
) -> None:
    channel = energy(mac, "CPU Energy", "mJ")
    library = IOReportOfAProcess(mac.core, mac.ioreport.path)
    sensor = IOReportSensor(library, clock=clock)
    tuple(sensor.read())
    mac.publish(channel, 8000)
    clock.now += 1

    child = os.fork()
    if child == 0:
        try:
            first = tuple(sensor.read())
            mac.publish(channel, 9000)
            clock.now += 1
            second = values(sensor.read())
            del sensor
            mistaken = SubscriptionOfAProcess.used_in_another
            wrong = first != () or second[ResourceKind.ENERGY, "cpu"] != 1.0 or mistaken
            os._exit(1 if wrong else 0)
        except BaseException:
            os._exit(2)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert values(sensor.read())[ResourceKind.ENERGY, "cpu"] == 8.0


# -- what it says of itself -----------------------------------------------------------------------


def test_it_says_what_works_after_trying_without_disturbing_its_own_window(
    mac: StandInMac, clock: Clock
) -> None:
    step = everything(mac)
    count = iter(range(1, 100))

    def pause(seconds: float) -> None:
        clock.now += seconds
        step(next(count))

    sensor = IOReportSensor(
        mac.ioreport, frequencies=TABLE, ticks_per_second=24e6, clock=clock, pause=pause
    )
    tuple(sensor.read())
    before = mac.live

    offers = {offer.what: offer for offer in sensor.offers()}

    assert [offer for offer in offers.values() if not offer.works] == []
    assert len(offers) == 8
    assert mac.live == before
    assert values(sensor.read())[ResourceKind.ENERGY, "cpu"] == pytest.approx(next(count) - 1)


def test_it_says_of_what_is_absent_why(mac: StandInMac, clock: Clock) -> None:
    mac.channel("AMC Stats", "Perf Counters", "DCS RD", "B")
    mac.refuse("AMC Stats")
    gpu = gpu_channel(mac)
    count = iter(range(1, 100))

    def pause(seconds: float) -> None:
        clock.now += seconds
        mac.spend(gpu, [next(count)] * 2)

    sensor = IOReportSensor(mac.ioreport, clock=clock, pause=pause)

    absent = {offer.what: offer.why_not for offer in sensor.offers() if not offer.works}

    assert "GPU active residency" not in absent
    assert "no table of this GPU's clocks" in absent["GPU frequency"]
    assert "no such channel" in absent["power and energy of cpu"]
    assert absent["memory bandwidth"]
    assert all(offer.remedy for offer in sensor.offers() if not offer.works)


def test_it_is_a_sensor_that_describes_itself(mac: StandInMac) -> None:
    gpu_channel(mac)
    sensor = IOReportSensor(mac.ioreport)

    assert isinstance(sensor, Sensor)
    assert isinstance(sensor, DescribesItself)


@pytest.mark.skipif(sys.platform == "darwin", reason="on a Mac it opens")
def test_off_macos_it_says_that_this_is_not_macos() -> None:
    with pytest.raises(SensorUnavailableError, match="not macOS"):
        open_sensor()
