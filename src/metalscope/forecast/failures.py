"""In which hours which component failed, from the history and from this process's snapshots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from metalscope.forecast.risk import incidents_in
from metalscope.json_values import read_known
from metalscope.operation import Component, ErrorSeverity, MetalError
from metalscope.readings import ResourceKind

if TYPE_CHECKING:
    from metalscope.history import HistoryReader
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["PAST", "FailureHours", "counted_as_failure"]

PAST: Final = timedelta(days=60)
"""So far back failures are remembered."""

_HOUR: Final = timedelta(hours=1)
_HOUR_SECONDS: Final = 3600
RECOVERIES: Final = "restarts of the GPU"
BREAKERS: Final = "openings of a circuit breaker"

Counts = Mapping[tuple[Component, str], float]


def counted_as_failure(error: MetalError) -> bool:
    """Whether one such error is a failure of its component: a lost device, no memory."""
    return error.severity in (ErrorSeverity.HIGH, ErrorSeverity.CRITICAL)


class FailureHours:
    """Counts of failures by component, by what failed, and by hour since the epoch.

    At most one entry an hour for each of a few kinds of failure, of the last 60 days.
    """

    def __init__(self) -> None:
        self._hours: dict[tuple[Component, str], dict[int, float]] = defaultdict(dict)
        self._last: Counts | None = None

    def read(self, history: HistoryReader, until: datetime) -> float:
        """Take what the history holds; return the hours it knows of.

        Raises :class:`~metalscope.history.HistoryError` where it cannot be read.
        """
        span = history.span()
        if span is None or span[0] >= until:
            return 0.0
        since = max(span[0], until - PAST)
        for step in history.outcomes(since, until, _HOUR):
            for name, count in step.errors.items():
                error = read_known(MetalError, name)
                if error is not None and counted_as_failure(error):
                    self._at_least(error.component, error.value, step.start, count)
        for key in history.keys():  # noqa: SIM118 - no dict
            if key.measure == "resource" and key.kind == ResourceKind.RECOVERIES:
                series = history.series(key, since, until, _HOUR, reading="last")
                before: float | None = None
                for index, value in enumerate(series.values):
                    if value is not None and before is not None and value > before:
                        at = series.start + index * series.step
                        self._at_least(Component.DEVICE, RECOVERIES, at, value - before)
                    before = before if value is None else value
        return history.covered(since, until) / _HOUR_SECONDS

    def observe(self, snapshot: MetalTelemetrySnapshot) -> None:
        """Take what failed since the snapshot before; the first one's failures are its own hour's.

        What only the system counts, restarts of the GPU, counts from the second snapshot on.
        """
        counts = _counts(snapshot)
        hour = int(snapshot.timestamp.timestamp() // _HOUR_SECONDS)
        for key, count in counts.items():
            first = count if key[1] == RECOVERIES else 0.0
            before = self._last.get(key, 0.0) if self._last is not None else first
            if count > before:
                hours = self._hours[key]
                hours[hour] = hours.get(hour, 0.0) + count - before
        self._last = counts
        oldest = hour - int(PAST / _HOUR)
        for hours in self._hours.values():
            for old in [one for one in hours if one < oldest]:
                del hours[old]

    def merged(self, other: FailureHours) -> FailureHours:
        """Both together; of an hour that both know, what is more."""
        both = FailureHours()
        for source in (self, other):
            for (component, what), hours in source._hours.items():
                for hour, count in hours.items():
                    both._at_least(component, what, hour * _HOUR_SECONDS, count)
        return both

    def ages(self, component: Component, now: datetime) -> list[float]:
        """How many hours ago each incident of a component began."""
        hours = {h for (one, _), counts in self._hours.items() if one is component for h in counts}
        return [max(0.0, now.timestamp() / _HOUR_SECONDS - hour) for hour in incidents_in(hours)]

    def evidence(self, component: Component) -> list[str]:
        """What was counted, in words: how much, in how many hours, when last."""
        lines = []
        for (one, what), hours in sorted(self._hours.items()):
            if one is component and hours:
                last = datetime.fromtimestamp(max(hours) * _HOUR_SECONDS, UTC)
                lines.append(
                    f"{sum(hours.values()):.0f} {what} in {len(hours)} different hours, "
                    f"last {last:%Y-%m-%d %H}h UTC"
                )
        return lines

    def _at_least(self, component: Component, what: str, at: float, count: float) -> None:
        hours = self._hours[component, what]
        hour = int(at // _HOUR_SECONDS)
        hours[hour] = max(hours.get(hour, 0.0), count)


def _counts(snapshot: MetalTelemetrySnapshot) -> Counts:
    counts: dict[tuple[Component, str], float] = defaultdict(float)
    for error, count in snapshot.errors.items():
        if counted_as_failure(error):
            counts[error.component, error.value] += count
    for reading in snapshot.resources:
        if reading.kind is ResourceKind.RECOVERIES:
            counts[Component.DEVICE, RECOVERIES] += reading.current
    for breaker in snapshot.health.breakers:
        if breaker.component is not None:
            counts[breaker.component, BREAKERS] += breaker.opened
    return counts
