"""Whose queue is where: processes at once and one after another, exporters of any name."""

from __future__ import annotations

import gc
import os
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from snapshots import NOW
from spools import (
    deliver,
    drained,
    kill_at_work,
    kill_later,
    killed,
    numbers_in,
    opened,
    segments,
    slots,
    what_was_said,
    writer,
)

from metalscope.errors import ConfigurationError
from metalscope.sending.spool.lock import SpoolInUseError


def test_two_processes_at_once_do_not_share_and_a_dead_ones_are_taken_over(tmp_path: Path):
    said = [tmp_path / "said 0", tmp_path / "said 1"]
    for one in said:
        one.touch()
    where = tmp_path / "spools"
    with writer(where, 0, "slots", said[0]) as first:
        kill_later(first, said[0])
        with writer(where, 1_000_000, "slots", said[1]) as second:
            kill_later(second, said[1])
            own = slots(where).open()
            assert own.directory == where / "a" / "2"
            assert slots(where).orphan() is None
            for process, heard in ((first, said[0]), (second, said[1])):
                kill_at_work(process, heard, 0, 0)
                orphan = slots(where).orphan()
                assert orphan is not None
                # While it is looked after here, no other has it.
                assert slots(where).orphan() is None
                found, put = numbers_in(drained(orphan)), what_was_said(heard)["a"]
                assert found[: len(put)] == put
                assert len(found) - len(put) <= 1
                orphan.close()
                assert slots(where).orphan() is None
            assert own.stats.waiting == 0


def test_a_restarted_process_has_the_first_free_slot_with_what_is_in_it(tmp_path: Path):
    first, second = slots(tmp_path).open(), slots(tmp_path).open()
    first.append(b"left", NOW)
    second.append(b"other", NOW)
    killed(first)
    again = slots(tmp_path).open()
    again.append(b"new", NOW)
    assert drained(again) == [b"left", b"new"]
    assert drained(second) == [b"other"]


def test_an_orphan_has_its_own_last_delivered(tmp_path: Path):
    own, other = slots(tmp_path).open(), slots(tmp_path).open()
    for spool, name in ((own, b"own"), (other, b"other")):
        spool.append(name, NOW)
        deliver(spool)
    other.append(b"left", NOW)
    killed(other)
    orphan = slots(tmp_path).orphan()
    assert orphan is not None
    assert orphan.last_delivered() == b"other"
    assert own.last_delivered() == b"own"


def test_an_orphan_that_is_given_back_is_there_for_the_next(tmp_path: Path):
    own, other = slots(tmp_path).open(), slots(tmp_path).open()
    for name in (b"1", b"2"):
        other.append(name, NOW)
    other.close()
    orphan = slots(tmp_path).orphan()
    assert orphan is not None
    assert deliver(orphan) == [b"1"]
    orphan.close()
    orphan = slots(tmp_path).orphan()
    assert orphan is not None
    assert drained(orphan) == [b"2"]
    own.close()


def test_an_orphan_that_cannot_be_read_is_said_once(tmp_path: Path):
    own, other = slots(tmp_path).open(), slots(tmp_path).open()
    other.append(b"1", NOW)
    other.close()
    (path,) = segments(other.directory)
    path.unlink()
    path.mkdir()
    said: list[BaseException] = []
    here = slots(tmp_path, on_error=lambda _, error: said.append(error))
    assert here.orphan() is None
    assert here.orphan() is None
    assert [type(error) for error in said] == [ConfigurationError]
    own.close()


def test_one_directory_is_never_open_twice(tmp_path: Path):
    spool = opened(tmp_path)
    with pytest.raises(SpoolInUseError):
        opened(tmp_path)
    spool.close()
    opened(tmp_path).close()


NAMES = [
    "a", "A", "../../etc", "..", ".", "a/b", "a%2fb", "a b", "Grafana Cloud", "grafana cloud",
    "\u91d1\u5c5e", "x" * 300, "x" * 299 + "y", "\u91d1" * 100, "\x00", "\udc80", "-", "_",
]  # fmt: skip


def test_each_exporter_has_a_directory_of_its_own_whatever_its_name(tmp_path: Path):
    made = [slots(tmp_path / "spools", name).open() for name in NAMES]
    parents = [spool.directory.parent for spool in made]
    # As they are on a disk to which upper and lower case are one.
    assert len({parent.name.casefold() for parent in parents}) == len(NAMES)
    assert {parent.parent for parent in parents} == {tmp_path / "spools"}
    assert [path.name for path in tmp_path.iterdir()] == ["spools"]
    for spool in made:
        assert spool.directory.name == "0"
        spool.close()


def test_only_the_owner_can_read_it(tmp_path: Path):
    before = os.umask(0)
    try:
        spool = slots(tmp_path / "deep" / "spools").open()
        spool.append(b"a", NOW)
        spool.append(b"b", NOW)
        deliver(spool)
    finally:
        os.umask(before)
    modes = {
        path: stat.S_IMODE(path.stat().st_mode)
        for path in [tmp_path / "deep" / "spools", *(tmp_path / "deep" / "spools").rglob("*")]
    }
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert {path.name for path in modes if path.is_file()} > {"lock", "state"}
    spool.close()


def test_a_directory_of_an_exporter_that_others_could_enter_is_closed_to_them(tmp_path: Path):
    (tmp_path / "a" / "0").mkdir(parents=True, mode=0o755)
    (tmp_path / "a").chmod(0o777)
    (tmp_path / "a" / "0").chmod(0o755)
    spool = slots(tmp_path).open()
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "a" / "0").stat().st_mode) == 0o700
    spool.close()


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / f"{1:020d}.seg").symlink_to(victim)
    with pytest.raises(ConfigurationError):
        opened(tmp_path / "spool")
    assert victim.read_bytes() == b"precious"


@pytest.mark.parametrize("below", ["", "spools", "spools/deeper"])
def test_a_path_that_is_no_directory_is_refused_by_its_option(tmp_path: Path, below: str):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / below
    with pytest.raises(ConfigurationError) as raised:
        slots(path).open()
    assert f"export.spool.directory = {path}: must be a directory" in str(raised.value)


def test_a_directory_that_cannot_be_written_to_is_refused_by_its_option(tmp_path: Path):
    path = tmp_path / "spools"
    path.mkdir()
    if os.geteuid() == 0:
        mount = ["mount", "-t", "tmpfs", "-o", "size=4k,ro", "tmpfs", str(path)]
        if sys.platform != "linux" or subprocess.run(mount, check=False).returncode:
            pytest.skip("root can write to every directory here")
    else:
        path.chmod(0o500)
    try:
        with pytest.raises(ConfigurationError) as raised:
            slots(path).open()
        assert f"export.spool.directory = {path}: must be a directory" in str(raised.value)
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", "-l", str(path)], check=True)
        else:
            path.chmod(0o700)


def test_it_leaves_no_descriptor_open(tmp_path: Path):
    directory = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")
    gc.collect()
    before = len(list(directory.iterdir()))
    for _ in range(20):
        spool = slots(tmp_path).open()
        for _ in range(5):
            spool.append(b"a", NOW)
        deliver(spool, 3)
        with suppress(SpoolInUseError):
            opened(spool.directory)
        assert len(list(directory.iterdir())) <= before + 3
        spool.close()
    assert len(list(directory.iterdir())) <= before
