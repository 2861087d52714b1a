"""All that is watched of one operation's durations."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from math import log
from typing import Final

from metalscope.health.anomalies.drift import Drift, Past, allowed_for
from metalscope.health.anomalies.episode import Now
from metalscope.health.anomalies.shift import Level, Slower
from metalscope.operation import Component

__all__ = ["Latency"]

LEAST_MS: Final = 1e-6
_LONG_PAUSE: Final = 900.0
_UNUSUAL_PAUSE: Final = 4.0
_SETTLES_IN: Final = 60.0
_PAUSES_HELD: Final = 4.0
_LONGEST_HELD: Final = 3600.0
_FAST: Final = 0.3
_SLOW: Final = 1 / 360
_YOUNG: Final = 12
MEAN_EFFECT: Final = log(1.5)
"""The least change of the mean worth telling of. It sways more than the typical duration does, and
is there for a few calls that are many times slower."""

BESIDES_DRIFT: Final = 1.5
"""How many times its usual time an operation that drifts must take to be told of as a jump too."""


class Latency:
    """One operation: its typical duration, its mean, and the long past of the first.

    The typical duration is a geometric mean and tells of what happens to most calls; the mean
    tells of a few that are very slow.
    """

    __slots__ = (
        "_bins",
        "_calls",
        "_jumped",
        "_logs",
        "_pause",
        "_ran_at",
        "_rate_now",
        "_rate_usual",
        "_recent",
        "_settled_at",
        "_sum",
        "busy",
        "component",
        "drift",
        "mean",
        "subject",
        "typical",
    )  # fmt: skip

    def __init__(self, subject: str, component: Component) -> None:
        self.subject = subject
        self.component = component
        self.typical = Level()
        self.mean = Level(MEAN_EFFECT)
        self.drift = Drift()
        self.busy = 0.0
        self._calls = self._logs = self._sum = 0.0
        self._bins = 0
        self._ran_at: float | None = None
        self._pause = 0.0
        self._settled_at = float("-inf")
        self._rate_now = self._rate_usual = 0.0
        self._recent: list[float] = []
        self._jumped: datetime | None = None

    @property
    def is_active(self) -> bool:
        """Whether it ran in the bin that is open."""
        return self._calls > 0

    @property
    def ran_at(self) -> float:
        """When it last ran, in elapsed seconds."""
        return self._ran_at or 0.0

    @property
    def goes_on(self) -> bool:
        """Whether there is anything to tell of."""
        parts = self.typical.episode, self.mean.episode, self.drift.episode
        if any(one.since is not None for one in parts):
            return True
        self._jumped = None
        return False

    @property
    def last_sign(self) -> float:
        """When there was last a sign of what goes on, in elapsed seconds."""
        parts = (self.typical.episode, self.mean.episode, self.drift.episode)
        return max((one.last_seen for one in parts if one.goes_on), default=0.0)

    def add_mean(self, ms: float, calls: float) -> None:
        """Take a tick's mean duration."""
        self._sum += ms * calls

    def add_typical(self, now: Now, seconds: float, ms: float, calls: float) -> None:
        """Take a tick's typical duration."""
        value = log(max(ms, LEAST_MS))
        self._logs += value * calls
        self._calls += calls
        if now.elapsed >= self._settled_at:
            self.typical.tick(now, seconds, value, calls)

    def close(self, now: Now, seconds: float, load: float, *, settling: bool) -> None:
        """End a bin.

        Args:
            now: the end of the bin.
            seconds: how long it is.
            load: how much higher the log of all operations' rate is than usual.
            settling: whether work has only just begun again, so that nothing is typical yet.
        """
        calls = self._calls
        if not calls:
            self.busy *= 1 - _FAST / 10
            self._rest(now)
            return
        value = self._logs / calls
        mean = log(max(self._sum / calls, LEAST_MS))
        self.busy += max(_FAST / 10, 1 / (self._bins + 1)) * (self._sum - self.busy)
        self._calls = self._logs = self._sum = 0.0
        self._note_pause(now)
        self._bins += 1
        if self._bins == 1 or settling or now.elapsed < self._settled_at:
            self._rest(now)
            return
        allowed = allowed_for(max(load, self._more_often(calls / seconds)))
        self._recent = [*self._recent[-5:], value]
        # Not both: a level that has become usual must not be drifted to from the one before.
        accepted = self.typical.close(now, seconds, value, calls, allowed)
        self.mean.close(now, seconds, mean, calls, allowed)
        if accepted:
            self.drift.clear()
        else:
            self.drift.add(now, value, calls, self._recent)
        self._rest(now)

    def search(self, now: Now, load: Past) -> None:
        """Look at the long past."""
        if self._jump() is None:
            self.drift.search(now, load)

    def found(self) -> tuple[Slower, ...]:
        """What goes on now, a jump before a drift."""
        drift = self.drift.found()
        jump = self._jump()
        if drift is None:
            return () if jump is None else (jump,)
        if jump is None or jump.ratio < BESIDES_DRIFT or jump.kind is drift.kind:
            return (drift,)
        return jump, drift

    def _jump(self) -> Slower | None:
        found = self.typical.found() or self.mean.found()
        if found is None:
            self._jumped = None
            return None
        # The two begin and end at moments of their own, and are one anomaly.
        self._jumped = self._jumped or found.since
        return replace(found, since=self._jumped)

    def _rest(self, now: Now) -> None:
        held = min(_PAUSES_HELD * self._pause, _LONGEST_HELD)
        self.typical.rest(now, held)
        self.mean.rest(now, held)
        self.drift.rest(now, held)

    def _note_pause(self, now: Now) -> None:
        if self._ran_at is not None:
            pause = now.elapsed - self._ran_at
            if pause > _LONG_PAUSE and pause > _UNUSUAL_PAUSE * self._pause:
                self._settled_at = now.elapsed + _SETTLES_IN
            else:
                self._pause += 0.1 * (pause - self._pause)
        self._ran_at = now.elapsed

    def _more_often(self, per_second: float) -> float:
        """How much higher the log of its own rate is than usual."""
        rate = log(per_second)
        if self._bins <= _YOUNG:
            self._rate_now = self._rate_usual = rate
        self._rate_now += _FAST * (rate - self._rate_now)
        self._rate_usual += _SLOW * (rate - self._rate_usual)
        return self._rate_now - self._rate_usual
