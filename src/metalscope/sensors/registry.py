"""Which sensors there are, and which of them work on this machine.

A sensor is one module with a function ``open_sensor()`` that returns a
:class:`~metalscope.sensors.base.Sensor` or raises
:class:`~metalscope.sensors.base.SensorUnavailableError`. Those of metalscope are in a table here;
another package names such a function under the entry point group ``metalscope.sensors``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from metalscope.plugins import entry_points_of
from metalscope.sensors.base import DescribesItself, Offer, Sensor, SensorUnavailableError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["ENTRY_POINT_GROUP", "Finding", "find_sensors", "sensor_names"]

ENTRY_POINT_GROUP: Final = "metalscope.sensors"

_BUILT_IN: Final[dict[str, str]] = {
    "host": "metalscope.sensors.host",
    "chip": "metalscope.sensors.chip",
    "ioregistry": "metalscope.sensors.ioregistry",
    "ioreport": "metalscope.sensors.ioreport",
    "thermal": "metalscope.sensors.thermal",
    "memory": "metalscope.sensors.memory",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of opening one sensor: the sensor, or why there is none."""

    name: str
    sensor: Sensor | None = None
    why_not: str = ""
    remedy: str = ""
    error: Exception | None = None
    """What it raised that no sensor should raise: a fault of its own."""

    def offers(self) -> tuple[Offer, ...]:
        """All it reads or could read, with reasons; reads the sensor to find out."""
        if self.sensor is None:
            return (Offer(self.name, self.why_not or "unknown", self.remedy),)
        if isinstance(self.sensor, DescribesItself):
            return tuple(self.sensor.offers())
        return (Offer(self.name),)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "name": self.name,
            "works": self.sensor is not None,
            "why_not": self.why_not or None,
            "remedy": self.remedy or None,
            "offers": [offer.to_dict() for offer in self.offers()],
        }


def sensor_names() -> tuple[str, ...]:
    """The sensors that may be there, those of other packages last."""
    return (*_BUILT_IN, *_others())


def find_sensors(*, without: Collection[str] = ()) -> Iterator[Finding]:
    """Open every sensor not named in ``without``; yield what came of each. Nothing is raised."""
    for name, module in _BUILT_IN.items():
        if name not in without:
            yield _open(name, partial(_opener, module))
    for name, point in _others().items():
        if name not in without:
            yield _open(name, point.load)


def _opener(module: str) -> Callable[[], Sensor]:
    opener: Callable[[], Sensor] = import_module(module).open_sensor
    return opener


def _open(name: str, load: Callable[[], Callable[[], Sensor]]) -> Finding:
    try:
        return Finding(name, load()())
    except SensorUnavailableError as error:
        return Finding(name, why_not=error.why, remedy=error.remedy)
    except Exception as error:  # noqa: BLE001 - another package's code; one must not hide the rest
        return Finding(name, why_not=f"{type(error).__name__}: {error}", error=error)


def _others() -> dict[str, EntryPoint]:
    found = entry_points_of(ENTRY_POINT_GROUP)
    return {name: point for name, point in found.items() if name not in _BUILT_IN}
