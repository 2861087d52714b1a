"""What an earlier process counted of an objective, from the history."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from metalscope.objectives.counting import late_after, late_in

if TYPE_CHECKING:
    from metalscope.health_options import ObjectiveOptions
    from metalscope.history import HistoryReader

__all__ = ["PastStep", "past_of"]

FINE: Final = timedelta(days=3)
"""So far back the past is read by the minute, as burn rates over hours need; then by the hour."""


class PastStep(NamedTuple):
    """Operations that ended in a step up to ``until``, s since the epoch, and how many were bad."""

    until: float
    total: int
    bad: int


def past_of(
    objective: ObjectiveOptions, history: HistoryReader, until: datetime
) -> tuple[float, list[PastStep]] | None:
    """From when on the past is known, s since the epoch, and its steps, oldest first.

    ``None`` where there is none within the objective's window. Raises
    :class:`~metalscope.history.HistoryError` where it cannot be read.
    """
    span = history.span()
    since = until - objective.window
    if span is None or span[1] <= since or span[0] >= until:
        return None
    since = max(since, span[0])
    return since.timestamp(), list(_steps(objective, history, since, until))


def _steps(
    objective: ObjectiveOptions, history: HistoryReader, since: datetime, until: datetime
) -> Iterator[PastStep]:
    limit = late_after(objective.within_ms)
    fine = (until - FINE).replace(minute=0, second=0, microsecond=0)
    # In the minute in which this process began, what it counted itself must not be read as well.
    whole = until.replace(second=0, microsecond=0)
    for begin, end, step in (
        (since, min(fine, until), timedelta(hours=1)),
        (max(since, fine), whole, timedelta(minutes=1)),
        (max(since, whole), until.replace(microsecond=0), timedelta(seconds=1)),
    ):
        if begin >= end:
            continue
        seconds = step.total_seconds()
        for one in history.outcomes(begin, end, step, objective.operation):
            late = late_in(one.durations, limit)
            at = min(one.start + seconds, until.timestamp())
            yield PastStep(at, one.ok + one.failed, one.failed + late)
