"""What an objective's status says of known work."""

from __future__ import annotations

import sys
import threading
from datetime import timedelta

import pytest
from counted_work import Shift, operation, snapshot
from hypothesis import given
from hypothesis import strategies as st

from metalscope.health_options import ObjectiveOptions
from metalscope.manager import MetalTelemetryManager
from metalscope.objectives import ObjectiveTracker
from metalscope.operation import ErrorSeverity


def one(**options: object) -> ObjectiveTracker:
    return ObjectiveTracker([ObjectiveOptions(**({"name": "works", "target": 0.99} | options))])


def counts(tracker: ObjectiveTracker) -> tuple[int, int]:
    (status,) = tracker.statuses()
    return status.good, status.total


def test_before_the_first_tick_there_is_no_status():
    assert one().statuses() == ()
    assert ObjectiveTracker([]).statuses() == ()


def test_failed_operations_spend_the_budget():
    shift = Shift(target=0.9)
    shift.work(95, 5)
    assert (shift.status.good, shift.status.total) == (95, 100)
    assert shift.status.attained == 0.95
    assert shift.status.budget_left == pytest.approx(0.5)


def test_what_ran_between_ticks_is_counted_once():
    tracker = one()
    for seconds, ok in ((1, 10), (2, 10), (3, 25)):
        tracker.observe(snapshot(seconds, operation(ok=ok)))
    assert counts(tracker) == (25, 25)


def test_a_reset_counts_from_zero_again():
    tracker = one()
    tracker.observe(snapshot(1, operation(ok=10, failed=2)))
    tracker.observe(snapshot(2, operation(ok=3)))
    assert counts(tracker) == (13, 15)


def test_a_reset_is_seen_where_nothing_ever_failed():
    tracker = one()
    tracker.observe(snapshot(1, operation(ok=10)))
    tracker.observe(snapshot(2, operation(ok=3)))
    assert counts(tracker) == (13, 13)


def test_what_came_before_a_silence_does_not_seem_to_lie_in_it():
    shift = Shift()
    for _ in range(1001):
        shift.work(1, seconds=1)
    shift.work(1, seconds=3600)
    for _ in range(200):
        shift.work(1, seconds=1)
    window = next(one for one in shift.status.burn_rates if one.seconds == 1800)
    assert window.total == 201


def test_a_series_that_is_evicted_and_comes_back_counts_from_zero():
    tracker = one()
    tracker.observe(snapshot(1, operation("a", ok=10), operation("b", ok=1)))
    tracker.observe(snapshot(2, operation("b", ok=1)))
    tracker.observe(snapshot(3, operation("a", ok=12), operation("b", ok=1)))
    assert counts(tracker) == (23, 23)


def test_series_are_told_apart_whatever_their_order():
    tracker = one()
    tracker.observe(snapshot(1, operation("a", ok=10), operation("b", ok=5)))
    tracker.observe(snapshot(2, operation("b", ok=6), operation("a", ok=10)))
    assert counts(tracker) == (16, 16)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", 7),
        ("execute:*", 3),
        ("execute:attention*", 1),
        ("attention?", 5),
        ("attention1", 1),
        ("compile:attention1", 0),
        ("execute:[a]:b", 2),
    ],
)
def test_an_objective_is_about_the_operations_its_pattern_names(pattern, expected):
    tracker = one(operation=pattern)
    tracker.observe(
        snapshot(
            1,
            operation("attention1", ok=1),
            operation("[a]:b", ok=2),
            operation("attention2", ok=4, kind="compile"),
        )
    )
    assert counts(tracker)[1] == expected


def test_an_operation_that_takes_longer_than_allowed_did_not_go_well():
    tracker = one(within_ms=10)
    tracker.observe(
        snapshot(1, operation("a", ok=4, took_ms=10.0), operation("b", ok=3, took_ms=10.1))
    )
    assert counts(tracker) == (4, 7)


def test_a_limit_between_two_edges_moves_by_at_most_443_percent():
    for limit in (0.3, 1.7, 33.0, 171.0, 4321.0):
        tracker = one(within_ms=limit)
        tracker.observe(snapshot(1, operation(ok=1, took_ms=limit * 0.955)))
        tracker.observe(
            snapshot(
                2,
                operation(ok=1, took_ms=limit * 1.0001),
                operation("b", ok=1, took_ms=limit * 1.0944),
            )
        )
        assert counts(tracker)[0] < counts(tracker)[1], limit
        clear = one(within_ms=limit)
        clear.observe(snapshot(1, operation(ok=1, took_ms=limit * 0.955)))
        assert counts(clear) == (1, 1), limit


def test_a_failure_is_counted_once_however_long_it_took():
    tracker = one(within_ms=1)
    tracker.observe(snapshot(1, operation(ok=1, failed=3, took_ms=5)))
    assert counts(tracker) == (0, 4)


def test_an_operation_that_sampling_did_not_time_went_well_unless_it_failed():
    tracker = one(within_ms=1)
    tracker.observe(snapshot(1, operation(untimed=5, failed=1)))
    assert counts(tracker) == (5, 6)


def test_what_is_older_than_the_window_is_forgotten():
    shift = Shift(window="1h")
    shift.work(0, 10)
    for _ in range(65):
        shift.work(10)
    assert shift.status.good == shift.status.total
    assert shift.status.total == pytest.approx(600, rel=0.03)
    assert shift.status.covered_seconds == 3600


def test_a_window_that_is_not_full_yet_says_what_it_covers():
    shift = Shift()
    shift.work(10, seconds=90)
    assert shift.status.covered_seconds == 90
    assert shift.status.window_seconds == 30 * 86_400


def test_burn_rates_are_over_the_windows_that_fit():
    shift = Shift(window="6h")
    shift.work(10)
    assert list(shift.rates) == [300, 1800, 3600, 7200, 21_600]


def test_a_burn_rate_of_nothing_is_absent():
    shift = Shift()
    shift.work(10)
    for _ in range(20):
        shift.work(0)
    assert shift.rates[300.0] is None
    assert shift.rates[1800.0] == 0.0


def test_a_clock_that_was_set_back_loses_no_counts():
    tracker = one()
    tracker.observe(snapshot(100, operation(ok=10)))
    tracker.observe(snapshot(40, operation(ok=30)))
    tracker.observe(snapshot(130, operation(ok=35)))
    assert counts(tracker) == (35, 35)


def test_an_outage_is_critical_within_minutes_and_over_soon_after_it_ends():
    shift = Shift()
    for _ in range(24 * 60):
        shift.work(100)
    assert shift.status.burning is None
    minutes = 0
    while shift.status.burning is not ErrorSeverity.CRITICAL:
        shift.work(50, 50)
        minutes += 1
    # 14.4 times 0.1 % of an hour's operations, when half of them fail: 1.7 minutes.
    assert minutes == 2
    while shift.status.burning is ErrorSeverity.CRITICAL:
        shift.work(100)
        minutes += 1
    assert minutes <= 2 + 6


def test_one_failure_of_two_is_no_page():
    shift = Shift()
    for _ in range(20):
        shift.work(0)
    shift.work(1, 1)
    assert shift.rates[300.0] == pytest.approx(500)
    assert shift.status.burning is None


def test_two_failures_of_many_are_no_page_and_three_are():
    shift = Shift()
    for _ in range(20):
        shift.work(1)
    shift.work(8, 2)
    assert shift.status.burning is None
    shift.work(0, 1)
    assert shift.status.burning is ErrorSeverity.CRITICAL


def test_nothing_burns_before_the_short_window_has_passed():
    shift = Shift()
    shift.work(0, 100, seconds=60)
    assert shift.status.burning is None
    shift.work(0, 100, seconds=240)
    assert shift.status.burning is ErrorSeverity.CRITICAL


def test_the_rules_of_a_shorter_objective_speak_at_the_same_share_of_budget():
    """A week at 99.9 %: critical is 2 % of a week's budget gone, at 14.4 within 14 minutes."""
    shift = Shift(window="7d")
    for _ in range(6 * 24 * 6):
        shift.work(10_000, seconds=600)
    for _ in range(24 * 60):
        shift.work(1000)
    allowed = 0.001 * 1000 * 7 * 24 * 60
    failed = 0
    while shift.status.burning is not ErrorSeverity.CRITICAL:
        shift.work(980, 20)  # a rate of 20
        failed += 20
    assert failed / allowed == pytest.approx(0.02, rel=0.1)


@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.integers(0, 5), st.floats(0.1, 7200.0)),
        min_size=1,
        max_size=60,
    ),
    st.sampled_from([300.0, 1800.0, 3600.0, 7200.0]),
)
def test_any_window_holds_what_a_plain_list_says_or_a_little_more(ticks, window):
    """The count of a window is that of a stretch at most 4 parts in 128, or one tick, longer."""
    shift = Shift(window=timedelta(days=3), target=0.5)
    lived = []
    for ok, failed, seconds in ticks:
        shift.work(ok, failed, seconds=seconds)
        lived.append((shift.seconds, ok + failed, failed))
    (book,) = shift.tracker._books
    found = book.over(window)
    # Ticks that ended after the stretch began, in whole.
    least = sum(total for at, total, _ in lived if at > shift.seconds - window)
    longer = window * (1 + 4 / 128) + 2
    most = sum(total for at, total, _ in lived if at > shift.seconds - longer)
    before = [total for at, total, _ in lived if at <= shift.seconds - longer]
    assert least <= found.total <= most + (before[-1] if before else 0)


def test_memory_is_bounded():
    shift = Shift()
    for _ in range(3000):
        shift.work(1, 1, seconds=1800)
    (book,) = shift.tracker._books
    kept = {id(point): point for level in book._levels for point in level}
    size = sum(sys.getsizeof(point) + sum(map(sys.getsizeof, point)) for point in kept.values())
    assert size < 300_000


def test_statuses_are_exact_while_another_thread_observes():
    shift = Shift(target=0.5)
    seen = []
    ending = threading.Event()

    def ask() -> None:
        while not ending.is_set():
            seen.extend((s.good, s.total) for s in shift.tracker.statuses())

    asking = threading.Thread(target=ask)
    asking.start()
    for _ in range(300):
        shift.work(1, 1)
    ending.set()
    asking.join()
    assert all(total == 2 * good for good, total in seen)
    assert (shift.status.good, shift.status.total) == (300, 600)


def test_a_real_manager_is_followed():
    tel = MetalTelemetryManager()
    tracker = one(operation="execute:*", within_ms=100)
    for took_ms, error in ((1, None), (99, None), (150, None), (1, "out_of_memory")):
        tel.record("execute", "matmul", duration_ns=took_ms * 1_000_000, error=error)
    tel.record("compile", "matmul", duration_ns=1)
    tracker.observe(tel.get_snapshot())
    assert counts(tracker) == (2, 4)
    tel.record("execute", "other", duration_ns=1)
    tracker.observe(tel.get_snapshot())
    assert counts(tracker) == (3, 5)


def test_a_child_begins_anew():
    shift = Shift()
    shift.work(5)
    shift.tracker.start_at_zero()
    assert shift.tracker.statuses() == ()
