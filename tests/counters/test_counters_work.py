"""Allocations, kernels and errors: exact counts, and rates that time cannot bend."""

from __future__ import annotations

import threading

import pytest

from metalscope.counter_statistics import SizeCategory
from metalscope.counters.work import MAX_NAMES, SlowThreshold
from metalscope.histogram import EDGES_NS, QUANTILE_RELATIVE_ERROR, DurationHistogram
from metalscope.operation import NS_PER_MS, Component, MetalError, OperationKind


def test_allocations_and_kernels_are_counted_apart_with_bytes_durations_and_failures(bench):
    bench.record("allocate", times=2, nbytes=64, duration_ns=2 * NS_PER_MS)
    bench.record("execute", "matmul", nbytes=10, duration_ns=5 * NS_PER_MS, gpu_ns=NS_PER_MS)
    bench.record("execute", "matmul", error="timeout", duration_ns=7 * NS_PER_MS)
    bench.record("compile", "matmul")
    counters = bench.now()
    allocations, kernels = counters.allocations, counters.kernels
    assert (allocations.count, allocations.nbytes, allocations.failures) == (2, 128, 0)
    assert (kernels.count, kernels.nbytes, kernels.failures) == (2, 10, 1)
    assert (kernels.min_ns, kernels.max_ns, kernels.total_ns) == (5000000, 7000000, 12000000)
    assert kernels.to_dict()["mean_ms"] == 6.0
    assert kernels.to_dict()["gpu_ms"] == 1.0
    assert allocations.to_dict()["gpu_ms"] is None
    assert kernels.failure_rate == 0.5


def test_all_is_of_one_moment_the_last_sample_or_the_last_time_somebody_asked(bench):
    bench.after(10)
    bench.record("execute", times=3)
    assert (bench.now().samples, bench.now().kernels.count) == (1, 0)
    bench.counters.ask()
    assert (bench.now().samples, bench.now().kernels.count) == (1, 3)
    bench.record("execute", times=2)
    counters = bench.after(10)
    assert (counters.samples, counters.kernels.count) == (2, 5)


def test_what_takes_exactly_the_threshold_is_not_slow_and_one_nanosecond_more_is(bench):
    for ns in (50 * NS_PER_MS, 50 * NS_PER_MS + 1):
        bench.record("allocate", duration_ns=ns)
    for ns in (99 * NS_PER_MS, 100 * NS_PER_MS, 100 * NS_PER_MS + 1, 10**12):
        bench.record("execute", duration_ns=ns)
    counters = bench.now()
    assert (counters.allocations.slow, counters.allocations.slow_above_ms) == (1, 50.0)
    assert (counters.kernels.slow, counters.kernels.slow_above_ms) == (2, 100.0)
    assert counters.kernels.slow_rate == 0.5


@pytest.mark.parametrize("ms", [1e-9, 0.3, 1.0, 33.3, 47.0, 60.0, 1234.5, 4e6, 1e12])
def test_a_threshold_between_two_edges_moves_to_the_nearer_and_says_so(ms):
    threshold = SlowThreshold(ms)
    edge = round(threshold.ms * NS_PER_MS)
    assert edge in EDGES_NS
    assert all(abs(edge - ms * NS_PER_MS) <= abs(other - ms * NS_PER_MS) for other in EDGES_NS)
    if EDGES_NS[0] <= ms * NS_PER_MS <= EDGES_NS[-1]:
        assert threshold.ms == pytest.approx(ms, rel=QUANTILE_RELATIVE_ERROR)
    durations = DurationHistogram.from_durations([edge - 1, edge, edge + 1, 2 * edge + 2])
    assert threshold.count(durations) == 2


def test_the_rate_is_what_came_by_the_time_it_came_in(bench):
    bench.record("execute", times=20, nbytes=100)
    rate = bench.after(10).kernels.rate
    assert (rate.current, rate.minimum, rate.maximum, rate.mean) == (2, 2, 2, 2)
    bench.record("execute", times=80, nbytes=100)
    counters = bench.after(10)
    rate = counters.kernels.rate
    assert (rate.current, rate.minimum, rate.maximum, rate.mean) == (8, 2, 8, 5)
    assert counters.kernels.bytes_rate.current == 800
    assert counters.allocations.rate.maximum == 0
    assert counters.measured_seconds == 20


def test_each_kernel_has_its_own_counts_and_rate(bench):
    bench.record("execute", "busy", times=30, duration_ns=NS_PER_MS, device="gpu:0")
    bench.record("execute", "rare", times=1, duration_ns=200 * NS_PER_MS)
    by_name = {one.name: one for one in bench.after(10).kernels.by_name}
    assert [*by_name] == ["rare", "busy"]
    assert by_name["busy"].per_second == 3
    assert (by_name["busy"].device, by_name["busy"].slow) == ("gpu:0", 0)
    assert by_name["rare"].slow == 1
    bench.record("execute", "late")
    bench.counters.ask()
    late = next(one for one in bench.now().kernels.by_name if one.name == "late")
    assert late.count == 1
    assert late.per_second is None


def test_only_the_names_with_most_time_are_listed_and_all_are_counted(bench):
    for number in range(MAX_NAMES + 20):
        bench.record("execute", f"k{number}", duration_ns=1000 + number)
    kernels = bench.after(10).kernels
    assert kernels.count == MAX_NAMES + 20
    assert len(kernels.by_name) == MAX_NAMES
    assert kernels.by_name[0].name == f"k{MAX_NAMES + 19}"


def test_operations_past_their_retention_stay_counted_to_the_last(bench):
    bench.record("execute", "old", times=3, nbytes=7, duration_ns=150 * NS_PER_MS)
    bench.record("execute", "old", error="device_lost")
    bench.after(10)
    bench.record("execute", "old", nbytes=7, duration_ns=150 * NS_PER_MS)
    bench.retire("old")
    counters = bench.after(10)
    kernels = counters.kernels
    assert (kernels.count, kernels.failures, kernels.slow, kernels.nbytes) == (5, 1, 4, 28)
    assert kernels.by_name == ()
    assert counters.errors.by_type == {MetalError.DEVICE_LOST: 1}
    assert counters.kernels.rate.current == 0.1
    bench.record("execute", "old", times=2)
    counters = bench.after(10)
    assert counters.kernels.count == 7
    assert counters.kernels.by_name[0].per_second == 0.2


def test_a_kernel_let_go_and_back_within_one_window_has_no_negative_rate(bench):
    bench.record("execute", "old", times=50)
    bench.after(10)
    bench.retire("old")
    bench.record("execute", "old", times=20)
    kernels = bench.after(10).kernels
    assert kernels.by_name[0].per_second == kernels.rate.current == 2


def test_errors_are_told_by_type_component_and_kind(bench):
    bench.record("allocate", error="out_of_memory", times=2)
    bench.record("execute", error="timeout")
    bench.record("execute", error="invalid_argument")
    bench.record("execute")
    errors = bench.after(10).errors
    assert (errors.total, errors.of, errors.share) == (4, 5, 0.8)
    assert errors.by_type[MetalError.OUT_OF_MEMORY] == 2
    assert errors.by_component == {Component.MEMORY: 2, Component.KERNEL: 2}
    assert errors.by_kind == {OperationKind.ALLOCATE: 2, OperationKind.EXECUTE: 2}
    assert errors.rate.current == 0.4


def test_the_share_of_errors_never_passes_one_and_is_absent_where_nothing_ran(bench):
    assert bench.now().errors.share is None
    assert bench.now().kernels.failure_rate is None
    bench.record("execute", error="timeout", times=50)
    counters = bench.after(10)
    assert counters.errors.share == counters.kernels.failure_rate == 1.0


def test_no_update_is_lost_and_no_count_is_off_by_one_under_threads(bench):
    stop = threading.Event()
    seen: list[int] = []

    def sample() -> None:
        while not stop.is_set():
            bench.counters.finish()
            seen.append(bench.now().kernels.count)

    def work() -> None:
        for _ in range(5000):
            bench.recorder.record("execute", "k", duration_ns=NS_PER_MS, nbytes=1)
            bench.counters.allocated(100)

    sampler = threading.Thread(target=sample)
    workers = [threading.Thread(target=work) for _ in range(4)]
    sampler.start()
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    stop.set()
    sampler.join()
    bench.counters.ask()
    counters = bench.now()
    assert (counters.kernels.count, counters.kernels.nbytes) == (20_000, 20_000)
    assert counters.allocations.by_size[SizeCategory.TINY] == 20_000
    assert seen == sorted(seen)


def test_sizes_are_absent_until_told_and_then_exact_at_the_bounds(bench):
    bench.record("allocate", nbytes=10_000)
    assert bench.now().allocations.by_size is None
    for nbytes in (1, 4095, 4096, 2**20 - 1, 2**20, 2**26, 2**30 - 1, 2**30, 2**40):
        bench.counters.allocated(nbytes)
    bench.counters.ask()
    assert bench.now().allocations.by_size == {
        SizeCategory.TINY: 2,
        SizeCategory.SMALL: 2,
        SizeCategory.MEDIUM: 1,
        SizeCategory.LARGE: 2,
        SizeCategory.HUGE: 2,
    }
