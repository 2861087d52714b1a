"""A restart keeps the windows, from a real history."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from counted_work import START, operation, snapshot

from metalscope.health_options import HistoryOptions, ObjectiveOptions
from metalscope.history import History, HistoryError
from metalscope.objectives import ObjectiveTracker

MINUTES = 10
TICKS = 4 * 24 * 60 // MINUTES


def objective(**options: object) -> ObjectiveOptions:
    return ObjectiveOptions(**({"name": "works", "target": 0.99} | options))


class Past:
    """Four days of a tick every ten minutes; each tick of the last six hours has failures."""

    def __init__(self, path: Path) -> None:
        self.elapsed = 0.0
        self.failures: list[BaseException] = []
        self.history = History(
            HistoryOptions(path=path),
            on_error=lambda _room, error: self.failures.append(error),
            elapsed=lambda: self.elapsed,
        )
        self.fast = self.slow = self.failed = 0
        for tick in range(TICKS + 1):
            self.elapsed = tick * MINUTES * 60.0
            self.history.append(
                snapshot(
                    self.elapsed,
                    operation("fast", ok=self.fast, failed=self.failed),
                    operation("slow", ok=self.slow, took_ms=30.0),
                )
            )
            assert self.history.flush(10)
            self.fast += 20
            self.slow += 3
            self.failed += 5 if tick >= TICKS - 36 else 0
        self.history.close()
        # What was added after the last tick never was.
        self.fast, self.slow, self.failed = self.fast - 20, self.slow - 3, self.failed - 5

    @property
    def ended(self) -> timedelta:
        return timedelta(seconds=self.elapsed)


@pytest.fixture(scope="module")
def past() -> Iterator[Past]:
    # In memory, where the system has such a place: how fast a disk is is not tested here.
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        lived = Past(Path(directory).resolve() / "past.sqlite")
        yield lived
    assert lived.failures == []


def seeded(past: Past, *objectives: ObjectiveOptions, idle: float = 120.0) -> ObjectiveTracker:
    tracker = ObjectiveTracker(objectives)
    tracker.seed(past.history, START + past.ended + timedelta(seconds=idle))
    return tracker


def test_a_restart_goes_on_with_the_window(past: Past):
    (status,) = seeded(past, objective()).statuses()
    assert status.total == past.fast + past.slow + past.failed
    assert status.total - status.good == past.failed
    assert status.covered_seconds == pytest.approx(past.elapsed + 120, abs=MINUTES * 60)


def test_what_took_too_long_before_the_restart_is_known_after_it(past: Past):
    whole, some = seeded(
        past, objective(within_ms=10), objective(operation="execute:slow", within_ms=10)
    ).statuses()
    assert whole.total - whole.good == past.failed + past.slow
    assert (some.good, some.total) == (0, past.slow)


def test_what_ran_since_the_restart_is_added(past: Past):
    tracker = ObjectiveTracker([objective()])
    began = past.elapsed + 120
    restarted = snapshot(began + 5, operation("fast", ok=7, failed=1))
    tracker.observe(restarted)
    tracker.seed(past.history, START + timedelta(seconds=began))
    tracker.observe(snapshot(began + 10, operation("fast", ok=10, failed=1)))
    (status,) = tracker.statuses()
    assert status.total == past.fast + past.slow + past.failed + 11


def test_what_burned_before_the_restart_still_burns(past: Past):
    (status,) = seeded(past, objective()).statuses()
    rates = {one.seconds: one.rate for one in status.burn_rates}
    # 5 failures of 28 operations in each tick of the last hours.
    assert rates[3600.0] == pytest.approx(5 / 28 / 0.01, rel=0.1)
    assert rates[21_600.0] == pytest.approx(5 / 28 / 0.01, rel=0.1)
    assert rates[86_400.0] == pytest.approx(past.failed / (144 * 23 + past.failed) / 0.01, rel=0.1)
    assert status.burning is not None


def test_a_shorter_window_takes_its_share_of_the_past_only(past: Past):
    (status,) = seeded(past, objective(window="2d")).statuses()
    assert status.total == pytest.approx(48 * 6 * 23 + past.failed, rel=0.03)
    assert status.covered_seconds == 2 * 86_400


def test_a_past_that_is_older_than_the_window_is_none(past: Past):
    (status,) = seeded(past, objective(window="1h"), idle=7200.0).statuses()
    assert (status.total, status.burning) == (0, None)


def test_what_this_process_wrote_since_it_began_is_not_counted_twice(tmp_path: Path):
    elapsed = 0.0
    options = HistoryOptions(path=tmp_path / "past.sqlite")
    failures: list[BaseException] = []
    with History(
        options, on_error=lambda _room, error: failures.append(error), elapsed=lambda: elapsed
    ) as history:
        for tick in range(11):
            elapsed = 5.0 * tick
            history.append(snapshot(elapsed, operation(ok=10 * tick)))
            assert history.flush(10)
        tracker = ObjectiveTracker([objective()])
        tracker.seed(history, START + timedelta(seconds=32))
    (status,) = tracker.statuses()
    assert status.total == 60
    assert failures == []


def test_a_history_that_cannot_be_read_says_so(tmp_path: Path):
    tracker = ObjectiveTracker([objective()])
    with pytest.raises(HistoryError):
        tracker.seed(History.open_readonly(tmp_path / "none.sqlite"), START)
    tracker.observe(snapshot(1, operation(ok=1)))
    assert tracker.statuses()[0].total == 1
