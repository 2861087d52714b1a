"""The one interface of what looks for anomalies, and what a detector is made from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metalscope.health_options import HealthMonitorOptions
    from metalscope.health_report import Anomaly
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["AnomalyDetector", "DetectorFactory"]


class AnomalyDetector(ABC):
    """Looks at each snapshot and says what is not as it was. Only :meth:`observe` must be written.

    All calls come from one thread, in the order of the snapshots' timestamps. A detector keeps
    bounded memory whatever it is shown.
    """

    @abstractmethod
    def observe(self, snapshot: MetalTelemetrySnapshot) -> Sequence[Anomaly]:
        """Take one tick's snapshot; return every anomaly that goes on now.

        One that is not returned any more is over. Its ``since`` stays what it was at first.
        """


DetectorFactory = Callable[["HealthMonitorOptions"], AnomalyDetector]
"""What an entry point in ``metalscope.detectors`` names: a class or function that makes one.

It may raise a :class:`~metalscope.errors.ConfigurationError` or a
:class:`~metalscope.errors.MissingExtraError`.
"""
