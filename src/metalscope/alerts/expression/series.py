"""One series as it was sampled, and how much it counted."""

from __future__ import annotations

from array import array
from math import isnan, nan
from typing import Final

from metalscope.alert_report import Labels

__all__ = ["ALWAYS", "NEVER", "Series"]

_ABSENT: Final = nan

ALWAYS: Final = 2**63
"""A moment after all others, in ms."""

NEVER: Final = -(2**63)


class Series:
    """Values by the number of the sampling; NaN where the series was absent.

    A counter that is counted has running totals beside its values, in which a fall, a restart of
    the process and a return from absence have been seen to, so that what it counted between two
    samplings is one subtraction. Before its first sample the total was that of ``_base``, as far as
    the moment ``base_until``, in ms, is past; what it was later is not known.
    """

    __slots__ = (
        "_base", "_epoch", "_restarts", "_total", "_value", "base_until", "first", "key", "labels",
        "totals", "values",
    )  # fmt: skip

    def __init__(
        self,
        labels: Labels,
        key: str,
        first: int,
        *,
        counted: bool,
        restarts: bool,
        base_until: int,
    ) -> None:
        self.labels = labels
        self.key = key
        self.first = first
        self.values = array("d")
        self.totals = array("d") if counted else None
        self.base_until = base_until
        self._restarts = restarts
        self._value = 0.0
        self._total = 0.0
        self._base = 0.0
        self._epoch = -1

    def append(self, sampling: int, value: float, epoch: int) -> None:
        """Take a value at a sampling later than all before; ``epoch`` changes with the process."""
        values, totals = self.values, self.totals
        gap = was_absent = sampling - self.first - len(values)
        if gap and not values:
            # All it had is forgotten, and nothing was counted since.
            self.first, gap = sampling, 0
            self._base, self.base_until = self._total, ALWAYS
        if gap:
            values.extend([_ABSENT] * gap)
        values.append(value)
        if totals is None:
            return
        before = self._value
        began_anew = value < before or epoch != self._epoch or (was_absent and self._restarts)
        self._epoch = epoch
        if gap:
            totals.extend([self._total] * gap)
        self._total += value if began_anew else value - before
        self._value = value
        totals.append(self._total)

    @property
    def end(self) -> int:
        """One past the last sampling it may have been seen at."""
        return self.first + len(self.values)

    def at(self, sampling: int) -> float:
        """Its value at a sampling; NaN where it was absent."""
        place = sampling - self.first
        return self.values[place] if 0 <= place < len(self.values) else _ABSENT

    def between(self, low: int, high: int) -> list[float]:
        """Its values at samplings from ``low`` to before ``high``, where it was there."""
        first = self.first
        low = max(low, first)
        if high <= low:
            return []
        found = self.values[low - first : high - first].tolist()
        # The sum is NaN where any is; that is faster than to look at each.
        return [value for value in found if not isnan(value)] if isnan(sum(found)) else found

    def counted(self, begin: int, low: int, high: int, begin_ms: int) -> float | None:
        """What it counted from the sampling ``begin`` to the last one before ``high``.

        ``begin`` is the last sampling at or before ``begin_ms``, where the window begins, ``low``
        the first at or after it. ``None`` where it was not seen in the window.
        """
        totals, first = self.totals, self.first
        assert totals is not None  # noqa: S101 - samples are asked with what they were made for
        end = min(high - first, len(totals)) - 1
        if end < 0 or end < low - first:
            return None
        if isnan(self.values[end]) and not self.between(low, high):
            return None
        place = begin - first
        if place >= 0:
            return totals[end] - totals[min(place, end)]
        return totals[end] - (self._base if begin_ms <= self.base_until else totals[0])

    def forget(self, before: int) -> None:
        """Let go of what was sampled before a sampling."""
        count = min(before - self.first, len(self.values))
        if count > 0:
            del self.values[:count]
            if self.totals is not None:
                del self.totals[:count]
            self.first += count
            self.base_until = NEVER

    def forget_from(self, sampling: int, *, is_first: bool) -> None:
        """Let go of what was sampled at a sampling and after it; counting goes on from there.

        With ``is_first`` no sampling before it is known either.
        """
        keep = max(0, sampling - self.first)
        if keep >= len(self.values):
            return
        del self.values[keep:]
        if self.totals is not None:
            del self.totals[keep:]
        if not keep:
            self.first = sampling
            if is_first:
                self.base_until = NEVER
