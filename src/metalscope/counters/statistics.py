"""Running statistics in constant memory that lose no precision, however many values there are."""

from __future__ import annotations

from typing import Final

from metalscope.counter_statistics import RateStatistics

__all__ = ["LARGEST", "Growth", "Running"]

LARGEST: Final = 2.0**63
"""No reading is larger in size: it is above all bytes a machine addresses, in any unit."""

_SMALLEST_EXPONENT: Final = 1074
_NS_PER_SECOND: Final = 1_000_000_000


class _ExactSum:
    """A sum of floats with no rounding at all.

    Each finite float is a whole multiple of 2**-1074 (IEEE 754 double precision), so the sum is
    kept as that whole number. Of n values below :data:`LARGEST` in size it has at most
    1074 + 63 + log2(n) bits: some 150 bytes.
    """

    __slots__ = ("_units",)

    def __init__(self) -> None:
        self._units = 0

    def add(self, value: float) -> None:
        numerator, denominator = value.as_integer_ratio()
        # The denominator is a power of two.
        self._units += numerator << (_SMALLEST_EXPONENT - denominator.bit_length() + 1)

    def by(self, divisor: int) -> float:
        """The sum by a whole number, rounded once, to the nearest float."""
        return self._units / (divisor << _SMALLEST_EXPONENT)


class Running:
    """Minimum, maximum and mean of values. The mean is rounded once, so it lies between them."""

    __slots__ = ("_sum", "count", "maximum", "minimum")

    def __init__(self, first: float) -> None:
        self._sum = _ExactSum()
        self.count = 0
        self.minimum = self.maximum = first
        self.add(first)

    def add(self, value: float) -> None:
        """Take one more value, finite and at most :data:`LARGEST` in size."""
        self.count += 1
        self.minimum = min(self.minimum, value)
        self.maximum = max(self.maximum, value)
        self._sum.add(value)

    @property
    def mean(self) -> float:
        """The mean of all values."""
        return self._sum.by(self.count)


class Growth:
    """How fast a total grows, over the windows between samples.

    A total that went back has begun again at zero, so all of it is growth. Growth in a window that
    is too long, or while there was none, is counted and has no part in the rates.

    Args:
        total: the total at ``now_ns``.
        now_ns: a monotonic time in ns.
    """

    __slots__ = (
        "_current", "_grown", "_maximum", "_measured", "_measured_ns", "_minimum", "_pending",
        "_since_ns", "_total", "windows",
    )  # fmt: skip

    def __init__(self, total: float, now_ns: int) -> None:
        self._total = total
        self._since_ns = now_ns
        self._grown, self._pending, self._measured = _ExactSum(), _ExactSum(), _ExactSum()
        self._measured_ns = self.windows = 0
        self._current: float | None = None
        self._minimum: float | None = None
        self._maximum: float | None = None

    def add(self, total: float) -> None:
        """Take the total as it is now."""
        grown = total - self._total if total >= self._total else total
        self._total = total
        self._grown.add(grown)
        self._pending.add(grown)

    def end_window(self, now_ns: int, *, longest_ns: int | None) -> None:
        """Begin a new window; the one that ends counts for the rates unless it is too long."""
        elapsed = now_ns - self._since_ns
        pending, self._pending, self._since_ns = self._pending, _ExactSum(), now_ns
        if elapsed <= 0 or (longest_ns is not None and elapsed > longest_ns):
            self._current = None
            return
        rate = pending.by(1) * _NS_PER_SECOND / elapsed
        self.windows += 1
        self._measured_ns += elapsed
        self._measured.add(pending.by(1))
        self._current = rate
        self._minimum = rate if self._minimum is None else min(self._minimum, rate)
        self._maximum = rate if self._maximum is None else max(self._maximum, rate)

    @property
    def grown(self) -> float:
        """All growth since the first total."""
        return self._grown.by(1)

    @property
    def measured_seconds(self) -> float:
        """The time the rates cover."""
        return self._measured_ns / _NS_PER_SECOND

    def rate(self) -> RateStatistics:
        """The growth per second."""
        if self._minimum is None or self._maximum is None:
            return RateStatistics()
        mean = self._measured.by(self._measured_ns) * _NS_PER_SECOND
        # Windows are rounded one by one, and the whole is rounded: keep the one within the others.
        return RateStatistics(
            current=self._current,
            minimum=self._minimum,
            maximum=self._maximum,
            mean=min(max(mean, self._minimum), self._maximum),
            windows=self.windows,
        )
