"""A host and the processes on it, as one: what ``metalscope serve --processes`` shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from metalscope.processes.group import ProcessGroup
from metalscope.processes.merge import readings_of
from metalscope.report import MetalProductionReport
from metalscope.snapshot import MetalTelemetrySnapshot, SystemInfo

if TYPE_CHECKING:
    from metalscope.alerts.manager import MetalAlertsManager
    from metalscope.consumers import Consumer
    from metalscope.logs.logger import MetalProductionLogger
    from metalscope.manager import MetalTelemetryManager
    from metalscope.tails import Tails

__all__ = ["HostWithProcesses", "with_host"]


class HostWithProcesses:
    """Looks like a manager to the server: the processes of a directory, and this host's sensors.

    Args:
        host: a manager that nothing is recorded to, for its sensors and its options; whoever made
            it starts it and shuts it down.
        directory: where the processes keep their files.

    Raises:
        ConfigurationError: the directory cannot be made or written to.
    """

    def __init__(self, host: MetalTelemetryManager, directory: Path) -> None:
        self._host = host
        self._processes = ProcessGroup(
            directory, tick=host.options.tick_interval, window=host.options.history_window
        )
        self.internal_error = self._processes.internal_error
        self.alerts: MetalAlertsManager | None = None
        """Raises alerts over all of it; whoever starts it puts it here."""
        self.log: MetalProductionLogger | None = None
        """Logs events of all of it; whoever starts it puts it here."""
        self.tails: Tails | None = None
        """The latest records of that log; whoever starts it puts them here."""

    def start(self) -> None:
        """Begin to read each tick."""
        self._processes.start()

    def stop(self) -> None:
        """Read no more. Idempotent."""
        self._processes.stop()

    def get_snapshot(self) -> MetalTelemetrySnapshot:
        """Read all processes and the sensors now."""
        return self._whole(self._processes.get_snapshot())

    def generate_report(self) -> MetalProductionReport:
        """Read all processes and the sensors now, and analyse."""
        return MetalProductionReport.of(self.get_snapshot(), self._host.report_thresholds)

    def subscribe(self, consumer: Consumer) -> Callable[[], None]:
        """Call ``consumer`` with a snapshot each tick; return what ends that."""
        return self._processes.subscribe(lambda snapshot: consumer(self._whole(snapshot)))

    def _whole(self, processes: MetalTelemetrySnapshot) -> MetalTelemetrySnapshot:
        whole = with_host(processes, self._host.get_snapshot())
        if self.log is not None:
            sinks = (*self.log.status(), *whole.internals.sinks)
            whole = replace(whole, internals=replace(whole.internals, sinks=sinks))
        if self.alerts is None:
            return whole
        channels = (*self.alerts.channels(), *whole.internals.channels)
        return replace(
            whole,
            alerts=(*self.alerts.active, *whole.alerts),
            internals=replace(whole.internals, channels=channels),
        )


def with_host(
    processes: MetalTelemetrySnapshot, host: MetalTelemetrySnapshot
) -> MetalTelemetrySnapshot:
    """The snapshot of processes with what ``host`` reads of the host, each figure once.

    Of a figure that both have it is the newer one. What the reader of the host holds itself is
    left out: it is no part of the program.
    """
    resources, _ = readings_of(
        [
            replace(processes, custom=()),
            replace(
                host, custom=(), resources=tuple(r for r in host.resources if r.is_of_the_host)
            ),
        ]
    )
    errors = Counter(processes.internals.errors)
    errors.update(host.internals.errors)
    return replace(
        processes,
        resources=resources,
        # A process judges by the same host's readings, and by its own operations besides.
        health=processes.health if processes.health.components else host.health,
        system=_system(processes.system, host.system),
        internals=replace(processes.internals, errors=dict(errors)),
    )


def _system(processes: SystemInfo | None, host: SystemInfo | None) -> SystemInfo | None:
    if processes is None or host is None:
        return host or processes
    known = {(device.name, device.backend) for device in processes.devices}
    more = (device for device in host.devices if (device.name, device.backend) not in known)
    return replace(processes, devices=(*processes.devices, *more))
