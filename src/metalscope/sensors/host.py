"""The host and this process, by psutil."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import replace
from time import monotonic
from typing import Final

import psutil

from metalscope._version import __version__
from metalscope.sensors.identity import identity
from metalscope.snapshot import DeviceInfo, ResourceKind, ResourceMetrics, SystemInfo

__all__ = ["HostSensor", "open_sensor"]

_SHORTEST_WINDOW: Final = 0.1
"""Seconds; over less, psutil's documentation says, processor load means nothing."""


def open_sensor() -> HostSensor:
    """Open the sensor; it works everywhere."""
    return HostSensor()


class HostSensor:
    """Memory and processor load of the host, resident memory of the process."""

    name = "host"

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._process = psutil.Process()
        # psutil measures between two calls; what the first one returns means nothing.
        psutil.cpu_percent(interval=None)
        self._load: float | None = None
        self._loaded_at = monotonic()
        macos = platform.mac_ver()[0]
        self._facts = SystemInfo(
            host=platform.node(),
            pid=os.getpid(),
            os="macOS" if macos else platform.system(),
            os_version=macos or platform.release(),
            architecture=platform.machine(),
            processors=os.cpu_count(),
            python=".".join(map(str, sys.version_info[:3])),
            metalscope=__version__,
            resource=tuple(identity().items()),
        )

    def read(self) -> Iterator[ResourceMetrics]:
        """Yield memory in bytes and processor load in percent of all processors."""
        memory = psutil.virtual_memory()
        yield ResourceMetrics(
            ResourceKind.HOST_MEMORY,
            "used",
            "",
            current=memory.total - memory.available,
            limit=memory.total,
        )
        yield ResourceMetrics(
            ResourceKind.HOST_MEMORY, "process_resident", "", current=self._resident()
        )
        if monotonic() - self._loaded_at >= _SHORTEST_WINDOW:
            self._load, self._loaded_at = psutil.cpu_percent(interval=None), monotonic()
        if self._load is not None:
            yield ResourceMetrics(ResourceKind.CPU_UTILIZATION, "host", "", current=self._load)

    def system(self, devices: tuple[DeviceInfo, ...]) -> SystemInfo:
        """The facts of this host, with the memory free at this moment."""
        memory = psutil.virtual_memory()
        return replace(
            self._facts,
            pid=os.getpid(),
            memory_total_bytes=memory.total,
            memory_available_bytes=memory.available,
            devices=devices,
            resource=tuple({**dict(self._facts.resource), "process.pid": os.getpid()}.items()),
        )

    def _resident(self) -> int:
        if self._pid != os.getpid():
            self._pid, self._process = os.getpid(), psutil.Process()
        return int(self._process.memory_info().rss)
