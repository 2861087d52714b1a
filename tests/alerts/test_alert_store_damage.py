"""A file that is not what was written is set aside; nothing of it is raised, nor taken for true."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alert_stores import Said, alert, aside, asked, directory, message, opened, silence

from alert_samples import FIRING, NOW, PENDING, SILENCE
from metalscope.alert_report import AlertState
from metalscope.alerts.sqlite_store import SqliteStore
from metalscope.alerts.store.reading import AlertStoreError
from metalscope.alerts.storing import Change, Kept
from metalscope.errors import ConfigurationError
from metalscope.health_options import HistoryOptions
from metalscope.history import History

EVERYTHING = Change(
    alerts=[
        *(alert(number, AlertState.RESOLVED) for number in range(30)),
        *(alert(number) for number in range(30, 40)),
    ],
    silences=[silence(number) for number in range(5)],
    documents={f"document {number}": list(range(number, 50)) for number in range(5)},
    messages=[message(number) for number in range(5)],
    samples=[(f"series {part}", 15.0 * turn, part / 7) for turn in range(60) for part in range(9)],
)
ALERTS = {one.id: one for one in EVERYTHING.alerts}
SILENCES = {one.id: one for one in EVERYTHING.silences}
MESSAGES = {one.id: one for one in EVERYTHING.messages}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file with something in every table."""
    path = tmp_path_factory.mktemp("whole") / "alerts.db"
    with opened(path) as store:
        store.keep(EVERYTHING)
    return path.read_bytes()


def is_all_true(kept: Kept) -> bool:
    """Whether all that is said was so once; some may be missing."""
    return (
        all(ALERTS[one.id] == one for one in kept.alerts)
        and all(SILENCES[one.id] == one for one in kept.silences)
        and all(MESSAGES[one.id] == one for one in kept.messages)
        and kept.documents.items() <= EVERYTHING.documents.items()
        and set(kept.samples) <= set(EVERYTHING.samples)
    )


def opens_and_goes_on(path: Path) -> tuple[Said, Kept]:
    """Use a file that may be damaged: nothing is raised, and what is told is true."""
    said = Said()
    with opened(path, said) as store:
        kept = store.load()
        assert is_all_true(kept)
        assert all(ALERTS[one.id] == one for one in store.history(limit=1000))
        assert all(store.find(one) in {ALERTS[one], None} for one in list(ALERTS)[::7])
        store.keep(Change(alerts=[FIRING], samples=[("new", 2e9, 1.0)]))
        assert store.flush(30)
        store.forget(datetime(1970, 1, 2, tzinfo=UTC))
        assert store.flush(30)
        assert store.find(FIRING.id) == FIRING
    if aside(path):
        assert any("set aside as" in text for text in said.texts)
        assert asked(path, "PRAGMA integrity_check") == [("ok",)]
    assert FIRING in SqliteStore.open_readonly(path).load().alerts
    return said, kept


@pytest.mark.parametrize("part", range(3))
def test_bits_that_flipped_anywhere_do_no_harm(whole: bytes, part: int):
    rng = random.Random(part)
    # The header and the schema are read first; the rest is anywhere.
    offsets = [*range(part, 108, 9)] + [rng.randrange(100, len(whole)) for _ in range(16)]
    told = 0
    for offset in offsets:
        with directory() as folder:
            flipped = bytearray(whole)
            for at in range(offset, min(offset + rng.choice((1, 1, 40)), len(whole))):
                flipped[at] ^= 1 << rng.randrange(8)
            path = folder / "alerts.db"
            path.write_bytes(flipped)
            said, _ = opens_and_goes_on(path)
            told += bool(said.errors)
    assert told > 3


def test_a_file_that_was_cut_off_anywhere_does_no_harm(whole: bytes):
    rng = random.Random(3)
    anywhere = (rng.randrange(len(whole)) for _ in range(8))
    for length in (0, 1, 15, 16, 100, 4095, 4096, 8192, *anywhere):
        with directory() as folder:
            path = folder / "alerts.db"
            path.write_bytes(whole[:length])
            said, kept = opens_and_goes_on(path)
            # SQLite takes what is shorter than its smallest page for an empty file.
            if length >= 512 and not said.errors:
                # What was cut off is of an index, or was free.
                assert (len(kept.alerts), len(kept.silences), len(kept.samples)) == (10, 5, 540)
                assert (len(kept.documents), len(kept.messages)) == (5, 5)


def test_what_can_be_read_of_a_damaged_file_goes_into_the_new_one(whole: bytes, tmp_path: Path):
    path = tmp_path / "alerts.db"
    path.write_bytes(whole)
    page = 4096
    (root,) = asked(path, "SELECT rootpage FROM sqlite_master WHERE name = 'samples'")[0]
    with path.open("r+b") as file:
        file.seek((root - 1) * page)
        file.write(bytes(range(256)) * (page // 256))
    said, kept = opens_and_goes_on(path)
    assert "set aside" in said.texts[0]
    assert {one.id for one in kept.alerts} == {alert(number).id for number in range(30, 40)}
    assert kept.messages == tuple(EVERYTHING.messages)
    again = SqliteStore.open_readonly(path).load()
    assert len(again.alerts) == 11
    assert (again.silences, again.documents) == (tuple(EVERYTHING.silences), EVERYTHING.documents)
    assert again.messages == tuple(EVERYTHING.messages)


def test_what_breaks_while_it_runs_is_set_aside_and_nothing_new_is_lost(
    whole: bytes, tmp_path: Path
):
    path = tmp_path / "alerts.db"
    said = Said()
    with opened(path, said) as store:
        store.keep(EVERYTHING)
        assert store.flush(30)
        with closing(sqlite3.connect(path)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        damaged = bytearray(path.read_bytes())
        damaged[4096:] = random.Random(5).randbytes(len(damaged) - 4096)
        with path.open("r+b") as file:
            file.write(damaged)
        # Who reads finds it first, and tells the one that writes.
        assert store.history() == ()
        assert store.load() == Kept()
        store.keep(Change(alerts=[PENDING], messages=[message(9)]))
        assert store.flush(30)
        assert len(aside(path)) == 1
        assert aside(path)[0].name == f"alerts.db.corrupt-{NOW:%Y%m%dT%H%M%S.%f}Z"
        assert store.load() == Kept(alerts=(PENDING,), messages=(message(9),))
        assert store.dropped == store.failures == 0
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]


def test_a_whole_file_is_not_set_aside_because_a_reader_saw_something(tmp_path: Path):
    path = tmp_path / "alerts.db"
    said = Said()
    with opened(path, said) as store:
        store.keep(Change(alerts=[FIRING]))
        assert store.flush(30)
        store._writer.suspect(sqlite3.DatabaseError("database disk image is malformed"))
        store.keep(Change(alerts=[PENDING]))
        assert store.flush(30)
        assert said.texts == ["database disk image is malformed"]
        assert store.load().alerts == (FIRING, PENDING)
    assert aside(path) == []


def test_a_row_that_a_newer_version_wrote_or_that_was_altered_is_left_out_and_told(tmp_path: Path):
    path = tmp_path / "alerts.db"
    with opened(path) as store:
        store.keep(
            Change(
                alerts=[FIRING, PENDING, replace(FIRING, id="other", title="Harmless")],
                silences=[SILENCE, silence(2)],
                samples=[("up", 1.0, 1.0), ("down", 1.0, 1.0)],
            )
        )
    with closing(sqlite3.connect(path, isolation_level=None)) as newer:
        from zlib import crc32

        (data,) = newer.execute("SELECT data FROM alerts WHERE id = ?", (FIRING.id,)).fetchone()
        data = data.replace('"firing"', '"postponed"')
        newer.execute(
            "UPDATE alerts SET data = ?, crc = ? WHERE id = ?",
            (data, crc32(data.encode()), FIRING.id),
        )
        newer.execute("UPDATE alerts SET data = replace(data, 'Harmless', 'Harmful')")
        newer.execute("UPDATE silences SET data = x'00ff' WHERE id = ?", (SILENCE.id,))
        newer.execute("UPDATE sampled SET key = 'sown' WHERE key = 'down'")
    said = Said()
    with opened(path, said) as store:
        kept = store.load()
        assert (kept.alerts, kept.silences) == ((PENDING,), (silence(2),))
        assert kept.samples == (("up", 1.0, 1.0),)
        assert len(said.errors) == 4
        assert any("newer version" in text for text in said.texts)
        assert store.history() == ()
        assert store.find(FIRING.id) is None
    reader = SqliteStore.open_readonly(path)
    assert reader.find(FIRING.id) is None
    assert reader.left_out == 1


def test_a_log_that_is_rubbish_costs_no_more_than_what_was_in_it(whole: bytes, tmp_path: Path):
    path = tmp_path / "alerts.db"
    path.write_bytes(whole)
    path.with_name("alerts.db-wal").write_bytes(random.Random(1).randbytes(50_000))
    path.with_name("alerts.db-shm").write_bytes(random.Random(2).randbytes(32_768))
    said, kept = opens_and_goes_on(path)
    assert said.errors == []
    assert (len(kept.alerts), len(kept.samples)) == (10, 540)


# -- whose it is -----------------------------------------------------------------------------------


def test_another_programs_database_is_refused_and_left_as_it_is(tmp_path: Path):
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as theirs:
        for name in ("alerts", "messages", "about"):
            theirs.execute(f"CREATE TABLE {name}(id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=r"alerts\.path = .*another program's database"):
        opened(path)
    with pytest.raises(AlertStoreError, match="another's"):
        SqliteStore.open_readonly(path).load()
    assert path.read_bytes() == before
    assert aside(path) == []


def test_the_historys_file_is_not_taken_for_that_of_alerts_nor_the_other_way_round(tmp_path: Path):
    past, alerts = tmp_path / "past.db", tmp_path / "alerts.db"
    History(HistoryOptions(path=past), on_error=Said()).close()
    opened(alerts).close()
    before = past.read_bytes(), alerts.read_bytes()
    with pytest.raises(ConfigurationError, match=r"alerts\.path = .*another program's database"):
        opened(past)
    with pytest.raises(ConfigurationError, match=r"history\.path = .*another program's database"):
        History(HistoryOptions(path=alerts), on_error=Said())
    assert (past.read_bytes(), alerts.read_bytes()) == before


def test_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path):
    path = tmp_path / "alerts.db"
    opened(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as newer:
        newer.execute("PRAGMA user_version = 99")
        newer.execute("UPDATE about SET value = 99 WHERE key = 'schema'")
        newer.execute("CREATE TABLE of_the_future(id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=r"alerts\.path = .*version 99, newer than 1"):
        opened(path)
    assert path.read_bytes() == before
    assert aside(path) == []


def test_reading_what_is_not_there_is_an_error_that_names_the_file(tmp_path: Path):
    path = tmp_path / "none.db"
    with pytest.raises(AlertStoreError, match=r"none\.db: .*No such file"):
        SqliteStore.open_readonly(path).history()
    path.write_text("no database at all, " * 100)
    with pytest.raises(AlertStoreError, match="not a database"):
        SqliteStore.open_readonly(path).find("x")
    shutil.copy(path, tmp_path / "copy.db")
    assert list(tmp_path.glob("*-wal")) == []


def test_an_index_that_hides_a_row_is_told_of(whole: bytes):
    # The name of an alert is in its row, in the JSON there, and in an index.
    name = next(iter(ALERTS)).encode()
    places = [at for at in range(len(whole)) if whole.startswith(name, at)]
    assert len(places) > 2
    for place in places:
        with directory() as folder:
            flipped = bytearray(whole)
            flipped[place + len(name) - 1] ^= 1
            path = folder / "alerts.db"
            path.write_bytes(flipped)
            said, _ = opens_and_goes_on(path)
            assert said.errors, place
