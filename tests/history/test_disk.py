"""A disk that is full, or that cannot be written to, is told of; the program goes on."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from pasts import HOUR, SECOND, START, Program, Said, asked, keep, on_clock, opened

from metalscope.errors import ConfigurationError
from metalscope.history import History
from metalscope.internal import InternalErrors
from small_files import files_of_at_most, fill, mounted


def ticks(history: History, program: Program, count: int) -> None:
    for _ in range(count):
        for number in range(20):
            program.ran(f"kernel {number}", [1.0])
        program.passes(SECOND)
        keep(history, program.snapshot())


def test_what_did_not_fit_is_counted_when_there_is_room_again(tmp_path: Path):
    path = tmp_path / "past.db"
    program, said = Program(), Said()
    with on_clock(path, program, said) as history:
        ticks(history, program, 3)
        with files_of_at_most(path.with_name("past.db-wal").stat().st_size):
            ticks(history, program, 5)
            assert history.dropped == 5
            assert len(said.errors) == 5
            assert all(isinstance(error, sqlite3.OperationalError) for error in said.errors)
            # What is there can be read meanwhile.
            assert history.operations(START, START + HOUR)[0].operations == 60
        ticks(history, program, 1)
        assert history.dropped == 5
        assert history.operations(START, START + HOUR)[0].operations == 9 * 20
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]
    assert list(path.parent.glob("*.corrupt-*")) == []


def test_on_a_disk_that_is_full_it_goes_on_and_later_has_every_count(tmp_path: Path):
    with mounted(tmp_path / "small", "size=512k") as disk:
        path = disk / "past.db"
        program, said = Program(), Said()
        with on_clock(path, program, said, max_bytes=2**26) as history:
            ticks(history, program, 3)
            fill(disk / "other")
            ticks(history, program, 100)
            assert said.errors
            assert history.dropped > 50
            (disk / "other").unlink()
            said.errors.clear()
            ticks(history, program, 3)
            assert said.errors == []
            assert history.operations(START, START + HOUR)[0].operations == 106 * 20
        assert asked(path, "PRAGMA integrity_check") == [("ok",)]
        assert list(path.parent.glob("*.corrupt-*")) == []


def test_a_disk_that_is_full_at_the_start_is_no_reason_not_to_start(tmp_path: Path):
    with mounted(tmp_path / "small", "size=256k") as disk:
        path = disk / "past.db"
        fill(disk / "other")
        program, said = Program(), Said()
        with on_clock(path, program, said, max_bytes=2**20) as history:
            ticks(history, program, 2)
            assert said.errors
            (disk / "other").unlink()
            ticks(history, program, 2)
            assert history.operations(START, START + HOUR)[0].operations == 80


def test_on_a_disk_that_may_only_be_read_it_is_read_and_not_written_to(tmp_path: Path):
    with mounted(tmp_path / "disk", "size=4m") as disk:
        path = disk / "past.db"
        program = Program()
        with opened(path, program) as history:
            ticks(history, program, 2)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(ConfigurationError, match=r"history\.path = .*Read-only file system"):
            opened(path)
        reader = History.open_readonly(path)
        assert reader.operations(START, START + HOUR)[0].operations == 40


def test_what_goes_wrong_each_tick_is_counted_each_time_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = tmp_path / "past.db"
    program, errors = Program(), InternalErrors()
    with on_clock(path, program, errors.report) as history:
        ticks(history, program, 1)
        with files_of_at_most(path.stat().st_size):
            ticks(history, program, 4)
    assert errors.counts() == {"history": 4}
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().startswith("history: OperationalError: ")


def test_a_log_that_someone_reads_for_long_does_not_have_the_past_forgotten(tmp_path: Path):
    path = tmp_path / "past.db"
    program = Program()
    with opened(path, program, max_bytes=2**18) as history:
        ticks(history, program, 2)
        with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT COUNT(*) FROM operation_ticks").fetchall()
            # As much log as must be put into the file, which the reader does not let it be.
            history._writer._store._connection.execute("PRAGMA busy_timeout = 1")  # type: ignore[union-attr]
            ticks(history, program, 100)
            (count,) = reader.execute("SELECT SUM(ticks) FROM covered_ticks").fetchone()
            assert count == 2
        assert history.operations(START, START + HOUR)[0].operations > 1000
        ticks(history, program, 1)
        assert path.stat().st_size < 2**18


def test_a_directory_that_is_not_there_is_made_for_its_owner_alone(tmp_path: Path):
    path = tmp_path / "a" / "b" / "past.db"
    opened(path).close()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def unusable(tmp_path: Path, what: str) -> Path:
    if what == "directory":
        return tmp_path
    if what == "below a file":
        (tmp_path / "file").write_text("")
        return tmp_path / "file" / "past.db"
    path = tmp_path / "past.db"
    if what == "pipe":
        os.mkfifo(path)
    if what == "lock is a link":
        path.with_name("past.db.lock").symlink_to(tmp_path / "elsewhere")
    return path


@pytest.mark.parametrize("what", ["directory", "below a file", "pipe", "lock is a link"])
def test_a_path_that_cannot_be_used_is_named_with_its_option_and_the_reason(
    tmp_path: Path, what: str
):
    path = unusable(tmp_path, what)
    with pytest.raises(ConfigurationError, match=r"^history\.path = .*: must be a file .*\(.+\)$"):
        opened(path)


def test_a_directory_that_may_not_be_written_to_is_named(tmp_path: Path):
    if os.geteuid() == 0:
        with mounted(tmp_path / "fixed", "size=64k,ro") as disk:
            path = disk / "past.db"
            with pytest.raises(ConfigurationError, match=r"history\.path = .*Read-only"):
                opened(path)
        return
    tmp_path.chmod(0o500)
    with pytest.raises(ConfigurationError, match=r"history\.path = .*Permission denied"):
        opened(tmp_path / "past.db")
