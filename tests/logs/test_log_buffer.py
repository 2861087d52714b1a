"""The buffer: what it lets go of is counted exactly, what it keeps stays in order."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logger_kit import KeepingShipper, Logged, logged, logger_with, running

from metalscope.logs.buffer import RecordBuffer
from metalscope.logs.record import Severity

Overflow = Literal["drop_oldest", "drop_newest"]


@given(
    size=st.integers(1, 5),
    newest=st.booleans(),
    steps=st.lists(st.one_of(st.none(), st.sampled_from(Severity)), max_size=40),
)
def test_the_buffer_keeps_the_records_it_should_and_counts_the_others(
    size: int, newest: bool, steps: list[Severity | None]
) -> None:
    """``None`` takes all; a severity appends one."""
    buffer = RecordBuffer(size, drop_newest=newest)
    expected: list[int] = []
    taken: list[Any] = []
    model: list[int] = []
    for number, step in enumerate(steps):
        if step is None:
            taken += buffer.take()
            expected += model
            model = []
            continue
        buffer.entries.append((step, number))
        buffer.trim()
        model.append(number)
        if len(model) > size:
            model.pop(-1 if newest else 0)
        assert len(buffer.entries) <= size
    taken += buffer.take()
    assert [entry[1] for entry in taken] == expected + model
    made = [step for step in steps if step is not None]
    assert buffer.counts().total() == len(made) == len(taken) + buffer.dropped
    assert all(buffer.counts()[one] == made.count(one) for one in Severity)


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_of_many_threads_every_record_is_kept_in_order_or_counted(
    overflow: Overflow, size: int
) -> None:
    each = 3000
    kept = logged(max_buffer_size=size, overflow=overflow)
    start = threading.Barrier(4)

    def work(number: int) -> None:
        start.wait()
        for place in range(each):
            kept.log.info("said", number=number, place=place)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    lines = kept.lines()
    assert kept.log.counts == {"info": 4 * each}
    assert len(lines) + kept.log.dropped == 4 * each
    by_thread = defaultdict(list)
    for line in lines:
        by_thread[line["number"]].append(line["place"])
    assert all(places == sorted(set(places)) for places in by_thread.values())
    assert not kept.errors


def test_what_is_counted_never_gets_less_while_threads_log() -> None:
    kept = logged(max_buffer_size=50)
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            kept.log.info("said")

    threads = [threading.Thread(target=work) for _ in range(2)]
    for one in threads:
        one.start()
    seen = [(kept.log.counts.get("info", 0), kept.log.dropped) for _ in range(200)]
    ended.set()
    for one in threads:
        one.join()
    assert seen == sorted(seen)
    assert all(dropped <= made for made, dropped in seen)


def test_an_error_is_handed_over_at_once_as_urgent() -> None:
    kept = logged(buffer_flush_interval="1h")
    kept.log.info("before")
    kept.log.error("now")
    assert kept.shipper.urgent.wait(30)
    assert kept.messages() == ["before", "now"]


def test_a_buffer_half_full_is_emptied() -> None:
    kept = logged(buffer_flush_interval="1h", max_buffer_size=20)
    kept.log.info("the first one starts the thread")
    assert kept.log.flush(30)
    kept.shipper.given.clear()
    for _ in range(9):
        kept.log.info("said")
    assert not kept.shipper.given.is_set()
    kept.log.info("said")
    assert kept.shipper.given.wait(30)
    assert not kept.shipper.urgent.is_set()


def test_a_record_waits_no_longer_than_the_interval() -> None:
    kept = logged(buffer_flush_interval="20ms")
    kept.log.info("the first one starts the thread")
    assert kept.log.flush(30)
    kept.shipper.given.clear()
    kept.log.info("said")
    assert kept.shipper.given.wait(30)


def test_without_a_buffer_each_record_is_handed_over_at_once() -> None:
    kept = logged(enable_buffering=False, buffer_flush_interval="1h")
    for number in range(3):
        kept.shipper.urgent.clear()
        kept.log.info(str(number))
        assert kept.shipper.urgent.wait(30)
    assert kept.messages() == ["0", "1", "2"]


def test_what_one_sink_cannot_encode_costs_that_record_there_alone() -> None:
    errors: list[tuple[str, BaseException]] = []
    one, sink, shipper = running("one")
    two, _, others = running("two")
    sink.refuses = ValueError
    log = logger_with([one, two], errors)
    for message in ("first", "refused", "last"):
        log.info(message)
    assert log.flush(30)
    assert (len(shipper.lines), len(others.lines)) == (2, 3)
    assert [(room, type(error)) for room, error in errors] == [("logs", ValueError)]
    assert [dict(status.dropped) for status in log.status()] == [{"exporter_error": 1}, {}]


def test_the_thread_goes_on_after_what_is_no_exception_even() -> None:
    kept = logged()
    kept.sink.refuses = SystemExit  # type: ignore[assignment]
    kept.log.info("refused")
    assert kept.log.flush(30)
    kept.log.info("after")
    assert "after" in kept.messages()
    assert [type(error) for _, error in kept.errors] == [SystemExit]
    assert kept.log.status()[0].dropped == {"exporter_error": 1}


def test_a_shipper_that_raises_harms_no_other() -> None:
    class Broken(KeepingShipper):
        def put(self, records: Any, *, urgent: bool = False) -> None:
            raise OSError("broken")

    errors: list[tuple[str, BaseException]] = []
    one, _, _ = running("one")
    two, _, others = running("two")
    broken = type(one)(one.options, one.sink, Broken("one"), one.audience, one.severity)
    log = logger_with([broken, two], errors)
    log.info("said")
    assert log.flush(30)
    assert len(others.lines) == 1
    assert log.status()[0].dropped == {"exporter_error": 1}


def test_flush_says_when_not_all_is_over() -> None:
    kept = logged()
    kept.shipper.flushes = False
    kept.log.info("said")
    assert not kept.log.flush(1)


def test_flush_from_within_the_flusher_gives_up_at_once() -> None:
    kept = logged()
    said: list[bool] = []

    class Flushes(KeepingShipper):
        def put(self, records: Any, *, urgent: bool = False) -> None:
            said.append(kept.log.flush(60))
            kept.log.debug("made amid the work")

    [one] = kept.log._sinks
    flushing = type(one)(one.options, one.sink, Flushes("f"), one.audience, one.severity)
    kept.log._flusher._sinks = (flushing,)
    kept.log.info("said")
    assert kept.log.flush(30)
    assert said[0] is False


def test_a_closed_logger_has_no_thread() -> None:
    before = set(threading.enumerate())
    kept = logged()
    kept.log.info("said")
    kept.log.flush(30)
    new = set(threading.enumerate()) - before
    assert [one.name for one in new] == ["metalscope-log"]
    assert all(one.daemon for one in new)
    kept.log.close(30)
    assert set(threading.enumerate()) <= before


def test_a_logger_that_was_never_used_has_no_thread() -> None:
    before = threading.active_count()
    kept = logged(level="error")
    kept.log.info("too mild")
    kept.log.close()
    assert threading.active_count() == before


def test_after_it_is_closed_records_are_counted_as_dropped() -> None:
    kept = logged()
    kept.log.info("before")
    kept.log.close(30)
    kept.log.close(30)
    assert kept.shipper.closed
    assert len(kept.shipper.lines) == 1
    for _ in range(3):
        kept.log.error("after")
    assert kept.log.dropped == 3
    assert kept.log.counts == {"info": 1, "error": 3}
    assert len(kept.shipper.lines) == 1


def test_a_logger_nobody_holds_is_freed() -> None:
    import gc
    import weakref

    kept: Logged | None = logged()
    assert kept is not None
    kept.log.info("said")
    kept.lines()
    gone, flusher = weakref.ref(kept.log), kept.log._flusher
    kept = None
    gc.collect()
    assert gone() is None
    while flusher.is_running:  # rung, so it ends as soon as it gets a turn
        threading.Event().wait(0.001)
