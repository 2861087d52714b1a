from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalscope.histogram import (
    CLASSIC_BOUNDS_MS,
    EDGES_NS,
    QUANTILE_RELATIVE_ERROR,
    DurationHistogram,
)
from metalscope.operation import PerformanceCategory

durations = st.integers(min_value=0, max_value=3_600_000_000_000)
near_edges = st.sampled_from(EDGES_NS).flatmap(
    lambda edge: st.integers(min_value=max(0, edge - 1), max_value=edge + 1)
)
many = st.lists(durations | near_edges, max_size=60)


@given(many)
def test_count_sum_and_extremes_are_exact(values):
    histogram = DurationHistogram.from_durations(values)
    assert histogram.count == len(values)
    assert histogram.sum_ns == sum(values)
    assert histogram.min_ns == min(values, default=None)
    assert histogram.max_ns == max(values, default=None)


@given(many)
def test_categories_equal_a_naive_count(values):
    naive = dict.fromkeys(PerformanceCategory, 0)
    for value in values:
        naive[PerformanceCategory.of(value)] += 1
    assert DurationHistogram.from_durations(values).categories() == naive


@given(many)
def test_classic_buckets_equal_a_naive_count(values):
    naive = tuple(
        (bound, sum(value <= round(bound * 1e6) for value in values)) for bound in CLASSIC_BOUNDS_MS
    )
    assert DurationHistogram.from_durations(values).classic() == naive


@given(many)
def test_exponential_buckets_hold_what_their_bounds_say(values):
    buckets = DurationHistogram.from_durations(values).exponential()
    # What passes the last bound is counted in the last bucket.
    values = [min(value, EDGES_NS[-1]) for value in values]
    assert buckets.zero_count + sum(buckets.counts) == len(values)
    assert buckets.zero_count == sum(value <= buckets.zero_threshold_ms * 1e6 for value in values)
    for position, count in enumerate(buckets.counts):
        index = buckets.offset + position
        # Compared in exact integers: value <= 10**6 * 2**(i/8)  <=>  value**8 <= 10**48 * 2**i.
        upto = sum(_at_most(value, index + 1) for value in values)
        below = sum(_at_most(value, index) for value in values)
        assert count == upto - below


def _at_most(value: int, index: int) -> bool:
    left, right = value**8, 10**48
    return left <= right << index if index >= 0 else left << -index <= right


@given(many, many, many)
def test_adding_is_associative_and_commutative(a, b, c):
    x, y, z = (DurationHistogram.from_durations(values) for values in (a, b, c))
    assert (x + y) + z == x + (y + z)
    assert x + y == y + x == DurationHistogram.from_durations(a + b)


@given(many, many)
def test_the_difference_of_two_states_counts_what_came_between(before, after):
    old, new = (DurationHistogram.from_durations(v) for v in (before, before + after))
    difference = new.since(old)
    assert difference.count == len(after)
    assert difference.sum_ns == sum(after)
    assert difference.categories() == DurationHistogram.from_durations(after).categories()
    if after:
        assert difference.min_ns <= min(after)
        assert difference.max_ns >= max(after)


@given(st.lists(durations.filter(lambda v: v > 100), min_size=1, max_size=80), st.floats(0, 1))
def test_a_quantile_is_within_the_stated_error_of_the_sample_at_its_rank(values, q):
    estimate = DurationHistogram.from_durations(values).quantile_ms(q)
    rank = max(1, math.ceil(q * len(values) * (1 - 1e-12)))
    truth = sorted(values)[rank - 1] / 1e6
    # Edges are whole nanoseconds, so a cell near 100 ns is up to one part in a hundred wider.
    assert estimate == pytest.approx(truth, rel=QUANTILE_RELATIVE_ERROR + 0.01)


def test_an_empty_histogram_has_no_quantile_and_no_extremes():
    empty = DurationHistogram()
    assert (empty.quantile_ms(0.5), empty.min_ms, empty.max_ms, empty.average_ms) == (None,) * 4


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
def test_a_quantile_outside_0_to_1_is_refused(q):
    with pytest.raises(ValueError, match="between 0 and 1"):
        DurationHistogram.from_durations([1]).quantile_ms(q)


def test_the_bounds_the_design_names_are_there():
    assert {1, 10, 100} <= set(CLASSIC_BOUNDS_MS)
