"""The sensors of one telemetry, read together and at most once a while."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from time import monotonic

from metalscope.fork import reset_in_child
from metalscope.readings import DeviceInfo, ResourceMetrics
from metalscope.sensors.base import KnowsDevices, Sensor
from metalscope.sensors.registry import find_sensors

__all__ = ["SensorBoard"]


class SensorBoard:
    """Reads sensors; one that fails leaves its values absent and harms no other.

    Args:
        on_error: told of what a sensor raises, as (room, exception).
        fresh_for: seconds for which a reading is handed out again.
    """

    def __init__(self, on_error: Callable[[str, BaseException], None], *, fresh_for: float) -> None:
        self._on_error = on_error
        self._fresh_for = fresh_for
        self._sensors: tuple[Sensor, ...] = ()
        self._devices: tuple[DeviceInfo, ...] = ()
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """In a forked child: the sensors stay, the lock may have been held."""
        self._lock = threading.RLock()
        self._readings: tuple[ResourceMetrics, ...] = ()
        self._read_at = float("-inf")

    def open_found(self, *, without: Iterable[str] = ()) -> None:
        """Add every sensor that works on this machine, with the devices it knows.

        Those of the names in ``without``, and those that are there already, are not opened.
        """
        for finding in find_sensors(without={*without, *(one.name for one in self._sensors)}):
            if finding.error is not None:
                self._on_error(f"sensor.{finding.name}", finding.error)
            if finding.sensor is None:
                continue
            self.add(finding.sensor)
            if isinstance(finding.sensor, KnowsDevices):
                try:
                    for device in finding.sensor.devices():
                        self.add_device(device)
                except Exception as error:  # noqa: BLE001 - law: an absent value, not a failure
                    self._on_error(f"sensor.{finding.name}", error)

    def add(self, sensor: Sensor) -> None:
        """Read ``sensor`` from now on."""
        with self._lock:
            if sensor not in self._sensors:
                self._sensors = (*self._sensors, sensor)
                self._read_at = float("-inf")

    def remove(self, sensor: Sensor) -> None:
        """Read ``sensor`` no more."""
        with self._lock:
            self._sensors = tuple(one for one in self._sensors if one is not sensor)
            self._read_at = float("-inf")

    def add_device(self, device: DeviceInfo) -> None:
        """Name a device, or complete what is known of one of the same name and backend."""
        with self._lock:
            key = (device.name, device.backend)
            known = [one for one in self._devices if (one.name, one.backend) == key]
            others = (one for one in self._devices if one not in known)
            for one in known:
                device = device.completed_by(one)
            self._devices = (*others, device)

    @property
    def devices(self) -> tuple[DeviceInfo, ...]:
        """The devices named so far."""
        return self._devices

    def read(self) -> tuple[ResourceMetrics, ...]:
        """What all sensors read now, or did a moment ago."""
        with self._lock:
            if monotonic() - self._read_at < self._fresh_for:
                return self._readings
            readings: list[ResourceMetrics] = []
            self._read_at = monotonic()
            for sensor in self._sensors:
                try:
                    readings.extend(sensor.read())
                except Exception as error:  # noqa: BLE001 - law: an absent value, not a failure
                    self._on_error(f"sensor.{sensor.name}", error)
            self._readings = tuple(readings)
            return self._readings
