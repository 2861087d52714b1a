"""A source whose health a test decides, and which a test can have hang."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from metalscope.health_report import ComponentHealth, HealthReport, HealthStatus
from metalscope.operation import Component
from metalscope.report import MetalProductionReport
from metalscope.snapshot import MetalTelemetrySnapshot

Consumer = Callable[[MetalTelemetrySnapshot], None]


def report_of(status: HealthStatus, *reasons: str) -> HealthReport:
    """A report in which the device has this status and memory is healthy."""
    return HealthReport(
        status,
        (
            ComponentHealth(Component.MEMORY, HealthStatus.HEALTHY, ("pool memory 10.0 % in use",)),
            ComponentHealth(Component.DEVICE, status, reasons),
        ),
    )


class Source:
    """Looks like a group of processes to the server: it has no notion of being started."""

    def __init__(self, report: HealthReport | None = None) -> None:
        self.report = report or report_of(HealthStatus.HEALTHY)
        self.error: Exception | None = None
        self.errors: list[tuple[str, str]] = []
        self.consumers: list[Consumer] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.entered = threading.Semaphore(0)
        self.collections = 0

    def get_snapshot(self) -> MetalTelemetrySnapshot:
        self.collections += 1
        self.entered.release()
        self.go_on.wait()
        if self.error is not None:
            raise self.error
        now = datetime.now(UTC)
        return MetalTelemetrySnapshot(now, now, health=self.report)

    def generate_report(self) -> MetalProductionReport:
        return MetalProductionReport.of(self.get_snapshot())

    def subscribe(self, consumer: Consumer, /) -> Callable[[], None]:
        self.consumers.append(consumer)

        def unsubscribe() -> None:
            self.consumers = [one for one in self.consumers if one is not consumer]

        return unsubscribe

    def internal_error(self, room: str, error: BaseException, /) -> None:
        self.errors.append((room, type(error).__name__))


class StartedSource(Source):
    """Looks like a manager: it is running or not, and ticks."""

    is_running = True

    def tick(self) -> None:
        for consumer in list(self.consumers):
            consumer(self.get_snapshot())
