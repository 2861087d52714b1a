"""A disk that is full, or that cannot be written to, is told of; what waits is written later."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from pathlib import Path

import pytest
from alert_stores import Said, alert, aside, asked, message, opened, silence

from alert_samples import FIRING, NOW, PENDING
from metalscope.alert_report import AlertState
from metalscope.alerts.sqlite_store import SqliteStore
from metalscope.alerts.store import writer as writer_module
from metalscope.alerts.storing import Change
from metalscope.errors import ConfigurationError
from small_files import files_of_at_most, fill, mounted


def test_what_did_not_fit_is_written_when_there_is_room_again(tmp_path: Path):
    path = tmp_path / "alerts.db"
    said = Said()
    with opened(path, said) as store:
        store.keep(Change(alerts=[alert(0)], silences=[silence(1)], messages=[message(1)]))
        assert store.flush(30)
        with files_of_at_most(path.with_name("alerts.db-wal").stat().st_size):
            for number in range(1, 5):
                store.keep(
                    Change(
                        alerts=[alert(0, count=number), alert(number)],
                        documents={"engine": number},
                        messages=[message(number + 1)],
                        sent=[f"message {number}"],
                        without=["silence 1"],
                        samples=[("up", float(number), 1.0)],
                    )
                )
                assert not store.flush(30)
            assert store.failures == len(said.errors) == 4
            assert all(isinstance(error, sqlite3.OperationalError) for error in said.errors)
            assert store.waiting == 5 + 1 + 1 + 4
            # It is known all the same.
            assert store.find(alert(0).id) == alert(0, count=4)
            assert len(store.history()) == 5
            assert asked(path, "SELECT COUNT(*) FROM alerts") == [(1,)]
        assert store.flush(30)
        assert (store.waiting, store.dropped) == (0, 0)
    kept = SqliteStore.open_readonly(path).load()
    assert kept.alerts[0] == alert(0, count=4)
    assert len(kept.alerts) == 5
    assert (kept.silences, kept.messages, kept.documents) == ((), (message(5),), {"engine": 4})
    assert len(kept.samples) == 4
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]
    assert aside(path) == []


def test_it_is_tried_again_though_nothing_more_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(writer_module, "RETRY_SECONDS", 0.01)
    path = tmp_path / "alerts.db"
    said = Said()
    with opened(path, said) as store:
        store.keep(Change(alerts=[FIRING]))
        assert store.flush(30)
        with files_of_at_most(path.with_name("alerts.db-wal").stat().st_size):
            store.keep(Change(alerts=[PENDING]))
            assert not store.flush(30)
        with store._writer._changed:
            assert store._writer._changed.wait_for(lambda: not store.waiting, 30)
        assert asked(path, "SELECT COUNT(*) FROM alerts") == [(2,)]


def test_what_is_left_when_it_is_closed_is_told_and_given_up(tmp_path: Path):
    path = tmp_path / "alerts.db"
    said = Said()
    store = opened(path, said)
    store.keep(Change(alerts=[FIRING]))
    assert store.flush(30)
    with files_of_at_most(path.with_name("alerts.db-wal").stat().st_size):
        store.keep(Change(alerts=[PENDING]))
        store.close(30)
    assert len(said.errors) in {1, 2}
    with opened(path) as again:
        assert again.load().alerts == (FIRING,)


def test_a_disk_that_is_full_is_filled_again_later_from_the_start_on(tmp_path: Path):
    with mounted(tmp_path / "small", "size=512k") as disk:
        path = disk / "alerts.db"
        fill(disk / "other")
        said = Said()
        with opened(path, said) as store:
            assert store.load().alerts == ()
            for number in range(100):
                store.keep(Change(alerts=[alert(number % 30, count=number)]))
            assert not store.flush(30)
            assert said.errors
            assert len(store.history()) == 30
            (disk / "other").unlink()
            assert store.flush(30)
        kept = SqliteStore.open_readonly(path).load()
        assert {one.count for one in kept.alerts} == set(range(70, 100))
        assert aside(path) == []


def test_on_a_disk_that_may_only_be_read_it_is_read_and_not_written_to(tmp_path: Path):
    with mounted(tmp_path / "disk", "size=4m") as disk:
        path = disk / "alerts.db"
        with opened(path) as store:
            store.keep(Change(alerts=[FIRING, alert(1, AlertState.RESOLVED)]))
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(ConfigurationError, match=r"alerts\.path = .*Read-only file system"):
            opened(path)
        reader = SqliteStore.open_readonly(path)
        assert reader.load().alerts == (FIRING,)
        assert len(reader.history()) == 2


def test_a_file_that_was_removed_begins_anew_with_what_comes(tmp_path: Path):
    path = tmp_path / "alerts.db"
    said = Said()
    with opened(path, said) as store:
        store.keep(Change(alerts=[FIRING]))
        assert store.flush(30)
        path.unlink()
        assert store.history() == ()
        store.keep(Change(alerts=[PENDING]))
        assert store.flush(30)
        assert said.texts[-1] == f"{path} was moved or removed; a new file begins"
    assert SqliteStore.open_readonly(path).load().alerts == (PENDING,)


@pytest.mark.parametrize("what", ["directory", "below a file", "pipe", "lock is a link"])
def test_a_path_that_cannot_be_used_is_named_with_its_option_and_the_reason(
    tmp_path: Path, what: str
):
    path = tmp_path / "alerts.db"
    if what == "directory":
        path.mkdir()
    elif what == "below a file":
        path.write_text("")
        path = path / "alerts.db"
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.with_name("alerts.db.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match=r"^alerts\.path = .*: must be a file .*\(.+\)$"):
        opened(path)


def test_forgetting_waits_for_room_like_all_else(tmp_path: Path):
    path = tmp_path / "alerts.db"
    with opened(path, Said()) as store:
        over = [alert(number, AlertState.RESOLVED) for number in range(20)]
        store.keep(Change(alerts=over))
        assert store.flush(30)
        with files_of_at_most(path.with_name("alerts.db-wal").stat().st_size):
            store.forget(NOW.replace(year=2027))
            assert not store.flush(30)
            assert store.history() == ()
            store.keep(Change(alerts=over[:1]))
            assert store.history() == tuple(over[:1])
        assert store.flush(30)
    assert SqliteStore.open_readonly(path).history() == tuple(over[:1])
