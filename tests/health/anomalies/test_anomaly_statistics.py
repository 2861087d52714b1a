from __future__ import annotations

import statistics
from itertools import permutations
from random import Random

import pytest

from metalscope.health.anomalies.baseline import LONGEST, Baseline
from metalscope.health.anomalies.trend import mann_kendall
from metalscope.robust_statistics import median, theil_sen


def test_the_median_is_the_standard_library_s():
    random = Random(1)
    for size in range(1, 30):
        values = [random.gauss(0, 1) for _ in range(size)]
        assert median(values) == statistics.median(values)


@pytest.mark.parametrize("size", [4, 5, 6])
def test_over_all_orders_of_some_values_the_trend_test_has_the_variance_it_claims(size: int):
    def pairs(values: tuple[int, ...]) -> int:
        return sum(
            (values[j] > values[i]) - (values[j] < values[i])
            for i in range(size)
            for j in range(i + 1, size)
        )

    orders = list(permutations(range(size)))
    deviation = statistics.pstdev(map(pairs, orders))
    for order in orders[:50]:
        s = pairs(order)
        expected = 0.0 if not s else (s - (1 if s > 0 else -1)) / deviation
        assert mann_kendall(order) == pytest.approx(expected)


def test_a_slope_is_not_swayed_by_a_few_values():
    moments = [float(i) for i in range(20)]
    values = [3.0 + 0.5 * i for i in range(20)]
    values[4], values[11], values[17] = 1e6, -1e6, 500.0
    assert theil_sen(moments, values) == pytest.approx(0.5)


def test_location_and_scale_are_those_of_most_values_whatever_the_others_are():
    random, baseline = Random(2), Baseline()
    for i in range(60):
        value = 1e3 if i % 20 == 0 else random.gauss(1.0, 0.2)
        baseline.add(10.0 * i, value, 5.0)
    assert baseline.location == pytest.approx(1.0, abs=0.1)
    assert baseline.scale == pytest.approx(0.2, rel=0.4)


def test_a_mode_that_one_value_in_five_is_in_widens_the_scale():
    random, baseline = Random(3), Baseline()
    for i in range(60):
        baseline.add(10.0 * i, (2.0 if i % 5 == 0 else 1.0) + random.gauss(0, 0.01), 5.0)
    assert baseline.scale > 0.5


def test_values_long_past_are_forgotten_and_their_number_is_bounded():
    baseline = Baseline()
    for i in range(20_000):
        baseline.add(10.0 * i, 1.0 if i < 10_000 else 2.0, 1.0)
    assert len(baseline) == LONGEST
    assert baseline.location == 2.0


def test_what_warms_up_is_forgotten_sooner():
    baseline = Baseline()
    for i in range(30):
        baseline.add(10.0 * i, 3.0 if i < 10 else 1.0, 1.0)
    assert baseline.location == 1.0
    assert baseline.share_above(2.0) < 0.3


def test_white_noise_does_not_wander_and_a_slow_walk_does():
    random = Random(4)
    white, walk, at = Baseline(), Baseline(), 0.0
    for i in range(720):
        white.add(10.0 * i, random.gauss(0, 0.2), 1.0)
        at = 0.98 * at + random.gauss(0, 0.04)
        walk.add(10.0 * i, at, 1.0)
    assert white.wander < 0.08
    assert walk.wander > 0.1
    assert white.correlation < 0.3 < walk.correlation
