"""Running the anomaly detectors: one that fails takes neither the tick nor another with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from metalscope.health.rules import Finding
from metalscope.health_report import Anomaly, HealthStatus
from metalscope.operation import Component, ErrorSeverity

if TYPE_CHECKING:
    from metalscope.health.detector import AnomalyDetector
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["MOST_ANOMALIES", "Detecting", "anomaly_findings"]

MOST_ANOMALIES: Final = 100
"""Anomalies taken of one detector at one time, the most severe first; the rest are counted."""


_SEVERITIES: Final = frozenset(ErrorSeverity)
_COMPONENTS: Final = frozenset(Component)

_STATUS: Final = {
    ErrorSeverity.LOW: HealthStatus.HEALTHY,
    ErrorSeverity.MEDIUM: HealthStatus.DEGRADED,
    ErrorSeverity.HIGH: HealthStatus.DEGRADED,
    ErrorSeverity.CRITICAL: HealthStatus.CRITICAL,
}
"""What an anomaly makes of its component; a low one is told of and changes nothing."""


class _Watch:
    """One detector, what it found last, and how often it failed in a row."""

    __slots__ = ("anomalies", "detector", "failures", "name")

    def __init__(self, name: str, detector: AnomalyDetector) -> None:
        self.name = name
        self.detector = detector
        self.anomalies: tuple[Anomaly, ...] = ()
        self.failures = 0


class Detecting:
    """Asks each detector at each tick. All calls come from the tick's thread.

    A detector that raises is counted, and what it found before goes on for that tick. After
    ``most_failures`` in a row it is asked no more, and what it found is over.

    Args:
        detectors: the detectors, each with its name.
        most_failures: a count.
        on_error: told of each failure.
        on_off: told of a detector that is asked no more: its name, its failures, the last one.
    """

    def __init__(
        self,
        detectors: Iterable[tuple[str, AnomalyDetector]],
        *,
        most_failures: int,
        on_error: Callable[[str, BaseException], None],
        on_off: Callable[[str, int, BaseException], None],
    ) -> None:
        self._watches = [_Watch(name, detector) for name, detector in detectors]
        self._most_failures = most_failures
        self._on_error = on_error
        self._on_off = on_off
        self.dropped = 0
        """Anomalies left out because a detector found too many at once."""

    def observe(self, snapshot: MetalTelemetrySnapshot) -> tuple[Anomaly, ...]:
        """Show every detector the snapshot; return every anomaly that goes on."""
        for watch in list(self._watches):
            try:
                watch.anomalies = self._taken(watch, watch.detector.observe(snapshot))
                watch.failures = 0
            except Exception as error:  # noqa: BLE001 - law: the tick must go on
                watch.failures += 1
                self._on_error("health", error)
                if watch.failures >= self._most_failures:
                    self._watches.remove(watch)
                    self._on_off(watch.name, watch.failures, error)
        return tuple(one for watch in self._watches for one in watch.anomalies)

    def _taken(self, watch: _Watch, found: Sequence[Anomaly]) -> tuple[Anomaly, ...]:
        taken = [_checked(one) for one in found]
        if len(taken) > MOST_ANOMALIES:
            self.dropped += len(taken) - MOST_ANOMALIES
            taken = sorted(taken, key=lambda one: -one.severity.rank)[:MOST_ANOMALIES]
        return tuple(one if one.detector else replace(one, detector=watch.name) for one in taken)


def _checked(one: Anomaly) -> Anomaly:
    """Refuse what would trip up those who read it; a detector may come from anywhere."""
    if not isinstance(one, Anomaly):
        raise TypeError(f"a detector found {type(one).__name__}, which is no Anomaly")
    if one.severity not in _SEVERITIES or one.component not in _COMPONENTS:
        raise ValueError(f"an anomaly of {one.component!r} with the severity {one.severity!r}")
    return one


def anomaly_findings(anomalies: Iterable[Anomaly]) -> Iterator[Finding]:
    """What each anomaly says of its component."""
    for one in anomalies:
        yield Finding(one.component, _STATUS[one.severity], one.reason)
