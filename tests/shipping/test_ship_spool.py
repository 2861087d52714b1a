"""Queues of which one entry is several things: all counts are of those."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ship_peers import Time

from metalscope.sending.result import Reason
from metalscope.sending.spool.disk import DiskSpool
from metalscope.sending.spool.queue import MemorySpool, Spool
from small_files import files_of_at_most

TIME = Time()
AT = TIME.now()
LIMIT = 64 * 1024


def weigh(data: bytes) -> int:
    """The first byte says it."""
    return data[0] or 1


def of(weight: int, size: int = 10) -> bytes:
    return bytes((weight,)) + b"x" * (size - 1)


def on_disk(directory: Path, **how: Any) -> DiskSpool:
    return DiskSpool(
        directory,
        **{"max_bytes": LIMIT, "max_age": timedelta(hours=1), "on_error": lambda *_: None, **how},
        weigh=weigh,
    )


@pytest.fixture(params=["memory", "disk"])
def open_spool(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Spool]:
    def opened(**how: Any) -> Spool:
        if request.param == "disk":
            return on_disk(tmp_path / "spool", **how)
        return MemorySpool(
            **{"max_bytes": LIMIT, "max_age": timedelta(hours=1), **how}, weigh=weigh
        )

    return opened


@contextmanager
def closing(spool: Spool) -> Iterator[Spool]:
    try:
        yield spool
    finally:
        spool.close()


def test_what_waits_is_counted_by_its_weight(open_spool: Callable[..., Spool]) -> None:
    with closing(open_spool()) as spool:
        assert spool.next == 1
        for weight in (3, 1, 5):
            spool.append(of(weight), AT)
        assert (spool.stats.waiting, spool.stats.waiting_bytes) == (9, 30)
        assert spool.next == 10
        first = spool.first()
        assert first is not None
        assert first.sequence == 1
        spool.done(1, delivered=False)
        second = spool.first()
        assert second is not None
        assert (second.sequence, spool.stats.waiting) == (4, 6)


def test_what_makes_room_or_is_too_old_is_counted_by_its_weight(
    open_spool: Callable[..., Spool],
) -> None:
    time = Time()
    with closing(open_spool(elapsed=time.monotonic)) as spool:
        for _ in range(100):
            spool.append(of(7, 2000), AT)
        stats = spool.stats
        assert stats.dropped[Reason.QUEUE_FULL] + stats.waiting == 700
        assert stats.dropped[Reason.QUEUE_FULL] % 7 == 0
        time.at += 3601
        assert spool.first() is None
        assert sum(spool.stats.dropped.values()) == 700


def test_what_is_left_of_the_first_stays_first_and_is_as_old(
    open_spool: Callable[..., Spool],
) -> None:
    time = Time()
    with closing(open_spool(elapsed=time.monotonic)) as spool:
        spool.append(of(5), AT)
        spool.append(of(2), AT)
        time.at += 3000
        first = spool.first()
        assert first is not None
        spool.done(first.sequence, delivered=False, left=of(3, 6))
        assert spool.stats.waiting == 5
        left = spool.first()
        assert left is not None
        assert (left.data, left.timestamp, left.sequence) == (of(3, 6), AT, first.sequence)
        spool.done(left.sequence, delivered=False, left=of(1, 6))
        time.at += 601
        assert spool.first() is None
        assert spool.stats.dropped == {Reason.EXPIRED: 3}


def test_what_had_to_make_room_while_it_was_sent_is_counted_when_that_failed(
    open_spool: Callable[..., Spool],
) -> None:
    with closing(open_spool()) as spool:
        spool.append(of(9, 2000), AT)
        first = spool.first()
        assert first is not None
        for _ in range(100):
            spool.append(of(2, 2000), AT)
        waiting = spool.stats.waiting
        assert spool.stats.dropped == {Reason.QUEUE_FULL: 200 - waiting}
        spool.done(first.sequence, delivered=False, left=of(4, 1000))
        spool.first()
        # What is left of it waits again, or has made room as well.
        found = spool.stats
        assert found.dropped[Reason.QUEUE_FULL] + found.waiting == 204


def test_over_the_end_of_a_process_only_what_is_left_is_there(tmp_path: Path) -> None:
    with closing(on_disk(tmp_path)) as spool:
        for weight in (5, 2):
            spool.append(of(weight), AT)
        spool.first()
        spool.done(1, delivered=False, left=of(3, 6))
    for _ in range(2):
        with closing(on_disk(tmp_path)) as spool:
            assert (spool.stats.waiting, spool.next) == (5, 8)
            left = spool.first()
            assert left is not None
            assert left.data == of(3, 6)
    with closing(on_disk(tmp_path)) as spool:
        left = spool.first()
        assert left is not None
        spool.done(left.sequence, delivered=False)
        last = spool.first()
        assert last is not None
        assert (last.data, last.sequence) == (of(2), 6)


@pytest.mark.parametrize("place", [3, 20, 45], ids=["magic number", "head", "data"])
def test_of_one_that_is_damaged_the_others_tell_what_it_weighed(tmp_path: Path, place: int) -> None:
    with closing(on_disk(tmp_path)) as spool:
        for weight in (5, 8, 2):
            spool.append(of(weight), AT)
    (segment,) = tmp_path.glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[50 + place] ^= 1
    segment.write_bytes(data)
    with closing(on_disk(tmp_path)) as spool:
        assert (spool.stats.waiting, spool.stats.dropped) == (7, {Reason.CORRUPT: 8})


def test_of_one_that_is_damaged_meanwhile_it_is_known_what_it_weighed(tmp_path: Path) -> None:
    with closing(on_disk(tmp_path)) as spool:
        for weight in (5, 8, 2):
            spool.append(of(weight), AT)
        (segment,) = tmp_path.glob("*.seg")
        data = bytearray(segment.read_bytes())
        data[50 + 45] ^= 1
        data[100 + 45] ^= 1
        segment.write_bytes(data)
        spool.first()
        spool.done(1, delivered=False)
        assert spool.first() is None
        assert spool.stats.dropped == {Reason.CORRUPT: 10}


def test_what_a_full_disk_would_not_take_is_counted_by_its_weight(tmp_path: Path) -> None:
    with closing(on_disk(tmp_path)) as spool:
        with files_of_at_most(3000):
            for _ in range(50):
                spool.append(of(3, 1000), AT)
        assert spool.stats.dropped[Reason.DISK] + spool.stats.waiting == 150
        spool.append(of(3, 1000), AT)
        assert spool.stats.disk_error is None
        assert spool.stats.dropped[Reason.DISK] + spool.stats.waiting == 153
