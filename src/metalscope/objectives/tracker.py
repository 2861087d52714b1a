"""Follows service level objectives from tick to tick."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from metalscope.fork import reset_in_child
from metalscope.health_report import BurnRate, ObjectiveStatus
from metalscope.objectives.burning import BURN_RATE_SECONDS, burning, rules_for
from metalscope.objectives.checkpoints import CountBook, Counted
from metalscope.objectives.counting import Counting
from metalscope.objectives.past import PastStep, past_of

if TYPE_CHECKING:
    from datetime import datetime

    from metalscope.health_options import ObjectiveOptions
    from metalscope.history import HistoryReader
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["ObjectiveTracker"]

_Past = tuple[float, list[PastStep]]


class ObjectiveTracker:
    """Counts what went well and what did not, and how fast each error budget goes.

    Counts are exact. An operation goes badly that fails, or takes longer than ``within_ms``; that
    limit stands at the nearest edge of the duration histogram, at most 4.43 % away, and exactly
    where it is a bound of ``metal_operation_duration_ms``. An operation that sampling did not time
    went well unless it failed.

    One thread observes; any thread asks. After a fork the child begins anew.

    Args:
        objectives: what is promised.
    """

    def __init__(self, objectives: Sequence[ObjectiveOptions]) -> None:
        self._objectives = tuple(objectives)
        self._rules = [rules_for(one.window.total_seconds()) for one in self._objectives]
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Forget all that was counted."""
        self._lock = threading.Lock()
        self._counting = Counting(self._objectives)
        self._books: list[CountBook] | None = None
        self._statuses: tuple[ObjectiveStatus, ...] | None = None

    def observe(self, snapshot: MetalTelemetrySnapshot) -> None:
        """Take one tick's snapshot."""
        if not self._objectives:
            return
        found = self._counting.since_last(snapshot.operations)
        now = snapshot.timestamp.timestamp()
        with self._lock:
            books = self._begin(snapshot.started_at.timestamp())
            for book, (total, bad) in zip(books, found, strict=True):
                book.add(now, total, bad)
            self._statuses = None

    def seed(self, history: HistoryReader, until: datetime) -> None:
        """Begin with what an earlier process counted, so that a restart keeps the windows.

        Call it once, from any thread; what was observed meanwhile is kept. The past is as fine as
        the history has it: by the minute for three days, then by the hour.

        Args:
            history: where the past is read.
            until: when this process began to count; what came before is taken from the history.

        Raises:
            HistoryError: the history cannot be read.
        """
        pasts = [past_of(one, history, until) for one in self._objectives]
        with self._lock:
            lived = self._begin(until.timestamp())
            self._books = [
                book if past is None else _continued(one, past, book)
                for one, past, book in zip(self._objectives, pasts, lived, strict=True)
            ]
            self._statuses = None

    def statuses(self) -> tuple[ObjectiveStatus, ...]:
        """Every objective as it stood at the last tick, in the order of the options."""
        with self._lock:
            if self._statuses is None:
                if self._books is None:
                    return ()
                self._statuses = tuple(map(self._status, range(len(self._objectives))))
            return self._statuses

    def _begin(self, began: float) -> list[CountBook]:
        if self._books is None:
            self._books = [CountBook(one.window.total_seconds(), began) for one in self._objectives]
        return self._books

    def _status(self, index: int) -> ObjectiveStatus:
        objective = self._objectives[index]
        assert self._books is not None  # noqa: S101 - for the type checker
        book, target = self._books[index], objective.target
        window = objective.window.total_seconds()
        whole = book.over(window)
        return ObjectiveStatus(
            name=objective.name,
            target=target,
            window_seconds=window,
            covered_seconds=whole.covered,
            good=whole.total - whole.bad,
            total=whole.total,
            burn_rates=tuple(
                _burn_rate(seconds, book.over(seconds), target)
                for seconds in BURN_RATE_SECONDS
                if seconds <= window
            ),
            burning=burning(book.over, target, self._rules[index]),
        )


def _continued(objective: ObjectiveOptions, past: _Past, lived: CountBook) -> CountBook:
    began, steps = past
    book = CountBook(objective.window.total_seconds(), began)
    for step in steps:
        book.add(step.until, step.total, step.bad)
    since_start = lived.whole()
    book.add(lived.now, since_start.total, since_start.bad)
    return book


def _burn_rate(seconds: float, counted: Counted, target: float) -> BurnRate:
    return BurnRate.of(seconds, counted.total - counted.bad, counted.total, target)
