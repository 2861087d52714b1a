"""The records of what changed from one snapshot to the next: health, alerts, memory, delivery."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from metalscope import attributes as names
from metalscope.alert_report import Alert, AlertState
from metalscope.health_report import HealthStatus
from metalscope.logs.operation_events import memory_of
from metalscope.logs.record import Severity
from metalscope.operation import ErrorSeverity

if TYPE_CHECKING:
    from metalscope.logs.logger import MetalProductionLogger
    from metalscope.snapshot import HealthReport, MetalTelemetrySnapshot

__all__ = ["SnapshotEvents"]

_OF_STATUS: Final = {
    HealthStatus.HEALTHY: Severity.INFO,
    HealthStatus.DEGRADED: Severity.WARNING,
    HealthStatus.CRITICAL: Severity.ERROR,
    HealthStatus.UNKNOWN: Severity.WARNING,
}
_OF_HEALTH_EVENT: Final = {
    ErrorSeverity.LOW: Severity.INFO,
    ErrorSeverity.MEDIUM: Severity.WARNING,
    ErrorSeverity.HIGH: Severity.WARNING,
    ErrorSeverity.CRITICAL: Severity.ERROR,
}
_OF_ALERT: Final = {
    ErrorSeverity.LOW: Severity.WARNING,
    ErrorSeverity.MEDIUM: Severity.WARNING,
    ErrorSeverity.HIGH: Severity.ERROR,
    ErrorSeverity.CRITICAL: Severity.ERROR,
}
_OF_PRESSURE: Final = {
    "low": Severity.INFO,
    "medium": Severity.INFO,
    "high": Severity.WARNING,
    "critical": Severity.ERROR,
}


class _Receiver(NamedTuple):
    role: str
    name: str
    type: str
    waiting: int
    last_error: str


class SnapshotEvents:
    """Logs what is new in each snapshot; called by one thread.

    Args:
        logger: where.
        resolved: gives an alert that is over by its id, with why it is.
    """

    def __init__(
        self, logger: MetalProductionLogger, *, resolved: Callable[[str], Alert | None]
    ) -> None:
        self._logger = logger
        self._resolved = resolved
        self._before: MetalTelemetrySnapshot | None = None
        self._statuses: dict[str, HealthStatus] = {}
        self._firing: dict[str, Alert] = {}
        self._pressure: str | None = None
        self._failing: set[tuple[str, str]] = set()
        self._last_event = self._last_health_event = 0

    @property
    def latest(self) -> MetalTelemetrySnapshot | None:
        """The snapshot that was looked at last."""
        return self._before

    def consume(self, snapshot: MetalTelemetrySnapshot) -> None:
        """Log what is new in it."""
        self._before = snapshot
        self._log_pressure(snapshot)
        self._log_statuses(snapshot.health)
        self._log_health_events(snapshot)
        self._log_alerts(snapshot.alerts)
        self._log_delivery(snapshot)
        self._log_custom(snapshot)

    def _log_pressure(self, snapshot: MetalTelemetrySnapshot) -> None:
        memory = memory_of(snapshot.resources)
        level = memory.get(names.MEMORY_PRESSURE)
        before, self._pressure = self._pressure, level
        if level is None or level == before or (before is None and level == "low"):
            return
        attributes = {**memory, names.MEMORY_PRESSURE_BEFORE: before or "unknown"}
        self._say(
            _OF_PRESSURE[level], "metal.memory.pressure", f"memory pressure is {level}", attributes
        )

    def _log_statuses(self, health: HealthReport) -> None:
        found = {"": (health.status, ())} | {
            one.component.value: (one.status, one.reasons) for one in health.components
        }
        for component, (status, reasons) in found.items():
            before = self._statuses.get(component)
            self._statuses[component] = status
            # The first that is known is a change only where something is wrong.
            is_new = before is None or before is HealthStatus.UNKNOWN
            if status is before or (is_new and status in {HealthStatus.HEALTHY,
                                                          HealthStatus.UNKNOWN}):  # fmt: skip
                continue
            attributes: dict[str, Any] = {
                names.HEALTH_STATUS: status.value,
                names.HEALTH_STATUS_BEFORE: (before or HealthStatus.UNKNOWN).value,
            }
            if component:
                attributes[names.HEALTH_COMPONENT] = component
            if reasons:
                attributes[names.HEALTH_REASONS] = list(reasons)
            because = f": {'; '.join(reasons)}" if reasons else ""
            body = f"{component or 'health'} is {status.value}{because}"
            self._say(_OF_STATUS[status], "metal.health.changed", body, attributes)

    def _log_health_events(self, snapshot: MetalTelemetrySnapshot) -> None:
        for one in snapshot.health.events:
            # Changes of status are told of above, with their reasons.
            if one.sequence <= self._last_health_event or one.kind.value == "status":
                continue
            attributes: dict[str, Any] = {names.HEALTH_EVENT: one.kind.value}
            if one.component is not None:
                attributes[names.HEALTH_COMPONENT] = one.component.value
            if one.properties:
                attributes[names.EVENT_PROPERTIES] = dict(one.properties)
            severity = _OF_HEALTH_EVENT[one.severity]
            self._say(severity, "metal.health.event", one.message, attributes, at=one.timestamp)
        self._last_health_event = max(
            (one.sequence for one in snapshot.health.events), default=self._last_health_event
        )

    def _log_alerts(self, alerts: Iterable[Alert]) -> None:
        firing = {one.id: one for one in alerts if one.state is AlertState.FIRING}
        for one in firing.values():
            before = self._firing.get(one.id)
            if before is None or one.severity.rank > before.severity.rank:
                self._say_alert(_OF_ALERT[one.severity], "metal.alert.firing", one, {})
            if one.acknowledged is not None and (before is None or before.acknowledged is None):
                who = {names.ALERT_BY: one.acknowledged.by}
                self._say_alert(Severity.INFO, "metal.alert.acknowledged", one, who)
        for gone in self._firing.keys() - firing.keys():
            one = self._resolved(gone) or self._firing[gone]
            why = {names.ALERT_RESOLUTION: one.resolution} if one.resolution else {}
            self._say_alert(Severity.INFO, "metal.alert.resolved", one, why)
        self._firing = firing

    def _say_alert(
        self, severity: Severity, event: str, alert: Alert, more: Mapping[str, Any]
    ) -> None:
        attributes: dict[str, Any] = {
            names.ALERT_ID: alert.id,
            names.ALERT_RULE: alert.rule,
            names.ALERT_SEVERITY: alert.severity.value,
            names.ALERT_STATE: "resolved" if event.endswith("resolved") else alert.state.value,
            names.ALERT_LABELS: dict(alert.labels),
            **more,
        }
        if alert.value is not None:
            attributes[names.ALERT_VALUE] = alert.value
        if alert.component is not None:
            attributes[names.HEALTH_COMPONENT] = alert.component.value
        if alert.runbook:
            attributes[names.ALERT_RUNBOOK] = alert.runbook
        ids = alert.evidence.correlation_ids
        self._say(severity, event, alert.title, attributes, correlation_id=next(iter(ids), None))

    def _log_delivery(self, snapshot: MetalTelemetrySnapshot) -> None:
        for one in _receivers(snapshot):
            key = (one.role, one.name)
            failing, failed = bool(one.last_error), key in self._failing
            if failing == failed:
                continue
            attributes = {
                names.RECEIVER: one.name,
                names.RECEIVER_TYPE: one.type,
                names.RECEIVER_ROLE: one.role,
                names.RECEIVER_WAITING: one.waiting,
            }
            if failing:
                self._failing.add(key)
                body = f"{one.role} {one.name} fails: {one.last_error}"
                self._say(Severity.WARNING, "metalscope.export.failed", body, attributes)
            else:
                self._failing.discard(key)
                body = f"{one.role} {one.name} works again"
                self._say(Severity.INFO, "metalscope.export.recovered", body, attributes)

    def _log_custom(self, snapshot: MetalTelemetrySnapshot) -> None:
        for one in snapshot.events:
            if one.sequence <= self._last_event:
                continue
            attributes = {names.EVENT_PROPERTIES: dict(one.properties)} if one.properties else {}
            self._say(
                Severity.INFO,
                "metal.custom",
                one.name,
                attributes,
                at=one.timestamp,
                correlation_id=one.correlation_id,
                trace_id=one.trace_id,
            )
        self._last_event = max((one.sequence for one in snapshot.events), default=self._last_event)

    def _say(
        self,
        severity: Severity,
        event: str,
        body: str,
        attributes: Mapping[str, Any],
        *,
        at: datetime | None = None,
        correlation_id: str | None = None,
        trace_id: str | None = None,
    ) -> None:
        self._logger.log(
            severity,
            body,
            event=event,
            attributes=attributes,
            at_ns=None if at is None else round(at.timestamp() * 1_000_000) * 1000,
            correlation_id=correlation_id,
            ids=(trace_id, None),
        )


def _receivers(snapshot: MetalTelemetrySnapshot) -> Iterator[_Receiver]:
    internals = snapshot.internals
    for exporter in internals.exporters:
        yield _Receiver(
            "exporter", exporter.name, exporter.type, exporter.waiting, exporter.last_error
        )
    for channel in internals.channels:
        yield _Receiver("channel", channel.name, channel.type, channel.waiting, channel.last_error)
    for sink in internals.sinks:
        role = "log sink" if sink.signal == "logs" else "span exporter"
        yield _Receiver(role, sink.name, sink.type, sink.waiting, sink.last_error)
