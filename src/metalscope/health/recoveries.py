"""How often the system has restarted the GPU lately, from a reading that only ever grows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Self

from metalscope.health.rules import Finding
from metalscope.health_report import HealthStatus
from metalscope.operation import Component
from metalscope.readings import ResourceKind, ResourceMetrics

__all__ = ["Recoveries"]

_MOST_CHANGES: Final = 32
"""A GPU restarted more often than this in one window has its oldest restarts told too few."""

_Change = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Recoveries:
    """The values each reading had, as far as the window goes. Frozen: any thread may look.

    ``window`` is in seconds.
    """

    window: float
    changes: Mapping[tuple[str, str], tuple[_Change, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )

    def after(self, resources: Iterable[ResourceMetrics], now: float) -> Self:
        """The same after the readings of ``now``, in seconds of a monotonic clock."""
        changes = {
            (one.name, one.device): self._changes(one, now)
            for one in resources
            if one.kind is ResourceKind.RECOVERIES
        }
        return replace(self, changes=MappingProxyType(changes))

    def findings(self, resources: Iterable[ResourceMetrics], now: float) -> Iterator[Finding]:
        """That the GPU was restarted within the window, up to ``now``, where it was."""
        for one in resources:
            if one.kind is not ResourceKind.RECOVERIES:
                continue
            times = round(one.current - self._changes(one, now)[0][1])
            if times:
                yield Finding(
                    Component.DEVICE,
                    HealthStatus.DEGRADED,
                    f"GPU restarts within the last {self.window:.0f} s: {times}; "
                    f"since boot: {one.current:.0f}",
                )

    def _changes(self, reading: ResourceMetrics, now: float) -> tuple[_Change, ...]:
        known = self.changes.get((reading.name, reading.device), ())
        if not known or reading.current < known[-1][1]:
            # Below what it was: the driver counts anew.
            return ((now, reading.current),)
        if reading.current > known[-1][1]:
            known = (*known, (now, reading.current))
        # The first one is the value that the window began with.
        while len(known) > 1 and known[1][0] <= now - self.window:
            known = known[1:]
        return known[-_MOST_CHANGES:]
