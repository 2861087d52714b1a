"""What is asked of the past, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

from metalscope.errors import MetalscopeError
from metalscope.histogram import EDGES_NS, quantile_of_cells
from metalscope.operation import NS_PER_MS

__all__ = [
    "CUSTOM",
    "HistoryError",
    "Measure",
    "OperationTotals",
    "Outcomes",
    "ReadingFacts",
    "SeriesKey",
    "StepDurations",
]

Measure = Literal["operations", "errors", "error_rate", "duration_ms", "resource"]

CUSTOM: Final = "custom"
"""The kind of a reading that is a metric of the program's own."""


class HistoryError(MetalscopeError):
    """The file of the history is not there, or cannot be read."""


@dataclass(frozen=True, slots=True, order=True)
class SeriesKey:
    """One series of the past.

    ``measure`` and its unit: ``operations`` and ``errors`` are a second, ``error_rate`` is what
    share of the operations failed, 0..1, ``duration_ms`` the mean of those that were timed, in ms,
    ``resource`` a reading in the unit of its kind. A metric of the program's own is a ``resource``
    of kind ``custom``, whose name has its labels with it, as in ``queue_length{queue="a"}``.
    ``kind``, ``name`` and ``device`` are those of the operation or of the reading; all three empty,
    it is all operations together.
    """

    measure: Measure
    kind: str = ""
    name: str = ""
    device: str = ""

    def __str__(self) -> str:
        """For people: ``resource memory:active on m1``."""
        what = f"{self.kind}:{self.name}" if self.kind else "all"
        return f"{self.measure} {what}" + (f" on {self.device}" if self.device else "")


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How operations ended in one step of the past.

    ``start`` is in seconds since the epoch. ``ok`` and ``failed`` count every operation,
    ``errors`` the failed ones by the name of their error. ``durations`` are ``(cell, count)`` pairs
    as in :class:`~metalscope.histogram.DurationHistogram`, of those of ``ok`` that were timed; a
    cell's upper bound is its :data:`~metalscope.histogram.EDGES_NS`.
    """

    start: float
    ok: int
    failed: int
    errors: Mapping[str, int]
    durations: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class OperationTotals:
    """What operations of one kind and name did on one device in some time; all three may be empty,
    for all operations together.

    ``busy_ns`` is the time that the ``timed`` ones took, in ns; none of them took less than
    ``at_least_ns`` or more than ``at_most_ns``, which are edges of cells of the histogram.
    ``nbytes`` is bytes; ``gpu_ns`` the device's own time for ``gpu_count`` of them, in ns.
    ``failures`` counts the failed ones by the name of their error, ``durations`` are as in
    :class:`Outcomes`.
    """

    kind: str
    name: str
    device: str
    operations: int
    errors: int
    timed: int
    busy_ns: int
    at_least_ns: int | None
    at_most_ns: int | None
    nbytes: int
    gpu_ns: int
    gpu_count: int
    failures: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    durations: tuple[tuple[int, int], ...] = ()

    @property
    def average_ms(self) -> float | None:
        """The mean duration, ms; ``None`` where nothing was timed."""
        return self.busy_ns / self.timed / NS_PER_MS if self.timed else None

    def quantile_ms(self, q: float) -> float | None:
        """The ``q`` quantile, 0..1, of those that went well and were timed, ms; ``None`` where none
        were.
        """
        low = 0 if self.at_least_ns is None else self.at_least_ns
        high = EDGES_NS[-1] + 1 if self.at_most_ns is None else self.at_most_ns
        return quantile_of_cells(self.durations, q, at_least_ns=low, at_most_ns=high)


@dataclass(frozen=True, slots=True)
class StepDurations:
    """How long operations took step by step, of those that went well and were timed.

    ``start`` is in seconds since the epoch, each of the ``steps`` is ``step`` seconds long.
    ``cells`` are ``(step, cell, count)``, the cell as in :class:`Outcomes`, without those of 0.
    """

    start: float
    step: float
    steps: int
    cells: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class ReadingFacts:
    """A reading's unit, empty where there is none, and what it cannot pass, where someone says."""

    unit: str
    limit: float | None
