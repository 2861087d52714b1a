"""Statistics over what sensors read, one entry a reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

from metalscope.counter_statistics import BandStatistics, RateStatistics, ReadingStatistics
from metalscope.counters.bands import Thresholds, Value
from metalscope.counters.statistics import Growth, Running
from metalscope.readings import ResourceKind, ResourceMetrics

__all__ = ["MAX_READINGS", "ReadingBook"]

MAX_READINGS: Final = 1000
"""Most distinct readings that are kept; a machine has some dozens."""

GROWING: Final = (ResourceKind.ENERGY, ResourceKind.RECOVERIES)
"""Kinds that only ever grow, so that a rate of them means something."""

Key = tuple[ResourceKind, str, str]


class ReadingBook:
    """Keeps statistics of every reading seen. Not safe under threads by itself."""

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        self._entries: dict[Key, _Entry] = {}
        self.refused = 0
        self.untracked = 0

    def sample(
        self,
        readings: Iterable[ResourceMetrics],
        now_ns: int,
        *,
        ends_window: bool,
        longest_ns: int | None,
    ) -> None:
        """Take the readings of one moment; those that are not among them are absent from now on."""
        found: set[Key] = set()
        for reading in readings:
            value = Value.of(reading, self._thresholds)
            key = (reading.kind, reading.name, reading.device)
            if value is None or key in found:
                self.refused += 1
                continue
            entry = self._entries.get(key)
            if entry is None:
                if len(self._entries) >= MAX_READINGS:
                    self.untracked += 1
                    continue
                entry = self._entries[key] = _Entry(key, value, now_ns)
            else:
                entry.add(value)
            found.add(key)
        for key, entry in self._entries.items():
            if key not in found:
                entry.last = None
            elif ends_window:
                entry.end_window(now_ns, longest_ns)

    def statistics(self) -> tuple[ReadingStatistics, ...]:
        """All of them, by kind, name and device."""
        return tuple(self._entries[key].statistics() for key in sorted(self._entries))


class _Entry:
    """What is known of one reading."""

    def __init__(self, key: Key, first: Value, now_ns: int) -> None:
        self.kind, self.name, self.device = key
        self.last: Value | None = first
        self._running = Running(first.current)
        self._growth = Growth(first.current, now_ns) if self.kind in GROWING else None
        self._peak = first.current
        self._limit: float | None = None
        self._word: str | None = None
        self._samples: Counter[str] = Counter()
        self._entered: Counter[str] = Counter()
        self._near_exhaustion = 0
        self._note(first)

    def add(self, value: Value) -> None:
        """Take the value of one more sample."""
        self.last = value
        self._running.add(value.current)
        if self._growth is not None:
            self._growth.add(value.current)
        self._note(value)

    def end_window(self, now_ns: int, longest_ns: int | None) -> None:
        """Let a new window for the rate begin."""
        if self._growth is not None:
            self._growth.end_window(now_ns, longest_ns=longest_ns)

    def statistics(self) -> ReadingStatistics:
        """What is known, frozen."""
        last, growth = self.last, self._growth
        return ReadingStatistics(
            kind=self.kind,
            name=self.name,
            device=self.device,
            current=last.current if last else None,
            minimum=self._running.minimum,
            maximum=self._running.maximum,
            mean=self._running.mean,
            samples=self._running.count,
            peak=self._peak,
            limit=self._limit,
            utilization_percent=last.utilization_percent if last else None,
            band=self._bands(),
            near_exhaustion=last.near_exhaustion if last else None,
            near_exhaustion_samples=self._near_exhaustion,
            growth=growth.grown if growth else None,
            rate=self._rate(),
        )

    def _note(self, value: Value) -> None:
        self._peak = max(self._peak, value.current, value.peak or value.current)
        self._limit = value.limit if value.limit is not None else self._limit
        self._near_exhaustion += value.near_exhaustion is True
        word = value.word
        if word is None:
            return
        self._samples[word] += 1
        if self._word is not None and word != self._word:
            self._entered[word] += 1
        self._word = word

    def _bands(self) -> BandStatistics | None:
        if not self._samples:
            return None
        return BandStatistics(
            current=self.last.word if self.last else None,
            samples=MappingProxyType(dict(self._samples)),
            entered=MappingProxyType(dict(self._entered)),
        )

    def _rate(self) -> RateStatistics | None:
        if self._growth is None:
            return None
        rate = self._growth.rate()
        if self.last is not None:
            return rate
        return RateStatistics(None, rate.minimum, rate.maximum, rate.mean, rate.windows)
