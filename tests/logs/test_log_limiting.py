"""Of one kind of record so many a second go through, and the next says how many did not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from metalscope.logs.limiting import MOST_KINDS, EventLimiter


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_is_more_than_allowed_is_left_out_and_counted() -> None:
    clock = Clock()
    limiter = EventLimiter(3, clock=clock)
    assert [limiter.admit("a") for _ in range(5)] == [0, 0, 0, None, None]
    clock.now = 1.0
    assert limiter.admit("a") == 2
    assert limiter.admit("a") == 0


def test_kinds_do_not_take_from_each_other() -> None:
    limiter = EventLimiter(1, clock=Clock())
    assert [limiter.admit(kind) for kind in "aab"] == [0, None, 0]


def test_no_more_kinds_are_remembered_than_that() -> None:
    limiter = EventLimiter(1, clock=Clock())
    for kind in range(MOST_KINDS + 1):
        assert limiter.admit(kind) == 0
    # The first was forgotten, the second was not.
    assert limiter.admit(1) is None
    assert limiter.admit(0) == 0


@given(st.lists(st.floats(0, 3), max_size=200), st.integers(1, 20))
def test_each_is_admitted_or_counted_and_never_more_than_the_rate(
    pauses: list[float], per_second: int
) -> None:
    clock = Clock()
    limiter = EventLimiter(per_second, clock=clock)
    admitted, told = 0, 0
    for pause in pauses:
        clock.now += pause
        suppressed = limiter.admit("kind")
        if suppressed is not None:
            admitted += 1
            told += suppressed
    clock.now += 2.0
    last = limiter.admit("kind")
    assert last is not None
    assert admitted + told + last == len(pauses)
    assert admitted <= per_second * (1 + clock.now) + 1
