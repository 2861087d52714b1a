"""Rates come from the differences between snapshots, and are never negative."""

from __future__ import annotations

from dataclasses import replace

import pytest
from telling import operation, snapshot

from metalscope.operation import MetalError, OperationKind
from metalscope.tui.track import Row, Track, total_pace


def track(*snapshots) -> Track:
    one = Track("train.py")
    for each in snapshots:
        one.observe(each)
    return one


def row(of: Track, name: str) -> Row:
    return next(one for one in of.rows() if one.operation.name == name)


def test_one_snapshot_gives_no_rate():
    alone = track(snapshot(5, operation("matmul", 100)))
    assert alone.pace is None
    (only,) = alone.rows()
    assert (only.calls_per_second, only.bytes_per_second, only.share) == (None, None, None)


def test_a_rate_is_what_was_counted_by_the_time_between_the_timestamps():
    two = track(
        snapshot(5, operation("matmul", 100, nbytes=1_000)),
        snapshot(7, operation("matmul", 150, nbytes=5_000)),
    )
    matmul = row(two, "matmul")
    assert matmul.calls_per_second == 25
    assert matmul.bytes_per_second == 2_000
    assert two.pace
    assert two.pace.calls_per_second == 25


def test_bytes_of_an_operation_that_gives_none_are_absent_and_not_zero():
    two = track(snapshot(0, operation("eval", 1)), snapshot(1, operation("eval", 2)))
    assert row(two, "eval").bytes_per_second is None


def test_the_share_is_of_the_time_that_was_spent_in_between():
    two = track(
        snapshot(0, operation("slow", 10, ms=50), operation("fast", 10, ms=1)),
        snapshot(1, operation("slow", 10, ms=50), operation("fast", 40, ms=1)),
    )
    assert row(two, "slow").share == 0
    assert row(two, "fast").share == 1


def test_where_nothing_ran_there_is_no_share():
    two = track(snapshot(0, operation("matmul", 3)), snapshot(1, operation("matmul", 3)))
    assert row(two, "matmul").calls_per_second == 0
    assert row(two, "matmul").share is None
    assert two.pace
    assert two.pace.mean_ms is None


def test_where_only_some_were_timed_the_share_counts_for_all():
    def sampled(calls: int, untimed: int):
        whole = operation("sampled", calls, ms=2)
        (ok,) = whole.outcomes
        return replace(whole, outcomes=(replace(ok, untimed=untimed),))

    two = track(
        snapshot(0, sampled(10, 90), operation("timed", 100, ms=2)),
        snapshot(1, sampled(20, 180), operation("timed", 200, ms=2)),
    )
    assert row(two, "sampled").calls_per_second == 100
    assert row(two, "sampled").share == pytest.approx(0.5)
    assert two.pace
    assert two.pace.mean_ms == 2


def test_the_rates_of_single_operations_are_over_ten_seconds():
    counts = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100]
    many = track(*(snapshot(s, operation("matmul", n)) for s, n in enumerate(counts)))
    assert row(many, "matmul").calls_per_second == 10
    assert many.pace
    assert many.pace.calls_per_second == 100


def test_where_snapshots_are_rarer_than_that_they_are_over_one_interval():
    rare = track(
        snapshot(0, operation("matmul", 0)),
        snapshot(60, operation("matmul", 600)),
        snapshot(120, operation("matmul", 1_800)),
    )
    assert row(rare, "matmul").calls_per_second == 20


@pytest.mark.parametrize("new", [{"started": 8, "pid": 8}, {"pid": 8}, {}])
def test_a_process_started_anew_begins_again(new):
    one = track(snapshot(0, operation("matmul", 500)), snapshot(1, operation("matmul", 600)))
    assert one.observe(snapshot(9, operation("matmul", 5), **new))
    assert one.pace is None
    assert row(one, "matmul").calls_per_second is None
    assert not one.observe(snapshot(10, operation("matmul", 25), **new))
    assert row(one, "matmul").calls_per_second == 20


def test_a_series_that_was_closed_and_opened_again_counts_from_there():
    two = track(
        snapshot(0, operation("idle", 900), operation("busy", 100)),
        snapshot(1, operation("idle", 4), operation("busy", 200), retired_operations=900),
    )
    assert row(two, "idle").calls_per_second == 4
    assert row(two, "busy").calls_per_second == 100
    assert two.pace
    assert two.pace.calls == 104


def test_a_clock_set_back_gives_no_rate():
    two = track(snapshot(9, operation("matmul", 10)), snapshot(3, operation("matmul", 20)))
    assert two.pace is None
    assert two.observe(snapshot(4, operation("matmul", 30))) is False
    assert row(two, "matmul").calls_per_second == 10


def test_the_same_moment_told_twice_changes_nothing():
    again = snapshot(1, operation("matmul", 20))
    two = track(snapshot(0, operation("matmul", 10)), again, again)
    assert row(two, "matmul").calls_per_second == 10


def test_failures_are_told_once_by_error():
    one = track(snapshot(0, operation("k", 1, errors=2)), snapshot(1, operation("k", 1, errors=5)))
    key = (OperationKind.EXECUTE, "k", "gpu:0")
    assert one.new_errors == {(key, MetalError.TIMEOUT): 3}
    one.observe(snapshot(2, operation("k", 1, errors=5)))
    assert one.new_errors == {}


def test_several_processes_add_up():
    first = track(snapshot(0, operation("a", 0, ms=1)), snapshot(1, operation("a", 10, ms=1)))
    second = track(snapshot(0, operation("b", 0, ms=3)), snapshot(2, operation("b", 60, ms=3)))
    assert first.pace
    assert second.pace
    calls, errors, mean = total_pace([first.pace, second.pace]) or (0, 1, 0)
    assert (calls, errors) == (40, 0)
    assert mean == pytest.approx(190 / 70)
    assert total_pace([]) is None
