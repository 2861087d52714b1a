"""The rules of the system this one follows, as a detector, to be compared with.

Durations: more than 3 of the last 10 samples beyond the mean and two standard deviations of all
samples in the window, from 10 samples on. A sample is an operation's mean over one tick. Errors:
more than a tenth of the window's operations failed. Memory: more than 7 of the last 10 readings
above 85 %. To errors and memory the rule of durations applies as well. The window is 15 minutes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from math import sqrt

from metalscope.health.detector import AnomalyDetector
from metalscope.health_report import Anomaly, AnomalyKind
from metalscope.operation import NS_PER_MS, Component, ErrorSeverity
from metalscope.snapshot import MetalTelemetrySnapshot, OperationMetrics, ResourceKind

WINDOW = timedelta(minutes=15)
LEAST_SAMPLES = 10
LAST = 10
OUTLIERS = 3
SIGMAS = 2.0
ERROR_RATE = 0.1
HIGH_PERCENT = 85.0
HIGH_OF_LAST = 7


class OriginalRule(AnomalyDetector):
    """Looks every ``interval`` of snapshots' time; what it found stands until it looks again."""

    def __init__(self, interval: timedelta = timedelta()) -> None:
        self._interval = interval
        self._next: datetime | None = None
        self._samples: dict[str, _Samples] = {}
        self._before: dict[str, tuple[int, int, int]] = {}
        self._since: dict[tuple[str, str], datetime] = {}
        self._current: tuple[Anomaly, ...] = ()

    def observe(self, snapshot: MetalTelemetrySnapshot) -> Sequence[Anomaly]:
        now = snapshot.timestamp
        self._take(snapshot, now)
        if self._next is not None and now < self._next:
            return self._current
        self._next = now + self._interval
        found = {(kind, subject): reason for kind, subject, reason in self._look(snapshot)}
        self._since = {key: self._since.get(key, now) for key in found}
        self._current = tuple(
            Anomaly(
                kind,
                Component.KERNEL,
                subject,
                ErrorSeverity.MEDIUM,
                self._since[kind, subject],
                reason,
                detector="original",
            )
            for (kind, subject), reason in found.items()
        )
        return self._current

    def _take(self, snapshot: MetalTelemetrySnapshot, now: datetime) -> None:
        ran = failed = 0
        for operation in snapshot.operations:
            subject = f"{operation.kind}:{operation.name}"
            count, total, errors = _totals(operation)
            old = self._before.get(subject, (0, 0, 0))
            self._before[subject] = count, total, errors
            if count > old[0]:
                mean = (total - old[1]) / (count - old[0]) / NS_PER_MS
                self._of(subject).add(now, mean)
                ran += count - old[0]
                failed += errors - old[2]
        if ran:
            self._of("errors").add(now, failed / ran)
        for resource in snapshot.resources:
            percent = resource.utilization_percent
            if resource.kind is ResourceKind.MEMORY and percent is not None:
                self._of(resource.name).add(now, percent)

    def _of(self, subject: str) -> _Samples:
        return self._samples.setdefault(subject, _Samples())

    def _look(self, snapshot: MetalTelemetrySnapshot) -> Iterator[tuple[str, str, str]]:
        memory = {r.name for r in snapshot.resources if r.kind is ResourceKind.MEMORY}
        for subject, samples in self._samples.items():
            if subject == "errors":
                kind = AnomalyKind.ERROR_RATE
            else:
                kind = AnomalyKind.LEAK if subject in memory else AnomalyKind.LEVEL_SHIFT
            outliers = samples.outliers()
            if outliers > OUTLIERS:
                yield kind, subject, f"{outliers} of the last {LAST} beyond mean + 2 sigma"
            high = sum(value > HIGH_PERCENT for value in samples.last())
            if subject in memory and high > HIGH_OF_LAST:
                yield AnomalyKind.PRESSURE, subject, f"{high} of the last {LAST} above 85 %"
        rate = snapshot.recent.error_rate
        if rate is not None and rate > ERROR_RATE:
            yield AnomalyKind.ERROR_RATE, "errors", f"{rate:.1%} of the window's operations failed"


class _Samples:
    """One series over the window, with running sums."""

    def __init__(self) -> None:
        self._values: deque[tuple[datetime, float]] = deque()
        self._sum = 0.0
        self._squares = 0.0

    def add(self, now: datetime, value: float) -> None:
        self._values.append((now, value))
        self._sum += value
        self._squares += value * value
        while now - self._values[0][0] > WINDOW:
            _, old = self._values.popleft()
            self._sum -= old
            self._squares -= old * old

    def last(self) -> list[float]:
        return [self._values[i][1] for i in range(-min(LAST, len(self._values)), 0)]

    def outliers(self) -> int:
        number = len(self._values)
        if number < LEAST_SAMPLES:
            return 0
        mean = self._sum / number
        deviation = sqrt(max(0.0, self._squares / number - mean * mean))
        return sum(value > mean + SIGMAS * deviation for value in self.last())


def _totals(operation: OperationMetrics) -> tuple[int, int, int]:
    """Count, ns and failures since the start."""
    count = sum(o.count for o in operation.outcomes)
    return count, sum(o.durations.sum_ns for o in operation.outcomes), operation.error_count
