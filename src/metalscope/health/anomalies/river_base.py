"""What the watchers of the ``river`` detector share: the library, their interface, their findings.

River learns from one value at a time and keeps a bounded state (https://riverml.xyz).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from metalscope.errors import MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType

    from metalscope.health.anomalies.signals import Signal
    from metalscope.health_report import AnomalyKind
    from metalscope.operation import ErrorSeverity

__all__ = ["Finding", "River", "Watcher", "river"]


class Finding(NamedTuple):
    """A sign of an anomaly now."""

    kind: AnomalyKind
    severity: ErrorSeverity
    reason: str
    value: float
    expected: float | None
    unit: str
    cause: str = ""


class River(NamedTuple):
    """The parts of river that are used."""

    drift: ModuleType
    stats: ModuleType
    utils: ModuleType


def river() -> River:
    """Import river.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        from river import drift, stats, utils  # noqa: PLC0415 - half a second, of the extra `ml`
    except ImportError as error:
        raise MissingExtraError("the river anomaly detector", "ml", cause=str(error)) from error
    return River(drift, stats, utils)


class Watcher(ABC):
    """Learns one series and says what is not as usual in it."""

    elapsed: float = 0.0
    """Seconds on a clock that only grows; set before each look."""

    @abstractmethod
    def look(self, signal: Signal) -> Iterator[Finding]:
        """Take the next value."""
