"""A file that is not what was written is set aside; nothing of it is raised into the program."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from pasts import HOUR, MINUTE, SECOND, START, Program, Said, asked, keep, on_clock, opened

from metalscope.errors import ConfigurationError
from metalscope.history import History, HistoryError, SeriesKey
from metalscope.snapshot import ResourceKind, ResourceMetrics


def active(value: float) -> ResourceMetrics:
    return ResourceMetrics(ResourceKind.MEMORY, "active", "m1", value)


def ticks(history: History, program: Program, count: int = 30) -> None:
    for number in range(count):
        for name in "abcdefgh":
            program.ran(f"kernel_{name}", [1.0, 2.0, 30.0], nbytes=100)
        program.ran("kernel_a", [1.0], outcome="timeout")
        program.passes(MINUTE / 2)
        keep(history, program.snapshot(active(number)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with something in every table."""
    path = tmp_path_factory.mktemp("whole") / "past.db"
    program = Program()
    with opened(path, program) as history:
        ticks(history, program, 200)
    return path


def aside(path: Path) -> list[Path]:
    found = sorted(path.parent.glob(f"{path.name}.corrupt-*"))
    return [one for one in found if not one.name.endswith(("-wal", "-shm"))]


def opens_and_writes_on(path: Path) -> Said:
    """Write to a file that may be damaged and read from it: nothing is raised but HistoryError."""
    said = Said()
    later = START + 3 * HOUR
    program = Program(now=later, started_at=later)
    with on_clock(path, program, said) as history:
        ticks(history, program, 4)
        try:
            history.operations(START, later + HOUR)
            history.outcomes(START, later + HOUR, MINUTE, "kernel_*")
            keys = history.keys()
            for key in keys[:4]:
                history.series(key, START, later + HOUR, HOUR)
            for step in (MINUTE / 2, HOUR):
                history.many(keys, START, later + HOUR, step)
                history.quantiles(keys, 0.9, START, later + HOUR, step)
                history.durations(keys, START, later + HOUR, step)
            history.keys(START, later)
            history.readings()
        except HistoryError:
            pass
        if aside(path):
            # What was written before it was noticed is in the file that was set aside.
            found = history.operations(START, later + HOUR)[0].operations
            assert 0 < found <= 4 * 25
    if aside(path):
        assert any("set aside as" in text for text in said.texts)
        assert asked(path, "PRAGMA integrity_check") == [("ok",)]
    return said


@pytest.mark.parametrize("part", range(4))
def test_bits_that_flipped_anywhere_do_no_harm(whole: Path, tmp_path: Path, part: int):
    rng = random.Random(part)
    data = whole.read_bytes()
    size = len(data)
    # The header and the schema are read first; the rest is anywhere.
    offsets = [*range(part, 100, 4)][::3] + [rng.randrange(100, size) for _ in range(8)]
    set_aside = 0
    for offset in offsets:
        path = tmp_path / str(offset) / "past.db"
        path.parent.mkdir()
        flipped = bytearray(data)
        for at in range(offset, min(offset + rng.choice((1, 1, 40)), size)):
            flipped[at] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        opens_and_writes_on(path)
        set_aside += len(aside(path))
        shutil.rmtree(path.parent)
    assert set_aside


def test_a_file_that_was_cut_off_anywhere_does_no_harm(whole: Path, tmp_path: Path):
    data = whole.read_bytes()
    rng = random.Random(3)
    anywhere = (rng.randrange(len(data)) for _ in range(12))
    for length in (0, 1, 15, 16, 100, 1023, 4096, 8192, *anywhere):
        path = tmp_path / str(length) / "past.db"
        path.parent.mkdir()
        path.write_bytes(data[:length])
        opens_and_writes_on(path)
        # SQLite takes what is shorter than its smallest page for an empty file.
        if length in range(512, 4096):
            assert [one.read_bytes() for one in aside(path)] == [data[:length]]
        shutil.rmtree(path.parent)


def test_a_log_that_is_rubbish_costs_no_more_than_what_was_in_it(whole: Path, tmp_path: Path):
    path = tmp_path / "past.db"
    shutil.copy(whole, path)
    before = asked(path, "SELECT SUM(operations) FROM operation_ticks")[0][0]
    path.with_name("past.db-wal").write_bytes(random.Random(1).randbytes(50_000))
    path.with_name("past.db-shm").write_bytes(random.Random(2).randbytes(32_768))
    said = opens_and_writes_on(path)
    assert said.errors == []
    assert asked(path, "SELECT SUM(operations) FROM operation_ticks")[0][0] == before + 2 * 4 * 25


def test_what_breaks_while_it_runs_is_set_aside_and_no_count_is_lost(tmp_path: Path):
    path = tmp_path / "past.db"
    program, said = Program(), Said()
    with on_clock(path, program, said) as history:
        ticks(history, program, 40)
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        damaged = bytearray(path.read_bytes())
        damaged[4096:] = random.Random(5).randbytes(len(damaged) - 4096)
        with path.open("r+b") as file:
            file.write(damaged)
        # Its own pages may still be in its memory; another connection's commit has them read again.
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("PRAGMA user_version = 1")
        ticks(history, program, 3)
        assert len(aside(path)) == 1
        assert aside(path)[0].name == f"past.db.corrupt-{program.now - MINUTE:%Y%m%dT%H%M%S.%f}Z"
        assert "set aside" in said.texts[0]
        # Counts are differences to what was written last, and that is known.
        assert history.operations(START, START + HOUR)[0].operations == 3 * 25
        assert history.dropped == 0


def test_of_many_that_were_set_aside_the_latest_three_stay(tmp_path: Path):
    path = tmp_path / "past.db"
    for number in range(6):
        path.write_bytes(b"%d" % number * 5000)
        program = Program(now=START + number * SECOND)
        on_clock(path, program, Said()).close()
    assert [one.read_bytes()[:1] for one in aside(path)] == [b"3", b"4", b"5"]


def test_a_row_that_cannot_be_is_never_read_as_a_number(tmp_path: Path):
    path = tmp_path / "past.db"
    program, said = Program(), Said()
    with on_clock(path, program, said) as history:
        ticks(history, program, 10)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("UPDATE operation_ticks SET ok_cells = x'ffffffffffffffffffffff01'")
            other.execute("UPDATE reading_ticks SET value = 'much'")
        with pytest.raises(HistoryError):
            history.outcomes(START, START + HOUR, SECOND)
        ticks(history, program, 4)
        assert len(aside(path)) == 1
        key = SeriesKey("resource", "memory", "active", "m1")
        assert history.series(key, START, START + HOUR, HOUR, reading="last").values == [3.0]
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]


def test_another_programs_database_is_refused_and_left_as_it_is(tmp_path: Path):
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE orders(id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=r"history\.path = .*another program's database"):
        opened(path)
    assert path.read_bytes() == before
    assert aside(path) == []


def test_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path):
    path = tmp_path / "past.db"
    opened(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as newer:
        newer.execute("PRAGMA user_version = 99")
        newer.execute("UPDATE about SET value = 99 WHERE key = 'schema'")
        newer.execute("CREATE TABLE of_the_future(id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=r"history\.path = .*version 99, newer than 1"):
        opened(path)
    assert path.read_bytes() == before
    assert aside(path) == []


def test_a_start_that_was_broken_off_is_begun_again(tmp_path: Path):
    path = tmp_path / "past.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    opened(path).close()
    assert asked(path, "PRAGMA user_version") == [(1,)]


def test_a_file_that_was_removed_begins_anew_and_no_count_is_lost(tmp_path: Path):
    path = tmp_path / "past.db"
    program, said = Program(), Said()
    with on_clock(path, program, said) as history:
        ticks(history, program, 2)
        path.unlink()
        ticks(history, program, 2)
        assert said.texts == [f"{path} was moved or removed; a new file begins"]
        assert history.operations(START, START + HOUR)[0].operations == 50
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_definition_that_is_no_text_any_more_is_damage(whole: Path, tmp_path: Path):
    path = tmp_path / "past.db"
    name = b"reading_hours"
    path.write_bytes(whole.read_bytes().replace(name, b"\xba\xde" + name[2:]))
    said = opens_and_writes_on(path)
    assert len(aside(path)) == len(said.errors) == 1
