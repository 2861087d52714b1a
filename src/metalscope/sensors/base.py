"""What a sensor is: one method that reads, one that says what it can read here and why not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from metalscope.errors import MetalscopeError
from metalscope.readings import DeviceInfo, ResourceMetrics

__all__ = ["DescribesItself", "KnowsDevices", "Offer", "Sensor", "SensorUnavailableError"]


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


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing a sensor reads where it can.

    ``why_not`` is empty where it works here; else it says in words why the value is absent, and
    ``remedy``, where there is one, what to do about it.
    """

    what: str
    why_not: str = ""
    remedy: str = ""

    @property
    def works(self) -> bool:
        """Whether the value is there on this machine."""
        return not self.why_not

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {
            "what": self.what,
            "works": self.works,
            "why_not": self.why_not or None,
            "remedy": self.remedy or None,
        }


@runtime_checkable
class DescribesItself(Protocol):
    """A sensor that says what it reads, for ``metalscope doctor``."""

    def offers(self) -> Iterable[Offer]:
        """Say of each thing it can read anywhere whether it reads it here, after trying."""
        ...


@runtime_checkable
class KnowsDevices(Protocol):
    """A sensor that finds devices of which no library of the program need have spoken."""

    def devices(self) -> Iterable[DeviceInfo]:
        """Describe them."""
        ...


class SensorUnavailableError(MetalscopeError):
    """A source is not on this machine, or not open to this process.

    Args:
        why: the reason, in words.
        remedy: what to do about it; empty where there is nothing.
    """

    def __init__(self, why: str, remedy: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.remedy = remedy
