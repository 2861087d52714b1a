"""A duration histogram that is exact for every consumer at once.

Durations are integer nanoseconds, so a bucket edge can be exact. :data:`EDGES_NS` is the sorted
union of three sets of upper bounds (each inclusive, "le"):

* base-2 exponential bounds of scale 3, ``2**(i/8)`` ms: what an OTLP exponential histogram and a
  Prometheus native histogram of schema 3 are made of (OpenTelemetry metrics data model,
  "ExponentialHistogram"; Prometheus native histograms specification, "Schema");
* :data:`CLASSIC_BOUNDS_MS`: the bounds of the classic ``metal_operation_duration_ms``;
* the boundaries of :class:`~metalscope.operation.PerformanceCategory`.

Every one of those views is a sum of whole cells, so none is an estimate. Only a quantile is: its
relative error is at most half a cell, :data:`QUANTILE_RELATIVE_ERROR`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import isqrt, sqrt
from typing import Final

from metalscope.operation import NS_PER_MS, PerformanceCategory

__all__ = [
    "CLASSIC_BOUNDS_MS",
    "EDGES_NS",
    "QUANTILE_RELATIVE_ERROR",
    "SCALE",
    "DurationHistogram",
    "ExponentialBuckets",
    "quantile_of_cells",
]

SCALE: Final = 3
"""OTLP scale and Prometheus schema: 2**3 buckets to each doubling."""

MIN_INDEX: Final = -14 * 2**SCALE
"""Exponential index of the lowest bound kept, 2**-14 ms = 61 ns; below it is the zero bucket."""

MAX_INDEX: Final = 22 * 2**SCALE
"""Exponential index of the highest bound, 2**22 ms = 70 min; above it is the overflow cell."""

QUANTILE_RELATIVE_ERROR: Final = 2 ** (1 / 2 ** (SCALE + 1)) - 1
"""Largest relative error of a quantile between 61 ns and 70 min: 0.0443, that is 4.43 %."""

CLASSIC_BOUNDS_MS: Final[tuple[float, ...]] = (
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0,
    250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0, 30_000.0,
)  # fmt: skip
"""Upper bounds, in ms, of the classic histogram; ``+Inf`` follows."""


def _exponential_bound_ns(index: int) -> int:
    """floor(10**6 * 2**(index/8)) in exact integers: the eighth root is three square roots."""
    power = 10**48 << index if index >= 0 else 10**48 >> -index
    return isqrt(isqrt(isqrt(power)))


_EXPONENTIAL_NS: Final = tuple(_exponential_bound_ns(i) for i in range(MIN_INDEX, MAX_INDEX + 1))
_CLASSIC_NS: Final = tuple(round(bound * NS_PER_MS) for bound in CLASSIC_BOUNDS_MS)
# fast and normal end below 1 ms and 10 ms; slow ends at 100 ms, which it includes.
_CATEGORY_NS: Final = (NS_PER_MS - 1, 10 * NS_PER_MS - 1, 100 * NS_PER_MS)

EDGES_NS: Final[tuple[int, ...]] = tuple(
    sorted({*_EXPONENTIAL_NS, *_CLASSIC_NS, *_CATEGORY_NS}),
)
"""Inclusive upper bounds of the cells, ns, ascending; one more cell holds what passes them all."""

# Of each cell the exponential bucket it is part of; -1 is the zero bucket, and what passes the last
# bound is counted in the last.
_EXPONENTIAL_BUCKETS: Final = tuple(
    min(bisect_left(_EXPONENTIAL_NS, edge), len(_EXPONENTIAL_NS) - 1) - 1
    for edge in (*EDGES_NS, EDGES_NS[-1] + 1)
)
# Of each cell the classic bucket, and the category, that it is part of.
_CLASSIC_BUCKETS: Final = tuple(
    bisect_left(_CLASSIC_NS, edge) for edge in (*EDGES_NS, EDGES_NS[-1] + 1)
)
_CATEGORIES: Final = tuple(
    bisect_left(_CATEGORY_NS, edge) for edge in (*EDGES_NS, EDGES_NS[-1] + 1)
)


@dataclass(frozen=True, slots=True)
class ExponentialBuckets:
    """The histogram as OTLP and Prometheus native histograms want it, unit ms.

    ``counts[k]`` counts durations in ``(2**((offset+k)/8), 2**((offset+k+1)/8)]`` ms.
    """

    scale: int
    zero_threshold_ms: float
    zero_count: int
    offset: int
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DurationHistogram:
    """Counts of durations by cell, with exact sum, minimum and maximum.

    ``cells`` holds ``(cell index, count)`` for the cells that are not empty, ascending by index.
    ``sum_ns``, ``min_ns`` and ``max_ns`` are integer nanoseconds; the last two are ``None`` where
    nothing was counted. Two histograms add with ``+``; adding is associative and commutative.
    """

    cells: tuple[tuple[int, int], ...] = ()
    sum_ns: int = 0
    min_ns: int | None = None
    max_ns: int | None = None

    @classmethod
    def from_durations(cls, durations_ns: Iterable[int]) -> DurationHistogram:
        """Count durations given in ns; negative ones count as 0."""
        values = [max(0, value) for value in durations_ns]
        counts = [0] * (len(EDGES_NS) + 1)
        for value in values:
            counts[bisect_left(EDGES_NS, value)] += 1
        if not values:
            return cls()
        return cls.from_counts(counts, sum(values), min(values), max(values))

    @classmethod
    def from_counts(
        cls, counts: Sequence[int], sum_ns: int, min_ns: int | None, max_ns: int | None
    ) -> DurationHistogram:
        """Take a dense list of cell counts, ``len(EDGES_NS) + 1`` long."""
        cells = tuple((index, count) for index, count in enumerate(counts) if count)
        return cls(cells, sum_ns, min_ns, max_ns)

    @property
    def count(self) -> int:
        """How many durations were counted."""
        return sum([count for _, count in self.cells])

    @property
    def total_ms(self) -> float:
        """The sum of all durations, ms."""
        return self.sum_ns / NS_PER_MS

    @property
    def min_ms(self) -> float | None:
        """The shortest duration, ms."""
        return None if self.min_ns is None else self.min_ns / NS_PER_MS

    @property
    def max_ms(self) -> float | None:
        """The longest duration, ms."""
        return None if self.max_ns is None else self.max_ns / NS_PER_MS

    @property
    def average_ms(self) -> float | None:
        """The mean duration, ms."""
        count = self.count
        return self.sum_ns / count / NS_PER_MS if count else None

    def __add__(self, other: DurationHistogram) -> DurationHistogram:
        if not isinstance(other, DurationHistogram):
            return NotImplemented
        if self == _NOTHING:
            return other
        merged = dict(self.cells)
        for index, count in other.cells:
            merged[index] = merged.get(index, 0) + count
        lows = [value for value in (self.min_ns, other.min_ns) if value is not None]
        highs = [value for value in (self.max_ns, other.max_ns) if value is not None]
        return DurationHistogram(
            tuple(sorted(merged.items())),
            self.sum_ns + other.sum_ns,
            min(lows, default=None),
            max(highs, default=None),
        )

    def since(self, earlier: DurationHistogram) -> DurationHistogram:
        """What was counted after ``earlier``, an older state of the same histogram.

        Extremes of the difference are not known exactly; they are bounded by the edges of its
        outermost cells and by this histogram's own. A state that shrank, as after a reset, is
        returned whole.
        """
        before = dict(earlier.cells)
        cells = tuple((i, n - before.get(i, 0)) for i, n in self.cells if n != before.get(i, 0))
        shrank = set(before) - {index for index, _ in self.cells}
        if shrank or any(count < 0 for _, count in cells):
            return self
        if not cells:
            return DurationHistogram()
        low = _lower_edge(cells[0][0])
        high = _upper_edge(cells[-1][0], self.max_ns or 0)
        return DurationHistogram(
            cells,
            self.sum_ns - earlier.sum_ns,
            max(low, self.min_ns or 0),
            min(high, self.max_ns if self.max_ns is not None else high),
        )

    def quantile_ms(self, q: float) -> float | None:
        """The ``q`` quantile (0 ≤ q ≤ 1) in ms, or ``None`` where nothing was counted.

        The first and the last rank are the exact minimum and maximum. The sample at any other
        rank ``ceil(q * count)`` is known to lie in one cell, whose geometric middle is returned,
        held within the extremes: a relative error of at most :data:`QUANTILE_RELATIVE_ERROR`.

        Raises ``ValueError`` where ``q`` is outside 0..1.
        """
        _check(q)
        count = self.count
        if not count or self.min_ns is None or self.max_ns is None:
            return None
        rank = _rank(q, count)
        if rank == 1:
            return self.min_ns / NS_PER_MS
        if rank == count:
            return self.max_ns / NS_PER_MS
        return _middle(self.cells, rank, self.min_ns, self.max_ns)

    def categories(self) -> dict[PerformanceCategory, int]:
        """How many durations were fast, normal, slow and very slow: exact counts."""
        counts = [0] * (len(_CATEGORY_NS) + 1)
        for cell, count in self.cells:
            counts[_CATEGORIES[cell]] += count
        return dict(zip(PerformanceCategory, counts, strict=True))

    def classic(self) -> tuple[tuple[float, int], ...]:
        """Cumulative ``(upper bound in ms, count)`` at :data:`CLASSIC_BOUNDS_MS`, without +Inf."""
        counts = [0] * (len(_CLASSIC_NS) + 1)
        for cell, count in self.cells:
            counts[_CLASSIC_BUCKETS[cell]] += count
        return tuple(zip(CLASSIC_BOUNDS_MS, accumulate(counts), strict=False))

    def exponential(self) -> ExponentialBuckets:
        """The same counts as base-2 exponential buckets of :data:`SCALE`, exactly.

        Durations past the last bound, 70 minutes, are counted in the last bucket.
        """
        zero = 0
        counts: dict[int, int] = {}
        for cell, count in self.cells:
            bucket = _EXPONENTIAL_BUCKETS[cell]
            if bucket < 0:
                zero += count
            else:
                counts[bucket] = counts.get(bucket, 0) + count
        # Cells come in order, so their buckets do.
        first, last = (next(iter(counts)), bucket) if counts else (0, -1)
        return ExponentialBuckets(
            scale=SCALE,
            zero_threshold_ms=2.0 ** (MIN_INDEX / 2**SCALE),
            zero_count=zero,
            offset=MIN_INDEX + first,
            counts=tuple(counts.get(k, 0) for k in range(first, last + 1)),
        )


_NOTHING: Final = DurationHistogram()


def quantile_of_cells(
    cells: Iterable[tuple[int, int]],
    q: float,
    *,
    at_least_ns: int = 0,
    at_most_ns: int = EDGES_NS[-1] + 1,
) -> float | None:
    """The ``q`` quantile (0 ≤ q ≤ 1) in ms where cells alone are known, ``None`` where there are
    none. It is as exact as :meth:`DurationHistogram.quantile_ms`, at the first and the last rank
    too.

    Args:
        cells: ``(cell index, count)``, ascending.
        q: the share of durations that are no longer.
        at_least_ns, at_most_ns: no duration in the cells is shorter or longer, in ns. One that
            passes the last edge is taken for ``at_most_ns``.

    Raises ``ValueError`` where ``q`` is outside 0..1.
    """
    _check(q)
    cells = tuple(cells)
    count = sum([count for _, count in cells])
    return _middle(cells, _rank(q, count), at_least_ns, at_most_ns) if count else None


def _check(q: float) -> None:
    if not 0.0 <= q <= 1.0:
        raise ValueError(f"q must be between 0 and 1, not {q!r}")


def _rank(q: float, count: int) -> int:
    # ceil without float surprises: 0.1 * 30 is 3.0000000000000004, which is rank 3.
    return min(count, max(1, -int(-q * count * (1 - 1e-12) // 1)))


def _middle(
    cells: Iterable[tuple[int, int]], rank: int, at_least_ns: int, at_most_ns: int
) -> float:
    """The middle of the cell that holds a rank, in ms."""
    seen = 0
    for index, cell_count in cells:
        seen += cell_count
        if seen >= rank:
            low = max(_lower_edge(index), at_least_ns)
            high = min(_upper_edge(index, at_most_ns), at_most_ns)
            return sqrt(max(low, 1) * high) / NS_PER_MS
    raise AssertionError("unreachable: the rank is at most the count")


def _lower_edge(index: int) -> int:
    return EDGES_NS[index - 1] + 1 if index else 0


def _upper_edge(index: int, overflow: int) -> int:
    return EDGES_NS[index] if index < len(EDGES_NS) else overflow
