"""What the robust forecaster says of series whose future is known."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalscope.forecast.base import Forecast, Series
from metalscope.forecast.robust import RobustForecaster

HOUR = 3600.0
MONDAY = 1_767_571_200.0


def forecast(values, steps=12, *, start=MONDAY, step=60.0, confidence=0.9) -> Forecast | None:
    return RobustForecaster().forecast(Series(start, step, values), steps, confidence=confidence)


def working_week(hours: int) -> list[float]:
    """Busy in working hours, and only on the first five days of the week."""
    return [
        100.0 + (200.0 if 8 <= hour % 24 < 18 and hour // 24 % 7 < 5 else 0.0)
        for hour in range(hours)
    ]


def test_a_forecast_begins_a_step_after_the_last_value():
    found = forecast([5.0] * 30, 4)
    assert (found.start, found.step, len(found.values)) == (MONDAY + 30 * 60, 60.0, 4)
    assert found.confidence == 0.9


def test_a_level_goes_on():
    found = forecast([5.0] * 30)
    assert list(found.values) == [5.0] * 12
    assert list(found.lower) == list(found.upper) == [5.0] * 12


def test_a_steady_growth_goes_on():
    found = forecast([10.0 + 2 * i for i in range(60)])
    assert list(found.values) == pytest.approx([10.0 + 2 * i for i in range(60, 72)])


def test_hours_of_the_day_come_back():
    day = [10.0, 20.0, 50.0, 40.0, 30.0, 20.0] * 4
    found = forecast(day * 3, 24, step=HOUR)
    assert list(found.values) == pytest.approx(day)


def test_a_weekend_comes_back_after_two_weeks():
    whole = working_week(24 * 28)
    # From a Friday's evening on.
    now = 14 * 24 + 4 * 24 + 18
    found = forecast(whole[:now], 72, step=HOUR)
    assert list(found.values) == pytest.approx(whole[now : now + 72])


def test_a_day_that_began_at_any_hour_comes_back():
    start = MONDAY + 5 * HOUR
    values = [100.0 if (hour + 5) % 24 < 12 else 10.0 for hour in range(96 + 24)]
    found = forecast(values[:96], 24, start=start, step=HOUR)
    assert list(found.values) == pytest.approx(values[96:])


def test_hours_are_those_of_the_clock_whenever_the_past_begins():
    start = MONDAY + 1800
    hour_of = [int((start + i * 900) % 86_400 // HOUR) for i in range(96 * 4)]
    values = [100.0 if hour % 2 else 10.0 for hour in hour_of]
    found = forecast(values[: 96 * 3], 96, start=start, step=900.0)
    assert list(found.values) == pytest.approx(values[96 * 3 :])


def test_one_day_is_no_season():
    values = [math.sin(hour / 24 * 2 * math.pi) for hour in range(30)]
    assert forecast(values, 24, step=HOUR).values != pytest.approx(
        [math.sin(hour / 24 * 2 * math.pi) for hour in range(30, 54)], abs=0.2
    )


def test_gaps_are_no_values():
    day = [10.0, 20.0, 50.0, 40.0, 30.0, 20.0] * 4
    rng = random.Random(1)
    holed = [None if rng.random() < 0.08 else value for value in day * 5]
    found = forecast(holed, 24, step=HOUR)
    assert list(found.values) == pytest.approx(day, abs=3)


def test_a_gap_at_the_end_is_time_that_passed():
    found = forecast([float(i) for i in range(50)] + [None] * 10, 3)
    assert found.start == MONDAY + 60 * 60
    assert list(found.values) == pytest.approx([60.0, 61.0, 62.0])


def test_what_is_no_number_is_a_gap():
    found = forecast([5.0, math.nan, math.inf, -math.inf, *[5.0] * 30])
    assert list(found.values) == [5.0] * 12


def test_a_wild_value_bends_nothing():
    values = [10.0 + i for i in range(60)]
    values[55] = 1e6
    assert list(forecast(values).values) == pytest.approx([70.0 + i for i in range(12)], abs=1)


def test_an_unusual_day_does_not_come_back():
    day = [10.0, 20.0, 50.0, 40.0, 30.0, 20.0] * 4
    values = day * 7
    values[24:48] = [500.0] * 24
    assert list(forecast(values, 24, step=HOUR).values) == pytest.approx(day, abs=2)


def test_a_level_that_jumped_is_the_new_level():
    rng = random.Random(2)
    values = [rng.gauss(100, 1) for _ in range(80)] + [rng.gauss(200, 1) for _ in range(8)]
    assert all(190 < value < 210 for value in forecast(values, 5).values)


def test_what_was_never_negative_never_will_be():
    found = forecast([max(0.0, 60.0 - i) for i in range(70)], 30)
    assert min(found.lower) >= 0
    assert min(found.values) >= 0


def test_what_was_negative_may_be_again():
    assert min(forecast([-5.0 - i for i in range(60)]).values) < -60


@pytest.mark.parametrize(
    "values", [[], [1.0] * 23, [None] * 100, [1.0] * 20 + [None] * 100, [1.0, None, None] * 30]
)
def test_too_little_past_says_nothing(values):
    assert forecast(values) is None


def test_nothing_is_said_beyond_four_times_the_past():
    assert forecast([1.0] * 30, 120) is not None
    assert forecast([1.0] * 30, 121) is None


def test_a_wider_confidence_is_a_wider_interval():
    rng = random.Random(3)
    values = [rng.gauss(100, 10) for _ in range(200)]
    wide, narrow = forecast(values, confidence=0.95), forecast(values, confidence=0.5)
    assert wide.values == narrow.values
    assert all(w > n for w, n in zip(wide.upper, narrow.upper, strict=True))


@pytest.mark.parametrize(("steps", "confidence"), [(0, 0.9), (5, 0.0), (5, 1.0)])
def test_senseless_questions_are_refused(steps, confidence):
    with pytest.raises(ValueError, match="steps must be 1 or more"):
        forecast([1.0] * 50, steps, confidence=confidence)


@given(
    st.lists(st.one_of(st.none(), st.floats(allow_nan=True, width=32)), max_size=80),
    st.integers(1, 40),
    st.sampled_from([1.0, 60.0, 3600.0, 7200.0, 86_400.0]),
)
def test_any_series_gives_an_ordered_forecast_or_none(values, steps, step):
    found = forecast(values, steps, step=step)
    if found is not None:
        assert len(found.values) == len(found.lower) == len(found.upper) == steps
        for low, value, high in zip(found.lower, found.values, found.upper, strict=True):
            assert low <= value <= high
            assert math.isfinite(value)
