"""When something is to be done again, by moments that are given."""

from __future__ import annotations

from datetime import datetime, timedelta

from metalscope.moments import microseconds

__all__ = ["Due"]


class Due:
    """Says at which of the moments it is shown something is due: the first of each interval.

    Intervals are those of the clock, a minute begins at its second 0; so a program that was
    restarted goes on at the same moments. A clock that went back, or leapt, is in another interval.

    Args:
        interval: how often.
        last: when it was last done.
    """

    def __init__(self, interval: timedelta, last: datetime | None = None) -> None:
        self._interval = max(1, round(interval / timedelta(microseconds=1)))
        self._done = None if last is None else self._number(last)

    def is_due(self, now: datetime) -> bool:
        """Whether it is due now; then it is not again within this interval."""
        number = self._number(now)
        if number == self._done:
            return False
        self._done = number
        return True

    def _number(self, moment: datetime) -> int:
        return microseconds(moment) // self._interval
