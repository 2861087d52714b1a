"""So many messages a minute, and no more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalscope.alerts.notify.rate import TokenBucket


def test_a_minutes_messages_may_go_at_once_and_then_one_by_one() -> None:
    bucket = TokenBucket(20)
    for _ in range(20):
        assert bucket.wait(100.0) == 0
        bucket.take(100.0)

    assert bucket.wait(100.0) == pytest.approx(3)
    assert bucket.wait(102.0) == pytest.approx(1)
    assert bucket.wait(103.0) == 0
    bucket.take(103.0)
    assert bucket.wait(103.0) == pytest.approx(3)


def test_a_long_quiet_time_saves_up_no_more_than_a_minute() -> None:
    bucket = TokenBucket(2)
    bucket.take(0.0)
    assert bucket.wait(1e6) == 0
    bucket.take(1e6)
    bucket.take(1e6)

    assert bucket.wait(1e6) == pytest.approx(30)


@given(st.integers(1, 1000), st.lists(st.floats(0, 120), max_size=100))
def test_after_the_wait_it_says_there_is_a_token(per_minute: int, pauses: list[float]) -> None:
    bucket, now, taken = TokenBucket(per_minute), 0.0, 0
    for pause in pauses:
        now += pause
        now += bucket.wait(now)
        assert bucket.wait(now) < 1e-6
        bucket.take(now)
        taken += 1

    assert taken <= per_minute * (1 + now / 60) + 1e-3
