"""What is appended is read back: rates, durations, readings, outcomes, in steps of any length."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pasts import DAY, HOUR, MINUTE, SECOND, START, Program, asked, keep, opened

from metalscope.health_options import HistoryOptions
from metalscope.histogram import EDGES_NS
from metalscope.history import History, HistoryError, SeriesKey
from metalscope.snapshot import ResourceKind, ResourceMetrics

OPERATIONS = SeriesKey("operations")
MATMUL = SeriesKey("operations", "execute", "matmul", "m1")
ACTIVE = SeriesKey("resource", "memory", "active", "m1")


def memory(current: float, limit: float | None = 100.0) -> ResourceMetrics:
    return ResourceMetrics(ResourceKind.MEMORY, "active", "m1", current, limit=limit)


def test_a_rate_is_what_ran_by_the_time_it_ran_in(tmp_path: Path):
    program = Program()
    with opened(tmp_path / "past.db") as history:
        for count in (3, 0, 5):
            program.ran("matmul", [1.0] * count)
            program.passes(SECOND)
            keep(history, program.snapshot())
        until = START + 4 * SECOND
        assert history.series(OPERATIONS, START, until, SECOND).values == [None, 3.0, 0.0, 5.0]
        assert history.series(MATMUL, START, until, 4 * SECOND).values == [8 / 3]
        assert history.series(MATMUL, START, until, SECOND).start == START.timestamp()


def test_nothing_is_known_of_the_time_in_which_telemetry_did_not_run(tmp_path: Path):
    program = Program()
    with opened(tmp_path / "past.db") as history:
        program.passes(SECOND)
        keep(history, program.snapshot(memory(1)))
        series = history.series(ACTIVE, START - MINUTE, START + MINUTE, MINUTE)
        assert series.values == [None, 1.0]
        assert history.series(OPERATIONS, START - HOUR, START, MINUTE).values == [None] * 60
        never = SeriesKey("operations", "execute", "never ran")
        assert history.series(never, START, START + HOUR, HOUR).values == [None]
    with opened(tmp_path / "past.db", program) as history:
        later = Program(now=START + 3 * HOUR, started_at=START + 3 * HOUR)
        later.ran("matmul", [2.0])
        later.passes(10 * SECOND)
        keep(history, later.snapshot(memory(4)))
        hours = history.series(OPERATIONS, START, START + 4 * HOUR, HOUR)
        assert hours.values == [0.0, None, None, 0.1]
        assert history.covered(START, START + 4 * HOUR) == 11.0


def test_a_duration_is_the_mean_of_what_was_timed_and_absent_where_nothing_was(tmp_path: Path):
    program = Program()
    key = SeriesKey("duration_ms", "execute", "matmul", "m1")
    with opened(tmp_path / "past.db") as history:
        program.ran("matmul", [1.0, 3.0], untimed=100)
        program.passes(SECOND)
        keep(history, program.snapshot())
        program.ran("matmul", untimed=5)
        program.passes(SECOND)
        keep(history, program.snapshot())
        assert history.series(key, program.now - SECOND, program.now + SECOND, SECOND).values == [
            2.0,
            None,
        ]


def test_readings_of_a_step_have_a_mean_a_low_a_high_and_a_last(tmp_path: Path):
    program = Program()
    with opened(tmp_path / "past.db") as history:
        for value in (5, 1, 9, 2):
            program.passes(20 * SECOND)
            keep(history, program.snapshot(memory(value)))
        ask = ACTIVE, START, START + 2 * MINUTE, MINUTE
        assert history.series(*ask).values == [3.0, 5.5]
        assert history.series(*ask, reading="low").values == [1.0, 2.0]
        assert history.series(*ask, reading="high").values == [5.0, 9.0]
        assert history.series(*ask, reading="last").values == [1.0, 2.0]
        # Of which the first minute is read as a minute, and the last from its ticks.
        hour = ACTIVE, START, START + HOUR, HOUR
        assert history.series(*hour).values == [17 / 4]
        assert history.series(*hour, reading="last").values == [2.0]
        assert history.series(*hour, reading="high").values == [9.0]


def test_the_limit_is_the_one_told_last(tmp_path: Path):
    program = Program()
    with opened(tmp_path / "past.db") as history:
        limits = []
        for limit in (100.0, None, 200.0):
            program.passes(SECOND)
            keep(history, program.snapshot(memory(1, limit)))
            limits.append(history.limit(ACTIVE))
        assert limits == [100.0, None, 200.0]
        assert history.limit(MATMUL) is None


def test_outcomes_hold_counts_errors_and_the_durations_of_what_went_well(tmp_path: Path):
    program = Program()
    with opened(tmp_path / "past.db") as history:
        for _ in range(3):
            program.ran("matmul", [1.0, 20.0])
            program.ran("matmul", [500.0], outcome="timeout")
            program.ran("softmax", [1.0], kind="compile")
            program.passes(40 * SECOND)
            keep(history, program.snapshot())
        first, second, third = history.outcomes(START, START + HOUR, MINUTE, "execute:mat*")
        assert [one.start for one in (first, second, third)] == [
            START.timestamp() + 60 * minute for minute in range(3)
        ]
        assert (first.ok, first.failed, dict(first.errors)) == (2, 1, {"timeout": 1})
        within_10_ms = sum(count for cell, count in first.durations if EDGES_NS[cell] <= 10_000_000)
        assert (within_10_ms, sum(count for _, count in first.durations)) == (1, 2)
        (hour,) = history.outcomes(START, START + HOUR, HOUR)
        assert (hour.ok, hour.failed) == (9, 3)


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("*", 6),
        ("*:*", 6),
        ("a", 2),
        ("execute:a", 1),
        ("compile:*", 1),
        ("a?", 1),
        ("*:a:b", 1),
        ("execute:a:b", 1),
        ("[a]", 1),
        ("execute:[a]", 1),
        ("*b", 2),
        ("execute:**************************b", 2),
        ("nothing", 0),
    ],
)
def test_a_pattern_names_operations_by_kind_and_name(tmp_path: Path, pattern: str, count: int):
    program = Program()
    for name in ("a", "ab", "a:b", "[a]", 'x"\n*'):
        program.ran(name, [1.0])
    program.ran("a", [1.0], kind="compile")
    program.passes(SECOND)
    with opened(tmp_path / "past.db") as history:
        keep(history, program.snapshot())
        found = history.outcomes(START, START + MINUTE, MINUTE, pattern)
    assert sum(one.ok for one in found) == count


def test_operations_are_told_as_exactly_as_they_are_kept(tmp_path: Path):
    program = Program()
    with opened(tmp_path / "past.db") as history:
        for _ in range(4):
            program.ran("small", [1.0], nbytes=10)
            program.ran("big", [1.0, 2.0])
            program.passes(30 * MINUTE)
            keep(history, program.snapshot())
        everything, big, small = history.operations(START, START + DAY)
        assert (everything.name, everything.operations, everything.nbytes) == ("", 12, 40)
        assert (big.name, big.operations, big.average_ms) == ("big", 8, 1.5)
        assert (small.operations, small.busy_ns, small.nbytes) == (4, 4_000_000, 40)
        assert big.at_least_ns is not None
        assert big.at_most_ns is not None
        assert 900_000 < big.at_least_ns <= 1_000_000
        assert 2_000_000 <= big.at_most_ns < 2_300_000
        only_first, *_ = history.operations(START, START + HOUR)
        assert only_first.operations == 3


def test_names_are_data_whatever_is_in_them(tmp_path: Path):
    names = ["'; DROP TABLE series; --", '"', "%_*?", "nul\0nul", "金属 🔩", "half \ud83d", ""]
    program = Program()
    for name in names:
        program.ran(name, [1.0])
    with opened(tmp_path / "past.db") as history:
        for _ in range(2):
            program.passes(SECOND)
            keep(history, program.snapshot(memory(1)))
            program.ran(names[0], [1.0])
            program.ran(names[5], [1.0])
        kept = history.keys()
        known = {key.name for key in kept if key.kind == "execute"}
        assert known == {name.encode(errors="backslashreplace").decode() for name in names}
        key = SeriesKey("operations", "execute", names[0], "m1")
        assert history.series(key, START, START + MINUTE, MINUTE).values == [1.0]
    assert asked(tmp_path / "past.db", "PRAGMA integrity_check") == [("ok",)]


def test_a_reading_that_is_no_number_and_counts_that_fit_no_integer_do_no_harm(tmp_path: Path):
    program = Program()
    with opened(tmp_path / "past.db") as history:
        for _ in range(3):
            program.ran("matmul", [1.0], nbytes=2**63)
            program.passes(MINUTE)
            keep(history, program.snapshot(memory(float("nan")), memory(float("inf"))))
        everything, _ = history.operations(START, START + HOUR)
        assert everything.nbytes == 2**63 - 1 + 2 * (2**63 - 1)
        kept = history.keys()
        assert not [key for key in kept if key.measure == "resource"]


def test_a_reset_of_the_counts_is_no_negative_count(tmp_path: Path):
    program = Program()
    with opened(tmp_path / "past.db") as history:
        program.ran("matmul", [1.0] * 9)
        program.passes(SECOND)
        keep(history, program.snapshot())
        program.outcomes.clear()
        program.ran("matmul", [1.0] * 2)
        program.passes(SECOND)
        keep(history, program.snapshot())
        assert history.operations(START, START + HOUR)[0].operations == 11
        assert history.operations(START, START + HOUR)[1].operations == 11


def test_a_snapshot_that_another_overtook_is_counted_once(tmp_path: Path):
    program = Program()
    with opened(tmp_path / "past.db") as history:
        snapshots = []
        for _ in range(3):
            program.ran("matmul", [1.0] * 5)
            program.passes(SECOND)
            snapshots.append(program.snapshot())
        for number in (0, 2, 1, 2):
            keep(history, snapshots[number])
        assert [one.operations for one in history.operations(START, START + HOUR)] == [15, 15]


def test_the_same_run_is_not_counted_twice_when_its_history_begins_again(tmp_path: Path):
    program = Program()
    for _ in range(3):
        with opened(tmp_path / "past.db", program) as history:
            for _ in range(2):
                program.ran("matmul", [1.0])
                program.passes(SECOND)
                keep(history, program.snapshot())
            # What ran between two histories of one run is not known to either.
            counted = history.operations(START, START + HOUR)[1].operations
    assert counted == 4
    other = Program(now=program.now, started_at=program.now)
    other.ran("matmul", [1.0])
    other.passes(SECOND)
    with opened(tmp_path / "past.db", other) as history:
        keep(history, other.snapshot())
        assert history.operations(START, START + HOUR)[1].operations == 5


def test_of_too_many_names_the_busiest_of_the_first_stay_and_all_count_together(tmp_path: Path):
    program = Program()
    for number in range(10):
        program.ran(f"op{number}", [1.0] * (number + 1))
    with opened(tmp_path / "past.db", max_series=4) as history:
        for _ in range(2):
            program.passes(SECOND)
            keep(history, program.snapshot(memory(1)))
            program.ran("late", [1.0] * 100)
        kept = history.keys()
        names = {key.name for key in kept}
        assert names == {"", "active", "op9", "op8", "op7"}
        assert history.overflowed == 8
        everything, *rest = history.operations(START, START + HOUR)
        assert everything.operations == 55 + 100
        assert sum(one.operations for one in rest) == 10 + 9 + 8
        assert history.outcomes(START, START + HOUR, HOUR)[0].ok == 155


def test_many_threads_read_while_it_is_written(tmp_path: Path):
    program = Program()
    path = tmp_path / "past.db"
    done = threading.Event()
    broken: list[object] = []

    def read() -> None:
        reader = History.open_readonly(path)
        while not done.is_set():
            found = reader.operations(START, START + DAY)
            # Of one moment: what all did together is what each did.
            if found and found[0].operations != sum(one.operations for one in found[1:]):
                broken.append(found)

    with opened(path) as history:
        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for _ in range(150):
            program.ran("a", [1.0])
            program.ran("b", [1.0, 2.0])
            program.passes(20 * SECOND)
            keep(history, program.snapshot(memory(1)))
        done.set()
        for reader in readers:
            reader.join()
        assert not broken
        assert history.operations(START, START + DAY)[0].operations == 450


def test_another_process_reads_it_while_it_is_written_and_after(tmp_path: Path):
    path = tmp_path / "past.db"
    program = Program()
    program.ran("matmul", [1.0] * 7)
    program.passes(SECOND)
    ask = (
        "import sys; from datetime import *; from metalscope.history import History\n"
        "r = History.open_readonly(sys.argv[1]); since = datetime(2026, 1, 2, tzinfo=UTC)\n"
        "print(r.operations(since, since + timedelta(days=1))[0].operations)"
    )
    with opened(path) as history:
        keep(history, program.snapshot())
        during = subprocess.run([sys.executable, "-c", ask, path], capture_output=True, check=True)
    after = subprocess.run([sys.executable, "-c", ask, path], capture_output=True, check=True)
    assert (during.stdout, after.stdout) == (b"7\n", b"7\n")


def test_reading_what_is_not_there_is_an_error_that_names_the_file(tmp_path: Path):
    path = tmp_path / "none.db"
    with pytest.raises(HistoryError, match=r"none\.db"):
        History.open_readonly(path).keys()
    assert not path.exists()
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(HistoryError, match=r"none\.db"):
        History.open_readonly(path).span()


@pytest.mark.parametrize(
    ("until", "step", "says"),
    [
        (START, SECOND, "until must be after since"),
        (START + HOUR, timedelta(), "step must be longer than zero"),
        (START + 400 * DAY, SECOND, "at most 1,000,000 steps"),
    ],
)
def test_a_question_that_has_no_answer_is_refused(tmp_path: Path, until, step, says: str):
    with opened(tmp_path / "past.db") as history, pytest.raises(ValueError, match=says):
        history.series(OPERATIONS, START, until, step)


def test_steps_become_whole_minutes_and_whole_hours(tmp_path: Path):
    with opened(tmp_path / "past.db") as history:

        def step(seconds: float) -> float:
            asked_for = timedelta(seconds=seconds)
            return history.series(OPERATIONS, START, START + 10 * DAY, asked_for).step

        assert [step(s) for s in (2.5, 59, 60, 61, 3599, 3600, 3601)] == [
            2.5, 59, 60, 120, 3600, 3600, 7200,
        ]  # fmt: skip


def test_appending_never_waits_and_what_a_full_queue_lets_go_is_in_what_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    program = Program()
    path = tmp_path / "past.db"
    with opened(path) as history:
        keep(history, program.snapshot())
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        for _ in range(100):
            program.ran("matmul", [1.0])
            program.passes(SECOND)
            history.append(program.snapshot())
        dropped = history.dropped
        blocker.execute("ROLLBACK")
        blocker.close()
        assert history.flush(30)
        assert dropped >= 100 - 9
        assert history.operations(START, START + HOUR)[0].operations == 100


def test_it_needs_a_path():
    with pytest.raises(ValueError, match=r"history\.path"):
        History(HistoryOptions(), on_error=lambda *_: None)


def test_appending_to_one_that_is_closed_does_nothing(tmp_path: Path):
    history = opened(tmp_path / "past.db")
    history.close()
    history.close()
    history.append(Program().snapshot())
    assert history.flush(1)
    assert history.span() is None


def test_the_sql_of_the_docs_finds_what_is_there(tmp_path: Path):
    page = (Path(__file__).parents[2] / "docs" / "history.md").read_text()
    (block,) = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    operations, readings = [one for one in block.split(";") if one.strip()]
    now = datetime.now(UTC)
    program = Program(now=now, started_at=now)
    with opened(tmp_path / "past.db", program) as history:
        program.ran("matmul", [1.0, 2.0])
        keep(history, program.snapshot(memory(5)))
        # So that the minute and the hour are over.
        program.passes(HOUR)
        keep(history, program.snapshot(memory(5)))
    minute = f"{now:%Y-%m-%d %H:%M}:00"
    assert asked(tmp_path / "past.db", operations) == [(minute, "execute", "matmul", 2, 0, 1.5)]
    assert asked(tmp_path / "past.db", readings) == [
        (f"{now:%Y-%m-%d %H}:00:00", "active", 5.0, 5.0, 5.0)
    ]
