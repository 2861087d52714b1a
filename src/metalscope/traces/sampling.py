"""Which traces are kept from their beginning, and the random ids all have."""

from __future__ import annotations

import math
import random
from typing import Final, Protocol

from metalscope.fork import reset_in_child

__all__ = ["NEVER", "HeadSampler", "RandomSource"]

NEVER: Final = 2**63 - 1
"""So many operations are let by where none is to be taken."""

RANDOM_BITS: Final = 56
"""The low bits of a trace id that are random (W3C Trace Context Level 2, "random-trace-id")."""

_MASK: Final = (1 << RANDOM_BITS) - 1


class RandomSource(Protocol):
    """What is asked of a :class:`random.Random`."""

    def random(self) -> float:
        """A number from 0 up to, not including, 1."""
        ...

    def getrandbits(self, count: int, /) -> int:
        """So many random bits."""
        ...


class _OwnRandom(random.Random):
    """Seeded by the system, anew in a forked child. The program's own ``random`` is neither used,
    as it may be seeded the same in every process, nor moved on, as results may hang on it."""

    def __init__(self) -> None:
        super().__init__()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        self.seed()


_OWN: Final = _OwnRandom()


class HeadSampler:
    """Decides by the trace's random id, so that all who know the ratio decide the same.

    A trace is kept where the low 56 bits of its id are at or above a threshold of
    ``(1 - ratio) * 2**56``: OpenTelemetry, "Tracing SDK: TraceIdRatioBased" and "TraceState:
    Probability Sampling", consistent probability sampling by a rejection threshold.

    Args:
        ratio: the share of traces that are kept, 0 to 1.
        source: where random numbers come from.
    """

    def __init__(self, ratio: float, source: RandomSource | None = None) -> None:
        self.ratio = ratio
        source = _OWN if source is None else source
        self._random, self._getrandbits = source.random, source.getrandbits
        self._kept = round(ratio * (1 << RANDOM_BITS))
        self._threshold = (1 << RANDOM_BITS) - self._kept
        self._log_left = math.log1p(-ratio) if ratio < 1.0 else -math.inf

    def keeps(self, trace_id: int) -> bool:
        """Whether the trace is kept."""
        return trace_id & _MASK >= self._threshold

    def new_ids(self) -> tuple[int, int]:
        """The ids of a trace and its first span, that is kept or not, as it comes."""
        return self._getrandbits(128) or 1, self._getrandbits(64) or 1

    def kept_ids(self) -> tuple[int, int]:
        """The ids of a trace that was chosen to be kept, and of its first span."""
        bits = self._getrandbits(128)
        low = self._threshold + ((bits & _MASK) * self._kept >> RANDOM_BITS)
        return bits & ~_MASK | min(low, _MASK) or 1, self._getrandbits(64) or 1

    def left_ids(self) -> tuple[int, int]:
        """The ids of a trace that was not chosen, and of its first span."""
        bits = self._getrandbits(128)
        low = (bits & _MASK) * self._threshold >> RANDOM_BITS
        return bits & ~_MASK | low or 1, self._getrandbits(64) or 1

    def new_span_id(self) -> int:
        """The id of a span."""
        return self._getrandbits(64) or 1

    def chance(self) -> bool:
        """Whether one that comes now is taken."""
        return self._random() < self.ratio

    def skip(self) -> int:
        """How many are let by until the next that is taken.

        With each taken by a chance of ``ratio``, the number is distributed geometrically; it is
        drawn by inversion (Devroye, "Non-Uniform Random Variate Generation", X.2).
        """
        if self.ratio >= 1.0:
            return 0
        if self.ratio <= 0.0:
            return NEVER
        # From above 0 up to 1.
        skip = math.log(1.0 - self._random()) / self._log_left
        return int(skip) if skip < NEVER else NEVER - 1
