"""A smaller run of ``bench/forecast.py``: intervals hold what they say, errors are below naive."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from metalscope.forecast.robust import RobustForecaster

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from forecast import by_kind, rows_of, table, total
from forecast_series import made


@pytest.fixture(scope="module")
def scores():
    return by_kind(RobustForecaster(), made(2), 5)


@pytest.fixture(scope="module")
def whole(scores):
    return total(rows_of(scores))


def test_of_what_came_nine_in_ten_lay_within_the_interval(whole):
    assert 0.85 <= whole["coverage"] <= 0.95


def test_the_error_is_below_both_naive_forecasts(whole):
    assert whole["mase"] < whole["mase_naive"]
    assert whole["mase"] < whole["mase_seasonal_naive"]


@pytest.mark.parametrize("kind", ["load with day and week", "load that grows"])
def test_seasonal_load_is_forecast_better_than_by_last_week(scores, kind):
    row = scores[kind].to_dict()
    assert row["mase"] < 0.95 * row["mase_seasonal_naive"]
    assert row["mase"] < 0.5 * row["mase_naive"]


def test_no_stretch_was_refused(scores):
    assert sum(score.refused for score in scores.values()) == 0


def test_the_table_has_each_kind_and_all_of_them(scores):
    lines = table({"robust": rows_of(scores)}).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        *scores,
        "**all, each kind alike**",
    ]
    assert all(line.count("|") == lines[0].count("|") for line in lines)
