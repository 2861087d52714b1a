"""When samples are taken, and what clocks, sleep and restarts do to rates."""

from __future__ import annotations

import pytest
from counter_bench import energy, gpu, only

from metalscope.readings import ResourceKind


def test_sensors_are_read_once_an_interval_however_often_it_ticks(bench):
    for _ in range(31):
        bench.after(1, gpu(50))
    assert bench.times_read == bench.now().samples == 4


def test_a_tick_a_moment_early_takes_the_sample(bench):
    bench.after(1)
    assert bench.after(9.6).samples == 2
    assert bench.after(9.4).samples == 2


def test_the_interval_is_the_options(bench_with):
    bench = bench_with(performance_counters={"sampling_interval": "2m"})
    bench.after(1)
    assert bench.after(60).samples == 1
    assert bench.after(60).samples == 2
    assert bench.now().interval_seconds == 120


def test_without_continuous_sampling_only_a_request_takes_a_sample(bench_with):
    bench = bench_with(performance_counters={"enable_continuous_sampling": False})
    bench.record("execute", times=1000)
    assert bench.after(100, gpu(40)) is None
    bench.counters.finish()
    assert bench.now() is None
    bench.counters.ask()
    assert only(bench.now(), ResourceKind.GPU_UTILIZATION).current == 40
    # There is no rhythm, so no time between two requests is a gap.
    assert (bench.now().kernels.rate.current, bench.now().gaps) == (10, 0)


def test_asking_again_within_an_interval_gives_what_is_known(bench):
    bench.counters.ask()
    bench.counters.ask()
    assert bench.now().samples == 1


def test_the_short_time_before_the_first_sample_makes_no_rate_of_its_own(bench):
    bench.record("execute", times=100)
    assert bench.after(1).kernels.rate.windows == 0
    bench.record("execute", times=10)
    rate = bench.after(10).kernels.rate
    assert (rate.current, rate.windows) == (10, 1)


def test_a_program_shorter_than_an_interval_has_a_rate_too(bench):
    bench.after(1)
    bench.record("execute", times=30)
    bench.seconds += 2
    bench.counters.finish()
    assert (bench.now().kernels.rate.mean, bench.now().samples) == (10, 2)


def test_the_rest_at_the_end_of_a_long_program_is_counted_and_bends_no_rate(bench):
    for _ in range(3):
        bench.record("execute", times=50)
        bench.after(10)
    bench.record("execute", times=1000)
    bench.seconds += 0.001
    bench.counters.finish()
    kernels = bench.now().kernels
    assert kernels.count == 1150
    assert (kernels.rate.minimum, kernels.rate.maximum) == (5, 5)


def test_a_night_asleep_dilutes_no_rate(bench):
    bench.record("execute", times=100)
    bench.after(10, energy(0))
    bench.record("execute", times=7)
    asleep = bench.after(8 * 3600, energy(9000))
    assert asleep.gaps == 1
    assert asleep.kernels.count == 107
    assert asleep.kernels.rate.current is None
    assert asleep.kernels.by_name[0].per_second is None
    assert only(asleep, ResourceKind.ENERGY).growth == 9000
    assert only(asleep, ResourceKind.ENERGY).rate.windows == 0
    bench.record("execute", times=100)
    awake = bench.after(10, energy(9050))
    assert (awake.kernels.rate.current, awake.kernels.rate.mean) == (10, 10)
    assert only(awake, ResourceKind.ENERGY).rate.mean == 5
    assert awake.measured_seconds == 20


def test_ticks_longer_than_the_interval_are_no_gaps(bench_with):
    bench = bench_with(tick_interval="5m", history_window="1h")
    for _ in range(3):
        bench.record("execute", times=300)
        counters = bench.after(300)
    assert (counters.gaps, counters.kernels.rate.mean) == (0, 1)


@pytest.mark.parametrize("step", [-5000.0, -0.5])
def test_a_clock_that_goes_back_gives_no_negative_rate_and_sampling_goes_on(bench, step):
    bench.record("execute", times=10)
    bench.after(10)
    bench.record("execute", times=10)
    bench.after(step)
    bench.record("execute", times=10)
    bench.after(10)
    bench.record("execute", times=30)
    kernels = bench.after(10).kernels
    assert kernels.count == 60
    assert kernels.rate.minimum >= 0
    assert kernels.rate.current == 3


def test_a_source_that_begins_again_is_counted_from_zero(bench):
    bench.after(10, energy(1000))
    bench.after(10, energy(1100))
    counters = only(bench.after(10, energy(30)), ResourceKind.ENERGY)
    assert counters.growth == 130
    assert (counters.rate.current, counters.rate.minimum, counters.rate.maximum) == (3, 3, 10)


def test_growth_before_the_first_reading_is_not_ours(bench):
    first = only(bench.after(10, energy(5_000_000)), ResourceKind.ENERGY)
    assert (first.growth, first.rate.windows) == (0, 0)


def test_a_rate_over_years_of_samples_loses_nothing(bench):
    """A running float sum of tenths drifts; this one does not."""
    for number in range(5000):
        bench.after(10, energy(number * 0.125), gpu(0.1))
    counters = bench.now()
    assert only(counters, ResourceKind.GPU_UTILIZATION).mean == 0.1
    assert only(counters, ResourceKind.ENERGY).growth == 4999 * 0.125
    assert only(counters, ResourceKind.ENERGY).rate.mean == 0.0125


def test_a_forked_child_begins_at_zero():
    import os

    from metalscope.manager import MetalTelemetryManager

    with MetalTelemetryManager() as tel:
        tel.record("execute", "k", duration_ns=1)
        tel.counters.finish()
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            counters = tel.get_snapshot().counters
            os.write(write, f"{counters.kernels.count} {counters.samples}".encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(read, 100) == b"0 1"
        assert tel.get_snapshot().counters.kernels.count == 1
