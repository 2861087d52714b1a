"""A GPU that is slowed: its clock falls while it is busy, and what says why.

The clock alone falls with the load as well, so a second sign is asked for: heat, the system's
low-power mode, or operations that take longer while the GPU is as busy as before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from math import exp, log
from typing import Final

from metalscope.health.anomalies.baseline import Baseline
from metalscope.health.anomalies.episode import ACCEPTED_AFTER, Episode, Now
from metalscope.readings import ThermalState

__all__ = ["Bin", "Cause", "Throttled", "Throttling"]

FALL: Final = log(1 / 0.85)
"""The least fall of the clock: 15 %."""

DEEP: Final = log(1 / 0.75)
BUSY_PERCENT: Final = 50.0
WORKING_PERCENT: Final = 80.0
"""As busy as this, the clock does not fall for want of work."""

LEAST_BINS: Final = 3
HOTTER_CELSIUS: Final = 8.0
MUCH_HOTTER_CELSIUS: Final = 12.0
HOT_CELSIUS: Final = 100.0
SLOWER: Final = 1.12
"""How many times longer half of the operations take, to be a sign."""

UNKNOWN_EXPLAINS: Final = 3.0
SLACK: Final = 1.5
"""A fall of the clock explains a duration so many times longer than it would make it by itself."""


class Cause(StrEnum):
    """Why the clock is lower."""

    HEAT = "heat"
    LOW_POWER_MODE = "low power mode"
    POWER_LIMIT = "power limit"
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Bin:
    """What is known of one device over one bin; ``None`` where no sensor says it.

    ``slower`` is how many times their usual time half of the operations take.
    """

    busy: float | None = None
    hertz: float | None = None
    celsius: float | None = None
    watts: float | None = None
    thermal_state: float | None = None
    low_power: bool | None = None
    slower: float = 1.0
    ran: bool = False


@dataclass(frozen=True, slots=True)
class Throttled:
    """A slowed GPU. ``hertz`` and ``usual_hertz`` are ``None`` where no sensor tells the clock."""

    since: datetime
    cause: Cause
    hertz: float | None
    usual_hertz: float | None
    last: Bin


@dataclass(slots=True)
class Throttling:
    """One device's clock, heat and power, each with its past while the GPU is busy."""

    device: str = ""
    episode: Episode = field(default_factory=Episode)
    cause: Cause = Cause.UNKNOWN
    _clock: Baseline = field(default_factory=Baseline)
    _heat: Baseline = field(default_factory=Baseline)
    _power: Baseline = field(default_factory=Baseline)
    _state: Baseline = field(default_factory=Baseline)
    _saved_power: bool | None = None
    _signs: int = 0
    _from: float = 0.0
    _last: Bin = field(default_factory=Bin)

    @property
    def suspected(self) -> bool:
        """Whether there are signs of it at present."""
        return self._signs > 0 or self.episode.goes_on

    def close(self, now: Now, seconds: float, seen: Bin) -> None:
        """Take one bin."""
        self._last = seen
        busy = seen.ran if seen.busy is None else seen.busy >= BUSY_PERCENT
        if not busy:
            self._signs = 0
            self.episode.rest(now)
            return
        heat, saving = self._is_hot(seen), self._turned_to_saving(seen)
        if self._is_slowed(seen, heat=heat, saving=saving):
            self._see(now, seconds, seen, heat=heat, saving=saving)
        else:
            self._signs = 0
            if not self.episode.goes_on:
                self._learn(now, seen)
        self.episode.rest(now)
        lasts = 6 * ACCEPTED_AFTER if heat else ACCEPTED_AFTER
        if self.episode.goes_on and now.elapsed - self.episode.began > lasts:
            self._accept(now)

    def found(self) -> Throttled | None:
        """The throttling that goes on now."""
        since = self.episode.since
        if since is None:
            return None
        usual = exp(-self._clock.location) if self._clock.ready else None
        return Throttled(since, self.cause, self._last.hertz, usual, self._last)

    def explains(self, ratio: float) -> bool:
        """Whether this is why an operation takes ``ratio`` times its usual time."""
        if not self.suspected:
            return False
        hertz = self._last.hertz
        if hertz is None or not self._clock.ready or hertz <= 0:
            return ratio <= UNKNOWN_EXPLAINS
        return ratio <= SLACK * max(1.0, exp(-self._clock.location) / hertz)

    def _fall(self, seen: Bin) -> float | None:
        """How much lower the log of the clock is than usual."""
        if seen.hertz is None or seen.hertz <= 0 or not self._clock.ready:
            return None
        return -log(seen.hertz) - self._clock.location

    def _is_hot(self, seen: Bin) -> bool:
        state, celsius = seen.thermal_state, seen.celsius
        if state is not None:
            usual = self._state.location if self._state.ready else state
            if state >= ThermalState.SERIOUS or (state >= ThermalState.FAIR and state > usual):
                return True
        if celsius is None:
            return False
        risen = self._heat.ready and celsius - self._heat.location >= HOTTER_CELSIUS
        return risen or celsius >= HOT_CELSIUS

    def _is_very_hot(self, seen: Bin) -> bool:
        if seen.thermal_state is not None and seen.thermal_state >= ThermalState.SERIOUS:
            return True
        return (
            seen.celsius is not None
            and self._heat.ready
            and seen.celsius - self._heat.location >= MUCH_HOTTER_CELSIUS
        )

    def _turned_to_saving(self, seen: Bin) -> bool:
        if seen.low_power is False or self._saved_power is None:
            self._saved_power = seen.low_power
        return bool(seen.low_power) and self._saved_power is False

    def _is_slowed(self, seen: Bin, *, heat: bool, saving: bool) -> bool:
        slower = seen.slower >= SLOWER
        fall = self._fall(seen)
        if fall is None:
            return slower and (saving or self._is_very_hot(seen))
        least = max(FALL * self._clock.caution, 3 * self._clock.scale)
        if self.episode.goes_on:
            least /= 2
        if fall < least:
            return False
        if heat or saving:
            return True
        working = seen.busy is None or seen.busy >= WORKING_PERCENT
        return working and (slower or fall >= DEEP)

    def _see(self, now: Now, seconds: float, seen: Bin, *, heat: bool, saving: bool) -> None:
        if not self._signs:
            self._from = now.elapsed - seconds
        self._signs += 1
        if self.episode.goes_on:
            self.episode.see(now)
            if self.cause is Cause.UNKNOWN:
                self.cause = self._cause(seen, heat=heat, saving=saving)
        elif self._signs >= LEAST_BINS:
            self.episode.see(now, self._from)
            self.cause = self._cause(seen, heat=heat, saving=saving)

    def _cause(self, seen: Bin, *, heat: bool, saving: bool) -> Cause:
        if saving:
            return Cause.LOW_POWER_MODE
        if heat:
            return Cause.HEAT
        if seen.watts is not None and self._power.ready:
            # A clock that falls takes power with it, unless power is what holds it down.
            usual = self._power.location
            if usual > 0 and seen.watts >= 0.95 * usual:
                return Cause.POWER_LIMIT
        return Cause.UNKNOWN

    def _learn(self, now: Now, seen: Bin) -> None:
        if seen.hertz is not None and seen.hertz > 0:
            self._clock.add(now.elapsed, -log(seen.hertz), 1.0)
        if seen.celsius is not None:
            self._heat.add(now.elapsed, seen.celsius, 1.0)
        if seen.watts is not None:
            self._power.add(now.elapsed, seen.watts, 1.0)
        if seen.thermal_state is not None:
            self._state.add(now.elapsed, seen.thermal_state, 1.0)

    def _accept(self, now: Now) -> None:
        self.episode.end(now)
        self._signs = 0
        self._saved_power = self._last.low_power
        self._clock, self._heat = Baseline(), Baseline()
        self._power, self._state = Baseline(), Baseline()
