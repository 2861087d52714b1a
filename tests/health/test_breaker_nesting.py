"""Blocks of one breaker inside each other, and blocks that generators hold."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager, suppress
from contextvars import Context

import pytest
from breaker_kit import (
    CLOSED,
    HALF_OPEN,
    OPEN,
    RECOVERY,
    BoomError,
    Clock,
    breaker_of,
    counts,
    due,
    fail,
    lets_through,
    succeed,
)


@pytest.fixture
def clock():
    return Clock()


def on_a_thread(function, *args):
    result = []
    thread = threading.Thread(target=lambda: result.append(function(*args)))
    thread.start()
    thread.join()
    return result[0]


def ended(generator):
    with suppress(BoomError):
        list(generator)


def test_a_block_in_a_block_is_a_part_of_one_call(clock):
    breaker = breaker_of(clock)
    with breaker, breaker, breaker:
        pass
    assert counts(breaker) == (1, 0)


def test_one_failure_through_two_blocks_counts_once(clock):
    breaker = breaker_of(clock)
    with suppress(BoomError), breaker, breaker:
        raise BoomError
    assert breaker.status().failures == 1


def test_an_inner_block_that_goes_well_does_not_hide_that_the_outer_fails(clock):
    breaker = breaker_of(clock, failure_threshold=3)
    for _ in range(3):
        with suppress(BoomError), breaker:
            succeed(breaker)
            raise BoomError
    assert breaker.status().state is OPEN


def test_an_inner_failure_that_the_outer_block_copes_with_is_no_failure(clock):
    breaker = breaker_of(clock, failure_threshold=1)
    with breaker:
        fail(breaker)
    assert breaker.status().state is CLOSED


def test_a_trial_may_use_what_it_is_a_trial_of(clock):
    breaker = due(clock)

    @breaker
    def work():
        assert not Context().run(lets_through, breaker), "somebody else's call was let through"

    with breaker:
        work()
        work()
        assert breaker.status().state is HALF_OPEN
    assert breaker.status().state is CLOSED


def test_blocks_of_two_breakers_do_not_mix(clock):
    one, other = breaker_of(clock, failure_threshold=1), breaker_of(clock, failure_threshold=1)
    with one, suppress(BoomError), other, one:
        raise BoomError
    assert (one.status().state, other.status().state) == (CLOSED, OPEN)


def test_the_end_of_a_block_ends_its_call_for_what_comes_after(clock):
    breaker = breaker_of(clock)
    succeed(breaker)
    succeed(breaker)
    assert counts(breaker) == (2, 0)


def test_an_exit_stack_holds_a_block_as_a_with_does(clock):
    breaker = breaker_of(clock)
    with ExitStack() as stack:
        stack.enter_context(breaker)
        succeed(breaker)
    with suppress(BoomError), ExitStack() as stack:
        stack.enter_context(breaker)
        raise BoomError
    assert counts(breaker) == (2, 0)
    assert breaker.status().failures == 1


def test_a_context_manager_made_of_a_generator_holds_it_for_its_block(clock):
    breaker = breaker_of(clock)

    @contextmanager
    def guarded():
        with breaker:
            yield

    with suppress(BoomError), guarded():
        succeed(breaker)
        raise BoomError
    assert counts(breaker) == (1, 0)
    assert breaker.status().failures == 1


def test_another_thread_is_not_inside_the_block(clock):
    breaker = breaker_of(clock)
    with breaker:
        on_a_thread(succeed, breaker)
    assert counts(breaker) == (2, 0)


def test_generators_with_blocks_of_two_breakers_may_end_in_any_order(clock):
    one, other = breaker_of(clock, failure_threshold=1), breaker_of(clock, failure_threshold=1)

    def steps(breaker):
        with breaker:
            yield
            raise BoomError

    first, second = steps(one), steps(other)
    next(first)
    next(second)
    with pytest.raises(BoomError):
        next(first)
    assert (one.status().state, other.status().state) == (OPEN, CLOSED)
    assert not lets_through(one), "its block is still taken for open"
    second.close()
    succeed(other)
    assert counts(other) == (2, 0)


def test_a_generator_left_half_way_frees_the_trial(clock):
    breaker = due(clock)

    def steps():
        with breaker:
            yield 1
            yield 2

    for _ in steps():
        break
    assert breaker.status().state is HALF_OPEN
    assert lets_through(breaker)
    assert breaker.status().state is CLOSED


def test_a_generator_that_another_thread_ends_counts_there(clock):
    breaker = due(clock)

    def steps():
        with breaker:
            yield

    held = steps()
    next(held)
    on_a_thread(list, held)
    assert breaker.status().state is CLOSED


@pytest.mark.parametrize("error", [None, BoomError()])
def test_a_generator_that_another_thread_ends_while_the_breaker_is_open_counts_for_nothing(
    clock, error
):
    breaker = breaker_of(clock, failure_threshold=1)

    def steps():
        with breaker:
            yield
            if error is not None:
                raise error

    held = steps()
    next(held)
    breaker_is_open = Context()
    breaker_is_open.run(fail, breaker)
    before = breaker.status()
    on_a_thread(ended, held)
    after = breaker.status()
    assert (after.state, after.failures, after.opened) == (OPEN, 1, 1)
    assert after.since == before.since


def test_a_block_that_ended_under_another_is_not_mistaken_for_a_later_one(clock):
    one, other = breaker_of(clock, failure_threshold=1), breaker_of(clock)

    def steps(breaker):
        with breaker:
            yield
            raise BoomError

    first, second = steps(one), steps(other)
    next(first)
    next(second)
    ended(first)
    clock.pass_by(RECOVERY)
    succeed(one)
    third = steps(one)
    on_a_thread(next, third)
    ended(third)
    assert one.status().state is OPEN
    ended(second)


def test_a_block_that_another_thread_ended_is_not_open_here_for_ever(clock):
    breaker = breaker_of(clock, failure_threshold=2)

    def steps():
        with breaker:
            yield

    held = steps()
    next(held)
    on_a_thread(list, held)
    fail(breaker, times=2)
    assert breaker.status().state is OPEN
    assert not lets_through(breaker)


def test_each_thread_of_a_pool_that_passes_a_generator_on_is_free_of_it(clock):
    breaker = breaker_of(clock)
    turn = [threading.Event() for _ in range(3)]
    ended = []

    def steps():
        with breaker:
            yield
            yield

    held = steps()

    def first():
        next(held)
        turn[0].set()
        turn[1].wait()
        succeed(breaker)

    def second():
        turn[0].wait()
        next(held)
        ended.extend(held)
        turn[1].set()
        succeed(breaker)

    threads = [threading.Thread(target=one) for one in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts(breaker) == (3, 0)
