"""Many series are read at once, and say what each says by itself."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pasts import DAY, HOUR, MINUTE, SECOND, START, Program, asked, keep, opened

from metalscope.histogram import DurationHistogram, quantile_of_cells
from metalscope.history import History, HistoryError, HistoryReader, SeriesKey
from metalscope.history.figures import DamagedRowError, add_packed, pack_cells, unpack_cells
from metalscope.snapshot import ResourceKind, ResourceMetrics

EVERYTHING = SeriesKey("operations")
STEPS = [7 * SECOND, MINUTE, 2 * MINUTE, HOUR]


def reading(name: str, value: float, limit: float | None = None) -> ResourceMetrics:
    return ResourceMetrics(ResourceKind.POWER, name, "m1", value, limit=limit)


@pytest.fixture(scope="module")
def busy() -> Iterator[tuple[Path, datetime]]:
    """Two hours and a half of 20 operations, of which some seldom run, and of three readings."""
    program = Program()
    rng = random.Random(4)
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        path = Path(directory) / "past.db"
        with opened(path, program, keep_ticks=DAY) as history:
            while program.now < START + 2.5 * HOUR:
                for number in range(20):
                    if rng.random() < 0.3:
                        durations = [rng.lognormvariate(0, 1) for _ in range(3)]
                        program.ran(f"kernel {number}", durations, nbytes=8)
                        if number % 3 == 0:
                            program.ran(f"kernel {number}", [50.0], outcome="timeout")
                program.passes(19 * SECOND)
                rails = [reading(f"rail {number}", rng.random()) for number in range(3)]
                keep(history, program.snapshot(*rails))
        yield path, program.now


def operations(reader: HistoryReader, measure: str = "operations") -> list[SeriesKey]:
    return [
        SeriesKey(measure, key.kind, key.name, key.device)  # type: ignore[arg-type]
        for key in reader.keys()  # noqa: SIM118 - no dict
        if key.measure == "operations" and key.kind
    ]


@pytest.mark.parametrize("step", STEPS)
def test_many_series_say_what_each_says(busy, step: timedelta):
    path, now = busy
    reader = History.open_readonly(path)
    keys = [*reader.keys(), SeriesKey("operations", "execute", "never ran")]
    assert len(keys) == 3 * 21 + 3 + 1
    together = reader.many(keys, START, now, step)
    assert list(together) == [reader.series(key, START, now, step) for key in keys]
    assert set(together[-1].values) == {None}


@pytest.mark.parametrize("how", ["mean", "low", "high", "last"])
def test_many_readings_say_what_each_says(busy, how):
    path, now = busy
    reader = History.open_readonly(path)
    keys = list(reader.readings())
    found = reader.many(keys, START, now, 2 * MINUTE, reading=how)
    assert list(found) == [reader.series(key, START, now, 2 * MINUTE, reading=how) for key in keys]
    assert len({one.values[5] for one in found}) == 3


@pytest.mark.parametrize("step", STEPS)
def test_operations_together_are_their_sum(busy, step: timedelta):
    path, now = busy
    reader = History.open_readonly(path)
    for measure in ("operations", "errors", "error_rate", "duration_ms"):
        keys = operations(reader, measure)
        (together,) = reader.many(keys, START, now, step, together=True)
        everything = reader.series(SeriesKey(measure), START, now, step)  # type: ignore[arg-type]
        assert together.values == pytest.approx(everything.values)


def test_only_operations_of_one_measure_are_taken_together(busy):
    path, now = busy
    reader = History.open_readonly(path)
    power = SeriesKey("resource", "power", "rail 0", "m1")
    for keys in ([power], [EVERYTHING, SeriesKey("errors")], [EVERYTHING, power]):
        with pytest.raises(ValueError, match="together"):
            reader.many(keys, START, now, MINUTE, together=True)
    unknown = SeriesKey("operations", "execute", "never ran")
    (nothing,) = reader.many([unknown], START, now, HOUR, together=True)
    assert set(nothing.values) == {None}
    assert reader.many([], START, now, HOUR) == ()


def test_an_error_rate_is_the_failed_share_and_absent_where_nothing_ran(tmp_path: Path):
    program = Program()
    rate = SeriesKey("error_rate", "execute", "matmul", "m1")
    with opened(tmp_path / "past.db") as history:
        for failed in (1, 0, None, 3):
            if failed is not None:
                program.ran("matmul", [1.0] * 3)
                program.ran("matmul", [1.0] * failed, outcome="timeout")
            program.passes(SECOND)
            keep(history, program.snapshot())
        values = history.series(rate, START + SECOND, START + 5 * SECOND, SECOND).values
    assert values == [0.25, 0.0, None, 0.5]


# -- durations -----------------------------------------------------------------------------------


def test_quantiles_of_a_step_are_as_near_as_a_cell_to_the_durations_in_it(tmp_path: Path):
    program = Program()
    rng = random.Random(2)
    key = SeriesKey("operations", "execute", "matmul", "m1")
    minutes = []
    with opened(tmp_path / "past.db") as history:
        for _ in range(4):
            durations = sorted(rng.lognormvariate(1, 1.5) for _ in range(500))
            minutes.append(durations)
            for part in range(3):
                program.ran("matmul", durations[part::3])
                # What failed does not count, and what was not timed has no duration.
                program.ran("matmul", [9999.0], outcome="timeout", untimed=4)
                program.passes(20 * SECOND)
                keep(history, program.snapshot())
        since = START + SECOND
        for q in (0.5, 0.9, 0.99, 0.999):
            (series,) = history.quantiles([key], q, since, program.now, MINUTE)
            # A tick belongs to the step in which it ended.
            (whole,) = history.quantiles([key], q, since, program.now + SECOND, HOUR)
            together = sorted(duration for minute in minutes for duration in minute)
            exact = together[max(0, -int(-q * len(together) // 1) - 1)]
            assert whole.values == [pytest.approx(exact, rel=0.045)]
            assert len(series.values) == 4
            assert None not in series.values
        assert history.quantiles([key], 0.5, START - HOUR, START, MINUTE)[0].values == [None] * 60
        with pytest.raises(ValueError, match="q must be between 0 and 1"):
            history.quantiles([key], 99, START, program.now, MINUTE)


@pytest.mark.parametrize("step", STEPS)
def test_quantiles_of_many_are_those_of_each_and_together_those_of_all(busy, step: timedelta):
    path, now = busy
    reader = History.open_readonly(path)
    keys = operations(reader)
    many = reader.quantiles(keys, 0.9, START, now, step)
    assert many[3] == reader.quantiles([keys[3]], 0.9, START, now, step)[0]
    (together,) = reader.quantiles(keys, 0.9, START, now, step, together=True)
    assert together == reader.quantiles([EVERYTHING], 0.9, START, now, step)[0]


@pytest.mark.parametrize("step", STEPS)
def test_the_durations_of_all_steps_are_those_of_the_outcomes(busy, step: timedelta):
    path, now = busy
    reader = History.open_readonly(path)
    for keys, pattern in ((operations(reader), "*:*"), (operations(reader)[:1], "kernel 0")):
        found = reader.durations(keys, START, now, step)
        expected = [
            (round((one.start - found.start) / found.step), *cell)
            for one in reader.outcomes(START, now, step, pattern)
            for cell in one.durations
        ]
        assert sorted(found.cells) == sorted(expected)
        assert found.steps == len(reader.series(EVERYTHING, START, now, step).values)


def test_each_operation_is_told_with_its_quantiles_and_what_failed(busy):
    path, now = busy
    reader = History.open_readonly(path)
    everything, *each = reader.operations(START, now + SECOND)
    assert sum(one.failures.get("timeout", 0) for one in each) == everything.errors
    assert everything.failures == {"timeout": everything.errors}
    cells: Counter[int] = Counter()
    for one in each:
        cells.update(dict(one.durations))
    assert tuple(sorted(cells.items())) == everything.durations
    median, high = everything.quantile_ms(0.5), everything.quantile_ms(0.99)
    assert median == pytest.approx(1.0, rel=0.1)
    assert high is not None
    # The failed ones took 50 ms each, and are not in it.
    assert median < high < 20


def test_any_time_is_told_as_exactly_as_by_its_ticks(busy):
    path, now = busy
    reader = History.open_readonly(path)
    rng = random.Random(5)
    for _ in range(12):
        since = START + timedelta(seconds=rng.randrange(8000))
        until = min(now, since + timedelta(seconds=rng.randrange(1, 9000)))
        since_ms, until_ms = (round(one.timestamp() * 1000) for one in (since, until))
        expected = asked(
            path,
            "SELECT COALESCE(SUM(operations), 0) FROM operation_ticks JOIN series ON id = series "
            "WHERE what = 'all' AND at >= ? AND at < ?",
            since_ms,
            until_ms,
        )[0][0]
        found = reader.operations(since, until)
        assert (found[0].operations if found else 0) == expected
        assert sum(one.operations for one in found[1:]) == expected


@given(st.lists(st.integers(1, 10**13), min_size=1, max_size=60), st.floats(0, 1))
def test_a_quantile_of_cells_alone_is_as_near_as_the_cell(durations: list[int], q: float):
    whole = DurationHistogram.from_durations(durations)
    found = quantile_of_cells(whole.cells, q, at_least_ns=min(durations), at_most_ns=max(durations))
    by_cells = quantile_of_cells(whole.cells, q)
    assert found is not None
    assert by_cells is not None
    exact = sorted(durations)[min(len(durations), max(1, -int(-q * len(durations) // 1))) - 1]
    if 10**3 < exact < 10**12:
        assert by_cells == pytest.approx(exact / 1e6, rel=0.095)
    assert min(durations) / 1e6 <= found * 1.000001
    assert found <= max(durations) / 1e6 * 1.000001


def test_of_no_cells_there_is_no_quantile():
    assert quantile_of_cells((), 0.5) is None
    with pytest.raises(ValueError, match="q must be"):
        quantile_of_cells((), 1.5)


@given(st.dictionaries(st.integers(0, 400), st.integers(1, 2**40) | st.integers(1, 127)))
def test_packed_cells_are_added_as_they_are_unpacked(cells: dict[int, int]):
    packed = pack_cells(cells)
    added = Counter({3: 1})
    add_packed(packed, added)
    assert +added == Counter(unpack_cells(packed)) + Counter({3: 1})


@given(st.binary(max_size=30))
def test_bytes_that_are_no_cells_are_refused_where_they_are_unpacked_or_added(data: bytes):
    added: Counter[int] = Counter()
    try:
        add_packed(data, added)
        assert all(cell < 4096 for cell in added)
    except (DamagedRowError, AssertionError):
        with pytest.raises(DamagedRowError):
            unpack_cells(data)
    else:
        assert added == unpack_cells(data)


def test_a_cell_that_no_histogram_has_is_an_error(tmp_path: Path):
    program = Program()
    path = tmp_path / "past.db"
    with opened(path) as history:
        program.ran("matmul", [1.0])
        program.passes(SECOND)
        keep(history, program.snapshot())
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE operation_ticks SET ok_cells = ?", (pack_cells({900: 1}),))
            connection.commit()
        with pytest.raises(HistoryError, match="there is no cell 900"):
            history.quantiles([EVERYTHING], 0.5, START, program.now + SECOND, SECOND)


# -- which there are -----------------------------------------------------------------------------


def test_of_some_time_only_those_are_named_of_which_something_is_known(tmp_path: Path):
    program = Program()
    with opened(tmp_path / "past.db") as history:
        for hour, name in enumerate(("first", "second")):
            program.now = START + hour * HOUR + 10 * SECOND
            program.ran(name, [1.0])
            keep(history, program.snapshot(reading(name, 1.0)))
        program.now = START + 5 * HOUR
        keep(history, program.snapshot())

        def names(since: datetime, until: datetime) -> set[str]:
            return {key.name for key in history.keys(since, until)}

        assert names(START, START + HOUR) == {"", "first"}
        assert names(START + HOUR, START + 2 * HOUR) == {"", "second"}
        assert names(START, START + 3 * HOUR) == {"", "first", "second"}
        assert names(START - HOUR, START) == set()
        assert {key.name for key in history.keys()} == {"", "first", "second"}  # noqa: SIM118


def test_readings_are_told_with_unit_and_limit(tmp_path: Path):
    program = Program()
    with opened(tmp_path / "past.db") as history:
        program.passes(SECOND)
        keep(history, program.snapshot(reading("gpu", 3.0, 60.0), reading("cpu", 1.0)))
        facts = {key.name: (one.unit, one.limit) for key, one in history.readings().items()}
    assert facts == {"gpu": ("watts", 60.0), "cpu": ("watts", None)}


def test_the_step_grows_to_how_finely_the_past_is_still_kept(tmp_path: Path):
    program = Program()
    kept = {"keep_ticks": 10 * MINUTE, "keep_minutes": 3 * HOUR, "keep_hours": 10 * DAY}
    with opened(tmp_path / "past.db", program, **kept) as history:
        assert history.step_that_reaches(START - DAY, SECOND) == SECOND
        while program.now < START + 6 * HOUR:
            program.ran("matmul", [1.0])
            program.passes(20 * SECOND)
            keep(history, program.snapshot())
        now = program.now
        # Two ticks, so that none is without one.
        assert history.step_that_reaches(now - 10 * MINUTE, SECOND) == 40 * SECOND
        assert history.step_that_reaches(now - 20 * MINUTE, SECOND) == MINUTE
        assert history.step_that_reaches(now - 20 * MINUTE, 5 * MINUTE) == 5 * MINUTE
        assert history.step_that_reaches(now - 5.5 * HOUR, 5 * MINUTE) == HOUR
        assert history.step_that_reaches(START - DAY, 5 * MINUTE) == HOUR


def test_the_step_does_not_change_with_how_late_a_tick_is(tmp_path: Path):
    program = Program()
    rng = random.Random(3)
    steps = set()
    with opened(tmp_path / "past.db") as history:
        for _ in range(40):
            program.passes(timedelta(seconds=1.0 + rng.uniform(-0.05, 0.05)))
            keep(history, program.snapshot())
            steps.add(history.step_that_reaches(START, SECOND))
        step = max(steps)
        assert steps == {2 * SECOND}
        values = history.series(EVERYTHING, START + step, program.now, step).values
        assert None not in values
