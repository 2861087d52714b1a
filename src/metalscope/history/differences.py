"""What happened between two snapshots: counts as differences, readings as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import Final

from metalscope.histogram import EDGES_NS, DurationHistogram
from metalscope.history.facts import CUSTOM
from metalscope.history.figures import OperationFigures
from metalscope.operation import OK
from metalscope.snapshot import (
    CustomMetric,
    MetalTelemetrySnapshot,
    OperationMetrics,
    OutcomeMetrics,
)

__all__ = ["Label", "ReadingOfOne", "State", "Tick", "difference"]

Label = tuple[str, str, str]
"""Kind, name and device."""


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a process's counts at one moment."""

    started_at: datetime
    timestamp: datetime
    total_operations: int
    total_errors: int
    operations: Mapping[Label, OperationMetrics]

    @classmethod
    def of(cls, snapshot: MetalTelemetrySnapshot) -> State:
        """The state that a snapshot tells."""
        return cls(
            snapshot.started_at,
            snapshot.timestamp,
            snapshot.total_operations,
            snapshot.total_errors,
            {(one.kind, one.name, one.device): one for one in snapshot.operations},
        )


@dataclass(frozen=True, slots=True)
class ReadingOfOne:
    """A reading, in ``unit``; ``limit`` is what it cannot pass, where its source says."""

    value: float
    unit: str
    limit: float | None


@dataclass(frozen=True, slots=True)
class Tick:
    """What one collection adds to the past. ``seconds`` is the time it stands for.

    ``everything`` is all operations together; ``operations`` holds those that moved. ``custom`` are
    the program's own metrics, as readings.
    """

    timestamp: datetime
    seconds: float
    everything: OperationFigures
    operations: Mapping[Label, OperationFigures] = field(default_factory=dict)
    readings: Mapping[Label, ReadingOfOne] = field(default_factory=dict)
    custom: Mapping[Label, ReadingOfOne] = field(default_factory=dict)


def difference(before: State | None, now: State, snapshot: MetalTelemetrySnapshot) -> Tick:
    """What happened from ``before`` to ``now``, the state of ``snapshot``.

    Where ``before`` is ``None`` or of another run, it is all since the start of this one. A count
    that shrank was reset, and is taken whole.
    """
    if before is None or before.started_at != now.started_at:
        before = State(now.started_at, now.started_at, 0, 0, {})
    everything = OperationFigures()
    moved = {}
    for label, operation in now.operations.items():
        earlier = before.operations.get(label)
        if operation is earlier:
            continue
        figures = _gained(earlier, operation)
        # The device may tell its own time later than the operation was counted.
        if figures.operations or figures.nbytes or figures.gpu_count:
            moved[label] = figures
            everything.add(figures)
    # These count operations, too, whose series is past its retention.
    everything.operations = _grown(before.total_operations, now.total_operations)
    everything.errors = _grown(before.total_errors, now.total_errors)
    return Tick(
        timestamp=now.timestamp,
        # The clock may have been set back: how long it was since is then not known.
        seconds=max(0.0, (now.timestamp - before.timestamp).total_seconds()),
        everything=everything,
        operations=moved,
        readings=_readings(snapshot),
        custom=_custom(snapshot),
    )


def _readings(snapshot: MetalTelemetrySnapshot) -> dict[Label, ReadingOfOne]:
    readings = {}
    for one in snapshot.resources:
        if isfinite(one.current):
            limit = one.limit if one.limit is not None and isfinite(one.limit) else None
            label = (one.kind.value, one.name, one.device)
            readings[label] = ReadingOfOne(float(one.current), one.unit, limit)
    return readings


def _custom(snapshot: MetalTelemetrySnapshot) -> dict[Label, ReadingOfOne]:
    """Counters, as their totals, and gauges; of a histogram no single number says what it was."""
    return {
        (CUSTOM, _as_prometheus_writes(one), ""): ReadingOfOne(float(one.value), "", None)
        for one in snapshot.custom
        if one.kind != "histogram" and isfinite(one.value)
    }


def _as_prometheus_writes(metric: CustomMetric) -> str:
    """Name and labels (Prometheus, "Text format details")."""
    if not metric.labels:
        return metric.name
    labels = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in metric.labels)
    return f"{metric.name}{{{labels}}}"


_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def _gained(before: OperationMetrics | None, now: OperationMetrics) -> OperationFigures:
    known = {} if before is None else {str(one.outcome): one for one in before.outcomes}
    figures = OperationFigures()
    for outcome in now.outcomes:
        earlier = known.get(str(outcome.outcome))
        if outcome is not earlier:
            _add_outcome(figures, earlier, outcome)
    return figures


def _add_outcome(
    figures: OperationFigures, before: OutcomeMetrics | None, now: OutcomeMetrics
) -> None:
    cells = None if before is None or _shrank(before, now) else _gained_cells(before, now)
    if before is None or cells is None:
        before = OutcomeMetrics(now.outcome, DurationHistogram())
        cells = dict(now.durations.cells)
    timed = sum(cells.values())
    count = timed + now.untimed - before.untimed
    figures.operations += count
    figures.timed += timed
    figures.busy_ns += now.durations.sum_ns - before.durations.sum_ns
    if now.outcome == OK:
        figures.ok_cells = cells
    elif count:
        figures.errors += count
        figures.failures[str(now.outcome)] = count
    if cells:
        figures.bound(*_bounds(cells, now.durations))
    figures.nbytes += now.nbytes - before.nbytes
    figures.gpu_ns += now.gpu_ns - before.gpu_ns
    figures.gpu_count += now.gpu_count - before.gpu_count


def _shrank(before: OutcomeMetrics, now: OutcomeMetrics) -> bool:
    return (
        now.untimed < before.untimed
        or now.nbytes < before.nbytes
        or now.gpu_ns < before.gpu_ns
        or now.gpu_count < before.gpu_count
        or now.durations.sum_ns < before.durations.sum_ns
    )


def _gained_cells(before: OutcomeMetrics, now: OutcomeMetrics) -> dict[int, int] | None:
    """How many durations each cell gained; ``None`` where one has less than before."""
    known = dict(before.durations.cells)
    gained = {}
    for cell, count in now.durations.cells:
        more = count - known.pop(cell, 0)
        if more < 0:
            return None
        if more:
            gained[cell] = more
    return None if known else gained


def _bounds(cells: dict[int, int], whole: DurationHistogram) -> tuple[int, int]:
    """Between which durations all in ``cells`` are, which are some of those in ``whole``."""
    lowest, highest = min(cells), max(cells)
    low, high = whole.min_ns or 0, whole.max_ns or 0
    if lowest:
        low = max(low, EDGES_NS[lowest - 1] + 1)
    if highest < len(EDGES_NS):
        high = min(high, EDGES_NS[highest])
    return low, high


def _grown(before: int, now: int) -> int:
    return now - before if now >= before else now
