"""Statuses that do not flicker: an exit below the entry, and a wait before a status gets better.

Two different things make a status flicker. A value that wanders around a threshold is met by
:class:`Level`: what lies above it is left only well below it. What comes and goes, such as a
breaker or an error in the window, is met by :class:`Hold`: a status gets worse at once, and better
only once the better state has lasted. Both only ever make a status worse than it would be without
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Self

from metalscope.health_report import BADNESS, HealthStatus

__all__ = ["Hold", "Level", "Wait"]

_WAITING: Final = (HealthStatus.CRITICAL, HealthStatus.DEGRADED)


@dataclass(frozen=True, slots=True)
class Level:
    """Thresholds of a value that is bad when high. ``critical`` may be out of its reach.

    ``exit_below`` is how far below a threshold a value must fall to be out of what it entered by
    passing the threshold; in the value's own unit.
    """

    degraded: float
    critical: float
    exit_below: float

    def status(self, value: float, before: HealthStatus) -> HealthStatus:
        """The status of a value whose status was ``before``."""
        for status, entry in (
            (HealthStatus.CRITICAL, self.critical),
            (HealthStatus.DEGRADED, self.degraded),
        ):
            entered = BADNESS[before] >= BADNESS[status]
            if value > entry or (entered and value > entry - self.exit_below):
                return status
        return HealthStatus.HEALTHY

    def entry(self, status: HealthStatus) -> float:
        """The threshold of ``critical``, or else of ``degraded``."""
        return self.critical if status is HealthStatus.CRITICAL else self.degraded


@dataclass(frozen=True, slots=True)
class Wait:
    """A status that was; ``better_since`` is when it was first seen better, ``None`` before.

    ``reasons`` are those it was last seen with.
    """

    reasons: tuple[str, ...] = ()
    better_since: float | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """What one component's bad statuses wait for. Frozen, so that any thread may look.

    Times are seconds of one monotonic clock, ``period`` is in seconds.
    """

    period: float
    waits: Mapping[HealthStatus, Wait] = field(default_factory=lambda: MappingProxyType({}))

    def after(self, raw: HealthStatus, reasons: tuple[str, ...], now: float) -> Self:
        """The same after ``raw`` was seen at ``now``."""
        waits: dict[HealthStatus, Wait] = {}
        for status in _WAITING:
            wait = self.waits.get(status)
            if raw is status:
                waits[status] = Wait(reasons)
            elif wait is None or self._is_over(wait, now):
                continue
            elif BADNESS[raw] > BADNESS[status]:
                waits[status] = Wait(wait.reasons)
            else:
                since = now if wait.better_since is None else wait.better_since
                waits[status] = Wait(wait.reasons, since)
        return replace(self, waits=MappingProxyType(waits))

    def status(self, raw: HealthStatus, now: float) -> tuple[HealthStatus, Wait | None]:
        """The status to tell where ``raw`` is seen at ``now``, and what it waits for.

        It waits for nothing where the status is ``raw`` itself.
        """
        for status in _WAITING:
            wait = self.waits.get(status)
            if BADNESS[raw] >= BADNESS[status]:
                break
            if wait is not None and not self._is_over(wait, now):
                return status, wait
        return raw, None

    def _is_over(self, wait: Wait, now: float) -> bool:
        return wait.better_since is not None and now - wait.better_since >= self.period
