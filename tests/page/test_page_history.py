"""The page reads its past from a history."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pasts import DAY, HOUR, MINUTE, SECOND, START, Program, keep, opened

from metalscope.history import History
from metalscope.page.history_source import HistorySource
from metalscope.page.source import QUANTILES, PageSource, SourceError, TimeRange, Wanted
from metalscope.snapshot import CustomMetric, ResourceKind, ResourceMetrics


def within(since: datetime, until: datetime, step: timedelta = SECOND) -> TimeRange:
    return TimeRange(since, until, step)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """Ten seconds of two ticks: ``a`` runs twice a second and takes 1 ms, ``b:x`` once and 4 ms,
    and fails in half of them, ``rare`` runs once.
    """
    began = START - SECOND / 4
    program = Program(now=began, started_at=began)
    with opened(tmp_path_factory.mktemp("page") / "past.db") as history:
        for number in range(10):
            program.ran("a", [1.0, 1.0], nbytes=10, gpu_ms=0.5)
            program.ran("b:x", [4.0], device="m2")
            if number % 2:
                program.ran("b:x", [4.0], device="m2", outcome="timeout")
            if number == 4:
                program.ran("rare", [100.0], kind="compile")
            program.custom = (
                CustomMetric("jobs", "counter", (), number),
                CustomMetric("queue", "gauge", (("lane", "a"),), 7.0),
            )
            readings = (
                ResourceMetrics(ResourceKind.POWER, "gpu", "m1", 10.0 + number),
                ResourceMetrics(ResourceKind.POWER, "cpu", "m1", 90.0),
                ResourceMetrics(ResourceKind.MEMORY, "active", "m1", 50.0, limit=100.0),
            )
            for _ in range(2):
                program.passes(SECOND / 2)
                keep(history, program.snapshot(*readings))
        yield history


@pytest.fixture(scope="module")
def source(past: History) -> PageSource:
    return HistorySource(past)


ALL_OF_IT = within(START, START + 10 * SECOND)


def labels(found: Any) -> list[tuple[str, str, str]]:
    return [(line.kind, line.name, line.device) for line in found.lines]


def test_it_says_what_it_is_and_from_when_to_when_it_knows(source: PageSource, past: History):
    about = source.describe()
    assert (about.source, about.address, about.hosts) == ("history", "", ())
    assert (about.first, about.last) == (START + SECOND / 4, START + 9.75 * SECOND)
    assert source.hosts() == ()


def test_all_operations_are_one_line_without_a_name(source: PageSource):
    found = source.lines(Wanted("operations"), ALL_OF_IT)
    (line,) = found.lines
    assert labels(found) == [("", "", "")]
    assert line.values == [3.0, 4.0, 3.0, 4.0, 4.0, 4.0, 3.0, 4.0, 3.0, 4.0]
    assert (line.unit, line.host, line.ceiling, found.omitted) == ("/s", "", None, 0)
    assert (found.start, found.step) == (START.timestamp(), 1.0)
    assert source.lines(Wanted("operations", by="host"), ALL_OF_IT) == found


def test_each_operation_is_a_line_the_highest_on_average_first(source: PageSource):
    found = source.lines(Wanted("operations", by="operation"), ALL_OF_IT)
    assert labels(found) == [
        ("execute", "a", "m1"),
        ("execute", "b:x", "m2"),
        ("compile", "rare", "m1"),
    ]
    assert found.lines[2].values == [0.0] * 4 + [1.0] + [0.0] * 5
    two = source.lines(Wanted("operations", by="operation", limit=2), ALL_OF_IT)
    assert (two.lines, two.omitted) == (found.lines[:2], 1)


def test_what_did_not_run_in_that_time_is_no_line(source: PageSource):
    early = within(START, START + 3 * SECOND)
    found = source.lines(Wanted("errors", by="operation"), early)
    assert labels(found) == [("execute", "b:x", "m2"), ("execute", "a", "m1")]
    assert found.lines[1].values == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("patterns", "rate"),
    [
        ({"name": "a"}, 20),
        ({"name": "b:*"}, 15),
        ({"name": "b?x"}, 15),
        ({"kind": "comp*"}, 1),
        ({"kind": "execute"}, 35),
        ({"device": "m2"}, 15),
        ({"device": "m?"}, 36),
        ({"kind": "execute", "name": "*", "device": "m1"}, 20),
    ],
)
def test_patterns_choose_operations_which_are_then_one_line(source: PageSource, patterns, rate):
    found = source.lines(Wanted("operations", **patterns), ALL_OF_IT)
    assert labels(found) == [("", "", "")]
    assert sum(found.lines[0].values) == rate
    each = source.lines(Wanted("operations", by="operation", **patterns), ALL_OF_IT)
    assert sum(sum(line.values) for line in each.lines) == rate


def test_where_nothing_is_chosen_there_is_no_line(source: PageSource):
    for wanted in (
        Wanted("operations", name="none"),
        Wanted("p99_ms", name="none"),
        Wanted("p99_ms", by="operation", kind="none"),
        Wanted("resource", kind="none"),
        Wanted("resource", kind="custom"),
        Wanted("custom", name=""),
    ):
        found = source.lines(wanted, ALL_OF_IT)
        assert (found.lines, found.step, found.omitted) == ((), 1.0, 0)
    durations = source.durations(Wanted("p99_ms", name="none"), ALL_OF_IT)
    assert (durations.cells, durations.steps) == ((), 10)


def test_an_error_rate_is_a_share_and_absent_where_nothing_ran(source: PageSource):
    wanted = Wanted("error_rate", name="rare")
    (line,) = source.lines(wanted, ALL_OF_IT).lines
    assert (line.values, line.unit) == ([None] * 4 + [0.0] + [None] * 5, "ratio")
    (line,) = source.lines(replace(wanted, name="b:x"), ALL_OF_IT).lines
    assert line.values == [0.0, 0.5] * 5


def test_durations_are_ms_and_quantiles_of_what_went_well(source: PageSource):
    (mean,) = source.lines(Wanted("duration_ms", name="[ab]*"), ALL_OF_IT).lines or (None,)
    assert mean is None  # a bracket is nothing special
    (mean,) = source.lines(Wanted("duration_ms", kind="execute"), ALL_OF_IT).lines
    assert (mean.unit, mean.values) == ("ms", [2.0, 2.5] * 5)
    for measure in QUANTILES:
        found = source.lines(Wanted(measure, by="operation"), ALL_OF_IT)  # type: ignore[arg-type]
        assert labels(found)[0] == ("compile", "rare", "m1")
        assert [line.unit for line in found.lines] == ["ms"] * 3
        assert [line.values[4] for line in found.lines] == [
            pytest.approx(exact, rel=0.045) for exact in (100.0, 4.0, 1.0)
        ]
        one = source.lines(
            Wanted(measure, by="operation", limit=1),  # type: ignore[arg-type]
            ALL_OF_IT,
        )
        assert (labels(one), one.omitted) == ([("compile", "rare", "m1")], 2)
    (half,) = source.lines(Wanted("p50_ms"), ALL_OF_IT).lines
    assert half.values[0] == pytest.approx(1.0, rel=0.045)


def test_readings_are_a_line_each_with_unit_and_ceiling(source: PageSource):
    found = source.lines(Wanted("resource"), within(START, START + MINUTE, MINUTE))
    assert [(line.name, line.unit, line.ceiling) for line in found.lines] == [
        ("cpu", "watts", None),
        ("active", "bytes", 100.0),
        ("gpu", "watts", None),
    ]
    gpu = Wanted("resource", kind="power", name="g*")
    values = {
        reading: source.lines(replace(gpu, reading=reading), within(START, START + MINUTE, MINUTE))
        .lines[0]
        .values
        for reading in ("mean", "low", "high", "last")
    }
    assert values == {"mean": [14.5], "low": [10.0], "high": [19.0], "last": [19.0]}


def test_metrics_of_the_programs_own_are_lines_of_their_own(source: PageSource):
    found = source.lines(Wanted("custom", reading="last"), ALL_OF_IT)
    assert [(line.kind, line.name, line.unit) for line in found.lines] == [
        ("custom", 'queue{lane="a"}', ""),
        ("custom", "jobs", ""),
    ]
    assert found.lines[1].values == [float(number) for number in range(10)]
    (queue,) = source.lines(Wanted("custom", name="queue{*"), ALL_OF_IT).lines
    assert queue.values == [7.0] * 10


def test_operations_are_told_together_and_each_the_busiest_first(source: PageSource):
    found = source.operations(START, START + MINUTE, host="", limit=2)
    assert found.covered_seconds == 10.0
    assert (found.omitted, [row.name for row in found.rows]) == (1, ["a", "b:x"])
    a, b = found.rows
    assert (a.operations, a.errors, a.nbytes, a.mean_ms, a.gpu_ms) == (20, 0, 100, 1.0, 0.5)
    assert (b.operations, b.errors, dict(b.failures), b.gpu_ms) == (15, 5, {"timeout": 5}, None)
    assert (b.mean_ms, b.max_ms) == (4.0, pytest.approx(4.0, rel=0.09))
    assert b.max_ms is not None
    assert b.max_ms >= 4.0
    quantiles = [b.p50_ms, b.p90_ms, b.p95_ms, b.p99_ms, b.p999_ms]
    assert quantiles == [pytest.approx(4.0, rel=0.045)] * 5
    assert found.total is not None
    assert (found.total.operations, found.total.errors, found.total.kind) == (36, 5, "")
    assert found.total.p999_ms == pytest.approx(100.0, rel=0.045)
    nothing = source.operations(START - DAY, START - HOUR, host="", limit=2)
    assert (nothing.total, nothing.rows, nothing.covered_seconds) == (None, (), 0.0)


def test_durations_are_cells_of_even_height_between_edges(source: PageSource):
    found = source.durations(Wanted("p99_ms"), ALL_OF_IT)
    assert (found.start, found.step, found.steps) == (START.timestamp(), 1.0, 10)
    ratios = [high / low for low, high in zip(found.edges_ms, found.edges_ms[1:], strict=False)]
    assert ratios == [pytest.approx(2 ** (1 / 8))] * (len(found.edges_ms) - 1)
    cells = [
        (step, count)
        for step, cell, count in found.cells
        if found.edges_ms[cell - 1] < 1.0 <= found.edges_ms[cell]
    ]
    assert cells == [(step, 2) for step in range(10)]
    (slow,) = [one for one in found.cells if found.edges_ms[one[1] - 1] >= 90]
    assert (slow[0], slow[2]) == (4, 1)
    assert slow[1] == len(found.edges_ms) - 1
    # What failed is not in it.
    assert sum(count for *_, count in found.cells) == 20 + 10 + 1
    chosen = source.durations(Wanted("operations", name="b:x"), ALL_OF_IT)
    assert [(step, count) for step, _, count in chosen.cells] == [(step, 1) for step in range(10)]


def test_durations_shorter_and_longer_than_any_edge_are_in_the_outermost_cells(tmp_path: Path):
    program = Program()
    with opened(tmp_path / "past.db") as history:
        program.ran("a", [0.0, 2.0**23])
        program.passes(SECOND)
        keep(history, program.snapshot())
        found = HistorySource(history).durations(
            Wanted("operations"), within(START, START + MINUTE, MINUTE)
        )
    (low, high) = found.cells
    assert (low[2], high[2]) == (1, 1)
    assert low[1] == 0
    assert found.edges_ms[0] == 2**-14
    assert high[1] == len(found.edges_ms) - 1
    assert found.edges_ms[-1] == 2**22


def test_a_step_is_as_long_as_it_must_be_to_reach_back(tmp_path: Path):
    program = Program()
    kept = {"keep_ticks": 10 * MINUTE, "keep_minutes": 7 * DAY}
    with opened(tmp_path / "past.db", program, **kept) as history:
        while program.now < START + HOUR:
            program.ran("a", [1.0])
            program.passes(20 * SECOND)
            keep(history, program.snapshot())
        source = HistorySource(history)
        now = program.now
        found = source.lines(Wanted("operations"), within(START, now, 20 * SECOND))
        assert (found.step, len(found.lines[0].values)) == (60.0, 60)
        assert None not in found.lines[0].values
        found = source.lines(Wanted("operations"), within(now - 5 * MINUTE, now, 20 * SECOND))
        assert found.step == 40.0
        assert None not in found.lines[0].values[1:-1]
        assert source.durations(Wanted("operations"), within(START, now)).step == 60.0


def test_questions_without_an_answer_are_refused(source: PageSource):
    with pytest.raises(ValueError, match="no query language"):
        source.query("up", ALL_OF_IT, limit=5)
    for ask in (
        lambda: source.lines(Wanted("operations", host="a"), ALL_OF_IT),
        lambda: source.durations(Wanted("operations", host="a"), ALL_OF_IT),
        lambda: source.operations(START, START + DAY, host="a", limit=5),
    ):
        with pytest.raises(ValueError, match="host = 'a': must be empty"):
            ask()
    with pytest.raises(ValueError, match="until must be after since"):
        source.lines(Wanted("operations"), within(START, START))


def test_a_file_that_cannot_be_read_is_an_error_of_the_source(tmp_path: Path):
    source = HistorySource(History.open_readonly(tmp_path / "none.db"))
    asks = (
        source.describe,
        lambda: source.lines(Wanted("operations"), ALL_OF_IT),
        lambda: source.lines(Wanted("resource"), ALL_OF_IT),
        lambda: source.operations(START, START + DAY, host="", limit=5),
        lambda: source.durations(Wanted("operations"), ALL_OF_IT),
    )
    for ask in asks:
        with pytest.raises(SourceError, match=r"none\.db"):
            ask()


def test_any_threads_ask_while_it_is_written(tmp_path: Path):
    program = Program()
    done = threading.Event()
    broken: list[object] = []
    with opened(tmp_path / "past.db") as history:
        source = HistorySource(history)

        def ask() -> None:
            rng = random.Random(1)
            while not done.is_set():
                try:
                    measure = rng.choice(["operations", "p99_ms", "error_rate"])
                    source.lines(
                        Wanted(measure, by="operation"),  # type: ignore[arg-type]
                        within(START, START + HOUR, MINUTE),
                    )
                    source.operations(START, START + HOUR, host="", limit=5)
                except Exception as error:
                    broken.append(error)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(60):
            program.ran("a", [1.0])
            program.passes(20 * SECOND)
            keep(history, program.snapshot())
        done.set()
        for thread in threads:
            thread.join()
    assert not broken
