"""Killed at any moment, the file opens and lacks at most the tick that was being written."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pasts import DAY, START, asked

from metalscope.history import History

WRITER = Path(__file__).parent / "programs" / "history_writer.py"
TURNS = 50


@pytest.fixture
def writer() -> Iterator[Any]:
    """A process that forks one that writes, each time it is told to."""
    process = subprocess.Popen(
        [sys.executable, str(WRITER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def test_killed_fifty_times_it_has_every_tick_that_was_written(writer: Any, tmp_path: Path):
    path = tmp_path / "past.db"
    rng = random.Random(7)
    first, told = 0, []
    for turn in range(TURNS):
        said = written_until_killed(writer, path, first, rng.randrange(1, 8), rng.random() * 0.01)
        assert said[0] == first + 1
        told += said
        first = said[-1]
        ticks = [row[0] for row in asked(path, "SELECT value FROM reading_ticks ORDER BY at")]
        # The one that was being written may be there, whole; its moment is then had twice.
        assert set(told) <= set(ticks), turn
        assert len(ticks) - len(told) <= turn + 1
        assert max(ticks) <= first + 1
        first = int(max(ticks))
        told += [first] if first not in told else []
    assert asked(path, "PRAGMA integrity_check") == [("ok",)]
    assert len(told) > 3 * TURNS
    failed, operations = asked(
        path,
        "SELECT SUM(errors), SUM(operations) FROM operation_ticks JOIN series ON id = series "
        "WHERE what = 'operation'",
    )[0]
    assert failed == sum(number % 100 for number in told)
    assert operations == failed + len(told)
    # Minutes and hours are made in the same commits.
    for tier in ("minutes", "hours"):
        until = asked(path, "SELECT value FROM about WHERE key = ?", f"folded_into_{tier}")[0][0]
        of_ticks, of_tier = (
            asked(path, f"SELECT SUM(operations) FROM operation_{one} WHERE at < ?", until)
            for one in ("ticks", tier)
        )
        assert of_ticks == of_tier
    reader = History.open_readonly(path)
    assert reader.operations(START, START + 366 * DAY)[1].operations == operations


def written_until_killed(writer: Any, path: Path, first: int, count: int, after: float):
    """Let it write some ticks, kill it, and return which of them it said were written."""
    writer.stdin.write(f"{path} {first}\n")
    writer.stdin.flush()
    pid = int(writer.stdout.readline())
    said = [int(writer.stdout.readline()) for _ in range(count)]
    time.sleep(after)
    os.kill(pid, signal.SIGKILL)
    while (line := writer.stdout.readline()) != "gone\n":
        said.append(int(line))
    return said
