"""When something of alerts is due, by moments that are given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from metalscope.alerts.due import Due

T0 = datetime(2026, 3, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def due_at(moments: list[float], last: float | None = None) -> list[float]:
    due = Due(timedelta(seconds=15), None if last is None else at(last))
    return [moment for moment in moments if due.is_due(at(moment))]


def test_the_first_moment_of_each_interval_of_the_clock_is_due() -> None:
    assert due_at([float(second) for second in range(4, 62)]) == [4, 15, 30, 45, 60]


def test_a_late_moment_does_not_move_those_after_it() -> None:
    assert due_at([0.0, 14.9, 16.2, 29.9, 30.1, 45.0]) == [0, 16.2, 30.1, 45]


def test_after_a_leap_nothing_is_caught_up_with() -> None:
    assert due_at([0.0, 3601.0, 3602.0, 3614.0, 3615.0]) == [0, 3601, 3615]


def test_after_the_clock_went_back_it_is_due_at_once() -> None:
    assert due_at([1000.0, 10.0, 14.0, 15.0]) == [1000, 10, 15]


def test_one_that_was_restarted_goes_on_where_it_was() -> None:
    assert due_at([17.0, 29.0, 30.0], last=16.0) == [30]


@given(st.lists(st.floats(0.1, 60.0), max_size=50), st.integers(0, 49))
def test_a_restart_changes_nothing(steps: list[float], at_step: int) -> None:
    moments = [sum(steps[:number]) for number in range(len(steps))]
    before = due_at(moments[:at_step])
    after = due_at(moments[at_step:], last=before[-1] if before else None)
    assert before + after == due_at(moments)


@given(st.lists(st.floats(0.1, 60.0), max_size=50))
def test_it_is_due_as_often_as_intervals_begin(steps: list[float]) -> None:
    moments = [sum(steps[:number]) for number in range(len(steps))]
    found = due_at(moments)
    assert len(found) == len({int(moment // 15) for moment in moments})
    longest = max(steps, default=0.0)
    assert all(later - earlier < 15.0 + longest for earlier, later in pairwise(found))
