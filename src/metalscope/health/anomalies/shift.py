"""Operations that take longer from one moment on, for good or for a short while.

Page's cumulative sum (E. S. Page, "Continuous Inspection Schemes", Biometrika 41, 1954) over the
logarithm of a duration, so that it is about ratios. Its step is the log-likelihood ratio of two
normal distributions, ``effect / s² · (x - m - effect / 2)``, with ``m`` and ``s`` from a robust
:class:`~metalscope.health.anomalies.baseline.Baseline`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime
from math import exp, hypot, log
from typing import Final

from metalscope.health.anomalies.baseline import LONGEST, READY, SPACING, Baseline
from metalscope.health.anomalies.episode import ACCEPTED_AFTER, Episode, Now
from metalscope.health_report import AnomalyKind
from metalscope.robust_statistics import median

__all__ = ["EFFECT", "THRESHOLD", "Level", "Slower"]

EFFECT: Final = log(1.25)
"""The least change worth telling of: a quarter."""

THRESHOLD: Final = 18.0
"""The sum that counts as a change. Without one, it is reached once in e¹⁸ bins or more (Lorden,
1971), that is once in 150 days by 50 operations whose bins are 10 s."""

SUSPECT: Final = THRESHOLD / 3
"""The sum from which on values are not yet part of the past; one value adds no more than this."""

WANDERING: Final = 4.0
"""How many standard deviations of its own slow wandering a level must move."""

UNCERTAINTY: Final = 3.0
"""And how many standard errors of the past's median."""

LEAST_BINS: Final = 3
LEAST_CALLS: Final = 5.0
LEAST_MS: Final = 0.1
LEAST_RISE_MS: Final = 0.05
"""Nothing is told of a duration below ``LEAST_MS`` or a rise below ``LEAST_RISE_MS``: they are of
the order of what the timer and the interpreter add by themselves."""

LEAST_SCALE: Final = 0.05
TIMER_NOISE_MS: Final = 0.01
SPIKE: Final = log(3.0)
SPIKE_SCALES: Final = 5.0
SPIKE_SECONDS: Final = 3.0
SPIKE_RARE: Final = 12.0
"""How rare a run of such ticks must be, as a log, by how often single ones came before."""

SPIKE_AT_MOST: Final = 120.0
"""What is slow for longer, in s, is a change of level and no spike."""
LONGEST_SUSPICION: Final = 1800.0
LONGEST_GROWTH: Final = 6 * ACCEPTED_AFTER
_GRADUAL_SECONDS: Final = 420.0
_GRADUAL: Final = 0.35


@dataclass(frozen=True, slots=True)
class Slower:
    """An operation that takes longer than it did; durations in ms."""

    kind: AnomalyKind
    since: datetime
    ms: float
    usual_ms: float

    @property
    def ratio(self) -> float:
        """How many times longer."""
        return self.ms / self.usual_ms


class Level:
    """One operation's duration: its past, the sum of evidence, and the anomaly if there is one."""

    __slots__ = (
        "_begun", "_bins", "_calls", "_drifts", "_hot_calls", "_hot_from", "_hot_ticks",
        "_pending", "_pending_at", "_recent", "_since", "_spiked", "_sum",
        "baseline", "effect", "episode", "level",
    )  # fmt: skip

    def __init__(self, effect: float = EFFECT) -> None:
        self.effect = effect
        self.baseline = Baseline()
        self.episode = Episode()
        self.level = 0.0
        self._sum = 0.0
        self._since = 0.0
        self._bins = 0
        self._calls = 0.0
        self._begun: list[float] = []
        self._recent: deque[float] = deque(maxlen=6)
        self._pending: deque[float] = deque(maxlen=LONGEST)
        self._pending_at = float("-inf")
        self._hot_ticks = 0
        self._hot_calls = 0.0
        self._hot_from = 0.0
        self._spiked = self._drifts = False

    @property
    def evidence(self) -> float:
        """How much speaks for a change, as a share of what it takes."""
        return 1.0 if self.episode.goes_on else self._sum / THRESHOLD

    @property
    def ratio_now(self) -> float:
        """How many times the usual the last bins took; 1 where too little is known."""
        if not self.baseline.ready or not self._recent:
            return 1.0
        return exp(median(list(self._recent)[-3:]) - self.baseline.location)

    def found(self) -> Slower | None:
        """The anomaly that goes on now."""
        episode = self.episode
        if episode.since is None:
            return None
        kind = AnomalyKind.LEVEL_SHIFT
        if self._drifts:
            kind = AnomalyKind.DRIFT
        elif self._spiked and episode.last_seen - episode.began < SPIKE_AT_MOST:
            kind = AnomalyKind.SPIKE
        return Slower(kind, episode.since, exp(self.level), exp(self.baseline.location))

    def tick(self, now: Now, seconds: float, value: float, calls: float) -> None:
        """Take one tick of ``seconds``: the log of the duration, and of how many calls it is.

        Only what is far beyond everything is told of before the bin ends.
        """
        if self.episode.goes_on or not self.baseline.ready:
            return
        above = value - self.baseline.location
        if (
            above < SPIKE
            or above < SPIKE_SCALES * self._variance(calls) ** 0.5
            or not self._is_worth_telling(value)
        ):
            self._hot_ticks = 0
            return
        if not self._hot_ticks:
            self._hot_calls, self._hot_from = 0.0, now.elapsed - seconds
        self._hot_ticks += 1
        self._hot_calls += calls
        rare = -log(self.baseline.share_above(self.baseline.location + SPIKE / 2))
        lasted = now.elapsed - self._hot_from
        if lasted < SPIKE_SECONDS or self._hot_calls < LEAST_CALLS:
            return
        if self._hot_ticks >= LEAST_BINS and self._hot_ticks * rare >= SPIKE_RARE:
            self._open(now, self._hot_from, value)
            self._spiked = True

    def close(self, now: Now, seconds: float, value: float, calls: float, allowed: float) -> bool:
        """Take one bin of ``seconds``; whether a new level has become usual by it.

        Args:
            now: the end of the bin.
            seconds: how long it is.
            value: the log of the duration in ms.
            calls: how many it is a mean of.
            allowed: how much higher it may be for the load there is, as a log.
        """
        self._recent.append(value)
        if self.episode.goes_on:
            return self._follow(now, value, allowed)
        if self.baseline.ready:
            return self._gather(now, seconds, value, calls, allowed)
        self.baseline.add(now.elapsed, value, calls)
        return False

    def rest(self, now: Now, at_least: float) -> None:
        """Let the anomaly end where it has not been seen for ``at_least`` seconds or its hold."""
        if self.episode.rest(now, at_least):
            self._start_again()

    def end(self, now: Now) -> None:
        """Something else explains it: forget the anomaly and the evidence, keep the past."""
        if self.episode.goes_on:
            self.episode.end(now)
        self._start_again()

    def _variance(self, calls: float) -> float:
        baseline = self.baseline
        floor = max(LEAST_SCALE, TIMER_NOISE_MS / exp(min(baseline.location, 50.0)))
        fewer = max(1.0, baseline.weight / calls)
        return fewer * max(baseline.scale, floor) ** 2

    def _is_worth_telling(self, value: float) -> bool:
        ms, usual = exp(min(value, 50.0)), exp(min(self.baseline.location, 50.0))
        return ms >= LEAST_MS and ms - usual >= LEAST_RISE_MS

    def _gather(self, now: Now, seconds: float, value: float, calls: float, allowed: float) -> bool:
        baseline = self.baseline
        if self._sum <= 0 and value - baseline.location <= self.effect / 2:
            # No step up whatever the rest says: most bins end here.
            self._settle(now, value, calls)
            return False
        effect = self._effect(allowed)
        if self._sum <= 0:
            self._since, self._bins, self._calls = now.elapsed - seconds, 0, 0.0
            self._begun = []
        step = self._step(value, calls, effect)
        self._sum = min(1.5 * THRESHOLD, max(0.0, self._sum + step))
        if self._sum <= 0:
            self._settle(now, value, calls)
            return False
        self._bins += 1
        self._calls += calls
        if len(self._begun) < LEAST_BINS:
            self._begun.append(value)
        if self._sum < SUSPECT:
            baseline.add(now.elapsed, value, calls)
            return False
        self._keep(now, value)
        if self._sum >= THRESHOLD and self._bins >= LEAST_BINS and self._calls >= LEAST_CALLS:
            level = median(list(self._recent)[-min(self._bins, 6) :])
            if level - baseline.location >= effect and self._is_worth_telling(level):
                self._open(now, self._since, level)
                self._drifts = self._is_gradual(now, level)
                self._spiked = level - baseline.location >= SPIKE
                return False
        if now.elapsed - self._since > LONGEST_SUSPICION:
            self._accept()
            return True
        return False

    def _effect(self, allowed: float) -> float:
        """The least rise that is told of.

        It is more than the series wanders by itself, and than the past's location may be off.
        """
        baseline = self.baseline
        off = UNCERTAINTY * baseline.location_error
        return hypot(self.effect * baseline.caution, WANDERING * baseline.wander, off) + allowed

    def _step(self, value: float, calls: float, effect: float) -> float:
        """What one bin says for a rise by ``effect``."""
        baseline = self.baseline
        # The long-run variance of a first-order autoregressive series.
        correlation = baseline.correlation
        variance = self._variance(calls) * (1 + correlation) / (1 - correlation)
        step = effect / variance * (value - baseline.location - effect / 2)
        # A value cannot say more than how rare its like was: tails are not those of a normal.
        rare = -log(baseline.share_above(baseline.location + effect / 2))
        return min(step, rare, SUSPECT)

    def _is_gradual(self, now: Now, level: float) -> bool:
        rise = level - self.baseline.location
        lasted = now.elapsed - self._since
        return lasted > _GRADUAL_SECONDS and level - median(self._begun) > _GRADUAL * rise

    def _settle(self, now: Now, value: float, calls: float) -> None:
        """A suspicion is over, or there was none: all of it is part of the past."""
        self.baseline.admit(now.elapsed, self._pending)
        self._pending.clear()
        self.baseline.add(now.elapsed, value, calls)

    def _keep(self, now: Now, value: float) -> None:
        if len(self._pending) < READY or now.elapsed - self._pending_at >= SPACING:
            self._pending.append(value)
            self._pending_at = now.elapsed

    def _open(self, now: Now, began: float, level: float) -> None:
        self.episode.see(now, began)
        self.level = level
        self._spiked = self._drifts = False

    def _follow(self, now: Now, value: float, allowed: float) -> bool:
        self._keep(now, value)
        usual, recent = self.baseline.location, median(self._recent)
        if recent - usual > max((self.effect + allowed) / 2, 0.6 * (self.level - usual)):
            self.level += 0.2 * (recent - self.level)
            self.episode.see(now)
        lasted = now.elapsed - self.episode.began
        if lasted < ACCEPTED_AFTER or len(self._pending) < READY:
            return False
        if self._still_grows() and lasted < LONGEST_GROWTH:
            return False
        self._accept()
        self.end(now)
        return True

    def _still_grows(self) -> bool:
        values = list(self._pending)
        half = len(values) // 2
        return median(values[half:]) - median(values[:half]) > EFFECT / 2

    def _accept(self) -> None:
        """What was new has become usual."""
        if len(self._pending) >= READY:
            self.baseline.replace(list(self._pending))
        self._start_again()

    def _start_again(self) -> None:
        self._sum = 0.0
        self._hot_ticks = 0
        self._pending.clear()
        self._spiked = self._drifts = False
