from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metalscope.export_options import Audience
from metalscope.manager import MetalTelemetryManager
from metalscope.options import MetalTelemetryOptions
from metalscope.sanitizing import Sanitizer
from metalscope.sanitizing_options import SanitizingOptions
from metalscope.tail_room import MORE
from metalscope.traces.recent import MOST_OF_ONE, RecentSpans
from metalscope.traces.span import Decision, FinishedSpan
from span_samples import MS, START, TRACE, a_span, full_span, spans

SANITIZER = Sanitizer(SanitizingOptions(), secrets=["the-key-of-the-options"])


def unexpected(room: str, error: BaseException) -> None:
    raise AssertionError(room) from error


def recent(*given_: FinishedSpan, limit: int = 100) -> RecentSpans:
    made = RecentSpans(limit, SANITIZER, on_error=unexpected)
    for span in given_:
        made.take(span)
    return made


def ids(found: RecentSpans, **wanted: Any) -> list[int]:
    return [one.trace_id for one in found.traces(**wanted)]


def held(found: RecentSpans) -> int:
    return sum(one.spans for one in found.traces())


# -- by trace ------------------------------------------------------------------------------------


def test_a_trace_is_named_after_its_root_which_comes_last() -> None:
    tail = recent(
        a_span(3, parent_id=2, name="matmul", failed=True, decision=Decision.FAILED),
        a_span(2, parent_id=1, name="step", decision=Decision.AROUND),
        a_span(1, name="request", end_ns=START + 20 * MS, correlation_id="order-17"),
    )
    (one,) = tail.traces()
    assert (one.trace_id, one.name, one.spans, one.failed) == (TRACE, "request", 3, 1)
    assert (one.start_ns, one.duration_ns) == (START + 2 * MS, 18 * MS)
    assert (one.correlation_id, one.decision) == ("order-17", Decision.SAMPLED)


def test_the_root_may_have_its_parent_in_another_process() -> None:
    tail = recent(a_span(5, parent_id=4, name="inner"), a_span(4, parent_id=99, name="served"))
    assert tail.traces()[0].name == "served"


def test_a_trace_that_was_not_sampled_tells_what_it_was_kept_for() -> None:
    around = a_span(1, decision=Decision.AROUND)
    slow = a_span(2, parent_id=1, decision=Decision.SLOW)
    assert recent(slow, around).traces()[0].decision is Decision.SLOW


def test_the_latest_begun_come_first_and_a_limit_holds() -> None:
    tail = recent(*(a_span(number, trace_id=number) for number in (2, 3, 1)))
    assert ids(tail) == [3, 2, 1]
    assert ids(tail, limit=2) == [3, 2]


def test_traces_by_what_is_known_of_their_spans() -> None:
    tail = recent(
        a_span(1, trace_id=1, name="Load llama", correlation_id="a"),
        a_span(2, trace_id=1, parent_id=1, name="copy", failed=True),
        a_span(3, trace_id=2, name="step", correlation_id="b", end_ns=START + 100 * MS),
    )
    assert ids(tail, correlation_id="a") == [1]
    assert ids(tail, name="COPY") == [1]
    assert ids(tail, failed=True) == [1]
    assert ids(tail, failed=False) == [2]
    assert ids(tail, min_ms=50) == [2]
    assert ids(tail, name="step", failed=True) == []


def test_the_spans_of_a_trace_by_their_start_the_outer_first() -> None:
    inner = a_span(2, parent_id=1, start_ns=START, end_ns=START + MS)
    outer = a_span(1, start_ns=START, end_ns=START + 9 * MS)
    early = a_span(3, start_ns=START - MS)
    tail = recent(inner, outer, early)
    assert [span.span_id for span in tail.trace(TRACE)] == [3, 1, 2]
    assert tail.trace(TRACE + 1) == ()


# -- how much is kept ----------------------------------------------------------------------------


def test_the_trace_with_nothing_new_for_longest_goes_whole() -> None:
    tail = recent(limit=4)
    for number, trace in enumerate([1, 2, 1, 3, 3], 1):
        tail.take(a_span(number, trace_id=trace))
        tail.settle()
    assert sorted(ids(tail)) == [1, 3]
    assert tail.forgotten == 1


def test_one_trace_has_at_most_half_of_the_room() -> None:
    tail = recent(a_span(1, trace_id=7), limit=10)
    for number in range(2, 22):
        tail.take(a_span(number))
        tail.settle()
    assert sorted(ids(tail)) == [7, TRACE]
    assert [span.span_id for span in tail.trace(TRACE)] == [17, 18, 19, 20, 21]
    assert tail.forgotten == 15


def test_what_waits_for_a_tick_is_bounded_and_counted() -> None:
    tail = recent(*(a_span(number, trace_id=number) for number in range(1, 1001)), limit=10)
    assert len(tail._waiting) == 10
    assert sorted(ids(tail)) == list(range(991, 1001))
    assert tail.forgotten == 990


@given(st.integers(1, 12), st.lists(st.integers(1, 5) | st.just(0), max_size=60))
@settings(max_examples=80, deadline=None)
def test_each_span_is_here_or_counted_as_gone(limit: int, traces: list[int]) -> None:
    tail = recent(limit=limit)
    taken = 0
    for trace in traces:
        if trace:
            taken += 1
            tail.take(a_span(taken, trace_id=trace))
        else:
            tail.settle()
    assert held(tail) <= limit
    assert held(tail) + tail.forgotten == taken


def test_threads_take_and_read_at_once_and_each_span_is_counted() -> None:
    tail = recent(limit=200)

    def work(thread: int) -> None:
        for number in range(3000):
            tail.take(a_span(number + 1, trace_id=thread * 10_000 + number // 5 + 1))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        tail.settle()
        assert held(tail) <= 200
    assert held(tail) + tail.forgotten == 12_000


def test_texts_without_end_are_cut() -> None:
    fields = {f"field {number}": "y" * 1000 for number in range(90)}
    (span,) = recent(a_span(1, attributes=fields)).trace(TRACE)
    assert span.attributes[MORE] == MORE
    assert sum(len(str(value)) for value in span.attributes.values()) < MOST_OF_ONE + 100


# -- what is in them -----------------------------------------------------------------------------


@given(spans())
@settings(max_examples=60, deadline=None)
def test_any_span_is_kept_as_the_sanitizer_has_it(span: FinishedSpan) -> None:
    (kept,) = recent(span).trace(span.trace_id)
    clean = SANITIZER.span(span, Audience.INTERNAL)
    assert (kept.name, kept.attributes) == (clean.name, clean.attributes)
    assert [one.name for one in kept.events] == [one.name for one in clean.events]


def test_what_is_secret_is_nowhere_in_it() -> None:
    span = a_span(1, attributes={"password": "hunter2"}, error="the-key-of-the-options is wrong")
    text = str(recent(span).trace(TRACE))
    assert "hunter2" not in text
    assert "the-key-of-the-options" not in text


def test_outside_nothing_is_found_by_what_is_hidden_there() -> None:
    tail = recent(a_span(1, name="mail ada@example.com", attributes={"customer": "Ada"}))
    assert ids(tail, name="ada@", audience=Audience.EXTERNAL) == []
    (inside,), (outside,) = tail.trace(TRACE), tail.trace(TRACE, Audience.EXTERNAL)
    assert inside.attributes == {"customer": "Ada"}
    assert "customer" not in outside.attributes


def test_all_that_the_page_shows_of_a_span_is_kept() -> None:
    span = full_span()
    (kept,) = recent(span).trace(TRACE)
    assert [one.time_ns for one in kept.events] == [one.time_ns for one in span.events]
    assert kept.events[0].attributes == {"queue": "gpu 0"}
    assert (kept.error, kept.failed, kept.kind) == (span.error, span.failed, span.kind)


# -- in a program --------------------------------------------------------------------------------


class Buffer:
    """As large as the program likes."""


def test_no_object_of_the_program_outlives_a_tick_for_the_page() -> None:
    options = MetalTelemetryOptions(
        tick_interval="20ms",
        server={"enabled": True, "port": 0},
        traces={"enabled": True, "sample_ratio": 1},
    )
    with MetalTelemetryManager(options) as tel:
        buffer = Buffer()
        with tel.span("request", attributes={"buffer": buffer}):
            pass
        alive = weakref.ref(buffer)
        del buffer
        until = time.monotonic() + 30
        while alive() is not None and time.monotonic() < until:
            time.sleep(0.02)
            gc.collect()
        assert alive() is None
        assert tel.tails is not None
        assert tel.tails.spans is not None
        assert [one.name for one in tel.tails.spans.traces()] == ["request"]
        assert "spans" in tel.get_snapshot().internals.dropped
        assert tel.get_snapshot().internals.sinks == ()


def test_operations_are_in_it_too_and_after_the_end_no_more_come() -> None:
    options = MetalTelemetryOptions(
        server={"enabled": True, "port": 0}, traces={"enabled": True, "sample_ratio": 1}
    )
    tel = MetalTelemetryManager(options).start()
    with tel.operation("execute", "matmul"):
        pass
    tel.shutdown()
    assert tel.tails is not None
    tail = tel.tails.spans
    assert tail is not None
    (one,) = tail.traces()
    with tel.operation("execute", "too late"):
        pass
    assert tail.traces() == (one,)
    assert not tail._waiting
    assert tail.forgotten == 1


def test_nothing_is_kept_where_no_server_is_enabled() -> None:
    with MetalTelemetryManager(MetalTelemetryOptions(traces={"enabled": True})) as tel:
        assert tel.tails is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_has_none_and_keeps_no_object_alive() -> None:
    tail = recent(a_span(1))
    tail.settle()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        tail.take(a_span(2))
        os.write(write, f"{len(tail.traces())} {len(tail._waiting)}".encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 100) == b"0 0"
    assert ids(tail) == [TRACE]
