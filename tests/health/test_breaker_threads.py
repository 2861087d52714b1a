"""Circuit breakers under many threads: counts are exact, and there is one trial at a time."""

from __future__ import annotations

import random
import sys
import threading
from contextlib import suppress
from itertools import count, pairwise

import pytest
from breaker_kit import CLOSED, HALF_OPEN, OPEN, RECOVERY, BoomError, Clock, breaker_of, counts, due

from metalscope.errors import CircuitOpenError
from metalscope.health import circuit

THREADS = 8
LEGAL = {
    (CLOSED, OPEN),
    (OPEN, HALF_OPEN),
    (HALF_OPEN, OPEN),
    (HALF_OPEN, CLOSED),
}


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(autouse=True)
def threads_change_all_the_time():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(work, threads=THREADS):
    """Run ``work(number)`` on so many threads from the same moment on; return what they return."""
    start = threading.Barrier(threads)
    results: list[object] = [None] * threads

    def run(number):
        start.wait()
        results[number] = work(number)

    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return results


def test_every_call_and_every_failure_is_counted(clock):
    breaker = breaker_of(clock, failure_threshold=10**6)

    def work(number):
        for _ in range(2000):
            with suppress(BoomError), breaker:
                raise BoomError

    together(work)
    assert breaker.status().failures == THREADS * 2000
    assert counts(breaker) == (THREADS * 2000, 0)


def test_a_threshold_is_passed_once_however_many_threads_fail(clock):
    told = []
    breaker = breaker_of(clock, failure_threshold=50, on_change=told.append)

    def work(number):
        through = 0
        for _ in range(100):
            with suppress(BoomError, CircuitOpenError), breaker:
                through += 1
                raise BoomError
        return through

    through = sum(together(work))
    assert [one.state for one in told] == [OPEN]
    assert breaker.status().failures == 50
    # Calls that were let through before the 50th failure may end after it.
    assert 50 <= through < 50 + THREADS
    assert counts(breaker) == (through, THREADS * 100 - through)


def test_exactly_one_of_many_threads_gets_the_trial(clock):
    for _ in range(30):
        breaker = due(clock)
        before = counts(breaker)
        refused = threading.Semaphore(0)

        def work(number, breaker=breaker, refused=refused):
            try:
                with breaker:
                    # Until every other one has been refused.
                    return all(refused.acquire(timeout=10) for _ in range(THREADS - 1))
            except CircuitOpenError:
                refused.release()
                return None

        assert sorted(together(work), key=str) == [None] * (THREADS - 1) + [True]
        assert counts(breaker) == (before[0] + 1, before[1] + THREADS - 1)
        assert breaker.status().state is CLOSED


def test_trials_that_fail_go_to_one_thread_each(clock):
    breaker = due(clock)
    for _ in range(30):
        calls = counts(breaker)[0]
        refused = threading.Semaphore(0)

        def work(number, refused=refused):
            try:
                with breaker:
                    assert all(refused.acquire(timeout=10) for _ in range(THREADS - 1))
                    raise BoomError
            except CircuitOpenError:
                refused.release()
            except BoomError:
                return "trial"

        assert together(work).count("trial") == 1
        assert counts(breaker)[0] == calls + 1
        assert breaker.status().state is OPEN
        clock.pass_by(RECOVERY)


def test_whatever_threads_do_changes_are_legal_and_told_in_order(monkeypatch):
    # A thread that tells may get no turn for long; past this many, the oldest are not told.
    monkeypatch.setattr(circuit, "_MOST_UNTOLD", 10**6)
    ticks = count()
    told = []
    # Each look at the clock takes 10 s, so that an open breaker is soon due and a trial soon late.
    breaker = breaker_of(lambda: 10.0 * next(ticks), failure_threshold=3, on_change=told.append)
    attempts = 3000

    def work(number):
        chance = random.Random(number)
        through = refused = 0
        for _ in range(attempts):
            try:
                with breaker:
                    through += 1
                    if chance.random() < 0.6:
                        raise BoomError
            except CircuitOpenError:
                refused += 1
            except BoomError:
                pass
        return through, refused

    results = together(work)
    assert counts(breaker) == tuple(map(sum, zip(*results, strict=True)))
    assert sum(counts(breaker)) == THREADS * attempts
    states = [CLOSED, *(one.state for one in told)]
    assert set(pairwise(states)) == LEGAL
    assert states.count(OPEN) == breaker.status().opened
    assert states[-1] is breaker.status().state
    for before, after in pairwise(told):
        assert before.calls <= after.calls
        assert before.since <= after.since


def test_a_slow_listener_holds_up_nobody_else(clock):
    entered, go_on = threading.Event(), threading.Event()
    told = []

    def on_change(status):
        told.append(status.state)
        entered.set()
        assert go_on.wait(10)

    breaker = breaker_of(clock, failure_threshold=1, on_change=on_change)

    def break_it():
        with suppress(BoomError), breaker:
            raise BoomError

    slow = threading.Thread(target=break_it)
    slow.start()
    assert entered.wait(10)
    clock.pass_by(RECOVERY)
    with breaker:
        pass
    assert breaker.status().state is CLOSED
    assert told == [OPEN]
    go_on.set()
    slow.join()
    assert told == [OPEN, HALF_OPEN, CLOSED]
