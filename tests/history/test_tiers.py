"""Every tier says the same of any whole range, also where a clock is set back or forward."""

from __future__ import annotations

import random
import sqlite3
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pasts import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    START,
    Program,
    asked,
    keep,
    opened,
    size_of,
    sums,
)

from metalscope.health_options import HistoryOptions
from metalscope.history import SeriesKey
from metalscope.history.differences import State, difference
from metalscope.history.figures import (
    DamagedRowError,
    OperationFigures,
    ReadingFigures,
    pack_cells,
    unpack_cells,
)
from metalscope.history.schema import SCHEMA, TIERS
from metalscope.history.store import Store
from metalscope.moments import microseconds
from metalscope.snapshot import ResourceKind, ResourceMetrics
from metalscope.sqlite_file.opening import OwnFile


def reading(value: float) -> ResourceMetrics:
    return ResourceMetrics(ResourceKind.MEMORY, "active", "m1", value)


# -- exactness -----------------------------------------------------------------------------------

runs = st.tuples(
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["ok", "timeout", "out_of_memory"]),
    st.lists(st.integers(0, 10**9), max_size=3),  # µs
)
ticks = st.tuples(
    # Mostly on, sometimes back, sometimes far on.
    st.one_of(st.integers(1, 90), st.integers(1, 4000), st.integers(-4000, 0), st.just(0)),
    st.lists(runs, max_size=4),
    st.none() | st.integers(-1000, 1000),
)


@settings(max_examples=40)
@given(st.lists(ticks, min_size=1, max_size=30))
def test_totals_over_any_whole_range_are_equal_in_every_tier(steps):
    program = Program(now=START + DAY)
    expected_seconds = 0.0
    with TemporaryDirectory() as directory:
        path = Path(directory) / "past.db"
        file = OwnFile(path, "history.path", SCHEMA)
        store = Store(file, HistoryOptions(path=path), elapsed=lambda: 0.0)
        written = None
        for seconds, ran, value in steps:
            program.now += timedelta(seconds=seconds)
            for name, outcome, durations in ran:
                ms = [duration / 1000 for duration in durations]
                program.ran(name, ms, outcome=outcome, untimed=1, nbytes=3)
            snapshot = program.snapshot(*([] if value is None else [reading(value)]))
            now = State.of(snapshot)
            tick = difference(written, now, snapshot)
            expected_seconds += tick.seconds
            store.commit(tick, run="1")
            written = now
        # Past it all, so that every hour is over.
        program.now = START + 10 * DAY
        snapshot = program.snapshot()
        last = difference(written, State.of(snapshot), snapshot)
        store.commit(last, run="1")
        expected_seconds += last.seconds
        store.close()
        until = microseconds(program.now) // 1000 // 3_600_000 * 3_600_000
        for question in (
            "SELECT what, kind, name, at / :hour, SUM(operations), SUM(errors), SUM(timed), "
            "SUM(busy_ns), SUM(nbytes), MIN(at_least_ns), MAX(at_most_ns) "
            "FROM operation_{tier} JOIN series ON id = series WHERE at < :until "
            "GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
            "SELECT at / :hour, {readings} FROM reading_{tier} WHERE at < :until GROUP BY 1",
            "SELECT at / :hour, SUM(ticks), TOTAL(seconds) FROM covered_{tier} WHERE at < :until "
            "GROUP BY 1",
        ):
            answers = []
            for tier in TIERS:
                of_readings = "SUM(samples), SUM(total), MIN(low), MAX(high)"
                if tier.name == "ticks":
                    of_readings = "COUNT(*), SUM(value), MIN(value), MAX(value)"
                sql = question.format(tier=tier.name, readings=of_readings)
                with sqlite3.connect(path) as connection:
                    values = {"hour": 3_600_000, "until": until}
                    answers.append(connection.execute(sql, values).fetchall())
                connection.close()
            assert answers[0] == answers[1] == answers[2]
        histograms = []
        for tier in TIERS:
            together: dict[str, OperationFigures] = {}
            for name, failures, cells in asked(
                path,
                "SELECT name, failures, ok_cells FROM operation_"
                f"{tier.name} JOIN series ON id = series WHERE what = 'operation'",
            ):
                one = OperationFigures.of((0, 0, 0, 0, None, None, 0, 0, 0, failures, cells))
                together.setdefault(name, OperationFigures()).add(one)
            histograms.append(together)
        assert histograms[0] == histograms[1] == histograms[2]
        expected = {
            f"operationexecute{name}": (
                sum(one.count for one in outcomes.values()),
                sum(one.count for outcome, one in outcomes.items() if outcome != "ok"),
                sum(one.durations.count for one in outcomes.values()),
                sum(one.durations.sum_ns for one in outcomes.values()),
                sum(one.nbytes for one in outcomes.values()),
            )
            for (_, name, _), outcomes in program.outcomes.items()
        }
        found = dict(sums(path, "hours"))
        everything = found.pop("all")
        assert found == expected
        assert everything[0] == sum(one[0] for one in expected.values())
        covered = asked(path, "SELECT TOTAL(seconds) FROM covered_ticks")[0][0]
        assert covered == pytest.approx(expected_seconds)


@given(st.dictionaries(st.integers(0, 400), st.integers(1, 2**62)))
def test_cells_are_packed_and_come_back(cells: dict[int, int]):
    assert unpack_cells(pack_cells(cells)) == cells


@given(st.binary(max_size=30))
def test_bytes_that_are_no_cells_are_refused_or_are_cells(data: bytes):
    try:
        cells = unpack_cells(data)
    except DamagedRowError:
        return
    assert all(0 <= cell < 4096 and count < 2**64 for cell, count in cells.items())


def test_a_number_of_ten_bytes_that_no_count_can_be_is_refused():
    too_large = bytes([1]) + b"\xff" * 9 + b"\x02"
    with pytest.raises(DamagedRowError, match="too large"):
        unpack_cells(too_large)
    assert unpack_cells(bytes([1]) + b"\xff" * 9 + b"\x01") == {1: 2**64 - 1}


@pytest.mark.parametrize("row", [(1, "x", 1, 1, 1), ("1", 1, 1, 1, 1), (1, None, 1, 1, 1)])
def test_a_row_of_readings_that_was_not_written_so_is_refused(row):
    with pytest.raises(DamagedRowError):
        ReadingFigures.of(row)


# -- clocks --------------------------------------------------------------------------------------


def test_a_clock_set_back_loses_no_count(tmp_path: Path):
    program = Program(now=START + 5 * HOUR)
    path = tmp_path / "past.db"
    with opened(path, program) as history:
        for by in (SECOND, HOUR, -3 * HOUR, SECOND, SECOND, -HOUR, 10 * HOUR):
            program.ran("matmul", [1.0] * 2)
            program.now += by
            keep(history, program.snapshot(reading(1)))
        assert history.operations(START, START + DAY)[0].operations == 14
        hours = history.outcomes(START, START + DAY, HOUR)
        assert sum(one.ok for one in hours) == 14


def test_two_ticks_of_one_moment_are_two(tmp_path: Path):
    program = Program()
    with opened(tmp_path / "past.db", program) as history:
        for _ in range(3):
            program.ran("matmul", [1.0])
            keep(history, program.snapshot())
        assert history.operations(START, START + MINUTE)[0].operations == 3


def test_a_clock_that_is_wrong_for_a_moment_does_not_have_the_past_forgotten(tmp_path: Path):
    program = Program()
    path = tmp_path / "past.db"
    with opened(path, program) as history:
        for _ in range(90):
            program.ran("matmul", [1.0])
            program.passes(20 * SECOND)
            keep(history, program.snapshot())
        program.now += 3650 * DAY
        for _ in range(10):
            program.passes(20 * SECOND)
            keep(history, program.snapshot())
        program.now -= 3650 * DAY
        for _ in range(10):
            program.passes(20 * SECOND)
            keep(history, program.snapshot())
        assert history.operations(START, START + DAY)[0].operations == 90
        # When the clock has run even for long enough, what lies in years to come is forgotten.
        for _ in range(240):
            program.passes(20 * SECOND)
            keep(history, program.snapshot())
        span = history.span()
        assert span is not None
        assert span[1] <= program.now
        assert history.operations(START, START + DAY)[0].operations == 90


# -- how long and how much -----------------------------------------------------------------------


def test_each_tier_is_kept_as_long_as_it_is_to_be(tmp_path: Path):
    program = Program()
    path = tmp_path / "past.db"
    kept = {"keep_ticks": 10 * MINUTE, "keep_minutes": 3 * HOUR, "keep_hours": DAY}
    count = 0
    with opened(path, program, **kept) as history:
        while program.now < START + 2 * DAY:
            program.ran("matmul", [1.0])
            program.passes(2 * MINUTE)
            keep(history, program.snapshot(reading(1)))
            count += 1
        (everything,) = asked(path, "SELECT SUM(operations) FROM operation_hours")[0]
        assert everything < 2 * count
    now = microseconds(program.now) // 1000
    oldest = {
        tier.name: [
            (now - asked(path, f"SELECT MIN(at) FROM {what}_{tier.name}")[0][0]) / 60_000
            for what in ("covered", "operation", "reading")
        ]
        for tier in TIERS
    }  # in minutes
    assert set(oldest["ticks"]) == {10}
    # Those go by the hour.
    assert all(3 * 60 <= age <= 4 * 60 for age in oldest["minutes"])
    assert all(24 * 60 <= age <= 25 * 60 for age in oldest["hours"])


def test_of_what_is_forgotten_the_rest_is_read_from_the_next_tier(tmp_path: Path):
    program = Program()
    path = tmp_path / "past.db"
    kept = {"keep_ticks": 10 * MINUTE, "keep_minutes": 3 * HOUR, "keep_hours": 10 * DAY}
    with opened(path, program, **kept) as history:
        while program.now < START + DAY:
            program.ran("matmul", [1.0])
            program.passes(3 * MINUTE)
            keep(history, program.snapshot(reading(1)))
        key = SeriesKey("operations")
        assert history.operations(START, START + 2 * DAY)[0].operations == 480
        assert history.covered(START, START + 2 * DAY) == 24 * 3600
        hours = history.series(key, START, program.now, HOUR)
        assert len(hours.values) == 24
        assert [round(value * 180, 6) for value in hours.values if value is not None] == [1.0] * 24
        minutes = history.series(key, START, program.now, 3 * MINUTE)
        assert minutes.values[0] is None
        assert minutes.values[-60:] == [1 / 180] * 60
        assert history.series(key, START, program.now, SECOND).values[:-600] == [None] * 85800


@pytest.mark.parametrize("max_bytes", [2**17, 2**20])
def test_the_file_and_its_log_never_take_more_than_they_may(tmp_path: Path, max_bytes: int):
    program = Program()
    path = tmp_path / "past.db"
    rng = random.Random(1)
    largest = 0
    with opened(path, program, max_bytes=max_bytes, keep_ticks=7 * DAY) as history:
        for number in range(400):
            for name in range(15):
                program.ran(f"kernel {name}", [rng.random() * 50 for _ in range(3)])
            program.passes(20 * SECOND if number % 80 else HOUR)
            keep(history, program.snapshot(*(
                ResourceMetrics(ResourceKind.TEMPERATURE, f"{one}", "m1", rng.random())
                for one in range(5)
            )))  # fmt: skip
            largest = max(largest, size_of(path))
        span = history.span()
        assert span is not None
        assert span[1] <= program.now
        last = history.series(SeriesKey("operations"), program.now - MINUTE, program.now, MINUTE)
        assert last.values[-1]
    assert max_bytes / 3 < largest <= max_bytes
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]


def test_no_more_is_forgotten_than_there_is_room_needed(tmp_path: Path):
    program = Program()
    path = tmp_path / "past.db"
    fewest = 1000
    with opened(path, program, max_bytes=2**19, keep_ticks=7 * DAY) as history:
        for number in range(500):
            for name in range(20):
                program.ran(f"kernel {name}", [1.0])
            program.passes(SECOND)
            keep(history, program.snapshot())
            if number >= 400:
                fewest = min(fewest, asked(path, "SELECT COUNT(*) FROM covered_ticks")[0][0])
    assert 300 < fewest < 400
    assert asked(path, "PRAGMA freelist_count") == [(0,)]


def test_names_of_which_nothing_is_kept_make_room_for_others(tmp_path: Path):
    program = Program()
    path = tmp_path / "past.db"
    kept = {"keep_ticks": MINUTE, "keep_minutes": HOUR, "keep_hours": 2 * HOUR}
    with opened(path, program, max_series=2, **kept) as history:
        for name in ("a", "b", "c"):
            program.ran(name, [1.0])
        for _ in range(6 * 60):
            program.passes(MINUTE)
            keep(history, program.snapshot())
            assert {key.name for key in history.keys()[3:]} <= {"a", "b", "c"}
        program.ran("c", [1.0])
        program.passes(MINUTE)
        keep(history, program.snapshot())
        assert {key.name for key in history.keys()[3:]} == {"c"}
