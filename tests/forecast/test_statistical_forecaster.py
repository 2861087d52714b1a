"""The forecaster of the extra ``ml``, under the same contract as the robust one."""

from __future__ import annotations

import random

import pytest

from metalscope.forecast.base import Series

pytest.importorskip("statsmodels")

from metalscope.forecast.statistical import StatisticalForecaster

HOUR = 3600.0


def forecast(values, steps, step=60.0):
    return StatisticalForecaster().forecast(Series(0.0, step, values), steps)


def test_hours_of_the_day_come_back_though_some_are_missing():
    rng = random.Random(1)
    day = [100.0 + (100.0 if 8 <= hour < 18 else 0.0) for hour in range(24)]
    values = [None if rng.random() < 0.05 else v * rng.uniform(0.95, 1.05) for v in day * 6]
    found = forecast(values, 24, HOUR)
    assert max(abs(a - b) for a, b in zip(found.values, day, strict=True)) < 60
    assert sum(abs(a - b) for a, b in zip(found.values, day, strict=True)) / 24 < 20


def test_a_growth_goes_on_within_the_interval():
    rng = random.Random(2)
    values = [1000.0 + 10 * i + rng.gauss(0, 20) for i in range(150)]
    found = forecast(values, 30)
    came = [1000.0 + 10 * i for i in range(150, 180)]
    assert (
        sum(low <= v <= high for low, v, high in zip(found.lower, came, found.upper, strict=True))
        >= 27
    )


def test_what_was_never_negative_never_will_be():
    found = forecast([max(0.0, 60.0 - i) for i in range(80)], 20)
    assert min(found.lower) >= 0


def test_too_little_past_says_nothing():
    assert forecast([1.0] * 10, 5) is None
    assert forecast([1.0] * 30, 121) is None


def test_a_forecast_begins_a_step_after_the_last_value():
    found = forecast([5.0 + i % 3 for i in range(40)], 4)
    assert (found.start, found.step, len(found.values)) == (2400.0, 60.0, 4)
