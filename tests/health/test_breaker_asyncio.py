"""Circuit breakers among asyncio tasks."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import suppress

import pytest
from breaker_kit import CLOSED, HALF_OPEN, OPEN, BoomError, Clock, breaker_of, counts, due, opened

from metalscope.errors import CircuitOpenError
from metalscope.operation import Component


@pytest.fixture
def clock():
    return Clock()


async def test_a_block_counts_success_and_failure(clock):
    breaker = breaker_of(clock, failure_threshold=2)
    async with breaker:
        await asyncio.sleep(0)
    for _ in range(2):
        with suppress(BoomError):
            async with breaker:
                await asyncio.sleep(0)
                raise BoomError
    with pytest.raises(CircuitOpenError):
        async with breaker:
            pytest.fail("it was let through")
    assert counts(breaker) == (3, 1)


async def test_a_guarded_coroutine_function_stays_one(clock):
    breaker = breaker_of(clock, failure_threshold=1)

    @breaker
    async def work(number: int) -> int:
        """Work."""
        await asyncio.sleep(0)
        if number < 0:
            raise BoomError
        return number

    assert inspect.iscoroutinefunction(work)
    assert str(inspect.signature(work)) == "(number: 'int') -> 'int'"
    assert await work(3) == 3
    pending = work(-1)
    assert counts(breaker) == (1, 0), "it was counted before it was awaited"
    with pytest.raises(BoomError):
        await pending
    with pytest.raises(CircuitOpenError):
        await work(3)


async def test_exactly_one_of_many_tasks_gets_the_trial(clock):
    breaker = due(clock)
    go_on = asyncio.Event()
    through = []

    async def work(number):
        async with breaker:
            through.append(number)
            await go_on.wait()

    tasks = [asyncio.create_task(work(number)) for number in range(50)]
    await asyncio.sleep(0)
    go_on.set()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert len(through) == 1
    assert sum(isinstance(end, CircuitOpenError) for end in ends) == 49
    assert breaker.status().state is CLOSED


async def test_tasks_that_overlap_are_counted_each(clock):
    breaker = breaker_of(clock, failure_threshold=100)

    async def work(number):
        async with breaker:
            await asyncio.sleep(0)
            raise BoomError

    await asyncio.gather(*(work(number) for number in range(50)), return_exceptions=True)
    assert breaker.status().failures == 50
    assert counts(breaker) == (50, 0)


async def test_a_cancelled_call_is_neither_failure_nor_success(clock):
    breaker = breaker_of(clock, failure_threshold=2)
    with suppress(BoomError):
        async with breaker:
            raise BoomError

    async def work():
        async with breaker:
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert breaker.status().failures == 1


async def test_a_cancelled_trial_leaves_its_place_to_the_next(clock):
    breaker = due(clock)

    async def work():
        async with breaker:
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    with pytest.raises(CircuitOpenError):
        async with breaker:
            pass
    task.cancel()
    await asyncio.wait([task])
    assert breaker.status().state is HALF_OPEN
    async with breaker:
        pass
    assert breaker.status().state is CLOSED


async def test_a_timeout_inside_the_block_is_a_failure_of_the_kernel(clock):
    breaker = breaker_of(clock, component=Component.KERNEL, failure_threshold=1)
    with pytest.raises(TimeoutError):
        async with breaker, asyncio.timeout(0):
            await asyncio.Event().wait()
    assert breaker.status().state is OPEN


async def test_tasks_started_in_a_block_are_a_part_of_it(clock):
    breaker = due(clock)

    @breaker
    async def part():
        await asyncio.sleep(0)

    before = counts(breaker)
    async with breaker, asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(part())
    assert counts(breaker) == (before[0] + 1, before[1])
    assert breaker.status().state is CLOSED


async def test_a_failure_counts_although_a_part_of_the_call_goes_on(clock):
    breaker = breaker_of(clock, failure_threshold=1)
    go_on = asyncio.Event()

    @breaker
    async def fails():
        raise BoomError

    @breaker
    async def goes_on():
        await go_on.wait()

    with suppress(BoomError):
        async with breaker:
            other = asyncio.create_task(goes_on())
            await asyncio.sleep(0)
            await fails()
    assert breaker.status().state is OPEN
    go_on.set()
    await other
    assert breaker.status().state is OPEN


async def test_a_task_that_outlives_the_block_makes_calls_of_its_own(clock):
    breaker = breaker_of(clock, failure_threshold=1)
    outside = asyncio.Event()

    async def later():
        await outside.wait()
        async with breaker:
            raise BoomError

    async with breaker:
        task = asyncio.create_task(later())
        await asyncio.sleep(0)
    outside.set()
    with pytest.raises(BoomError):
        await task
    assert counts(breaker) == (2, 0)
    assert breaker.status().state is OPEN


async def test_a_function_on_another_thread_is_a_part_of_the_block_it_is_awaited_in(clock):
    breaker = due(clock)
    before = counts(breaker)

    @breaker
    def blocking():
        return 7

    async with breaker:
        assert await asyncio.to_thread(blocking) == 7
    assert counts(breaker) == (before[0] + 1, before[1])


async def test_a_refusal_never_waits(clock):
    breaker = opened(clock)
    attempt = breaker.__aenter__()
    with pytest.raises(CircuitOpenError):
        attempt.send(None)
