"""``with correlation(...)``: one id for all that happens within."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import os
import pickle
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import pytest

from metalscope.correlating import (
    CURRENT_SPAN,
    SpanContext,
    UnsampledContext,
    bind_correlation_id,
    correlation,
    current_correlation_id,
    current_span,
    make_ids_by,
    new_correlation_id,
    unbind_correlation_id,
    within,
)


def test_a_block_has_the_id_it_was_given_and_none_is_left_after_it() -> None:
    assert current_correlation_id() is None
    with correlation("order-17") as entered:
        assert (entered, current_correlation_id()) == ("order-17", "order-17")
        with correlation("item-3"):
            assert current_correlation_id() == "item-3"
        assert current_correlation_id() == "order-17"
    assert current_correlation_id() is None


@pytest.mark.parametrize("given", [None, "", "\n\r\x00"])
def test_a_block_without_an_id_gets_a_new_one(given: str | None) -> None:
    with correlation(given) as first, correlation(given) as second:
        assert current_correlation_id() == second
        assert first != second
        assert str(UUID(second)) == second


def test_an_id_from_elsewhere_is_cleaned_and_cut() -> None:
    with correlation("a\r\nb\x00c" + "d" * 200) as entered:
        assert entered == "abc" + "d" * 125


def test_it_is_left_when_an_exception_leaves_it() -> None:
    with pytest.raises(ZeroDivisionError), correlation("a"):
        1 / 0  # noqa: B018
    assert current_correlation_id() is None


async def test_it_may_be_asynchronous_and_tasks_inherit_it() -> None:
    async def told(own: str | None) -> str | None:
        if own is None:
            return current_correlation_id()
        async with correlation(own):
            await asyncio.sleep(0)
            return current_correlation_id()

    async with correlation("a"):
        assert await asyncio.gather(told(None), told("b"), told("c")) == ["a", "b", "c"]
        assert current_correlation_id() == "a"
    assert current_correlation_id() is None


async def test_it_decorates_functions_and_each_call_has_a_block_of_its_own() -> None:
    @correlation()
    def work(depth: int) -> list[str | None]:
        """Work."""
        return [current_correlation_id(), *(work(depth - 1) if depth else [])]

    @correlation("nightly")
    async def work_async() -> str | None:
        await asyncio.sleep(0)
        return current_correlation_id()

    assert len({*work(2), *work(1)}) == 5
    assert (work.__name__, work.__doc__) == ("work", "Work.")
    assert asyncio.iscoroutinefunction(work_async)
    assert await work_async() == "nightly"
    assert current_correlation_id() is None


def test_left_in_another_context_it_disturbs_neither() -> None:
    def steps() -> Iterator[None]:
        with correlation("a"):
            yield

    running = steps()
    contextvars.copy_context().run(next, running)
    with correlation("b"):
        running.close()
        assert current_correlation_id() == "b"


async def test_an_asynchronous_generator_that_the_loop_closes_raises_nothing() -> None:
    async def steps() -> AsyncIterator[None]:
        async with correlation("a"):
            with within("b", None):
                yield

    running = steps()
    await asyncio.create_task(anext(running))  # type: ignore[arg-type]
    await asyncio.create_task(running.aclose())  # type: ignore[attr-defined]
    assert current_correlation_id() is None


def test_an_id_can_be_set_from_here_on() -> None:
    token = bind_correlation_id("a\n")
    assert current_correlation_id() == "a"
    unbind_correlation_id(token)
    assert current_correlation_id() is None


@pytest.fixture
def uuid7() -> Iterator[None]:
    make_ids_by("uuid7")
    yield
    make_ids_by("uuid4")


def test_new_ids_are_random_uuids() -> None:
    ids = [UUID(new_correlation_id()) for _ in range(500)]
    assert {(one.version, one.variant) for one in ids} == {(4, "specified in RFC 4122")}
    assert len({*ids}) == 500
    # Each bit but the six that are fixed is set in some and not in others.
    fixed = 0xF << 76 | 0x3 << 62
    everywhere, somewhere = ids[0].int, 0
    for one in ids:
        everywhere &= one.int
        somewhere |= one.int
    assert everywhere & ~fixed == 0
    assert somewhere | fixed == 2**128 - 1


def test_or_uuids_that_begin_with_the_time(uuid7: None) -> None:
    import time

    before = time.time_ns() // 1_000_000
    ids = [UUID(new_correlation_id()) for _ in range(100)]
    after = time.time_ns() // 1_000_000
    assert {(one.version, one.variant) for one in ids} == {(7, "specified in RFC 4122")}
    assert all(before <= one.int >> 80 <= after for one in ids)
    assert len({one.int & (1 << 62) - 1 for one in ids}) == 100


def test_within_sets_both_and_puts_both_back() -> None:
    span = SpanContext(1, 2)
    with correlation("a"), within("b", span):
        assert (current_correlation_id(), current_span()) == ("b", span)
        with within(None, None):
            assert (current_correlation_id(), current_span()) == (None, None)
        assert CURRENT_SPAN.get() is span
    assert (current_correlation_id(), current_span()) == (None, None)


@pytest.mark.parametrize("kind", [SpanContext, UnsampledContext])
def test_a_span_goes_elsewhere_by_its_ids_alone(kind: type[SpanContext]) -> None:
    here = kind(2**127 + 1, 2**63 + 1, trace_state="a=1", live=object())  # type: ignore[arg-type]
    for there in (pickle.loads(pickle.dumps(here)), copy.copy(here), here.elsewhere()):
        assert type(there) is kind
        assert repr(there) == repr(here)
        assert (there.trace_state, there.live) == ("a=1", None)
    assert re.fullmatch(r"\w+\(trace_id=8(0{30})1, span_id=8(0{14})1\)", repr(here))


def test_the_module_is_light() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, metalscope.carrying, metalscope.propagation.headers\n"
            "heavy = {'pydantic', 'asyncio', 'urllib3', 'multiprocessing', 'concurrent.futures',"
            " 'opentelemetry', 'structlog', 'http.client'}\n"
            "print(sorted(heavy & {*sys.modules}))",
        ],
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "[]\n"
