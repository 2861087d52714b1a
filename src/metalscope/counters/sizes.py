"""How large allocations were, where the one who allocates says so."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from metalscope.counter_statistics import SizeCategory

__all__ = ["AllocationSizes"]

# 4 KiB: up to there Metal copies data into the command itself and needs no buffer (Apple,
# MTLComputeCommandEncoder.setBytes). 1 MiB, 64 MiB, 1 GiB: an activation, a layer, a model.
_BOUNDS: Final = (4 * 2**10, 2**20, 64 * 2**20, 2**30)
_CATEGORIES: Final = tuple(SizeCategory)


class AllocationSizes:
    """Exact counts of allocations by size, from any thread."""

    def __init__(self) -> None:
        # Re-entrant: a finalizer may allocate while its own thread counts.
        self._lock = threading.RLock()
        self._counts = [0] * len(_CATEGORIES)

    def add(self, nbytes: int) -> None:
        """Count one allocation of so many bytes."""
        category = bisect_right(_BOUNDS, nbytes)
        with self._lock:
            self._counts[category] += 1

    def counts(self) -> Mapping[SizeCategory, int] | None:
        """How many of each size; ``None`` where none was told."""
        with self._lock:
            counts = tuple(self._counts)
        return (
            MappingProxyType(dict(zip(_CATEGORIES, counts, strict=True))) if any(counts) else None
        )
