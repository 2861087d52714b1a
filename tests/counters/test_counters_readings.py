"""What the sensors read: statistics, bands, limits, levels, and what is refused or absent."""

from __future__ import annotations

import json
from math import inf, nan

import pytest
from counter_bench import NOW, energy, gpu, level, memory, only
from hypothesis import given, settings
from hypothesis import strategies as st

from metalscope.counters.bands import Thresholds
from metalscope.counters.readings import MAX_READINGS, ReadingBook
from metalscope.readings import MemoryPressure, ResourceKind, ResourceMetrics, ThermalState
from metalscope.snapshot import MetalTelemetrySnapshot
from metalscope.snapshot_json import snapshot_from_dict


def band_of(bench, reading):
    bench.after(10, reading)
    return bench.now().of(reading.kind)[0].band.current


def test_a_reading_has_its_current_least_most_and_mean_value(bench):
    for value in (10, 40, 25):
        bench.after(10, memory(value, peak=45))
    one = only(bench.now(), ResourceKind.MEMORY)
    assert (one.current, one.minimum, one.maximum, one.mean) == (25, 10, 40, 25)
    assert (one.samples, one.peak, one.limit, one.unit) == (3, 45, 100, "bytes")
    assert one.utilization_percent == 25
    assert one.rate is None


@pytest.mark.parametrize(
    ("percent", "band"),
    [
        (0, "idle"), (19.99, "idle"), (20, "low"), (49.9, "low"), (50, "moderate"),
        (85, "moderate"), (85.1, "high"), (95, "high"), (95.1, "saturated"), (250, "saturated"),
    ],
)  # fmt: skip
def test_the_bands_of_the_gpu_meet_where_they_are_said_to(bench, percent, band):
    assert band_of(bench, gpu(percent)) == band


def test_where_high_begins_is_the_options_to_say(bench_with):
    bench = bench_with(high_memory_utilization_threshold=60, high_gpu_utilization_threshold=98)
    assert band_of(bench, memory(61)) == "high"
    assert band_of(bench, gpu(97)) == "moderate"
    assert band_of(bench, gpu(99)) == "saturated"


def test_samples_are_counted_by_band_and_changes_are_events(bench):
    for percent in (10, 10, 90, 10, 90, 99):
        bench.after(10, gpu(percent))
    band = only(bench.now(), ResourceKind.GPU_UTILIZATION).band
    assert band.samples == {"idle": 3, "high": 2, "saturated": 1}
    assert band.entered == {"high": 2, "idle": 1, "saturated": 1}


def test_memory_pressure_is_told_as_events_by_level(bench):
    for pressure in (MemoryPressure.LOW, MemoryPressure.HIGH, MemoryPressure.HIGH):
        bench.after(10, level(ResourceKind.MEMORY_PRESSURE, pressure))
    pressure = bench.now().memory_pressure
    assert pressure.current == "high"
    assert pressure.samples == {"low": 1, "high": 2}
    assert pressure.entered == {"high": 1}
    assert bench.now().thermal_state is None


def test_heat_is_told_by_name(bench):
    bench.after(10, level(ResourceKind.THERMAL_STATE, ThermalState.SERIOUS))
    assert bench.now().thermal_state.current == "serious"


def test_near_exhaustion_is_above_nine_tenths_of_a_limit(bench):
    assert only(bench.after(10, memory(90)), ResourceKind.MEMORY).near_exhaustion is False
    assert only(bench.after(10, memory(90.1)), ResourceKind.MEMORY).near_exhaustion is True
    one = only(bench.after(10, memory(10)), ResourceKind.MEMORY)
    assert (one.near_exhaustion, one.near_exhaustion_samples) == (False, 1)


def test_an_operator_who_lets_memory_fill_moves_near_exhaustion_up(bench_with):
    bench = bench_with(high_memory_utilization_threshold=97)
    assert only(bench.after(10, memory(96)), ResourceKind.MEMORY).near_exhaustion is False


def test_what_has_no_limit_has_no_utilisation_and_is_not_near_it(bench):
    one = only(bench.after(10, memory(5000, limit=None)), ResourceKind.MEMORY)
    assert one.utilization_percent is one.band is one.near_exhaustion is one.limit is None


def test_a_busy_gpu_exhausts_nothing(bench):
    one = only(bench.after(10, gpu(100)), ResourceKind.GPU_UTILIZATION)
    assert one.near_exhaustion is None


def test_bandwidth_against_its_limit_has_a_band(bench):
    reading = ResourceMetrics(ResourceKind.BANDWIDTH, "total", "gpu:0", 96e9, limit=100e9)
    one = only(bench.after(10, reading), ResourceKind.BANDWIDTH)
    assert one.band.current == "saturated"
    assert one.unit == "bytes_per_second"


def test_a_sensor_that_goes_leaves_absence_and_keeps_what_was(bench):
    bench.after(10, energy(0))
    bench.after(10, gpu(30), memory(95), energy(10))
    gone = bench.after(10)
    one = only(gone, ResourceKind.GPU_UTILIZATION)
    assert one.current is one.utilization_percent is one.band.current is None
    assert (one.mean, one.samples) == (30, 1)
    assert only(gone, ResourceKind.MEMORY).near_exhaustion is None
    rate = only(gone, ResourceKind.ENERGY).rate
    assert (rate.current, rate.mean) == (None, 1)
    back = only(bench.after(10, gpu(50)), ResourceKind.GPU_UTILIZATION)
    assert (back.current, back.mean, back.samples) == (50, 40, 2)


@pytest.mark.parametrize("bad", [nan, inf, -inf, -1, 2**80, 10**400, None, "x"])
def test_what_no_sensor_can_mean_is_refused_and_counted(bench, bad):
    counters = bench.after(10, memory(bad), gpu(5))
    assert counters.of(ResourceKind.MEMORY) == ()
    assert counters.refused == 1
    assert only(counters, ResourceKind.GPU_UTILIZATION).current == 5


@pytest.mark.parametrize("limit", [0, -5, nan, inf, 5e-324])
def test_a_limit_that_cannot_be_is_no_limit(bench, limit):
    counters = bench.after(10, memory(5, limit=limit))
    assert only(counters, ResourceKind.MEMORY).utilization_percent is None
    json.dumps(counters.to_dict(), allow_nan=False)


@pytest.mark.parametrize("value", [-1, 1.5, 4, 9])
def test_a_level_there_is_not_is_refused(bench, value):
    assert bench.after(10, level(ResourceKind.MEMORY_PRESSURE, value)).refused == 1


def test_frost_is_a_temperature(bench):
    reading = ResourceMetrics(ResourceKind.TEMPERATURE, "outside", "", -12.5)
    assert only(bench.after(10, reading), ResourceKind.TEMPERATURE).minimum == -12.5


def test_two_readings_of_one_name_in_one_sample_count_once(bench):
    counters = bench.after(10, gpu(10), gpu(90))
    assert only(counters, ResourceKind.GPU_UTILIZATION).samples == 1
    assert counters.refused == 1


def test_readings_past_the_cap_are_counted_not_kept(bench):
    readings = [
        ResourceMetrics(ResourceKind.POWER, f"rail {number}", "", 1.0)
        for number in range(MAX_READINGS + 3)
    ]
    counters = bench.after(10, *readings)
    assert (len(counters.readings), counters.untracked) == (MAX_READINGS, 3)


anything = st.one_of(
    st.floats(), st.integers(-(10**20), 10**20), st.sampled_from([0, 1, 2, 3, 1e-320, 2.0**63])
)
readings = st.builds(
    ResourceMetrics,
    kind=st.sampled_from(ResourceKind),
    name=st.sampled_from("ab"),
    device=st.sampled_from(["", "gpu:0"]),
    current=anything,
    peak=st.none() | anything,
    limit=st.none() | anything,
)
moments = st.tuples(st.lists(readings, max_size=8), st.integers(-(10**12), 10**12), st.booleans())


@settings(max_examples=30)
@given(st.lists(moments, max_size=30))
def test_whatever_sensors_say_and_clocks_do_the_statistics_hold(samples):
    book, now_ns, given_in_all = ReadingBook(Thresholds()), 0, 0
    for some, step, ends_window in samples:
        now_ns += step
        given_in_all += len(some)
        book.sample(some, now_ns, ends_window=ends_window, longest_ns=30 * 10**9)
    statistics = book.statistics()
    assert len(statistics) <= len(ResourceKind) * 4
    assert sum(one.samples for one in statistics) + book.refused == given_in_all
    for one in statistics:
        assert one.minimum <= one.mean <= one.maximum <= one.peak
        assert one.current is None or one.minimum <= one.current <= one.maximum
        assert 0 <= one.near_exhaustion_samples <= one.samples
        if one.band is not None:
            assert sum(one.band.samples.values()) <= one.samples
            assert sum(one.band.entered.values()) < sum(one.band.samples.values())
        if one.rate is not None and one.rate.windows:
            assert 0 <= one.rate.minimum <= one.rate.mean <= one.rate.maximum
            assert one.growth >= 0
    json.dumps([one.to_dict() for one in statistics], allow_nan=False)


def test_the_whole_is_strict_json_and_comes_back_the_same(bench):
    from pydantic import TypeAdapter

    from metalscope.counter_statistics import PerformanceCounters

    bench.record("execute", error="timeout", nbytes=5)
    bench.counters.allocated(5)
    bench.after(10, gpu(30), energy(1), level(ResourceKind.MEMORY_PRESSURE, 2))
    counters = bench.after(10, gpu(30), energy(3))
    data = json.loads(json.dumps(counters.to_dict(), allow_nan=False))
    assert data["errors"]["by_component"] == {"kernel": 1}
    assert data["kernels"]["per_second"]["windows"] == 2
    assert data["allocations"]["by_size"]["tiny"] == 1
    adapter = TypeAdapter(PerformanceCounters)
    text = adapter.dump_json(counters, fallback=dict, warnings=False)
    assert adapter.validate_json(text) == counters


def test_a_snapshot_read_back_from_its_json_has_the_same_counters(bench):
    bench.record("execute", error="timeout", nbytes=5, duration_ns=10**15 + 1, gpu_ns=3)
    bench.record("allocate", duration_ns=7)
    bench.counters.allocated(5)
    bench.after(10, gpu(30), energy(1), level(ResourceKind.MEMORY_PRESSURE, 2))
    counters = bench.after(10, gpu(99), energy(3), memory(91))
    snapshot = MetalTelemetrySnapshot(NOW, NOW, counters=counters)
    assert snapshot_from_dict(json.loads(snapshot.to_json())).counters == counters
