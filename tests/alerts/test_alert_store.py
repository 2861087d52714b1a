"""A store in a file keeps what a store in memory does, beyond the end of the program."""

from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from alert_stores import Said, alert, asked, directory, message, opened, silence, size_of
from hypothesis import given, settings
from hypothesis import strategies as st

from alert_samples import FIRING, MESSAGE, NOW, PENDING, RESOLVED, SILENCE
from metalscope.alert_report import Alert, AlertState
from metalscope.alerts.memory_store import MemoryStore
from metalscope.alerts.sqlite_store import SqliteStore
from metalscope.alerts.store import waiting as waiting_module
from metalscope.alerts.storing import Change, Kept, SampleRow
from metalscope.sqlite_file import opening

MINUTE = timedelta(minutes=1)
NUMBERS = st.integers(0, 5)
SAMPLES: tuple[SampleRow, ...] = (("up", 1.5, 2.0), ("down", 1.5, math.inf), ("up", 16.5, 3.0))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "alerts.db"


def sorted_kept(kept: Kept) -> tuple[Any, ...]:
    """What the order of alerts and of samples of one moment does not change."""
    by_id = sorted(kept.alerts, key=lambda one: one.id)
    return by_id, kept.silences, kept.documents, kept.messages, sorted(kept.samples)


def test_everything_is_there_again_as_it_was(path: Path):
    change = Change(
        alerts=(FIRING, PENDING, RESOLVED),
        silences=(SILENCE,),
        documents={"engine": {"since": [1, 2.5, None, "x"]}, "groups": [True]},
        messages=(MESSAGE, message(2)),
        samples=SAMPLES,
        samples_from=1.0,
    )
    with opened(path) as store:
        assert store.load() == Kept()
        store.keep(change)
    with opened(path) as store:
        assert store.load() == Kept(
            (FIRING, PENDING), (SILENCE,), change.documents, (MESSAGE, message(2)), SAMPLES
        )
        assert store.find(RESOLVED.id) == RESOLVED
        assert store.history() == (FIRING, RESOLVED)
        assert store.dropped == store.failures == store.waiting == 0
    assert SqliteStore.open_readonly(path).load().alerts == (FIRING, PENDING)


# -- a store in memory as the model ----------------------------------------------------------------

STATES = st.sampled_from(AlertState)
CHANGES = st.builds(
    Change,
    alerts=st.lists(st.builds(lambda n, s, c: alert(n, s, count=c), NUMBERS, STATES, NUMBERS)),
    silences=st.lists(st.builds(silence, NUMBERS, st.text(max_size=3)), max_size=2),
    without=st.lists(NUMBERS.map("silence {}".format), max_size=2),
    documents=st.dictionaries(st.sampled_from("ab"), st.integers(), max_size=1),
    messages=st.lists(st.builds(message, NUMBERS, st.text(max_size=3)), max_size=3),
    sent=st.lists(NUMBERS.map("message {}".format), max_size=3),
)
STEPS = st.lists(
    st.one_of(
        CHANGES,
        CHANGES,
        st.integers(0, 4).map(lambda n: NOW + n * MINUTE),
        st.sampled_from(["flush", "reopen"]),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_whatever_is_kept_and_whenever_it_ends_it_is_as_in_memory(steps: list[Any]):
    model = MemoryStore()
    with directory() as folder:
        path = folder / "alerts.db"
        store = opened(path)
        for step in [*steps, "reopen"]:
            if step == "reopen":
                store.close()
                store = opened(path)
                assert sorted_kept(store.load()) == sorted_kept(model.load())
            elif step == "flush":
                assert store.flush(30)
            elif isinstance(step, Change):
                model.keep(step)
                store.keep(step)
            else:
                model.forget(step)
                store.forget(step)
            for question in ({}, {"limit": 2}, {"rule": "Rule1"}, {"before": alert(3).fired_at}):
                assert store.history(**question) == model.history(**question)
            for number in range(6):
                assert store.find(alert(number).id) == model.find(alert(number).id)
        store.close()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.lists(st.tuples(st.sampled_from("ab"), NUMBERS)), NUMBERS)))
def test_samples_are_those_from_a_moment_on_the_last_of_each(turns: list[Any]):
    model: dict[tuple[str, float], float] = {}
    since = 0.0
    with directory() as folder:
        with opened(folder / "alerts.db") as store:
            for value, (samples, ahead) in enumerate(turns):
                rows = [(key, since + later, float(value)) for key, later in samples]
                since += ahead
                store.keep(Change(samples=rows, samples_from=since))
                model.update({(key, at): value for key, at, value in rows})
                model = {one: value for one, value in model.items() if one[1] >= since}
        with opened(folder / "alerts.db") as store:
            rows = sorted((key, at, value) for (key, at), value in model.items())
            assert sorted(store.load().samples) == rows


# -- what is in the way ----------------------------------------------------------------------------


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that another one holds is waited for, however slow this machine is."""
    monkeypatch.setattr(opening, "_BUSY_SECONDS", 60.0)


@pytest.mark.usefixtures("patient")
def test_keeping_returns_at_once_while_the_file_is_busy_and_all_is_known_meanwhile(path: Path):
    with opened(path) as store:
        store.keep(Change(alerts=[alert(1), alert(2)], silences=[silence(1)]))
        assert store.flush(30)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            began = perf_counter()
            store.keep(Change(alerts=[alert(1, AlertState.RESOLVED), alert(3)]))
            store.keep(Change(alerts=[alert(4)], without=["silence 1"]))
            store.forget(NOW + 3 * MINUTE)
            assert perf_counter() - began < 5
            assert [one.id[-1] for one in store.history()] == ["4", "3", "2"]
            assert [one.id[-1] for one in store.history(limit=1, before=alert(4).fired_at)] == ["3"]
            assert store.find(alert(1).id) is None
            assert store.load().silences == ()
            assert asked(path, "SELECT COUNT(*) FROM alerts") == [(2,)]
            # It does not hang however long the other one takes.
            store.close(0.01)
        store.close()
    assert asked(path, "SELECT COUNT(*) FROM alerts") == [(3,)]


@pytest.mark.usefixtures("patient")
def test_of_too_many_that_wait_the_newest_stay_and_the_rest_is_counted(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(waiting_module, "MOST_SAMPLES", 10)
    monkeypatch.setattr(waiting_module, "MOST_OF_A_KIND", 3)
    store = opened(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        # The first is taken to be written; these wait behind it.
        store.keep(Change(documents={"a": 0}))
        while store._writer._being_written is None:
            threading.Event().wait(0.001)
        for number in range(8):
            store.keep(
                Change(
                    alerts=[
                        alert(number, AlertState.RESOLVED if number < 6 else AlertState.FIRING)
                    ],
                    documents={"a": number},
                    messages=[message(number)],
                    samples=[("up", number + part / 2, 1.0) for part in range(2)],
                )
            )
        assert store.waiting == 1 + 1 + 3 + 3 + 10
        assert store.dropped == 5 + 5 + 6
    store.close()
    with opened(path) as store:
        kept = store.load()
        assert [one.id for one in kept.messages] == ["message 5", "message 6", "message 7"]
        assert [one.id[-1] for one in store.history()] == ["7", "6", "5"]
        assert (kept.documents, len(kept.samples)) == ({"a": 7}, 10)


def test_what_cannot_be_stored_is_told_and_does_not_hold_up_the_rest(path: Path):
    said = Said()
    with opened(path, said) as store:
        itself: list[Any] = []
        itself.append(itself)
        store.keep(Change(documents={"bad": object(), "loop": itself, "good": 1}, alerts=[FIRING]))
        store.keep(
            Change(samples=[("up", math.nan, 1.0), ("up", 2.0, math.nan), ("up", 3.0, None)])
        )  # type: ignore[list-item]
        assert store.flush(30)
        assert [type(error) for error in said.errors] == [TypeError, ValueError, TypeError]
        kept = store.load()
        assert (kept.documents, kept.alerts) == ({"good": 1}, (FIRING,))
        ((key, at, value),) = kept.samples
        assert (key, at) == ("up", 2.0)
        assert math.isnan(value)


def test_text_is_text_whatever_is_in_it(path: Path):
    odd = "\ud800 \x00 ' \" ; é \U0001f525"
    one = replace(FIRING, id=odd, rule=odd, title=odd, labels=((odd, odd),))
    sent = replace(MESSAGE, id=odd, channel=odd)
    with opened(path) as store:
        store.keep(Change(alerts=[one], messages=[sent], documents={odd: {odd: odd}}))
    with opened(path) as store:
        kept = store.load()
        assert (kept.alerts, kept.messages, kept.documents) == ((one,), (sent,), {odd: {odd: odd}})
        assert store.find(odd) == one
        assert store.history(rule=odd) == (one,)
        store.keep(Change(sent=[odd]))
        assert store.load().messages == ()


def test_a_value_that_is_no_number_is_none_again(path: Path):
    with opened(path) as store:
        store.keep(Change(alerts=[replace(FIRING, value=math.nan)]))
        assert store.flush(30)
    found = SqliteStore.open_readonly(path).find(FIRING.id)
    assert found is not None
    assert found.value is not None
    assert math.isnan(found.value)


# -- many and much ---------------------------------------------------------------------------------


def test_ten_thousand_alerts_are_paged_quickly(path: Path):
    with opened(path) as store:
        for first in range(0, 10_000, 1000):
            numbers = range(first, first + 1000)
            store.keep(Change(alerts=[alert(number, AlertState.RESOLVED) for number in numbers]))
            assert store.flush(60)
        found: list[Alert] = []
        began = perf_counter()
        while page := store.history(before=found[-1].fired_at if found else None):
            found += page
        took = perf_counter() - began
        assert [one.id for one in found] == [alert(number).id for number in range(9999, -1, -1)]
        assert took < 20, "a hundred pages of a hundred"
        plan = asked(
            path,
            "EXPLAIN QUERY PLAN SELECT data FROM alerts WHERE fired_at IS NOT NULL AND "
            "fired_at < 1 ORDER BY fired_at DESC, id DESC",
        )
        assert "alerts_by_time" in plan[0][3]


def test_past_its_size_the_oldest_resolved_go_first_then_samples_and_what_goes_on_never(
    path: Path,
):
    most = 2**20
    with opened(path, max_bytes=most) as store:
        lasting = [alert(number, description="x" * 1000) for number in range(20)]
        store.keep(Change(alerts=lasting, silences=[silence(1)], messages=[message(1)]))
        for first in range(100, 1300, 100):
            over = [alert(number, AlertState.RESOLVED) for number in range(first, first + 100)]
            store.keep(Change(alerts=over, samples=[("up", float(first), 1.0)]))
            assert store.flush(30)
            assert size_of(path) <= most
        kept = store.load()
        assert len(kept.alerts) == 20
        assert len(kept.samples) == 12, "there is room for samples while alerts can go"
        there = [one.id for one in store.history(limit=2000)]
        assert there[0] == alert(1299).id
        resolved = [one for one in there if one > alert(99).id]
        assert resolved == [alert(number).id for number in range(1299, 1299 - len(resolved), -1)]
        assert store.dropped == 1200 - len(resolved) > 500
        store.forget(NOW + timedelta(days=1))
        before = store.dropped
        for first in range(0, 60_000, 10_000):
            store.keep(Change(samples=[("up", 1e6 + n, 1.0) for n in range(first, first + 10_000)]))
            assert store.flush(30)
        store.close()
        assert store.dropped > before
        assert size_of(path) <= most
        samples = store.load().samples
        assert samples[-1][1] == 1e6 + 59_999
        assert 1000 < len(samples) < 60_000
        assert (len(store.load().alerts), len(store.load().messages)) == (20, 1)


def test_what_is_forgotten_gives_its_room_back(path: Path):
    with opened(path) as store:
        store.keep(Change(alerts=[alert(n, AlertState.RESOLVED) for n in range(1000)]))
        store.keep(Change(alerts=[alert(5000)], samples=[(f"{n}", 1.0, 1.0) for n in range(99)]))
        assert store.flush(30)
        store.keep(Change(samples_from=2.0))
        store.forget(NOW + timedelta(days=1))
    assert path.stat().st_size < 20 * 4096
    assert asked(path, "SELECT COUNT(*) FROM sampled") == [(0,)]
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]


def test_threads_read_while_it_is_written(path: Path):
    wrong: list[BaseException] = []
    ends = threading.Event()

    def read(store: SqliteStore) -> None:
        last = -1
        try:
            while not ends.is_set():
                there = store.history(limit=3)
                newest = int(there[0].id[-5:]) if there else -1
                # What was kept is known at once and for ever, in the file or not.
                assert newest >= last
                assert not there or store.find(there[-1].id) is not None
                last = newest
        except BaseException as error:
            wrong.append(error)

    with opened(path) as store:
        threads = [threading.Thread(target=read, args=(store,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(150):
            store.keep(Change(alerts=[alert(number)]))
            found = store.find(alert(number).id)
            assert found is not None
        ends.set()
        for thread in threads:
            thread.join()
    assert wrong == []


# -- small things ----------------------------------------------------------------------------------


def test_what_is_made_is_for_its_owner_alone(tmp_path: Path):
    path = tmp_path / "a" / "b" / "alerts.db"
    opened(path).close()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert sorted(one.name for one in path.parent.iterdir()) == ["alerts.db", "alerts.db.lock"]


def test_one_that_is_closed_keeps_nothing_more_and_can_still_be_read(path: Path):
    store = opened(path)
    store.keep(Change(alerts=[FIRING]))
    store.close()
    store.close()
    store.keep(Change(alerts=[PENDING]))
    store.forget(NOW)
    assert store.flush(1)
    assert store.history() == (FIRING,)
    assert store.load().alerts == (FIRING,)


def test_an_empty_page_is_an_empty_page(path: Path):
    with opened(path) as store:
        store.keep(Change(alerts=[FIRING]))
        assert store.history(limit=0) == store.history(rule="Another") == ()


def test_nothing_of_sqlite_is_loaded_before_alerts_are_stored():
    ask = (
        "import sys, metalscope, metalscope.alerts.sqlite_store\n"
        "assert not {'sqlite3', 'pydantic', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", ask], check=True)
