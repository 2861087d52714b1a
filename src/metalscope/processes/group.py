"""ProcessGroup: what a server shows where several processes count together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from metalscope.activity import ActivityWindow, Totals
from metalscope.consumers import Consumer, Consumers
from metalscope.internal import InternalErrors
from metalscope.notable import latest_notable
from metalscope.processes.directory import ProcessDirectory, Processes
from metalscope.processes.event_order import EventOrder
from metalscope.processes.merge import counts_of, readings_of
from metalscope.processes.merge_health import health_of
from metalscope.report import MetalProductionReport, ReportThresholds
from metalscope.sensors.host import HostSensor
from metalscope.snapshot import (
    DeviceInfo,
    HealthEvent,
    HealthReport,
    MetalTelemetrySnapshot,
    TelemetryEvent,
)

if TYPE_CHECKING:
    from metalscope.alerts.manager import MetalAlertsManager
    from metalscope.tails import Tails

__all__ = ["ProcessGroup"]

EVENTS: Final = 100


class ProcessGroup:
    """Looks like a manager to the server, and reads the processes of a directory.

    Args:
        directory: where the processes keep their files.
        tick: time between two readings for the live page.
        window: how much recent activity is kept for rates and trends.
        thresholds: for the report.
        refresh: called before each reading, for a process that both counts and serves.

    Raises:
        ConfigurationError: the directory cannot be made or written to.
    """

    def __init__(
        self,
        directory: Path,
        *,
        tick: timedelta = timedelta(seconds=1),
        window: timedelta = timedelta(minutes=15),
        thresholds: ReportThresholds | None = None,
        refresh: Callable[[], object] | None = None,
    ) -> None:
        self._errors = InternalErrors()
        self.internal_error = self._errors.report
        self._directory = ProcessDirectory(directory, self._errors.report)
        self._tick = tick
        self._thresholds = thresholds
        self._refresh = refresh
        self._host = HostSensor()
        self._activity = ActivityWindow(window.total_seconds())
        self._started_at = datetime.now(UTC)
        self._lock = threading.Lock()
        self._events: EventOrder[TelemetryEvent] = EventOrder(EVENTS)
        self._health_events: EventOrder[HealthEvent] = EventOrder(EVENTS)
        self._consumers = Consumers(self._errors.report)
        self.alerts: MetalAlertsManager | None = None
        """Raises alerts over all processes; whoever starts it puts it here."""
        self.tails: Tails | None = None
        """The latest records and spans of the process that serves, not of the others."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metalscope-group", daemon=True)

    def start(self) -> None:
        """Begin to read each tick."""
        self._thread.start()

    def stop(self) -> None:
        """Read no more. Idempotent."""
        self._stopping.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def subscribe(self, consumer: Consumer) -> Callable[[], None]:
        """Call ``consumer`` with a snapshot each tick; return what ends that."""
        return self._consumers.subscribe(consumer)

    def get_snapshot(self) -> MetalTelemetrySnapshot:
        """Read all processes now, and add them up."""
        with self._lock:
            if self._refresh is not None:
                self._refresh()
            return self._merged(self._directory.read())

    def generate_report(self) -> MetalProductionReport:
        """Read all processes now, and analyse."""
        return MetalProductionReport.of(self.get_snapshot(), self._thresholds)

    def _merged(self, processes: Processes) -> MetalTelemetrySnapshot:
        living = list(processes.living.values())
        counted = [*living, *([processes.ended] if processes.ended is not None else [])]
        now = datetime.now(UTC)
        own = MetalTelemetrySnapshot(now, self._started_at)
        total = counts_of(counted) if counted else own
        resources, gauges = readings_of(living)
        self._events.take({name: one.events for name, one in processes.living.items()})
        self._health_events.take(
            {name: one.health.events for name, one in processes.living.items()}
        )
        health = health_of(living) if living else HealthReport()
        errors = dict(total.internals.errors)
        for room, count in self._errors.counts().items():
            errors[room] = errors.get(room, 0) + count
        return replace(
            total,
            timestamp=now,
            resources=resources,
            health=replace(health, events=self._health_events.latest),
            alerts=tuple(alert for one in living for alert in one.alerts),
            recent=self._activity.recent(),
            custom=tuple(sorted((*total.custom, *gauges), key=lambda one: (one.name, one.labels))),
            events=self._events.latest,
            notable=latest_notable(one.notable for one in living),
            system=self._host.system(_devices(living)),
            internals=replace(
                total.internals,
                errors=errors,
                channels=tuple(status for one in living for status in one.internals.channels),
            ),
        )

    def _run(self) -> None:
        while not self._stopping.wait(self._tick.total_seconds()):
            try:
                self._observe()
            except Exception as error:  # noqa: BLE001 - law: the tick must go on
                self.internal_error("processes", error)

    def _observe(self) -> None:
        snapshot = self.get_snapshot()
        self._activity.observe(
            Totals.of(snapshot.timestamp, snapshot.operations, snapshot.retired_operations)
        )
        self._consumers.feed(snapshot)


def _devices(living: list[MetalTelemetrySnapshot]) -> tuple[DeviceInfo, ...]:
    found: dict[tuple[str, str], DeviceInfo] = {}
    for one in living:
        for device in one.system.devices if one.system is not None else ():
            found[device.name, device.backend] = device
    return tuple(found.values())
