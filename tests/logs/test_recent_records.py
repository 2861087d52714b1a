from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logger_kit import running

from metalscope.export_options import Audience
from metalscope.log_options import LoggingOptions
from metalscope.logs.logger import MetalProductionLogger
from metalscope.logs.recent import MOST_OF_ONE, MOST_SELECTED, RecentRecords
from metalscope.logs.record import LoggedException, LogRecord, Severity
from metalscope.logs.running import RunningSink
from metalscope.sanitizing import Sanitizer
from metalscope.sanitizing_options import SanitizingOptions
from metalscope.tail_room import CUT, MORE, MOST_TEXT

SANITIZER = Sanitizer(SanitizingOptions(), secrets=["the-key-of-the-options"])


def logged(
    limit: int = 100, sinks: Sequence[RunningSink] = (), **options: Any
) -> tuple[MetalProductionLogger, RecentRecords, list[BaseException]]:
    """A log that hands nothing on by itself, its tail, and what went wrong."""
    tail, errors = RecentRecords(limit, SANITIZER), []
    log = MetalProductionLogger(
        LoggingOptions(**{"level": "debug", "buffer_flush_interval": "1h", **options}),
        sanitizer=SANITIZER,
        sinks=sinks,
        on_error=lambda _room, error: errors.append(error),
        tail=tail,
    )
    tail.drained_by(log.drain)
    return log, tail, errors


def a_tail(*records: LogRecord, limit: int = 100) -> RecentRecords:
    tail = RecentRecords(limit, SANITIZER)
    tail.take(records)
    return tail


def a_record(number: int = 0, **fields: Any) -> LogRecord:
    values: dict[str, Any] = {"severity": Severity.INFO, "body": f"record {number}"}
    return LogRecord(timestamp_ns=number, sequence=number, **{**values, **fields})


def bodies(tail: RecentRecords, **wanted: Any) -> list[str]:
    return [record.body for _, record in tail.select(**wanted).records]


# -- where they come from ------------------------------------------------------------------------


def test_what_is_in_the_buffer_yet_is_waited_for() -> None:
    log, tail, errors = logged()
    log.info("loaded", model="llama")
    tail.catch_up(30)
    ((number, record),) = tail.select().records
    assert (number, record.body, record.attributes) == (1, "loaded", {"model": "llama"})
    log.close()
    assert not errors


def test_no_sink_is_needed_and_none_is_added() -> None:
    log, tail, _ = logged()
    log.warning("hot")
    tail.catch_up(30)
    assert log.status() == ()
    assert bodies(tail) == ["hot"]
    log.close()


def test_records_are_sanitized_for_inside_whatever_the_sinks_are_for() -> None:
    outside, sink, shipper = running(audience=Audience.EXTERNAL)
    log, tail, _ = logged(sinks=[outside])
    log.info("signed in with the-key-of-the-options", password="hunter2", customer="Ada")
    assert log.flush(30)
    ((_, record),) = tail.select().records
    assert record.body == "signed in with …"
    assert record.attributes == {"password": "…", "customer": "Ada"}
    assert "customer" not in sink.records[0].attributes
    assert shipper.lines
    log.close()


def test_a_sink_for_inside_and_the_tail_have_the_very_same_record() -> None:
    inside, sink, _ = running()
    log, tail, _ = logged(sinks=[inside])
    log.info("once")
    assert log.flush(30)
    assert tail.select().records[0][1] is sink.records[0]
    log.close()


def test_a_tail_that_fails_harms_no_sink() -> None:
    class Fails(RecentRecords):
        def take(self, records: Sequence[LogRecord | None]) -> None:
            raise MemoryError

    inside, sink, _ = running()
    errors: list[BaseException] = []
    log = MetalProductionLogger(
        LoggingOptions(),
        sanitizer=SANITIZER,
        sinks=[inside],
        on_error=lambda _room, error: errors.append(error),
        tail=Fails(10, SANITIZER),
    )
    log.info("written")
    assert log.flush(30)
    assert [record.body for record in sink.records] == ["written"]
    assert [type(error) for error in errors] == [MemoryError]
    log.close()


def test_threads_log_and_read_at_once_and_each_number_is_there_once() -> None:
    log, tail, errors = logged(limit=10_000, max_buffer_size=10_000, buffer_flush_interval="1ms")
    read: list[int] = []

    def work() -> None:
        for number in range(500):
            log.info("line", number=number)

    log.info("the first")
    tail.catch_up(30)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    last = 1
    while any(thread.is_alive() for thread in threads) or last < 2001:
        tail.catch_up(1)
        found = tail.select(after=last, limit=100)
        read += [number for number, _ in found.records]
        last = found.last
    assert read == list(range(2, 2002))
    log.close()
    assert not errors


# -- which are chosen ----------------------------------------------------------------------------


def test_the_latest_are_given_oldest_first() -> None:
    tail = a_tail(*(a_record(number) for number in range(5)))
    assert bodies(tail, limit=2) == ["record 3", "record 4"]
    assert tail.select(limit=2).last == 5


def test_nothing_logged_is_nothing() -> None:
    found = a_tail().select(after=7)
    assert (found.records, found.last, found.forgotten) == ((), 0, 0)


def test_what_there_is_no_room_for_is_counted() -> None:
    tail = a_tail(*(a_record(number) for number in range(5)), limit=3)
    assert bodies(tail) == ["record 2", "record 3", "record 4"]
    assert tail.select().forgotten == tail.forgotten == 2
    assert [number for number, _ in tail.select().records] == [3, 4, 5]


def test_who_follows_misses_none_of_many() -> None:
    tail = a_tail(*(a_record(number) for number in range(7)))
    pages, last = [], 1
    while (found := tail.select(after=last, limit=2)).records:
        pages.append([number for number, _ in found.records])
        last = found.last
    assert pages == [[2, 3], [4, 5], [6, 7]]


def test_what_does_not_fit_is_not_looked_at_again() -> None:
    tail = a_tail(*(a_record(number) for number in range(7)))
    found = tail.select(after=2, contains="nothing has this")
    assert (found.records, found.last) == ((), 7)


def test_a_number_of_the_program_before_gives_the_latest() -> None:
    assert bodies(a_tail(a_record(1), a_record(2)), after=900, limit=1) == ["record 2"]


def test_by_severity_and_ids() -> None:
    tail = a_tail(
        a_record(1, severity=Severity.DEBUG, correlation_id="a", trace_id="1" * 32),
        a_record(2, severity=Severity.WARNING, correlation_id="a"),
        a_record(3, severity=Severity.CRITICAL, correlation_id="b"),
    )
    assert bodies(tail, severity=Severity.WARNING) == ["record 2", "record 3"]
    assert bodies(tail, severity=Severity.WARNING, correlation_id="a") == ["record 2"]
    assert bodies(tail, trace_id="1" * 32) == ["record 1"]


@pytest.mark.parametrize(
    "fields",
    [
        {"body": "The LLAMA is loaded"},
        {"event": "llama.loaded"},
        {"logger": "app.llama"},
        {"attributes": {"Llama": 1}},
        {"attributes": {"models": ["x", {"name": "llama"}]}},
        {"exception": LoggedException("llama.Error", "")},
        {"exception": LoggedException("Error", "no llama")},
    ],
)
def test_a_text_is_found_wherever_it_is(fields: dict[str, Any]) -> None:
    tail = a_tail(a_record(1), a_record(2, **fields))
    assert [number for number, _ in tail.select(contains="lLaMa").records] == [2]


def test_numbers_are_found_by_their_digits() -> None:
    tail = a_tail(a_record(1, attributes={"port": 9464}), a_record(2, attributes={"port": 80}))
    assert [number for number, _ in tail.select(contains="9464").records] == [1]


def test_outside_nothing_is_found_by_what_is_hidden_there() -> None:
    tail = a_tail(a_record(1, attributes={"customer": "Ada Lovelace"}))
    assert bodies(tail, contains="lovelace") == ["record 1"]
    assert not bodies(tail, contains="lovelace", audience=Audience.EXTERNAL)
    ((_, record),) = tail.select(audience=Audience.EXTERNAL).records
    assert "customer" not in record.attributes


# -- how much is kept ----------------------------------------------------------------------------


def test_a_long_text_is_cut_with_a_mark() -> None:
    trace = "x" * 3 * MOST_TEXT
    tail = a_tail(a_record(1, body="b", exception=LoggedException("E", "m", trace)))
    exception = tail.select().records[0][1].exception
    assert exception is not None
    assert exception.stacktrace == "x" * (MOST_TEXT - len(CUT)) + CUT


def test_of_many_fields_the_rest_is_left_out() -> None:
    fields = {f"field {number}": "y" * 1000 for number in range(100)}
    kept = a_tail(a_record(1, attributes=fields)).select().records[0][1].attributes
    assert kept[MORE] == MORE
    assert 30 < len(kept) < 36
    assert sum(len(str(value)) for value in kept.values()) < MOST_OF_ONE + 100


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20_000),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5000), inner),
    max_leaves=50,
)


def size_of(value: Any) -> int:
    if isinstance(value, dict):
        return sum(size_of(name) + size_of(one) for name, one in value.items())
    return sum(map(size_of, value)) if isinstance(value, list) else len(str(value))


@given(st.text(max_size=40_000), st.dictionaries(st.text(), _values, max_size=5))
@settings(max_examples=60, deadline=None)
def test_no_record_takes_more_than_its_room(body: str, fields: dict[str, Any]) -> None:
    record = a_tail(a_record(1, body=body, attributes=fields)).select().records[0][1]
    assert size_of([record.body, record.attributes]) <= MOST_OF_ONE + MOST_TEXT


def test_an_answer_is_bounded_too_and_goes_on_after_it() -> None:
    tail = a_tail(*(a_record(number, body="z" * MOST_TEXT) for number in range(600)), limit=600)
    most = MOST_SELECTED // MOST_TEXT
    assert len(tail.select().records) <= most
    assert tail.select().records[-1][0] == 600
    found = tail.select(after=1)
    assert (found.records[0][0], found.last) == (2, found.records[-1][0])
    assert found.last < 600


# -- a fork --------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_begins_with_none_and_goes_on() -> None:
    log, tail, _ = logged()
    log.info("of the parent")
    tail.catch_up(30)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        before = len(tail.select().records)
        log.info("of the child")
        tail.catch_up(30)
        os.write(write, f"{before} {tail.select().records[0]}".encode())
        os._exit(0)
    os.waitpid(pid, 0)
    said = os.read(read, 10_000).decode()
    assert said.startswith("0 (1, LogRecord(")
    assert "of the child" in said
    assert bodies(tail) == ["of the parent"]
    log.close()
