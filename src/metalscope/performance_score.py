"""One figure for how well the work goes, and the parts it is made of; see docs/counters.md.

Each part says which share of what could be had is left, 0 to 100, and is absent where nothing is
known of it. The whole is the product of the parts that are there, as availability, performance and
quality make up the overall equipment effectiveness of a plant (Nakajima, 1988; ISO 22400-2): a
part that is bad cannot be hidden by others that are good, and one that is absent changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any, Final

from metalscope.counter_statistics import PerformanceCounters
from metalscope.readings import MemoryPressure, ResourceKind, ResourceMetrics, ThermalState
from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["PerformanceScore", "ScorePart", "ScoreThresholds", "score_of"]

MIN_OPERATIONS: Final = 10
"""A share of fewer operations than this says nothing."""

STEADY_BELOW: Final = 0.2
"""A latency that rose by less than a fifth of what it became is called steady; as in trends."""

COST_AT_MOST: Final = 50.0
"""What a warning alone may cost: work that is slow, memory that is full, a chip that is hot all
still give right results."""

_PRESSURE: Final = {
    MemoryPressure.LOW: 100.0,
    MemoryPressure.MEDIUM: 95.0,
    MemoryPressure.HIGH: 75.0,
    MemoryPressure.CRITICAL: 50.0,
}
# Apple, ProcessInfo.ThermalState: fair is slightly elevated, at serious performance is affected,
# at critical significantly so.
_THERMAL: Final = {
    ThermalState.NOMINAL: 100.0,
    ThermalState.FAIR: 95.0,
    ThermalState.SERIOUS: 75.0,
    ThermalState.CRITICAL: 50.0,
}


@dataclass(frozen=True, slots=True)
class ScoreThresholds:
    """``error_rate``: the share of failures, 0..1, that leaves nothing.

    ``memory_percent``: above it memory begins to be short.
    """

    error_rate: float = 0.1
    memory_percent: float = 80.0


@dataclass(frozen=True, slots=True)
class ScorePart:
    """One part, 0 to 100, with what it rests on; ``score`` is ``None`` where nothing is known."""

    name: str
    score: float | None
    why: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {"name": self.name, "score": self.score, "why": self.why}


@dataclass(frozen=True, slots=True)
class PerformanceScore:
    """``overall`` is 0 to 100, ``None`` where no part is known."""

    overall: float | None
    parts: tuple[ScorePart, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {"overall": self.overall, "parts": [part.to_dict() for part in self.parts]}


def score_of(
    snapshot: MetalTelemetrySnapshot,
    latency: tuple[float, float] | None,
    thresholds: ScoreThresholds,
) -> PerformanceScore:
    """Rate what a snapshot says.

    Args:
        snapshot: what is known.
        latency: the median of the mean latencies in the earlier and in the later half of the
            window, ms; ``None`` where there are too few.
        thresholds: from where on something costs.
    """
    parts = (
        _success(snapshot, thresholds.error_rate),
        _speed(snapshot.counters),
        _steadiness(latency),
        _headroom(snapshot.resources, thresholds.memory_percent),
        _cooling(snapshot.resources),
    )
    known = [part.score for part in parts if part.score is not None]
    overall = 100.0 * prod(score / 100.0 for score in known) if known else None
    return PerformanceScore(overall, parts)


def _success(snapshot: MetalTelemetrySnapshot, threshold: float) -> ScorePart:
    recent = snapshot.recent
    operations, failed, when = recent.operations, sum(recent.errors.values()), "recent"
    if operations < MIN_OPERATIONS:
        operations, failed = snapshot.total_operations, snapshot.total_errors
        when = "of all"
    if operations < MIN_OPERATIONS:
        return ScorePart("success", None, f"fewer than {MIN_OPERATIONS} operations")
    share = min(1.0, failed / operations)
    score = _held(100.0 * (1 - share / threshold)) if threshold > 0 else 100.0 * (not failed)
    return ScorePart("success", score, f"{failed} of {operations} {when} operations failed")


def _speed(counters: PerformanceCounters | None) -> ScorePart:
    kinds = (counters.kernels, counters.allocations) if counters is not None else ()
    timed, slow = sum(one.timed for one in kinds), sum(one.slow for one in kinds)
    if timed < MIN_OPERATIONS:
        return ScorePart("speed", None, f"fewer than {MIN_OPERATIONS} kernels and allocations")
    score = 100.0 - COST_AT_MOST * slow / timed
    return ScorePart("speed", score, f"{slow} of {timed} kernels and allocations were slow")


def _steadiness(latency: tuple[float, float] | None) -> ScorePart:
    if latency is None or max(latency) <= 0:
        return ScorePart("steadiness", None, "too short a time to compare")
    earlier, later = latency
    risen = max(0.0, (later - earlier) / max(latency))
    score = 100.0 * (1 - max(0.0, risen - STEADY_BELOW) / (1 - STEADY_BELOW))
    return ScorePart("steadiness", score, f"mean latency was {earlier:.3g} ms, is {later:.3g} ms")


def _headroom(resources: Iterable[ResourceMetrics], high: float) -> ScorePart:
    found: list[tuple[float, str]] = []
    for one in resources:
        percent = one.utilization_percent
        if one.kind in (ResourceKind.MEMORY, ResourceKind.HOST_MEMORY) and percent is not None:
            used = min(100.0, max(0.0, percent))
            full = (used - high) / (100.0 - high) if used > high else 0.0
            found.append((100.0 - COST_AT_MOST * full, f"{one.name} memory is {used:.0f} % full"))
        elif one.kind is ResourceKind.MEMORY_PRESSURE and one.current in set(MemoryPressure):
            level = MemoryPressure(int(one.current))
            found.append((_PRESSURE[level], f"memory pressure is {level.name.lower()}"))
    if not found:
        return ScorePart("headroom", None, "no sensor says how full memory is")
    score, why = min(found)
    return ScorePart("headroom", score, why)


def _cooling(resources: Iterable[ResourceMetrics]) -> ScorePart:
    for one in resources:
        if one.kind is ResourceKind.THERMAL_STATE and one.current in set(ThermalState):
            state = ThermalState(int(one.current))
            return ScorePart("cooling", _THERMAL[state], f"thermal state {state.name.lower()}")
    return ScorePart("cooling", None, "no sensor tells the thermal state")


def _held(score: float) -> float:
    return min(100.0, max(0.0, score))
