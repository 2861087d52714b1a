"""Snapshots as bytes; and what a queue in memory and one on disk both keep to."""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path
from time import sleep

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import EARLIER, NOW, full
from snapshots import snapshots as exported_snapshots
from spools import HOUR, Clock, Make, drained

from metalscope import MetalTelemetryManager
from metalscope.export.codec import SnapshotFormatError, decode, encode
from metalscope.export.prometheus import render
from metalscope.sending.resource import resource_of
from metalscope.sending.result import Reason
from metalscope.sending.spool.disk import DiskSpool
from metalscope.sending.spool.queue import ENTRY_BYTES, MemorySpool, Spool
from metalscope.snapshot import (
    ActivityPoint,
    Exemplar,
    MetalTelemetrySnapshot,
    RecentActivity,
    SystemInfo,
)
from session.any_snapshot import snapshots as any_snapshots

RESOURCE = (
    ("host.name", "box"),
    ("host.id", "0123456789abcdef0123456789abcdef"),
    ("process.pid", 7),
    ("service.name", "a"),
)
SYSTEM = SystemInfo("box", 7, "macOS", "15", "arm64", 8, "3.12.1", "0.1.0", resource=RESOURCE)


def without_points(snapshot: MetalTelemetrySnapshot) -> MetalTelemetrySnapshot:
    return replace(snapshot, recent=replace(snapshot.recent, points=()))


def comparable(snapshot: MetalTelemetrySnapshot) -> MetalTelemetrySnapshot:
    """With something that is equal to itself in the place of NaN."""
    return replace(
        snapshot,
        resources=tuple(
            replace(one, current="NaN") if math.isnan(one.current) else one
            for one in snapshot.resources
        ),
    )


@settings(max_examples=30)
@given(any_snapshots)
def test_any_snapshot_is_the_same_again(snapshot: MetalTelemetrySnapshot):
    assert decode(encode(snapshot)) == without_points(snapshot)


@given(exported_snapshots)
def test_so_is_one_with_readings_that_are_no_finite_numbers(snapshot: MetalTelemetrySnapshot):
    assert comparable(decode(encode(snapshot))) == comparable(without_points(snapshot))


@given(
    st.lists(
        st.builds(
            Exemplar,
            st.floats(0, 1e9),
            st.datetimes(timezones=st.just(UTC)),
            st.text("0123456789abcdef", min_size=32, max_size=32),
            st.text("0123456789abcdef", min_size=16, max_size=16),
        ),
        max_size=3,
    ).map(tuple)
)
def test_so_are_exemplars(exemplars: tuple[Exemplar, ...]):
    snapshot = full()
    operation = snapshot.operations[0]
    outcome = replace(operation.outcomes[0], exemplars=exemplars)
    snapshot = replace(snapshot, operations=(replace(operation, outcomes=(outcome,)),))
    assert decode(encode(snapshot)) == snapshot


def test_one_of_a_running_manager_exports_the_same_and_has_its_counters():
    with MetalTelemetryManager() as telemetry:
        for number in range(50):
            telemetry.record("execute", f"kernel {number % 5}", duration_ns=number**4)
        telemetry.record_custom_event("deploy", {"version": [1, {"a": None}], "load": math.inf})
        sleep(1.2)  # one tick, so that rates and counters are there
        snapshot = telemetry.get_snapshot()
    again = decode(encode(snapshot))
    assert snapshot.counters is not None
    assert again.counters == snapshot.counters
    assert again.system == snapshot.system
    assert again.to_json() == without_points(snapshot).to_json()
    assert render(again, None) == render(snapshot, None)


def test_the_points_of_the_window_are_left_out():
    points = tuple(ActivityPoint(NOW, float(at), 0.0, None) for at in range(300))
    snapshot = replace(full(), recent=RecentActivity(300.0, 5, {}, points))
    assert decode(encode(snapshot)).recent == RecentActivity(300.0, 5, {}, ())
    assert len(encode(snapshot)) < len(encode(full())) + 50


def test_the_id_of_the_host_comes_back_in_its_place():
    snapshot = replace(full(), system=SYSTEM)
    again = decode(encode(snapshot))
    assert again.system is not None
    assert again.system.resource == RESOURCE
    assert resource_of(again, None) == resource_of(snapshot, None)
    assert "host.id" not in snapshot.to_dict()["system"]["resource"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x02" + encode(full())[1:],
        encode(full())[:-5],
        b"\x01" + zlib.compress(b"{"),
        b"\x01" + zlib.compress(b"\xff"),
        b"\x01" + zlib.compress(b"[]"),
        b"\x01" + zlib.compress(b"{}"),
        b"\x01" + zlib.compress(b'{"schema_version":1,"timestamp":5}'),
        b"\x01" + zlib.compress(b"[" * 100_000),
        b"\x01" + zlib.compress(bytes(65 * 1024 * 1024)),
    ],
    ids=[
        "nothing", "another format", "cut off", "half of JSON", "no text", "a list", "empty",
        "a wrong part", "too deep", "too large",
    ],
)  # fmt: skip
def test_what_is_no_snapshot_is_refused_with_the_reason(data: bytes):
    with pytest.raises(SnapshotFormatError) as raised:
        decode(data)
    assert len(str(raised.value)) > 10


@given(st.binary(max_size=60), st.integers(0, 2000), st.integers(1, 255))
def test_changed_bytes_are_refused_or_read_and_nothing_else_is_raised(
    tail: bytes, at: int, change: int
):
    data = bytearray(encode(full()) + tail)
    data[at % len(data)] ^= change
    with suppress(SnapshotFormatError):
        assert isinstance(decode(bytes(data)), MetalTelemetrySnapshot)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "disk"])
def make(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Make]:
    made: list[Spool] = []

    def make(max_bytes: int = 1024**2, max_age: timedelta = HOUR) -> Spool:
        spool: Spool
        if request.param == "memory":
            spool = MemorySpool(max_bytes=max_bytes, max_age=max_age, elapsed=lambda: clock.elapsed)
        else:
            spool = DiskSpool(
                tmp_path / str(len(made)),
                max_bytes=max_bytes,
                max_age=max_age,
                now=lambda: clock.now,
                elapsed=lambda: clock.elapsed,
            )
        made.append(spool)
        return spool

    yield make
    for spool in made:
        spool.close()


def test_what_was_put_in_comes_out_in_order_with_its_time(make: Make):
    spool = make()
    for number in range(5):
        spool.append(b"%d" % number, EARLIER + number * HOUR)
    one = spool.first()
    assert one is not None
    assert (one.data, one.timestamp) == (b"0", EARLIER)
    assert drained(spool) == [b"0", b"1", b"2", b"3", b"4"]
    assert spool.first() is None
    assert spool.stats.dropped == {}


def test_the_first_stays_first_until_it_is_over(make: Make):
    spool = make()
    spool.append(b"a", NOW)
    spool.append(b"b", NOW)
    first = spool.first()
    assert first is not None
    assert spool.first() == first
    spool.done(first.sequence + 1, delivered=True)
    assert spool.first() == first
    spool.done(first.sequence, delivered=False)
    spool.done(first.sequence, delivered=False)
    second = spool.first()
    assert second is not None
    assert second.data == b"b"


def test_only_a_delivered_one_is_the_last_delivered(make: Make):
    spool = make()
    assert spool.last_delivered() is None
    for data, delivered, last in [(b"a", True, b"a"), (b"b", False, b"a"), (b"c", True, b"c")]:
        spool.append(data, NOW)
        one = spool.first()
        assert one is not None
        spool.done(one.sequence, delivered=delivered)
        assert spool.last_delivered() == last


def test_the_stats_say_what_waits(make: Make):
    spool = make()
    for number in range(3):
        spool.append(bytes(10), NOW + number * HOUR)
    assert (spool.stats.waiting, spool.stats.waiting_bytes, spool.stats.oldest) == (3, 30, NOW)
    one = spool.first()
    assert one is not None
    spool.done(one.sequence, delivered=True)
    assert (spool.stats.waiting, spool.stats.waiting_bytes) == (2, 20)
    assert spool.stats.oldest == NOW + HOUR


def test_for_room_the_oldest_are_let_go_and_counted(make: Make):
    spool = make(max_bytes=64 * 1024)
    for number in range(200):
        spool.append(number.to_bytes(2, "big") * 500, NOW)
    stats = spool.stats
    assert stats.waiting + stats.dropped[Reason.QUEUE_FULL] == 200
    assert stats.waiting >= 20
    found = [int.from_bytes(data[:2], "big") for data in drained(spool)]
    assert found == list(range(200 - stats.waiting, 200))


def test_one_that_could_never_fit_does_not_push_out_the_others(make: Make):
    spool = make(max_bytes=64 * 1024)
    spool.append(b"small", NOW)
    spool.append(bytes(65 * 1024), NOW)
    assert spool.stats.dropped == {Reason.QUEUE_FULL: 1}
    assert drained(spool) == [b"small"]


def test_what_waited_too_long_is_let_go(make: Make, clock: Clock):
    spool = make()
    spool.append(b"old", NOW)
    clock.goes_on(HOUR)
    spool.append(b"new", clock.now)
    one = spool.first()
    assert one is not None
    assert one.data == b"old"
    clock.goes_on(timedelta(milliseconds=1))
    one = spool.first()
    assert one is not None
    assert one.data == b"new"
    assert spool.stats.dropped == {Reason.EXPIRED: 1}


@pytest.mark.parametrize("step", [timedelta(days=3650), timedelta(days=-3650)])
def test_a_clock_that_is_set_lets_go_of_nothing_and_keeps_nothing_for_ever(
    make: Make, clock: Clock, step: timedelta
):
    spool = make()
    spool.append(b"before", clock.now)
    clock.now += step
    spool.append(b"after", clock.now)
    assert spool.first() is not None
    assert spool.stats.waiting == 2
    clock.goes_on(HOUR + timedelta(seconds=1))
    assert spool.first() is None
    assert spool.stats.dropped == {Reason.EXPIRED: 2}


def test_a_newer_one_takes_the_place_of_all(make: Make):
    spool = make()
    for number in range(4):
        spool.append(b"%d" % number, NOW)
    spool.replace_all(b"new", NOW + HOUR)
    assert spool.stats.dropped == {Reason.SUPERSEDED: 4}
    assert (spool.stats.waiting, spool.stats.oldest) == (1, NOW + HOUR)
    assert drained(spool) == [b"new"]


@pytest.mark.parametrize("delivered", [True, False])
def test_one_that_is_replaced_while_it_is_under_way_is_counted_once(make: Make, delivered: bool):
    spool = make()
    spool.append(b"old", NOW)
    one = spool.first()
    assert one is not None
    spool.replace_all(b"new", NOW)
    assert spool.stats.dropped == {}
    if delivered:
        spool.done(one.sequence, delivered=True)
        assert spool.last_delivered() == b"old"
    assert drained(spool) == [b"new"]
    assert spool.stats.dropped == ({} if delivered else {Reason.SUPERSEDED: 1})


@pytest.mark.parametrize("delivered", [True, False])
def test_one_that_makes_room_while_it_is_under_way_is_counted_once(make: Make, delivered: bool):
    spool = make(max_bytes=64 * 1024)
    spool.append(b"first", NOW)
    one = spool.first()
    assert one is not None
    for _ in range(200):
        spool.append(bytes(1000), NOW)
    if delivered:
        spool.done(one.sequence, delivered=True)
        assert spool.last_delivered() == b"first"
    assert spool.first() is not None
    stats = spool.stats
    assert stats.waiting + stats.dropped[Reason.QUEUE_FULL] == 201 - delivered


def test_a_closed_one_takes_and_gives_nothing(make: Make):
    spool = make()
    spool.append(b"a", NOW)
    one = spool.first()
    assert one is not None
    spool.close()
    spool.close()
    spool.append(b"b", NOW)
    spool.replace_all(b"c", NOW)
    spool.done(one.sequence, delivered=True)
    assert spool.first() is None
    assert spool.stats.waiting == 1


def test_in_a_forked_child_nothing_waits(make: Make):
    spool = make()
    spool.append(b"the parent's", NOW)
    child = os.fork()
    if child == 0:
        nothing = spool.stats.waiting == 0 and spool.first() is None
        spool.append(b"the child's", NOW)
        spool.close()
        os._exit(0 if nothing else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert drained(spool) == [b"the parent's"]


@pytest.mark.parametrize("many", [1, 50])
def test_the_objects_beside_the_data_are_not_larger_than_is_counted(many: int, clock: Clock):
    import tracemalloc

    spool = MemorySpool(max_bytes=64 * 1024**2, max_age=HOUR)
    times = [NOW + timedelta(seconds=at) for at in range(20_000)]
    data = [at.to_bytes(3, "big") * many for at in range(20_000)]
    before_objects = sum(map(len, data))
    tracemalloc.start()
    try:
        for one, at in zip(data, times, strict=True):
            spool.append(bytes(bytearray(one)), at)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown - before_objects < 20_000 * ENTRY_BYTES
    spool.close()
