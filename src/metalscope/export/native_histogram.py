"""Durations as Prometheus's native histograms have them: sparse, and each count by its difference.

Source: Prometheus native histograms specification, "Data model" and "Exposition formats".
"""

from __future__ import annotations

from dataclasses import dataclass

from metalscope.histogram import DurationHistogram

__all__ = ["NativeBuckets", "native_buckets"]


@dataclass(frozen=True, slots=True)
class NativeBuckets:
    """Buckets of one histogram, unit ms, none of it estimated.

    ``spans`` are ``(offset, length)`` pairs of neighbouring buckets: the first offset is the index
    of the first bucket, the others are how many buckets are skipped. ``deltas`` has a value for
    each bucket, how much more it counts than the one before.
    """

    schema: int
    zero_threshold: float
    zero_count: int
    spans: tuple[tuple[int, int], ...]
    deltas: tuple[int, ...]


def native_buckets(durations: DurationHistogram) -> NativeBuckets:
    """The exponential buckets of ``durations``, in Prometheus's way of counting.

    Bucket ``i`` of schema 3 counts what is in ``(2**((i-1)/8), 2**(i/8)]``: it goes by its upper
    bound, where OTLP goes by the lower one, so an index here is one higher.
    """
    exponential = durations.exponential()
    spans: list[tuple[int, int]] = []
    deltas: list[int] = []
    before = end = 0  # the count of the last bucket, and the index after it
    for index, count in enumerate(exponential.counts, exponential.offset + 1):
        if not count:
            continue
        if spans and index == end:
            offset, length = spans[-1]
            spans[-1] = (offset, length + 1)
        else:
            spans.append((index - end, 1))
        deltas.append(count - before)
        before, end = count, index + 1
    return NativeBuckets(
        exponential.scale,
        exponential.zero_threshold_ms,
        exponential.zero_count,
        tuple(spans),
        tuple(deltas),
    )
