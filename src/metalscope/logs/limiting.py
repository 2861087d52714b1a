"""How many records of one kind a second are too many: the rest are counted, and said to be."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from time import monotonic
from typing import Final

__all__ = ["EventLimiter"]

MOST_KINDS: Final = 1000
"""Kinds that are kept apart; of more, the one that came longest ago is forgotten."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float
    suppressed: int = 0


class EventLimiter:
    """A token bucket for each kind of record. Belongs to one thread at a time.

    Args:
        per_second: how many a second go through, and how many at once after a pause.
        clock: seconds that only ever grow.
    """

    def __init__(self, per_second: int, *, clock: Callable[[], float] = monotonic) -> None:
        self._per_second = float(per_second)
        self._clock = clock
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()

    def admit(self, kind: Hashable) -> int | None:
        """How many of this kind were left out before this one; ``None``: so is this one."""
        now = self._clock()
        bucket = self._buckets.get(kind)
        if bucket is None:
            bucket = self._buckets[kind] = _Bucket(self._per_second, now)
            if len(self._buckets) > MOST_KINDS:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(kind)
        bucket.tokens = min(self._per_second, bucket.tokens + (now - bucket.at) * self._per_second)
        bucket.at = now
        if bucket.tokens < 1:
            bucket.suppressed += 1
            return None
        bucket.tokens -= 1
        suppressed, bucket.suppressed = bucket.suppressed, 0
        return suppressed
