"""What one tick says, as single figures: the layer every detector of this package reads.

:meth:`Signals.of` compares two snapshots. What did not happen between them gives no signal: an
operation that did not run has no duration, and that is not a duration of 0.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from math import exp, isfinite, log
from typing import TYPE_CHECKING, Final, NamedTuple

from metalscope.export_status import BreakerState
from metalscope.histogram import EDGES_NS
from metalscope.operation import NS_PER_MS, OK, Component, MetalError, OperationKind
from metalscope.readings import ResourceKind

if TYPE_CHECKING:
    from metalscope.histogram import DurationHistogram
    from metalscope.readings import ResourceMetrics
    from metalscope.snapshot import MetalTelemetrySnapshot, OperationMetrics

__all__ = ["ALL_OPERATIONS", "Signal", "SignalKind", "Signals", "component_of"]

ALL_OPERATIONS: Final = "all operations"
"""The subject of what is counted over all operations together."""


class SignalKind(StrEnum):
    """What a signal's ``value`` and ``weight`` mean."""

    DURATION = "duration"
    """Mean of an operation's successful calls, ms; ``weight`` is how many were timed."""
    TYPICAL_DURATION = "typical_duration"
    """Geometric mean of the same calls, ms, which a few very slow ones hardly move."""
    OPERATIONS = "operations"
    """How often an operation ran, failures included; ``weight`` is the seconds it is over."""
    FAILURES = "failures"
    """How often an operation failed, of ``weight`` calls; ``detail`` is the commonest error."""
    ERRORS = "errors"
    """How often one error came up, of ``weight`` calls of all operations."""
    TOTAL_FAILURES = "total_failures"
    """Failures of all operations together, of ``weight`` calls."""
    MEMORY = "memory"
    """A pool of memory, bytes; ``limit`` is its size where one is known."""
    UTILIZATION = "utilization"
    """How busy the GPU is, percent; ``detail`` is the device."""
    FREQUENCY = "frequency"
    """Mean clock of the GPU while busy, hertz; ``detail`` is the device."""
    TEMPERATURE = "temperature"
    """Degrees Celsius; ``detail`` is the device."""
    POWER = "power"
    """Watts; ``detail`` is the device."""
    THERMAL_STATE = "thermal_state"
    """A level of :class:`~metalscope.readings.ThermalState`."""
    LOW_POWER_MODE = "low_power_mode"
    """1 where the system saves power, else 0."""
    PRESSURE = "pressure"
    """A level of :class:`~metalscope.readings.MemoryPressure`."""
    BREAKER = "breaker"
    """1 where a breaker is open or half open, else 0; ``weight`` is how often it opened."""


class Signal(NamedTuple):
    """One figure of one tick. ``kind`` says what ``value`` and ``weight`` mean."""

    kind: SignalKind
    subject: str
    component: Component
    unit: str
    value: float
    weight: float = 1.0
    detail: str = ""
    limit: float | None = None

    @property
    def series_key(self) -> tuple[SignalKind, str]:
        """What makes signals of different ticks one series."""
        return self.kind, self.subject


@dataclass(frozen=True, slots=True)
class Signals:
    """The signals of one tick, ``seconds`` long; ``moment`` is its end, in seconds since the epoch.

    ``seconds`` is 0 for a first tick and where the clock on the wall went back: there is then
    nothing to compare with, and only what sensors read is known.
    """

    moment: float
    seconds: float
    signals: tuple[Signal, ...]

    def __iter__(self) -> Iterator[Signal]:
        return iter(self.signals)

    def __len__(self) -> int:
        return len(self.signals)

    @classmethod
    def of(
        cls, previous: MetalTelemetrySnapshot | None, snapshot: MetalTelemetrySnapshot
    ) -> Signals:
        """What happened between two snapshots, and what is read in the later one.

        Counts that went back began again at 0, so all of the later ones are new.
        """
        moment = snapshot.timestamp.timestamp()
        seconds = 0.0 if previous is None else moment - previous.timestamp.timestamp()
        if previous is None or seconds <= 0:
            return cls(moment, 0.0, (*_readings(snapshot), *_breakers(None, snapshot)))
        found = (
            *_operations(previous, snapshot, seconds),
            *_readings(snapshot),
            *_breakers(previous, snapshot),
        )
        return cls(moment, seconds, found)


def component_of(kind: OperationKind) -> Component:
    """The component whose health the speed of such operations speaks of."""
    return _COMPONENTS.get(kind, Component.KERNEL)


_COMPONENTS: Final = {
    OperationKind.COMPILE: Component.COMPILER,
    OperationKind.ALLOCATE: Component.MEMORY,
}

_MEMORY: Final = (ResourceKind.MEMORY, ResourceKind.GPU_MEMORY, ResourceKind.HOST_MEMORY)
_READINGS: Final = {
    ResourceKind.GPU_UTILIZATION: (SignalKind.UTILIZATION, Component.DEVICE),
    ResourceKind.FREQUENCY: (SignalKind.FREQUENCY, Component.DEVICE),
    ResourceKind.TEMPERATURE: (SignalKind.TEMPERATURE, Component.DEVICE),
    ResourceKind.POWER: (SignalKind.POWER, Component.DEVICE),
    ResourceKind.THERMAL_STATE: (SignalKind.THERMAL_STATE, Component.DEVICE),
    ResourceKind.LOW_POWER_MODE: (SignalKind.LOW_POWER_MODE, Component.DEVICE),
    ResourceKind.MEMORY_PRESSURE: (SignalKind.PRESSURE, Component.MEMORY),
} | dict.fromkeys(_MEMORY, (SignalKind.MEMORY, Component.MEMORY))


def _readings(snapshot: MetalTelemetrySnapshot) -> Iterator[Signal]:
    for reading in snapshot.resources:
        meaning = _READINGS.get(reading.kind)
        if meaning is not None and isfinite(reading.current):
            kind, component = meaning
            yield Signal(
                kind,
                _subject_of(reading),
                component,
                reading.unit,
                reading.current,
                detail=reading.device,
                limit=reading.limit,
            )


def _subject_of(reading: ResourceMetrics) -> str:
    name = reading.name
    if reading.kind is ResourceKind.MEMORY_PRESSURE and name == "system":
        return "memory pressure"
    if reading.kind in _MEMORY and "memory" not in name:
        name = f"{name} memory" if reading.kind is ResourceKind.MEMORY else f"{reading.kind} {name}"
    return f"{name} of {reading.device}" if reading.device else name


def _breakers(
    previous: MetalTelemetrySnapshot | None, snapshot: MetalTelemetrySnapshot
) -> Iterator[Signal]:
    before = {} if previous is None else {one.name: one for one in previous.health.breakers}
    for breaker in snapshot.health.breakers:
        earlier = before.get(breaker.name)
        opened = 0 if previous is None else breaker.opened - (earlier.opened if earlier else 0)
        yield Signal(
            SignalKind.BREAKER,
            breaker.name,
            breaker.component or Component.SYSTEM,
            "",
            0.0 if breaker.state is BreakerState.CLOSED else 1.0,
            weight=float(breaker.opened if opened < 0 else opened),
            detail=breaker.last_error,
        )


Series = tuple[OperationKind, str, str]
Cells = tuple[tuple[int, int], ...]


def _operations(
    previous: MetalTelemetrySnapshot, snapshot: MetalTelemetrySnapshot, seconds: float
) -> Iterator[Signal]:
    before: dict[Series, OperationMetrics] = {
        (one.kind, one.name, one.device): one for one in previous.operations
    }
    total = 0
    errors: Counter[MetalError] = Counter()
    for operation in snapshot.operations:
        earlier = before.get((operation.kind, operation.name, operation.device))
        if earlier is operation:
            continue
        change = _change(earlier, operation)
        if not change.operations:
            continue
        total += change.operations
        errors.update(change.errors)
        yield from _signals_of(operation, change, seconds)
    if not total:
        return
    for error, count in errors.items():
        yield Signal(
            SignalKind.ERRORS, error.value, error.component, "count", float(count), float(total)
        )
    commonest = max(errors, key=errors.__getitem__, default=None)
    yield Signal(
        SignalKind.TOTAL_FAILURES,
        ALL_OPERATIONS,
        commonest.component if commonest else Component.SYSTEM,
        "count",
        float(errors.total()),
        float(total),
        commonest.value if commonest else "",
    )


def _signals_of(operation: OperationMetrics, change: _Change, seconds: float) -> Iterator[Signal]:
    subject = f"{operation.kind} {operation.name}"
    if operation.device:
        subject += f" on {operation.device}"
    component = component_of(operation.kind)
    count, device = float(change.operations), operation.device
    yield Signal(SignalKind.OPERATIONS, subject, component, "count", count, seconds, device)
    commonest = max(change.errors, key=change.errors.__getitem__, default=None)
    yield Signal(
        SignalKind.FAILURES,
        subject,
        commonest.component if commonest else component,
        "count",
        float(sum(change.errors.values())),
        count,
        commonest.value if commonest else "",
    )
    if change.timed:
        weight = float(change.timed)
        mean, typical = change.mean_ms, change.typical_ms
        yield Signal(SignalKind.DURATION, subject, component, "ms", mean, weight, device)
        yield Signal(SignalKind.TYPICAL_DURATION, subject, component, "ms", typical, weight, device)


class _Change(NamedTuple):
    """What one operation did between two snapshots; the means are of the ``timed`` successes."""

    operations: int
    errors: dict[MetalError, int]
    timed: int
    mean_ms: float
    typical_ms: float


def _change(earlier: OperationMetrics | None, operation: OperationMetrics) -> _Change:
    before = {one.outcome: one for one in earlier.outcomes} if earlier is not None else {}
    operations = 0
    errors: dict[MetalError, int] = {}
    timed, mean, typical = 0, 0.0, 0.0
    for outcome in operation.outcomes:
        past = before.get(outcome.outcome)
        if past is outcome:
            continue
        if outcome.outcome == OK:
            timed, mean, typical = _means(past.durations if past else None, outcome.durations)
            operations += timed + _grown(past.untimed if past else 0, outcome.untimed)
        else:
            count = _grown(past.count if past else 0, outcome.count)
            operations += count
            if count:
                errors[MetalError(outcome.outcome)] = count
    return _Change(operations, errors, timed, mean, typical)


def _grown(before: int, now: int) -> int:
    """By how much a count grew; one that went back began again at 0."""
    return now - before if now >= before else now


def _grown_cells(past: Cells, now: Cells) -> list[tuple[int, int]]:
    """By how much each cell grew, of those that did."""
    # Run for each operation each tick. Cells only become more, so mostly they are the same ones.
    if len(now) == len(past):
        changed = [both for both in zip(now, past, strict=True) if both[0] != both[1]]
        if all(new[0] == old[0] for new, old in changed):
            return [(new[0], new[1] - old[1]) for new, old in changed]
    before = dict(past)
    return [(cell, count - before.get(cell, 0)) for cell, count in now if count != before.get(cell)]


def _means(past: DurationHistogram | None, now: DurationHistogram) -> tuple[int, float, float]:
    """How many durations are new, their mean and their geometric mean, both in ms.

    The geometric mean is that of the cells' middles, moved by as much as the same estimate of the
    mean is beside the exact one.
    """
    spent = now.sum_ns - (past.sum_ns if past is not None else 0)
    timed, logs, estimate = 0, 0.0, 0.0
    for cell, count in _grown_cells(past.cells if past is not None else (), now.cells):
        if count < 0:
            return _means(None, now)
        timed += count
        logs += count * _LOG_MIDDLES[cell]
        estimate += count * _MIDDLES[cell]
    if spent < 0:
        return _means(None, now)
    if not timed:
        return 0, 0.0, 0.0
    mean = spent / timed
    beside = min(_FARTHEST, max(1 / _FARTHEST, spent / estimate))
    return timed, mean / NS_PER_MS, min(mean, exp(logs / timed) * beside) / NS_PER_MS


_FARTHEST: Final = 1.1
"""Half a cell is at most 4.43 %; more than this is the overflow's or the first cell's doing."""
_LOWER: Final = (EDGES_NS[0] / 4, *EDGES_NS)
_UPPER: Final = (*EDGES_NS, EDGES_NS[-1])
_MIDDLES: Final = tuple((low * high) ** 0.5 for low, high in zip(_LOWER, _UPPER, strict=True))
_LOG_MIDDLES: Final = tuple(map(log, _MIDDLES))
