"""Which Apple chip this is, and what a chip of that kind can do."""

from __future__ import annotations

from typing import NoReturn

from metalscope.sensors.base import SensorUnavailableError

__all__ = ["open_sensor"]


def open_sensor() -> NoReturn:
    """Open the sensor.

    Raises:
        SensorUnavailableError: this is not macOS.
    """
    raise SensorUnavailableError("this is not macOS")
