"""``carried``: a function takes the id and the span along to where it is called."""

from __future__ import annotations

import asyncio
import functools
import multiprocessing
import pickle
import threading
import traceback
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from carried_work import LIBRARY, fail, seen, seen_in_process

from metalscope.carrying import carried
from metalscope.correlating import SpanContext, UnsampledContext, correlation, within

SPAN = SpanContext(0xAB, 0xCD, trace_state="a=1")


def test_it_runs_in_what_was_current_where_it_was_made() -> None:
    with within("a", SPAN):
        work = carried(seen)
    assert seen() == (None, None, None)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result() == ("a", "ab/cd", True)
        assert pool.submit(seen).result() == (None, None, None)
    with within("b", UnsampledContext(1, 2)):
        assert work() == ("a", "ab/cd", True)
        assert seen() == ("b", "1/2", False)


def test_made_where_nothing_is_current_it_runs_in_nothing() -> None:
    work = carried(seen)
    with within("a", SPAN):
        assert work() == (None, None, None)


def test_several_threads_may_call_one_at_once() -> None:
    together = threading.Barrier(4, timeout=30)

    def meet() -> object:
        together.wait()
        return seen()

    with correlation("a"), ThreadPoolExecutor(4) as pool:
        work = carried(meet)
        assert [one.result() for one in [pool.submit(work) for _ in range(4)]] == [
            ("a", None, None)
        ] * 4


def test_nothing_else_of_the_context_is_taken_along() -> None:
    LIBRARY.set("here")
    with correlation("a"):
        work = carried(LIBRARY.get)
    with ThreadPoolExecutor(1, initializer=LIBRARY.set, initargs=("there",)) as pool:
        assert pool.submit(work).result() == "there"


async def test_a_coroutine_function_stays_one() -> None:
    @carried
    async def outside() -> object:
        await asyncio.sleep(0)
        return seen()

    with within("a", SPAN):

        @carried
        async def work(number: int) -> object:
            """Work."""
            await asyncio.sleep(0)
            return number, seen()

    assert asyncio.iscoroutinefunction(work)
    assert (work.__name__, work.__doc__) == ("work", "Work.")
    assert await asyncio.gather(work(1), outside()) == [
        (1, ("a", "ab/cd", True)),
        (None, None, None),
    ]


def test_exceptions_and_their_tracebacks_are_those_of_the_function() -> None:
    with correlation("a"):
        work = carried(fail)
    with pytest.raises(LookupError, match="a") as caught:
        work()
    frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert frames == ["test_exceptions_and_their_tracebacks_are_those_of_the_function", "fail"]
    assert seen() == (None, None, None)


def test_it_looks_like_the_function() -> None:
    work = carried(seen)
    assert work.__name__ == "seen"
    assert work.__wrapped__ is seen  # type: ignore[attr-defined]
    assert not hasattr(carried(functools.partial(seen)), "__name__")


def test_pickled_it_keeps_all_but_the_span_that_lives_here() -> None:
    live = SpanContext(1, 2, trace_state="a=1", live=threading.Lock())  # type: ignore[arg-type]
    with within("a", live):
        there = pickle.loads(pickle.dumps(carried(seen_in_process)))
    assert there() == (("a", "1/2", True), False)
    with pytest.raises((AttributeError, pickle.PicklingError), match=r"lambda"):
        pickle.dumps(carried(lambda: None))


def test_a_pool_of_processes_takes_it_along() -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        with within("a", SPAN):
            works = [carried(seen_in_process), seen_in_process]
        with pytest.raises(LookupError, match="b"), correlation("b"):
            pool.submit(carried(fail)).result()
        assert [one.result() for one in map(pool.submit, works)] == [
            (("a", "ab/cd", True), False),
            ((None, None, None), False),
        ]
