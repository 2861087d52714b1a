"""Back-off, Retry-After and the breaker, by a clock that the tests move."""

from datetime import timedelta

import pytest

from metalscope.export_status import BreakerState
from metalscope.sending.pace import Pace


def pace(jitter: float = 1.0, threshold: int = 3) -> Pace:
    return Pace(
        first_delay=timedelta(seconds=1),
        max_delay=timedelta(seconds=60),
        threshold=threshold,
        open_for=timedelta(seconds=120),
        jitter=lambda: jitter,
    )


def test_the_first_attempt_is_made_at_once() -> None:
    assert pace().wait(1000.0) == 0


def test_the_most_delay_doubles_with_each_failure_up_to_its_bound() -> None:
    paced = pace(threshold=100)
    delays = []
    for _ in range(8):
        paced.failed(0.0)
        delays.append(paced.wait(0.0))
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60]


def test_thousands_of_failures_do_not_overflow() -> None:
    paced = pace(threshold=100_000)
    for _ in range(5000):
        paced.failed(0.0)
    assert paced.wait(0.0) == 60


def test_the_delay_is_spread_over_its_whole_range() -> None:
    waits = []
    for jitter in (0.0, 0.25, 1.0):
        paced = pace(jitter)
        paced.failed(10.0)
        waits.append(paced.wait(10.0))
    assert waits == [0, 0.25, 1]


def test_what_the_peer_asks_for_is_waited_for() -> None:
    paced = pace(jitter=0.0)
    paced.failed(5.0, timedelta(seconds=30))
    assert paced.wait(5.0) == 30
    assert paced.wait(20.0) == 15


def test_a_peer_cannot_ask_for_a_year() -> None:
    paced = pace()
    paced.failed(0.0, timedelta(days=365))
    assert paced.wait(0.0) == 60


def test_the_breaker_opens_after_so_many_failures_in_a_row_and_lets_single_trials_through() -> None:
    paced = pace(jitter=0.0)
    for _ in range(2):
        paced.failed(0.0)
    assert paced.state(0.0) is BreakerState.CLOSED
    paced.failed(0.0)
    assert paced.state(0.0) is BreakerState.OPEN
    assert paced.wait(0.0) == 120
    assert paced.state(120.0) is BreakerState.HALF_OPEN
    paced.failed(120.0)
    assert paced.state(121.0) is BreakerState.OPEN
    assert paced.wait(120.0) == 120


def test_one_success_closes_it() -> None:
    paced = pace()
    for _ in range(9):
        paced.failed(0.0)
    paced.succeeded()
    assert paced.state(0.0) is BreakerState.CLOSED
    paced.failed(0.0)
    assert paced.wait(0.0) == 1


def test_who_asks_is_not_kept_waiting() -> None:
    paced = pace()
    for _ in range(9):
        paced.failed(0.0)
    paced.urge()
    assert paced.wait(0.0) == 0
    paced.failed(0.0)
    assert paced.wait(0.0) == pytest.approx(132)
