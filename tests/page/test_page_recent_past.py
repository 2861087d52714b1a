"""Where no history is kept, the page's past is that of this run, in a file that goes with it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pasts import DAY, HOUR, MINUTE, SECOND, START, Program

from metalscope import MetalTelemetryManager
from metalscope.history import HistoryError
from metalscope.page.recent_past import RecentPast
from metalscope.snapshot import MetalTelemetrySnapshot

MIB = 2**20
HERE = Path(__file__).parent


def run(program: str, *arguments: str, check: bool = True) -> None:
    """Run a program that knows this file and the helpers of the history's tests."""
    path = os.pathsep.join(map(str, (HERE, HERE.parent / "history")))
    subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | {"PYTHONPATH": path},
        check=check,
        timeout=60,
    )


class Feed:
    """Hands out snapshots when a test says so."""

    def __init__(self) -> None:
        self.consumers: list[Callable[[MetalTelemetrySnapshot], None]] = []

    def subscribe(
        self, consumer: Callable[[MetalTelemetrySnapshot], None], /
    ) -> Callable[[], None]:
        self.consumers.append(consumer)
        return lambda: self.consumers.remove(consumer)

    def feed(self, past: RecentPast, snapshot: MetalTelemetrySnapshot) -> None:
        for consumer in self.consumers:
            consumer(snapshot)
        assert past.reader.flush(30)  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def place(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Where temporary files go, here and in children; in memory, where there is such a place."""
    # Its own place is decided when it is first asked for: not to be in this one.
    tmp_path_factory.getbasetemp()
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        monkeypatch.setenv("TMPDIR", directory)
        monkeypatch.setattr("tempfile.tempdir", None)
        yield Path(directory)


def begun(feed: Feed | MetalTelemetryManager) -> RecentPast:
    def on_error(room: str, error: BaseException) -> None:
        raise AssertionError(f"{room}: {error}") from error

    return RecentPast(feed, max_bytes=8 * MIB, on_error=on_error)


def left(place: Path) -> list[str]:
    return sorted(one.name for one in place.iterdir())


def test_what_snapshots_say_can_be_read_until_it_is_closed(place: Path):
    feed, program = Feed(), Program()
    past = begun(feed)
    for _ in range(3):
        program.ran("matmul", [1.0])
        program.passes(SECOND)
        feed.feed(past, program.snapshot())
    reader = past.reader
    assert reader.operations(START, START + HOUR)[1].operations == 3
    assert past.why == ""
    (directory,) = place.iterdir()
    assert directory.name.startswith("metalscope-past-")
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(one.stat().st_mode) & 0o077 for one in directory.iterdir()} == {0}
    past.close()
    past.close()
    assert left(place) == []
    assert feed.consumers == []
    with pytest.raises(HistoryError, match="closed"):
        _ = past.reader
    with pytest.raises(HistoryError):
        reader.keys()


def test_a_manager_feeds_it(place: Path):
    with MetalTelemetryManager() as tel:
        past = begun(tel)
        tel.record("execute", "matmul", duration_ns=1_250_000)
        tel.record_custom_metric("jobs", 3)
        snapshot = tel.export_now()
        assert past.reader.flush(30)  # type: ignore[attr-defined]
        until = snapshot.timestamp + SECOND
        names = {one.name for one in past.reader.operations(until - HOUR, until)}
        assert "matmul" in names
        assert "jobs" in {key.name for key in past.reader.readings()}
        past.close()
    assert left(place) == []


def test_what_was_counted_long_before_it_began_is_not_taken_for_what_just_happened(place: Path):
    feed, program = Feed(), Program()
    program.ran("matmul", [1.0] * 1000)
    program.passes(2 * DAY)
    past = begun(feed)
    feed.feed(past, program.snapshot())
    program.ran("matmul", [1.0])
    program.passes(SECOND)
    feed.feed(past, program.snapshot())
    reader = past.reader
    assert [one.operations for one in reader.operations(START, START + 3 * DAY)] == [1, 1]
    assert reader.covered(START, START + 3 * DAY) == 1.0
    past.close()
    # Of a program that has just begun, nothing is left out.
    feed, program = Feed(), Program()
    past = begun(feed)
    program.ran("matmul", [1.0] * 5)
    program.passes(5 * SECOND)
    feed.feed(past, program.snapshot())
    assert past.reader.operations(START, START + DAY)[1].operations == 5
    past.close()


def test_two_of_one_process_do_not_touch_each_other(place: Path):
    first, second = begun(Feed()), begun(Feed())
    for directory in place.iterdir():
        aged(directory)
    third = begun(Feed())
    assert len(left(place)) == 3
    for one in (first, second, third):
        one.reader.keys()
        one.close()
    assert left(place) == []


# -- what others left ----------------------------------------------------------------------------


def aged(directory: Path, by: timedelta = HOUR) -> None:
    """Have a directory and what is in it look old."""
    then = time.time() - by.total_seconds()
    for one in (*directory.iterdir(), directory):
        os.utime(one, (then, then))


def killed(place: Path) -> Path:
    """What a process leaves that was killed."""
    program = (
        "import os, signal\n"
        "from test_page_recent_past import Feed, begun\n"
        "past = begun(Feed())\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    before = set(place.iterdir())
    run(program, check=False)
    (new,) = set(place.iterdir()) - before
    return new


def test_what_a_killed_process_left_is_removed_by_the_next_one(place: Path):
    directory = killed(place)
    assert (directory / "past.db").exists()
    # It may be about to lock it.
    begun(Feed()).close()
    assert directory.exists()
    aged(directory)
    begun(Feed()).close()
    assert left(place) == []


def test_what_is_not_its_own_is_left_alone(place: Path, tmp_path_factory: pytest.TempPathFactory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "past.db.lock").touch()
    aged(elsewhere)
    (place / "metalscope-past-link").symlink_to(elsewhere)
    (place / "metalscope-past-file").touch()
    (place / "metalscope-other").mkdir()
    without_lock = place / "metalscope-past-new"
    without_lock.mkdir()
    (without_lock / "past.db").touch()
    aged(without_lock)
    before = left(place)
    begun(Feed()).close()
    assert left(place) == before
    assert (elsewhere / "past.db.lock").exists()
    aged(without_lock, 2 * DAY)
    begun(Feed()).close()
    assert not without_lock.exists()


# -- what goes wrong -----------------------------------------------------------------------------


def test_where_it_cannot_be_made_there_is_no_past_and_why_is_told(
    place: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tempfile.tempdir", str(place / "none"))
    said: list[tuple[str, BaseException]] = []
    feed = Feed()
    past = RecentPast(feed, max_bytes=MIB, on_error=lambda *one: said.append(one))
    ((room, error),) = said
    assert room == "history"
    assert isinstance(error, FileNotFoundError)
    assert past.why == "no past could be kept in a temporary file (No such file or directory)"
    with pytest.raises(HistoryError, match="No such file"):
        _ = past.reader
    assert feed.consumers == []
    past.close()


def test_where_nothing_hands_out_snapshots_nothing_is_left(place: Path):
    class Broken:
        def subscribe(self, consumer: object, /) -> Callable[[], None]:
            raise RuntimeError("no")

    said: list[BaseException] = []
    past = RecentPast(Broken(), max_bytes=MIB, on_error=lambda _, error: said.append(error))
    assert [str(error) for error in said] == ["no"]
    assert past.why == "no past could be kept in a temporary file (no)"
    assert left(place) == []


def test_what_is_not_closed_is_removed_when_the_program_ends(place: Path):
    program = "from test_page_recent_past import Feed, begun\npast = begun(Feed())"
    run(program)
    assert left(place) == []


FORK = """
import os, sys
from pasts import *
from metalscope.history import HistoryError
from test_page_recent_past import Feed, begun
feed, program = Feed(), Program()
past = begun(feed)
reader = past.reader
def tick(name):
    program.ran(name, [1.0])
    program.passes(SECOND)
    feed.feed(past, program.snapshot())
tick("matmul")
child = os.fork()
if not child:
    tick("of the child")
    try:
        past.reader.keys()
    except HistoryError as error:
        assert "forked from" in str(error)
    else:
        raise AssertionError("it read")
    if sys.argv[1] == "closes":
        past.close()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
tick("matmul")
assert [one.operations for one in reader.operations(START, START + DAY)] == [2, 2]
assert {key.name for key in reader.keys()} == {"", "matmul"}
past.close()
"""


@pytest.mark.parametrize("child", ["closes", "just ends"])
def test_a_forked_child_neither_writes_nor_removes_it(place: Path, child: str):
    run(FORK, child)
    assert left(place) == []


def test_a_past_that_outgrows_its_size_forgets_the_oldest(place: Path):
    feed, program = Feed(), Program()
    past = RecentPast(feed, max_bytes=2**17, on_error=lambda _, error: pytest.fail(str(error)))
    for _ in range(100):
        for name in "abcdefgh":
            program.ran(name, [1.0])
        program.passes(MINUTE)
        feed.feed(past, program.snapshot())
    (directory,) = place.iterdir()
    size = sum(one.stat().st_size for one in directory.iterdir() if "shm" not in one.name)
    assert size <= 2**17 + 64
    past.close()
