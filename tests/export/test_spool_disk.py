"""A queue on disk: what a process leaves there, by whichever end, the next one has."""

from __future__ import annotations

import errno
import os
import tracemalloc
from collections import Counter
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from snapshots import NOW
from spools import (
    HOUR,
    MIB,
    Clock,
    deliver,
    drained,
    kill_at_work,
    killed,
    numbers_in,
    on_clock,
    opened,
    segments,
    size_of,
    what_was_said,
    writer,
)

from metalscope.sending.result import Reason
from metalscope.sending.spool.lock import SpoolInUseError


def test_what_waits_is_there_after_a_restart_and_comes_first(tmp_path: Path):
    spool = opened(tmp_path)
    for name in (b"a", b"b", b"c"):
        spool.append(name, NOW)
    assert deliver(spool) == [b"a"]
    spool.close()
    again = opened(tmp_path)
    assert again.last_delivered() == b"a"
    assert (again.stats.waiting, again.stats.oldest) == (2, NOW)
    again.append(b"d", NOW)
    assert drained(again) == [b"b", b"c", b"d"]
    again.close()
    assert segments(tmp_path) == []
    last = opened(tmp_path)
    assert last.last_delivered() == b"d"
    assert last.stats.waiting == 0


def test_numbers_go_on_after_a_restart(tmp_path: Path):
    numbers = []
    for _ in range(3):
        spool = opened(tmp_path)
        spool.append(b"a", NOW)
        one = spool.first()
        assert one is not None
        numbers.append(one.sequence)
        spool.done(one.sequence, delivered=False)
        spool.close()
    assert numbers == sorted(set(numbers))


def test_killed_again_and_again_it_has_each_that_was_put_in_once_and_in_order(tmp_path: Path):
    said = tmp_path / "said"
    said.touch()
    first = 0
    for turn in range(5):
        past = said.stat().st_size
        with writer(tmp_path / "spool", first, "append", said) as process:
            kill_at_work(process, said, past, 0.013 * turn)
        first = 1 + max(what_was_said(said)["a"])
        # The one that was being put in when it was killed may be there; its number is not used
        # again.
        first += 1
    put = what_was_said(said)["a"]
    assert len(put) > 100
    spool = opened(tmp_path / "spool", 1024 * MIB)
    assert spool.stats.dropped == {}
    found = numbers_in(drained(spool))
    assert found == sorted(set(found))
    assert not set(put) - set(found)
    assert len(set(found) - set(put)) <= 5


def test_killed_while_it_delivers_at_most_the_last_comes_again(tmp_path: Path):
    said = tmp_path / "said"
    said.touch()
    first = 0
    for turn in range(5):
        past = said.stat().st_size
        with writer(tmp_path / "spool", first, "deliver", said) as process:
            kill_at_work(process, said, past, 0.03 + 0.041 * turn)
        first = 2 + max(what_was_said(said)["a"])
    numbers = what_was_said(said)
    spool = opened(tmp_path / "spool")
    last = spool.last_delivered()
    assert last is not None
    delivered, twice = numbers["d"], Counter(numbers["d"])
    assert len(delivered) > 50
    assert delivered == sorted(delivered)
    assert numbers_in([last])[0] in delivered[-2:]
    # Once for each time it was killed.
    assert sum(twice.values()) - len(twice) <= 5
    found = numbers_in(drained(spool))
    assert found == sorted(set(found))
    assert len(set(found) & set(delivered)) <= 1
    assert not set(numbers["a"]) - set(found) - set(delivered)


def test_a_forked_child_does_not_touch_the_files_of_its_parent(tmp_path: Path):
    said = tmp_path / "said"
    with writer(tmp_path / "spool", 0, "fork", said) as process:
        assert process.wait(60) == 0
    spool = opened(tmp_path / "spool")
    assert spool.stats.dropped == {}
    assert numbers_in(drained(spool)) == list(range(20))


def test_it_lets_go_of_the_directory_though_a_child_has_a_copy_of_the_lock(tmp_path: Path):
    spool = opened(tmp_path)
    assert spool._lock is not None
    # As it is in a child that was forked by C code, which does not tell Python of it.
    copy = os.dup(spool._lock)
    try:
        with pytest.raises(SpoolInUseError):
            opened(tmp_path)
        spool.close()
        opened(tmp_path).close()
    finally:
        os.close(copy)


def test_what_is_over_does_not_come_again_when_the_file_is_written_on(tmp_path: Path):
    spool = opened(tmp_path)
    for name in (b"a", b"b"):
        spool.append(name, NOW)
    deliver(spool, 2)
    killed(spool)
    again = opened(tmp_path)
    again.append(b"c", NOW)
    assert len(segments(tmp_path)) == 1
    assert drained(again) == [b"c"]
    again.close()


@pytest.mark.parametrize("max_bytes", [4096, 20_000, 200_000])
def test_the_bound_is_not_passed_on_disk_at_any_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_bytes: int
):
    moments = Counter[str]()

    def watched(name: str) -> None:
        real = getattr(os, name)

        def call(*arguments: Any, **more: Any) -> Any:
            result = real(*arguments, **more)
            assert size_of(tmp_path) <= max_bytes
            moments[name] += 1
            return result

        monkeypatch.setattr(os, name, call)

    for name in ("pwrite", "write", "open", "replace", "rename"):
        watched(name)
    spool = opened(tmp_path, max_bytes)
    for number in range(400):
        # None that is too large for the state with it: a quarter, with their heads.
        spool.append(bytes(number * 37 % (max_bytes // 4)), NOW)
        if number % 5 == 0:
            deliver(spool, number % 3)
        if number % 97 == 0:
            killed(spool)
            spool = opened(tmp_path, max_bytes)
    assert moments["pwrite"] > 300
    assert moments["write"] > 40
    # And it is made use of.
    for _ in range(100):
        spool.append(bytes(max_bytes // 40), NOW)
    assert size_of(tmp_path) > max_bytes // 4


def test_a_bound_that_is_lower_after_a_restart_holds_at_once(tmp_path: Path):
    spool = opened(tmp_path)
    for number in range(100):
        spool.append(b"%03d" % number * 1000, NOW)
    deliver(spool)
    spool.close()
    again = opened(tmp_path, 100_000)
    assert size_of(tmp_path) <= 100_000
    stats = again.stats
    assert stats.waiting + stats.dropped[Reason.QUEUE_FULL] == 99
    again.append(b"new", NOW)
    assert drained(again)[-1] == b"new"


def test_twenty_thousand_that_wait_take_no_memory(tmp_path: Path):
    spool = opened(tmp_path)
    for number in range(15_000):
        spool.append(number.to_bytes(100, "big"), NOW)
    tracemalloc.start()
    try:
        for number in range(15_000, 20_000):
            spool.append(number.to_bytes(100, "big"), NOW)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 10_000  # two bytes for each
    assert spool.stats.waiting == 20_000
    killed(spool)
    tracemalloc.start()
    try:
        again = opened(tmp_path)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert again.stats.waiting == 20_000
    assert held < 50_000
    first = again.first()
    assert first is not None
    assert first.data == bytes(100)
    again.close()


def test_the_time_in_which_no_process_was_there_counts(tmp_path: Path):
    clock = Clock()
    spool = on_clock(tmp_path, clock)
    spool.append(b"old", clock.now)
    clock.goes_on(HOUR / 2)
    spool.append(b"younger", clock.now)
    spool.close()
    clock.goes_on(HOUR * 0.75)
    clock.elapsed = 3.0  # the machine was started anew
    again = on_clock(tmp_path, clock)
    assert drained(again) == [b"younger"]
    assert again.stats.dropped == {Reason.EXPIRED: 1}


def test_what_was_stamped_by_a_clock_that_was_ahead_is_counted_from_the_restart(tmp_path: Path):
    clock = Clock(now=NOW + timedelta(days=4000))
    spool = on_clock(tmp_path, clock)
    spool.append(b"a", clock.now)
    spool.close()
    clock.now = NOW
    again = on_clock(tmp_path, clock)
    assert again.first() is not None
    again.append(b"b", clock.now)
    clock.goes_on(HOUR + timedelta(seconds=1))
    assert again.first() is None
    assert again.stats.dropped == {Reason.EXPIRED: 2}


def test_those_that_are_too_old_do_not_come_again_after_a_kill(tmp_path: Path):
    clock = Clock()
    spool = on_clock(tmp_path, clock)
    spool.append(b"old", clock.now)
    clock.goes_on(2 * HOUR)
    spool.append(b"new", clock.now)
    assert spool.first() is not None
    killed(spool)
    assert drained(on_clock(tmp_path, clock)) == [b"new"]


class AnyCalls(RuleBasedStateMachine):
    """Against a list: restarts and kills change nothing, and nothing is lost track of."""

    max_bytes = 16 * MIB

    def __init__(self) -> None:
        super().__init__()
        self.made = TemporaryDirectory()
        self.clock = Clock()
        self.spool = on_clock(Path(self.made.name), self.clock, max_bytes=self.max_bytes)
        self.waiting: list[tuple[bytes, float]] = []
        self.last: bytes | None = None
        self.number = 0
        self.over = 0
        self.under_way = False
        self.dropped: Counter[Reason] = Counter()

    def named(self, length: int) -> bytes:
        self.number += 1
        return b"%06d" % self.number + bytes(length)

    @rule(length=st.integers(0, 3000))
    def append(self, length: int) -> None:
        data = self.named(length)
        self.spool.append(data, self.clock.now)
        self.waiting.append((data, self.clock.elapsed))

    @rule(length=st.integers(0, 3000))
    def replace_all(self, length: int) -> None:
        data = self.named(length)
        self.spool.replace_all(data, self.clock.now)
        self.waiting = [(data, self.clock.elapsed)]

    @rule(delivered=st.booleans(), meanwhile=st.integers(0, 3))
    def export(self, delivered: bool, meanwhile: int) -> None:
        self.forget_the_old()
        one = self.spool.first()
        self.under_way = one is not None
        self.check_first(one.data if one else None)
        for _ in range(meanwhile):
            self.append(2000)
        if one is None:
            return
        self.spool.done(one.sequence, delivered=delivered)
        self.waiting.pop(0)
        self.over += 1
        self.under_way = False
        if delivered:
            self.last = one.data

    @rule()
    def drain(self) -> None:
        while self.spool.stats.waiting:
            self.export(delivered=True, meanwhile=0)

    @rule(minutes=st.integers(0, 40), step=st.sampled_from([0, 0, 0, -100_000, 100_000]))
    def wait(self, minutes: int, step: int) -> None:
        self.clock.goes_on(timedelta(minutes=minutes))
        self.clock.now += timedelta(minutes=step)

    @rule()
    def retry(self) -> None:
        self.forget_the_old()
        one = self.spool.first()
        self.under_way = one is not None
        self.check_first(one.data if one else None)

    @rule(kill=st.booleans())
    def restart(self, kill: bool) -> None:
        if kill:
            # One that made room while it was under way is counted only when that has ended.
            self.over += self.missing()
        else:
            self.spool.close()
        self.dropped.update(self.spool.stats.dropped)
        killed(self.spool)
        self.under_way = False
        # The age of what waits goes on from the wall: this is not about a clock that was set.
        self.clock.now = NOW + timedelta(seconds=self.clock.elapsed - 1000)
        self.spool = on_clock(Path(self.made.name), self.clock, max_bytes=self.max_bytes)

    @invariant()
    def nothing_is_lost_track_of(self) -> None:
        assert self.missing() in ({0, 1} if self.under_way else {0})
        assert self.spool.last_delivered() == self.last
        assert size_of(Path(self.made.name)) <= self.max_bytes

    def missing(self) -> int:
        stats = self.spool.stats
        dropped = sum(self.dropped.values()) + sum(stats.dropped.values())
        return self.number - self.over - dropped - stats.waiting

    def forget_the_old(self) -> None:
        latest = self.clock.elapsed - HOUR.total_seconds()
        self.waiting = [(data, at) for data, at in self.waiting if at >= latest]

    def check_first(self, data: bytes | None) -> None:
        assert data == (self.waiting[0][0] if self.waiting else None)

    def teardown(self) -> None:
        self.spool.close()
        self.made.cleanup()


class CrampedCalls(AnyCalls):
    """With room for little: what waits is the newest of what would, without a gap."""

    max_bytes = 16 * 1024

    def check_first(self, data: bytes | None) -> None:
        if data is None:
            assert not self.waiting
            return
        names = [name for name, _ in self.waiting]
        assert data in names
        self.waiting = self.waiting[names.index(data) :]


class FailingCalls(AnyCalls):
    """On a disk that is full from time to time: nothing waits elsewhere than in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.free: int | None = None
        self.real = os.pwrite, os.write
        os.pwrite = lambda file, data, at: self.real[0](file, self.fitting(data), at)
        os.write = lambda file, data: self.real[1](file, self.fitting(data))

    def fitting(self, data: Any) -> memoryview:
        """As much as there is room for, as write(2) has it."""
        if self.free is None:
            return memoryview(data)
        if not self.free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = memoryview(data)[: self.free]
        self.free -= len(part)
        return part

    @rule(free=st.integers(0, 5000))
    def disk_fills_up(self, free: int) -> None:
        self.free = free

    @rule()
    def disk_has_room(self) -> None:
        self.free = None

    def restart(self, kill: bool) -> None:
        # What is not on the disk, be it that something was over, ends with the process.
        if self.spool.stats.disk_error is None:
            self.free = None
            super().restart(kill)

    restart = rule(kill=st.booleans())(restart)

    def teardown(self) -> None:
        os.pwrite, os.write = self.real
        super().teardown()


FailingCalls.TestCase.settings = CrampedCalls.TestCase.settings = AnyCalls.TestCase.settings = (
    settings(
        deadline=None,
        max_examples=20,
        stateful_step_count=40,
        suppress_health_check=[HealthCheck.too_slow],
    )
)
TestAnyCalls = AnyCalls.TestCase
TestCrampedCalls = CrampedCalls.TestCase
TestFailingCalls = FailingCalls.TestCase
