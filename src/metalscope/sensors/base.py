"""The one method a sensor is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from metalscope.snapshot import ResourceMetrics

__all__ = ["Sensor"]


@runtime_checkable
class Sensor(Protocol):
    """Reads some facts of the system or of a library.

    A value the source does not give is left out, never 0. ``read`` is called once a tick, from
    one thread at a time; what it raises is counted and logged, and its values are then absent.
    """

    @property
    def name(self) -> str:
        """What the sensor is called in messages."""
        ...

    def read(self) -> Iterable[ResourceMetrics]:
        """Return what can be read now."""
        ...
