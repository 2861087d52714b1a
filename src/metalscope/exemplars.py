"""Which exemplars are kept: one a classic bucket, the newest, renewed at most once a second.

So a series has never more than 21 of them, however many operations run in a trace, and each of the
histogram's ``_bucket`` samples has the one OpenMetrics allows it (OpenMetrics 1.0, "Exemplars").
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol

from metalscope.fork import reset_in_child
from metalscope.histogram import CLASSIC_BOUNDS_MS
from metalscope.operation import NS_PER_MS
from metalscope.snapshot import Exemplar

if TYPE_CHECKING:
    from metalscope.recorder import Series

__all__ = ["RENEWAL_NS", "ExemplarBook", "newest_by_bucket"]

RENEWAL_NS: Final = 1_000_000_000
"""How long, in ns, a bucket's exemplar stands before another takes its place."""

_BUCKETS: Final = len(CLASSIC_BOUNDS_MS) + 1

Kept = tuple[int, Exemplar]
"""When it was kept, by the monotonic clock in ns, and what."""


class Traced(Protocol):
    """What is asked of a span's context, of this library's or of OpenTelemetry's."""

    @property
    def trace_id(self) -> int:
        """The trace, 128 bits."""
        ...

    @property
    def span_id(self) -> int:
        """The span, 64 bits."""
        ...


def newest_by_bucket(
    exemplars: Iterable[Exemplar], bounds: Sequence[float] = CLASSIC_BOUNDS_MS
) -> dict[int, Exemplar]:
    """Of each bucket the newest exemplar, by the bucket's place among ``bounds``, ascending.

    ``bounds`` are inclusive upper bounds in the exemplars' unit, without ``+Inf``, whose bucket is
    at ``len(bounds)``. Of two with one timestamp the greater value is taken.
    """
    newest: dict[int, Exemplar] = {}
    for one in sorted(exemplars, key=lambda one: (one.timestamp, one.value_ms)):
        newest[bisect_left(bounds, one.value_ms)] = one
    return dict(sorted(newest.items()))


class ExemplarBook:
    """The exemplars of all series. :meth:`offer` is called by any thread, the rest by one a time.

    Writing is one assignment to a list and one addition to a set, atomic with and without a global
    interpreter lock; of two threads at one bucket the later one's exemplar stays.
    """

    def __init__(self) -> None:
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Forget every exemplar."""
        self._kept: dict[Series, list[Kept | None]] = {}
        self._changed: set[Series] = set()
        self._told: dict[Series, tuple[Exemplar, ...]] = {}

    def offer(
        self,
        series: Series,
        duration_ns: int,
        now_ns: int,
        span: Traced,
        correlation_id: str | None = None,
    ) -> None:
        """Keep an operation of ``series`` that ended in, or was, ``span``, if its bucket's is due.

        ``now_ns`` is the monotonic clock's time.
        """
        buckets = self._kept.get(series)
        if buckets is None:
            buckets = self._kept.setdefault(series, [None] * _BUCKETS)
        value_ms = duration_ns / NS_PER_MS
        bucket = bisect_left(CLASSIC_BOUNDS_MS, value_ms)
        kept = buckets[bucket]
        if kept is not None and now_ns - kept[0] < RENEWAL_NS:
            return
        # W3C Trace Context, "trace-id" and "parent-id": 32 and 16 lower-case hex digits.
        trace_id, span_id = f"{span.trace_id:032x}", f"{span.span_id:016x}"
        exemplar = Exemplar(value_ms, datetime.now(UTC), trace_id, span_id, correlation_id)
        buckets[bucket] = (now_ns, exemplar)
        # After it is there, so that the collection that takes the mark off has it.
        self._changed.add(series)

    def collect(self, present: Collection[Series]) -> dict[Series, tuple[Exemplar, ...]]:
        """The exemplars of the series in ``present``; what others had is forgotten.

        A series that got no new one has the same tuple as the last time.
        """
        for gone in [series for series in self._kept.copy() if series not in present]:
            self._kept.pop(gone, None)
            self._told.pop(gone, None)
        while self._changed:
            series = self._changed.pop()
            buckets = self._kept.get(series)
            if buckets is not None:
                self._told[series] = tuple(kept[1] for kept in buckets if kept is not None)
        return self._told.copy()
