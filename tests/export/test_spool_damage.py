"""A queue on a disk that does not give back what was written, or takes no more."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import NOW
from spools import (
    deliver,
    drained,
    killed,
    numbers_in,
    opened,
    segments,
    writer,
)

from metalscope.sending.result import Reason
from metalscope.sending.spool import disk
from metalscope.sending.spool.segment import HEAD_BYTES
from small_files import fill, mounted

PAYLOADS = [bytes([65 + number]) * (20 + 7 * number) for number in range(12)]


def three_files(directory: Path, *, done: int = 0) -> list[Path]:
    """Twelve records in three files, as a killed process leaves them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk, "SEGMENT_BYTES", 600)
        spool = opened(directory)
        for data in PAYLOADS:
            spool.append(data, NOW)
        deliver(spool, done)
        killed(spool)
    found = segments(directory)
    assert done or len(found) == 3
    return found


def whole_files(directory: Path, *, done: int = 0) -> list[tuple[Path, bytes]]:
    three_files(directory, done=done)
    return [(path, path.read_bytes()) for path in [*segments(directory), directory / "state"]
            if path.exists()]  # fmt: skip


def test_cut_off_anywhere_in_the_last_record_all_others_are_there(tmp_path: Path):
    last = three_files(tmp_path)[-1]
    data = last.read_bytes()
    begins = len(data) - HEAD_BYTES - len(PAYLOADS[-1])
    others = {path: path.read_bytes() for path in segments(tmp_path)}
    for at in range(begins, len(data)):
        for path, content in others.items():
            path.write_bytes(content)
        (tmp_path / "state").unlink(missing_ok=True)
        last.write_bytes(data[:at])
        spool = opened(tmp_path)
        assert spool.stats.torn_bytes == at - begins
        assert spool.stats.dropped == {}
        assert last.stat().st_size == begins
        spool.append(b"next", NOW)
        killed(spool)
        again = opened(tmp_path)
        assert again.stats.torn_bytes == 0
        assert drained(again) == [*PAYLOADS[:-1], b"next"]
        assert again.stats.dropped == {}
        again.close()


def test_a_file_in_the_middle_that_is_cut_off_loses_what_was_cut_and_counts_it(tmp_path: Path):
    middle = three_files(tmp_path)[1]
    middle.write_bytes(middle.read_bytes()[:-1])
    spool = opened(tmp_path)
    found = drained(spool)
    assert len(found) == 11
    assert found == [data for data in PAYLOADS if data in found]
    assert spool.stats.dropped == {Reason.CORRUPT: 1}


def bits(most_files: int) -> st.SearchStrategy[list[tuple[int, float, int]]]:
    """Some bits: in which file, how far into it, and which of the byte."""
    one = st.tuples(
        st.integers(0, most_files - 1), st.floats(0, 1, exclude_max=True), st.integers(0, 7)
    )
    return st.lists(one, min_size=1, max_size=4)


def flip(files: list[tuple[Path, bytes]], where: list[tuple[int, float, int]]) -> set[int]:
    """Turn bits over; return which records they are in."""
    changed = {path: bytearray(data) for path, data in files}
    touched = set()
    for number, far, bit in where:
        path, data = files[number]
        at = int(far * len(data))
        changed[path][at] ^= 1 << bit
        if path.suffix == ".seg":
            touched.add(record_at(int(path.stem) - 1, at))
    for path, content in changed.items():
        path.write_bytes(content)
    return touched


def record_at(first: int, at: int) -> int:
    for number in itertools.count(first):
        at -= HEAD_BYTES + len(PAYLOADS[number])
        if at < 0:
            return number
    raise AssertionError


@settings(deadline=None, max_examples=100)
@given(bits(3))
def test_bits_turned_over_lose_no_more_than_the_records_they_are_in(
    where: list[tuple[int, float, int]],
):
    with TemporaryDirectory() as made:
        directory = Path(made)
        touched = flip(whole_files(directory), where)
        spool = opened(directory)
        at_opening = dict(spool.stats.dropped)
        found = drained(spool)
        untouched = [data for number, data in enumerate(PAYLOADS) if number not in touched]
        # A bit may have been turned over twice.
        assert [data for data in found if data in untouched] == untouched
        assert found == [data for data in PAYLOADS if data in found]
        lost = len(PAYLOADS) - len(found)
        # How many there were behind the last whole one of all cannot be known.
        trailing = next(n for n in itertools.count() if PAYLOADS[11 - n] in found or n == 11)
        counted = spool.stats.dropped.get(Reason.CORRUPT, 0)
        assert lost - max(0, trailing - 1) <= counted <= lost
        assert spool.stats.dropped == at_opening
        spool.close()
        assert segments(directory) == []


@settings(deadline=None, max_examples=100)
@given(bits(4), st.integers(1, 11))
def test_with_some_of_them_over_damage_to_the_state_brings_them_again_at_worst(
    where: list[tuple[int, float, int]], done: int
):
    with TemporaryDirectory() as made:
        directory = Path(made)
        files = whole_files(directory, done=done)
        where = [(number % len(files), far, bit) for number, far, bit in where]
        touched = flip(files, where)
        state_touched = any(files[number][0].name == "state" for number, *_ in where)
        spool = opened(directory)
        last = spool.last_delivered()
        assert last == PAYLOADS[done - 1] or (last is None and state_touched)
        found = drained(spool)
        needed = [data for at, data in enumerate(PAYLOADS) if at >= done and at not in touched]
        assert [data for data in found if data in needed] == needed
        assert found == [data for data in PAYLOADS if data in found]
        if not state_touched:
            assert not set(found) & set(PAYLOADS[:done])
            assert spool.stats.dropped.get(Reason.CORRUPT, 0) <= len(
                {at for at in touched if at >= done}
            )
        spool.close()


@settings(deadline=None, max_examples=100)
@given(bits(3), st.integers(0, 12))
def test_damage_that_comes_while_it_is_open_is_passed_over_too(
    where: list[tuple[int, float, int]], before: int
):
    with TemporaryDirectory() as made, pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk, "SEGMENT_BYTES", 600)
        directory = Path(made)
        spool = opened(directory)
        for data in PAYLOADS:
            spool.append(data, NOW)
        found = deliver(spool, before)
        files = [(path, path.read_bytes()) for path in segments(directory)]
        where = [(number % len(files), far, bit) for number, far, bit in where]
        touched = flip(files, where)
        found += drained(spool)
        assert found == [data for data in PAYLOADS if data in found]
        assert {PAYLOADS.index(data) for data in set(PAYLOADS) - set(found)} <= touched
        assert spool.stats.dropped.get(Reason.CORRUPT, 0) == len(PAYLOADS) - len(found)
        assert spool.stats.waiting == 0
        spool.close()


def test_what_was_damaged_is_said_with_the_place(tmp_path: Path):
    path = three_files(tmp_path)[0]
    data = bytearray(path.read_bytes())
    data[HEAD_BYTES + 3] ^= 1
    path.write_bytes(data)
    said: list[tuple[str, BaseException]] = []
    spool = opened(tmp_path, on_error=lambda room, error: said.append((room, error)))
    assert [room for room, _ in said] == ["spool"]
    assert str(tmp_path) in str(said[0][1])
    assert spool.stats.dropped == {Reason.CORRUPT: 1}


def test_files_that_are_not_its_own_are_left_alone(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "notes.seg").write_text("mine")
    spool = opened(tmp_path)
    spool.append(b"a", NOW)
    assert drained(spool) == [b"a"]
    spool.close()
    assert (tmp_path / "notes.txt").read_text() == (tmp_path / "notes.seg").read_text() == "mine"


def test_a_directory_taken_away_while_it_is_open_raises_nothing(tmp_path: Path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk, "SEGMENT_BYTES", 600)
        spool = opened(tmp_path / "spool")
        for data in PAYLOADS:
            spool.append(data, NOW)
        shutil.rmtree(tmp_path / "spool")
        for data in PAYLOADS:
            spool.append(data, NOW)
        found = drained(spool)
        stats = spool.stats
        assert stats.waiting == 0
        assert len(found) + sum(stats.dropped.values()) == 24
        assert found[-1] == PAYLOADS[-1]
        spool.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "small", "size=256k") as where:
        yield where


def test_on_a_full_disk_they_wait_in_memory_and_go_to_it_later_in_their_order(small_disk: Path):
    said: list[BaseException] = []
    directory = small_disk / "spool"
    spool = opened(directory, on_error=lambda _, error: said.append(error))
    names = [b"%04d" % number * 1000 for number in range(60)]
    for data in names[:5]:
        spool.append(data, NOW)
    fill(small_disk / "other")
    for data in names[5:40]:
        spool.append(data, NOW)
    assert spool.stats.waiting == 40
    assert spool.stats.disk_error == "No space left on device"
    assert isinstance(said[0], OSError)
    # The record that did not fit was taken back.
    whole = HEAD_BYTES + 4000
    assert sum(path.stat().st_size for path in segments(directory)) % whole == 0
    assert deliver(spool, 2) == names[:2]
    (small_disk / "other").unlink()
    for data in names[40:45]:
        spool.append(data, NOW)
    assert spool.stats.disk_error is None
    assert spool.stats.dropped == {}
    killed(spool)
    again = opened(directory)
    assert again.last_delivered() == names[1]
    assert drained(again) == names[2:45]


def test_what_is_done_on_a_full_disk_makes_room_on_it(small_disk: Path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk, "SEGMENT_BYTES", 10_000)
        spool = opened(small_disk / "spool")
        names = [b"%04d" % number * 1000 for number in range(100)]
        for data in names:
            spool.append(data, NOW)
        assert spool.stats.disk_error is not None
        assert spool.stats.waiting == 100
        assert deliver(spool, 60) == names[:60]
        assert spool.stats.disk_error is None
        killed(spool)
    again = opened(small_disk / "spool")
    assert drained(again) == names[60:]


def test_in_memory_too_there_is_a_bound_and_the_newest_are_kept(small_disk: Path):
    spool = opened(small_disk / "spool", 160_000)
    spool.append(b"on disk", NOW)
    fill(small_disk / "other")
    names = [b"%04d" % number * 250 for number in range(100)]
    for data in names:
        spool.append(data, NOW)
    stats = spool.stats
    # Not one file for each that was let go.
    assert len(segments(small_disk / "spool")) <= 2
    kept = 160_000 // 8 // (HEAD_BYTES + 1000)
    assert stats.waiting_bytes <= 160_000 // 8 + 5 * 4096 + 7
    assert stats.waiting + stats.dropped[Reason.DISK] == 101
    assert stats.dropped[Reason.DISK] <= 100 - kept
    found = drained(spool)
    assert found[0] == b"on disk"
    assert found[-kept:] == names[-kept:]


def test_what_is_in_memory_at_the_end_is_counted_as_let_go(small_disk: Path):
    spool = opened(small_disk / "spool")
    fill(small_disk / "other")
    for _ in range(4):
        spool.append(bytes(2000), NOW)
    spool.close()
    assert spool.stats.dropped == {Reason.DISK: 4}
    assert spool.stats.waiting == 0


def test_a_file_that_may_grow_no_more_is_like_a_full_disk(tmp_path: Path):
    """What any user can have tested: RLIMIT_FSIZE, in a process of its own."""
    with writer(tmp_path / "spool", 0, "full", tmp_path / "said") as process:
        assert process.wait(60) == 0
    spool = opened(tmp_path / "spool")
    assert spool.stats.torn_bytes == 0
    assert numbers_in(drained(spool)) == list(range(100))
    assert spool.stats.dropped == {}
