"""One process over time: rates from the differences between its snapshots.

A rate is what was counted between two snapshots by the time between their timestamps. Where there
is no earlier snapshot of the same process there is no rate. Counters that went back belong to a
process that was started anew: its rates begin again, and none is ever negative.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from metalscope.operation import NS_PER_MS, MetalError, OperationKind
from metalscope.snapshot import MetalTelemetrySnapshot, OperationMetrics

__all__ = ["WINDOW_SECONDS", "Key", "Pace", "Row", "Track", "total_pace"]

WINDOW_SECONDS: Final = 10.0
"""The rates of single operations are over this long; over one interval where that is longer."""

Key = tuple[OperationKind, str, str]
"""Kind, name and device: what tells operations of one process apart."""


class Counts(NamedTuple):
    """What one series had counted at one moment; ``busy_ns`` is over those that were ``timed``."""

    calls: int
    timed: int
    busy_ns: int
    nbytes: int

    @property
    def whole_busy_ns(self) -> float:
        """The time of all calls, where sampling timed only some of them."""
        return self.busy_ns * self.calls / self.timed if self.timed else 0.0


@dataclass(frozen=True, slots=True)
class Pace:
    """What all operations together did between the last two snapshots."""

    seconds: float
    calls: int
    errors: int
    timed: int
    busy_ns: int

    @property
    def calls_per_second(self) -> float:
        """Operations that ended, a second."""
        return self.calls / self.seconds

    @property
    def errors_per_second(self) -> float:
        """Operations that failed, a second."""
        return self.errors / self.seconds

    @property
    def mean_ms(self) -> float | None:
        """The mean duration in ms; ``None`` where nothing ran."""
        return self.busy_ns / self.timed / NS_PER_MS if self.timed else None


@dataclass(frozen=True, slots=True)
class Row:
    """One operation of one process, as the table shows it.

    Rates are ``None`` before there are two snapshots to take them from. ``share`` is this
    operation's part, 0..1, of the time that all operations of the process took.
    """

    process: str
    operation: OperationMetrics
    calls_per_second: float | None = None
    bytes_per_second: float | None = None
    share: float | None = None

    @property
    def identity(self) -> tuple[str, OperationKind, str, str]:
        """What tells it apart from every other row."""
        one = self.operation
        return self.process, one.kind, one.name, one.device


class _Sample(NamedTuple):
    timestamp: datetime
    calls: int
    errors: int
    counts: dict[Key, Counts]


class Track:
    """Takes the snapshots of one process as they come and says what happened between them.

    Args:
        name: what this process is called in the table.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.latest: MetalTelemetrySnapshot | None = None
        self.pace: Pace | None = None
        self.new_errors: dict[tuple[Key, MetalError], int] = {}
        self._samples: deque[_Sample] = deque()

    def observe(self, snapshot: MetalTelemetrySnapshot) -> bool:
        """Take the next snapshot; say whether it is of a process started anew."""
        before, self.latest = self.latest, snapshot
        anew = before is not None and _is_anew(before, snapshot)
        if anew or (before is not None and snapshot.timestamp < before.timestamp):
            self._samples.clear()
            self.pace = None
        if self._samples and self._samples[-1].timestamp == snapshot.timestamp:
            self._samples.pop()  # the same moment told again
        self._samples.append(_sample(snapshot))
        while len(self._samples) > 2 and self._age(self._samples[0]) > WINDOW_SECONDS:
            self._samples.popleft()
        self.new_errors = {}
        if len(self._samples) > 1:
            self.pace = _pace(self._samples[-2], self._samples[-1])
        if before is not None and len(self._samples) > 1:
            self.new_errors = _errors_between(before, snapshot)
        return anew

    def forget(self) -> None:
        """Begin anew, as for another place in a recording."""
        self._samples.clear()
        self.latest = self.pace = None
        self.new_errors = {}

    def rows(self) -> list[Row]:
        """A row for each operation there is."""
        if self.latest is None:
            return []
        operations = self.latest.operations
        if len(self._samples) < 2:
            return [Row(self.name, operation) for operation in operations]
        then, now = self._samples[0], self._samples[-1]
        seconds = (now.timestamp - then.timestamp).total_seconds()
        grown = {key: _grown(then.counts.get(key), here) for key, here in now.counts.items()}
        all_busy = sum(one.whole_busy_ns for one in grown.values())
        rows = []
        for operation in operations:
            growth = grown[_key(operation)]
            rows.append(
                Row(
                    self.name,
                    operation,
                    calls_per_second=growth.calls / seconds,
                    # An operation that never gave bytes says nothing of them.
                    bytes_per_second=growth.nbytes / seconds if operation.nbytes else None,
                    share=growth.whole_busy_ns / all_busy if all_busy else None,
                )
            )
        return rows

    def _age(self, sample: _Sample) -> float:
        return (self._samples[-1].timestamp - sample.timestamp).total_seconds()


def total_pace(paces: Iterable[Pace]) -> tuple[float, float, float | None] | None:
    """Calls a second, errors a second and mean ms of several processes; ``None`` of none."""
    known = list(paces)
    if not known:
        return None
    timed = sum(one.timed for one in known)
    busy_ns = sum(one.busy_ns for one in known)
    return (
        sum(one.calls_per_second for one in known),
        sum(one.errors_per_second for one in known),
        busy_ns / timed / NS_PER_MS if timed else None,
    )


def _is_anew(before: MetalTelemetrySnapshot, now: MetalTelemetrySnapshot) -> bool:
    return (
        now.started_at > before.started_at
        or _pid(now) != _pid(before)
        or now.total_operations < before.total_operations
    )


def _pid(snapshot: MetalTelemetrySnapshot) -> int | None:
    return snapshot.system.pid if snapshot.system else None


def _key(operation: OperationMetrics) -> Key:
    return operation.kind, operation.name, operation.device


def _sample(snapshot: MetalTelemetrySnapshot) -> _Sample:
    counts = {
        _key(one): Counts(one.executions, one.durations.count, one.durations.sum_ns, one.nbytes)
        for one in snapshot.operations
    }
    return _Sample(snapshot.timestamp, snapshot.total_operations, snapshot.total_errors, counts)


def _grown(then: Counts | None, now: Counts) -> Counts:
    """What was counted in between; a series that went back was closed and opened again."""
    if then is None or now.calls < then.calls:
        return now
    return Counts(*(max(0, b - a) for a, b in zip(then, now, strict=True)))


def _pace(then: _Sample, now: _Sample) -> Pace:
    grown = [_grown(then.counts.get(key), here) for key, here in now.counts.items()]
    return Pace(
        seconds=(now.timestamp - then.timestamp).total_seconds(),
        calls=now.calls - then.calls,
        errors=max(0, now.errors - then.errors),
        timed=sum(one.timed for one in grown),
        busy_ns=sum(one.busy_ns for one in grown),
    )


def _errors_between(
    then: MetalTelemetrySnapshot, now: MetalTelemetrySnapshot
) -> dict[tuple[Key, MetalError], int]:
    before = {_key(one): one.errors for one in then.operations if one.error_count}
    found = {}
    for operation in now.operations:
        if not operation.error_count:
            continue
        earlier = before.get(_key(operation), {})
        for error, count in operation.errors.items():
            new = count - earlier.get(error, 0)
            if new > 0:
                found[_key(operation), error] = new
    return found
