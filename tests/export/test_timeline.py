"""Times only go forward, whatever is done to the clock."""

from dataclasses import replace
from datetime import timedelta

import snapshots
from hypothesis import given
from hypothesis import strategies as st

from metalscope.export.timeline import Timeline

SECOND = timedelta(seconds=1)


class Hand:
    """A monotonic clock moved by hand."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def test_times_that_go_forward_are_left_alone() -> None:
    line = Timeline(Hand())
    first = snapshots.full()
    later = replace(first, timestamp=first.timestamp + SECOND)
    assert line.fit(first) is first
    assert line.fit(later) is later


def test_after_the_clock_was_set_back_time_goes_on_from_the_last_snapshot() -> None:
    hand = Hand()
    line = Timeline(hand)
    first = line.fit(snapshots.full())
    set_back = replace(first, timestamp=first.timestamp - timedelta(minutes=10))
    fitted = []
    for step in (1, 2, 3):
        hand.at = step
        ticked = replace(set_back, timestamp=set_back.timestamp + step * SECOND)
        fitted.append(line.fit(ticked).timestamp - first.timestamp)
    assert fitted == [SECOND, 2 * SECOND, 3 * SECOND]


def test_once_the_clock_has_caught_up_it_is_believed_again() -> None:
    hand = Hand()
    line = Timeline(hand)
    first = line.fit(snapshots.full())
    line.fit(replace(first, timestamp=first.timestamp - timedelta(minutes=1)))
    hand.at = 120
    caught_up = replace(first, timestamp=first.timestamp + timedelta(minutes=1))
    assert line.fit(caught_up) is caught_up


def test_a_clock_that_was_wrong_by_more_than_an_hour_is_followed_back() -> None:
    line = Timeline(Hand())
    first = line.fit(snapshots.full())
    right = replace(first, timestamp=first.timestamp - timedelta(days=1))
    assert line.fit(right) is right


@given(st.lists(st.tuples(st.integers(-3_000, 3_000), st.floats(0, 100)), max_size=30))
def test_no_time_is_ever_given_twice(steps: list[tuple[int, float]]) -> None:
    hand = Hand()
    line = Timeline(hand)
    snapshot = snapshots.full()
    moment, last = snapshot.timestamp, None
    for jump, elapsed in steps:
        hand.at += elapsed
        moment = moment + jump * SECOND
        time = line.fit(replace(snapshot, timestamp=moment)).timestamp
        assert last is None or time > last or moment < last - timedelta(hours=1)
        last = time
