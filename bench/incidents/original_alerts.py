"""The alert rules of the system this one follows, with its notifications really sent.

Its conditions, windows and steps of severity are kept. An alert is named by rule and subject; while
it is there it is not raised again. Only that on memory is ever resolved, below 0.8 × its threshold;
the others stay until a retention of seven days is over, so the same trouble later that day is not
told again. One message when an alert is raised, one when it is resolved.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta

from metalscope.histogram import EDGES_NS
from metalscope.operation import NS_PER_MS, OperationKind
from metalscope.readings import MemoryPressure
from metalscope.snapshot import MetalTelemetrySnapshot, OperationMetrics, ResourceKind

EVALUATION = timedelta(minutes=1)
FAILURES, FAILURE_WINDOW = 5, timedelta(minutes=10)
SLOW, SLOW_MS, SLOW_WINDOW = 10, 100.0, timedelta(minutes=15)
GPU_PERCENT, GPU_SAMPLES, GPU_WINDOW = 90.0, 10, timedelta(minutes=5)
MEMORY_PERCENT, MEMORY_EXIT = 85.0, 0.8
ERRORS, ERROR_WINDOW = 10, timedelta(minutes=10)
_SLOW_CELL = bisect_left(EDGES_NS, int(SLOW_MS * NS_PER_MS)) + 1


class OriginalAlerts:
    """Looks at each snapshot; gives the moments at which a message would be sent."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], deque[tuple[datetime, int]]] = {}
        self._totals: dict[tuple[str, str], int] = {}
        self._gpu: deque[tuple[datetime, float]] = deque()
        self._memory: dict[str, float] = {}
        self._pressed = False
        self._raised: set[tuple[str, str]] = set()
        self._next: datetime | None = None

    def observe(self, snapshot: MetalTelemetrySnapshot) -> list[tuple[str, str, str]]:
        """What is told now: ``raised`` or ``resolved``, the rule, the subject."""
        now = snapshot.timestamp
        self._take(snapshot, now)
        if self._next is not None and now < self._next:
            return []
        self._next = now + EVALUATION
        told = []
        for rule, subject in self._conditions(now):
            if (rule, subject) not in self._raised:
                self._raised.add((rule, subject))
                told.append(("raised", rule, subject))
        for subject, percent in self._memory.items():
            alert = ("memory utilisation", subject)
            if alert in self._raised and percent < MEMORY_EXIT * MEMORY_PERCENT:
                self._raised.discard(alert)
                told.append(("resolved", *alert))
        return told

    def _take(self, snapshot: MetalTelemetrySnapshot, now: datetime) -> None:
        for operation in snapshot.operations:
            subject = f"{operation.kind}:{operation.name}"
            if operation.kind is OperationKind.EXECUTE:
                self._count("kernel failures", subject, operation.error_count, now)
            self._count("slow operation", subject, _slow(operation), now)
        for error, count in snapshot.errors.items():
            self._count("error rate", error.value, count, now)
        for reading in snapshot.resources:
            percent = reading.utilization_percent
            if reading.kind is ResourceKind.GPU_UTILIZATION and percent is not None:
                self._gpu.append((now, percent))
            elif reading.kind is ResourceKind.MEMORY and percent is not None:
                self._memory[reading.name] = percent
            elif reading.kind is ResourceKind.MEMORY_PRESSURE:
                self._pressed = reading.current >= MemoryPressure.HIGH
        while self._gpu and now - self._gpu[0][0] > GPU_WINDOW:
            self._gpu.popleft()

    def _count(self, rule: str, subject: str, total: int, now: datetime) -> None:
        key = rule, subject
        more = total - self._totals.get(key, 0)
        self._totals[key] = total
        if more > 0:
            self._counts.setdefault(key, deque()).append((now, more))

    def _conditions(self, now: datetime) -> Iterator[tuple[str, str]]:
        limits = {
            "kernel failures": (FAILURES, FAILURE_WINDOW),
            "slow operation": (SLOW, SLOW_WINDOW),
            "error rate": (ERRORS, ERROR_WINDOW),
        }
        for (rule, subject), counted in self._counts.items():
            number, window = limits[rule]
            while counted and now - counted[0][0] > window:
                counted.popleft()
            if sum(count for _, count in counted) >= number:
                yield rule, subject
        if sum(percent > GPU_PERCENT for _, percent in self._gpu) >= GPU_SAMPLES:
            yield "gpu utilisation", "gpu"
        for subject, percent in self._memory.items():
            if percent > MEMORY_PERCENT:
                yield "memory utilisation", subject
        if self._pressed:
            yield "memory pressure", "system"


def _slow(operation: OperationMetrics) -> int:
    return sum(
        count
        for outcome in operation.outcomes
        for cell, count in outcome.durations.cells
        if cell >= _SLOW_CELL
    )
