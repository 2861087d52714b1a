"""MetalHealthMonitor: each component's status with its reasons, and the events of health."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

from metalscope.fork import reset_in_child
from metalscope.health.breaker_findings import breaker_findings
from metalscope.health.breakers import Breakers
from metalscope.health.changes import (
    anomaly_changes,
    breaker_change,
    detector_off,
    new_predictions,
    objective_changes,
    status_changes,
)
from metalscope.health.checks import CHECK_TIME_LIMIT, Check, Checks, FreeDisk
from metalscope.health.detecting import Detecting, anomaly_findings
from metalscope.health.events import HealthEvents
from metalscope.health.hysteresis import Hold, Wait
from metalscope.health.recoveries import Recoveries
from metalscope.health.rules import (
    Finding,
    HealthThresholds,
    Levels,
    components_of,
    findings_of,
    levels_of,
    overall,
)
from metalscope.health_report import (
    Anomaly,
    BreakerStatus,
    ComponentHealth,
    HealthEvent,
    HealthReport,
    HealthStatus,
    ObjectiveStatus,
    Prediction,
)
from metalscope.operation import Component

if TYPE_CHECKING:
    from datetime import timedelta

    from metalscope.health.breaker import CircuitBreaker
    from metalscope.health.detector import AnomalyDetector
    from metalscope.health_options import HealthMonitorOptions
    from metalscope.snapshot import MetalTelemetrySnapshot, RecentActivity, ResourceMetrics

__all__ = ["MetalHealthMonitor"]

EVENTS_IN_REPORT: Final = 100
MOST_PREDICTIONS: Final = 100
"""Predictions, and objectives, taken at one time."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Seen:
    """All that one tick leaves to the next, and to those who ask between the two."""

    recoveries: Recoveries
    levels: Levels = field(default_factory=lambda: MappingProxyType({}))
    holds: Mapping[Component, Hold] = field(default_factory=lambda: MappingProxyType({}))
    statuses: Mapping[Component, HealthStatus] = field(default_factory=lambda: MappingProxyType({}))
    anomalies: tuple[Anomaly, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    objectives: tuple[ObjectiveStatus, ...] = ()


class MetalHealthMonitor:
    """Draws the status of every component, tick by tick, and tells of what changed.

    A status is the worst that any rule, check, circuit breaker or anomaly gives a component. It
    gets worse at once, and better when the better state has lasted for ``recovery_period``.

    :meth:`observe` is called by one thread, the tick's. Everything else may be called by any
    thread at any time, and neither blocks on the tick nor raises what a detector or check raises.

    Args:
        options: the figures; see the group ``health_monitor``.
        on_error: told of what goes wrong inside, as ``("health", the exception)``.
        history_window: how far back ``recent`` of a snapshot goes, and so how long a failure and
            a restart of the GPU count; ``anomaly_detection_window`` where ``None``.
        clock: seconds of a monotonic clock.
    """

    def __init__(
        self,
        options: HealthMonitorOptions,
        *,
        on_error: Callable[[str, BaseException], None],
        history_window: timedelta | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._options = options
        self._on_error = on_error
        self._clock = clock
        self._window = (history_window or options.anomaly_detection_window).total_seconds()
        self._thresholds = HealthThresholds(
            error_rate=options.anomaly_error_rate_threshold,
            errors=options.circuit_breaker_threshold,
        )
        self._predictions: Callable[[], Sequence[Prediction]] | None = None
        self._objectives: Callable[[], Sequence[ObjectiveStatus]] | None = None
        self._events = HealthEvents(
            max_events=options.max_health_events,
            retention=options.event_retention_period,
            clock=clock,
        )
        self._checks = Checks(
            options.health_check_interval.total_seconds(), on_error=on_error, clock=clock
        )
        self._checks.add(FreeDisk.NAME, Component.SYSTEM, FreeDisk())
        self.breakers = Breakers(options, self._tell_of_breaker, on_error=on_error, clock=clock)
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Forget all that was seen; checks, breakers and sources stay."""
        self._detecting: Detecting | None = None
        self._seen = _Seen(Recoveries(self._window))

    def start(self) -> None:
        """Make the anomaly detectors that the options name; without it, the first tick does.

        Raises:
            ConfigurationError: a detector's name is not known, or it refuses the options.
            MissingExtraError: the library that one needs is not installed.
        """
        if self._detecting is None:
            self._detecting = self._detect_by(self._make_detectors())

    # -- what it is told ---------------------------------------------------------------------

    def add_check(
        self,
        name: str,
        component: Component | str,
        check: Check,
        *,
        time_limit: float = CHECK_TIME_LIMIT,
    ) -> Callable[[], None]:
        """Have ``check`` called each ``health_check_interval``, on a thread of its own.

        Args:
            name: its name in reasons.
            component: what its answer speaks of.
            check: returns ``True`` or ``None`` where all is well, ``False`` where it is not, or a
                :class:`~metalscope.health.checks.CheckResult`. Raising says that it is not. It is
                never called while an earlier call goes on.
            time_limit: seconds after which one that has not answered degrades the component.

        Returns:
            A function that ends it.

        Raises:
            InvalidNameError: the name is empty, or there is a check of this name.
            ValueError: there is no such component, or the limit is not above 0.
        """
        return self._checks.add(name, Component(component), check, time_limit)

    def breaker(self, name: str, component: Component | str | None = None) -> CircuitBreaker:
        """The circuit breaker of this name, made now where there is none."""
        return self.breakers.get(name, component)

    def predicted_by(self, source: Callable[[], Sequence[Prediction]]) -> None:
        """Take predictions from ``source``, asked each tick."""
        self._predictions = source

    def objectives_by(self, source: Callable[[], Sequence[ObjectiveStatus]]) -> None:
        """Take the state of objectives from ``source``, asked each tick."""
        self._objectives = source

    # -- what it says ------------------------------------------------------------------------

    def observe(self, snapshot: MetalTelemetrySnapshot) -> HealthReport:
        """Take a tick's snapshot, ask what is due, tell of what changed; return what is known."""
        now, before = self._clock(), self._seen
        self._events.tidy(snapshot.timestamp)
        self._checks.start_due()
        breakers = self.breakers.statuses()
        anomalies = self._ask_detectors(snapshot)
        recoveries = before.recoveries.after(snapshot.resources, now)
        findings = self._findings(
            _Seen(recoveries, before.levels, anomalies=anomalies),
            snapshot.recent,
            snapshot.resources,
            breakers,
            now,
        )
        raw = components_of(findings, snapshot.recent)
        holds = self._holds_after(before.holds, raw, now)
        components = _held(raw, holds, now)
        seen = _Seen(
            recoveries=recoveries,
            levels=levels_of(findings),
            holds=MappingProxyType(holds),
            statuses=MappingProxyType({one.component: one.status for one in components}),
            anomalies=anomalies,
            predictions=self._asked(self._predictions, before.predictions),
            objectives=self._asked(self._objectives, before.objectives),
        )
        for happening in (
            *anomaly_changes(before.anomalies, seen.anomalies),
            *status_changes(before.statuses, components),
            *new_predictions(before.predictions, seen.predictions),
            *objective_changes(before.objectives, seen.objectives),
        ):
            self._events.add(happening, snapshot.timestamp)
        self._seen = seen
        return self._report(seen, components, breakers)

    def report(self, recent: RecentActivity, resources: Iterable[ResourceMetrics]) -> HealthReport:
        """What is known at this moment; nothing is asked, told or changed."""
        now, seen = self._clock(), self._seen
        breakers = self.breakers.statuses()
        findings = self._findings(seen, recent, tuple(resources), breakers, now)
        components = _held(components_of(findings, recent), seen.holds, now)
        return self._report(seen, components, breakers)

    def latest_events(self, count: int) -> tuple[HealthEvent, ...]:
        """The newest ``count`` events, oldest first."""
        return self._events.latest(count)

    def dropped(self) -> dict[str, int]:
        """What was let go because there was too much of it, by what it was."""
        detecting = self._detecting
        return {
            "health_events": self._events.dropped,
            "anomalies": 0 if detecting is None else detecting.dropped,
        }

    # -- inside ------------------------------------------------------------------------------

    def _findings(
        self,
        seen: _Seen,
        recent: RecentActivity,
        resources: Sequence[ResourceMetrics],
        breakers: Iterable[BreakerStatus],
        now: float,
    ) -> list[Finding]:
        return [
            *findings_of(recent, resources, self._thresholds, seen.levels),
            *seen.recoveries.findings(resources, now),
            *breaker_findings(breakers, self._window),
            *anomaly_findings(seen.anomalies),
            *self._checks.findings(),
        ]

    def _holds_after(
        self, before: Mapping[Component, Hold], raw: Iterable[ComponentHealth], now: float
    ) -> dict[Component, Hold]:
        fresh = Hold(self._options.recovery_period.total_seconds())
        return {
            one.component: before.get(one.component, fresh).after(one.status, one.reasons, now)
            for one in raw
        }

    def _report(
        self,
        seen: _Seen,
        components: tuple[ComponentHealth, ...],
        breakers: tuple[BreakerStatus, ...],
    ) -> HealthReport:
        return HealthReport(
            status=overall(components),
            components=components,
            anomalies=seen.anomalies,
            breakers=breakers,
            predictions=seen.predictions,
            objectives=seen.objectives,
            events=self._events.latest(EVENTS_IN_REPORT),
        )

    def _ask_detectors(self, snapshot: MetalTelemetrySnapshot) -> tuple[Anomaly, ...]:
        detecting = self._detecting
        if detecting is None:
            try:
                self.start()
            except Exception as error:  # noqa: BLE001 - law: the tick must go on
                self._on_error("health", error)
                self._detecting = self._detect_by(())
            detecting = self._detecting
            assert detecting is not None  # noqa: S101 - for the type checker
        return detecting.observe(snapshot)

    def _make_detectors(self) -> Iterable[tuple[str, AnomalyDetector]]:
        names = self._options.anomaly_detectors
        if not names:
            return ()
        from metalscope.health.detectors import detectors_of  # noqa: PLC0415 - where asked for

        return list(zip(names, detectors_of(self._options), strict=True))

    def _detect_by(self, detectors: Iterable[tuple[str, AnomalyDetector]]) -> Detecting:
        return Detecting(
            detectors,
            most_failures=self._options.circuit_breaker_threshold,
            on_error=self._on_error,
            on_off=lambda *off: self._events.add(detector_off(*off)),
        )

    def _asked(
        self, source: Callable[[], Sequence[T]] | None, before: tuple[T, ...]
    ) -> tuple[T, ...]:
        if source is None:
            return ()
        try:
            return tuple(islice(source(), MOST_PREDICTIONS))
        except Exception as error:  # noqa: BLE001 - law: the tick must go on
            self._on_error("health", error)
            return before

    def _tell_of_breaker(self, status: BreakerStatus) -> None:
        self._events.add(breaker_change(status))


def _held(
    raw: Iterable[ComponentHealth], holds: Mapping[Component, Hold], now: float
) -> tuple[ComponentHealth, ...]:
    return tuple(_with_hold(one, holds.get(one.component), now) for one in raw)


def _with_hold(one: ComponentHealth, hold: Hold | None, now: float) -> ComponentHealth:
    if hold is None:
        return one
    status, wait = hold.status(one.status, now)
    if wait is None:
        return one
    return ComponentHealth(one.component, status, (_was(status, wait, now), *one.reasons))


def _was(status: HealthStatus, wait: Wait, now: float) -> str:
    ago = 0.0 if wait.better_since is None else now - wait.better_since
    why = f": {wait.reasons[0]}" if wait.reasons else ""
    return f"was {status.value} until {ago:.0f} s ago{why}"
