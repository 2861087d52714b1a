"""How the ``river`` detector watches operations: how long they take, how often they fail.

Usual is what river's rolling quantiles say. Sudden changes are found by the Page-Hinkley test (Page
1954, "Continuous inspection schemes"), rates of failure that rise by ADWIN (Bifet and Gavaldà 2007,
"Learning from time-changing data with adaptive windowing").
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from math import exp, log
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from metalscope.health.anomalies.river_base import Finding, River, Watcher
from metalscope.health_report import AnomalyKind
from metalscope.operation import ErrorSeverity

if TYPE_CHECKING:
    from metalscope.health.anomalies.signals import Signal

__all__ = ["DurationWatcher", "FailureWatcher"]


class DurationWatcher(Watcher):
    """Durations of one operation, by their logarithm: shifts, spikes and drifts.

    Usual is the median of the last hour, the scale its interquartile range; neither learns while
    the operation is slow, until an hour is over and slow has become usual.
    """

    WARM_UP: Final = 60
    """Values before the first verdict: ten minutes, in which a cold start is over."""
    WINDOW: Final = 360
    DRIFT_WINDOW: Final = 480
    """Minutes."""
    LEAST_SHIFT: Final = log(1.3)
    SCALES: Final = 3.0
    """How many scales the mean of the last values is beyond usual, besides."""
    LEAST_DRIFT: Final = log(1.4)
    SPIKE: Final = log(2.5)
    SPIKE_SECONDS: Final = 300.0
    ACCEPTED_SECONDS: Final = 3600.0
    LEAST_CALLS: Final = 12.0
    LEAST_SCALE: Final = 0.03
    ALARM_SECONDS: Final = 90.0

    def __init__(self, library: River) -> None:
        self._library = library
        self._seen = 0
        self._recent: deque[tuple[float, float]] = deque(maxlen=4)
        self._slow_since: float | None = None
        self._alarm_until = 0.0
        self._minute = [0.0, 0.0, 0.0]
        self._minutes: deque[tuple[float, float]] = deque(maxlen=10)
        self._long = library.stats.RollingQuantile(0.5, self.DRIFT_WINDOW)
        self._long_seen = 0
        self._forget()

    def _forget(self) -> None:
        stats = self._library.stats
        self._middle: Any = stats.RollingQuantile(0.5, self.WINDOW)
        self._spread: Any = stats.RollingIQR(self.WINDOW, 0.25, 0.75)
        # In units of the scale: what is within one of usual does not add up, and a sum of twelve
        # is three values that are five away.
        self._shift: Any = self._library.drift.PageHinkley(
            min_instances=1, delta=1.0, threshold=12.0, alpha=1.0, mode="up"
        )

    def look(self, signal: Signal) -> Iterator[Finding]:
        """Take the next value."""
        if signal.value <= 0:
            return
        x = log(signal.value)
        self._seen += 1
        self._recent.append((x, signal.weight))
        if self._seen <= self.WARM_UP:
            self._learn(x)
        else:
            usual = float(self._middle.get())
            over = _mean(self._recent) - usual
            if self._slow_since is None:
                self._watch_for_shift(x, usual, over)
            elif over < self.LEAST_SHIFT / 2:
                self._slow_since = None
                self._learn(x)
            elif self.elapsed - self._slow_since > self.ACCEPTED_SECONDS:
                self._accept(x)
            if self._slow_since is not None:
                yield self._slower(signal, usual, over)
        yield from self._drift(signal, x)

    def _watch_for_shift(self, x: float, usual: float, over: float) -> None:
        scale = max(self.LEAST_SCALE, float(self._spread.get()) / 1.349)
        # One value, however far out, is not enough to pass the threshold.
        self._shift.update(min(6.0, max(-6.0, (x - usual) / scale)))
        if self._shift.drift_detected:
            self._alarm_until = self.elapsed + self.ALARM_SECONDS
        calls = sum(weight for _, weight in self._recent)
        enough = calls >= self.LEAST_CALLS and min(v for v, _ in self._tail()) > usual
        least = max(self.LEAST_SHIFT, self.SCALES * scale)
        if self.elapsed <= self._alarm_until and over > least and enough:
            self._slow_since = self.elapsed
        elif self.elapsed > self._alarm_until:
            self._learn(x)

    def _tail(self) -> list[tuple[float, float]]:
        return list(self._recent)[-2:]

    def _accept(self, x: float) -> None:
        self._forget()
        self._slow_since = None
        self._seen = self.WARM_UP // 2
        self._long = self._library.stats.RollingQuantile(0.5, self.DRIFT_WINDOW)
        self._long_seen = 0
        self._learn(x)

    def _learn(self, x: float) -> None:
        self._middle.update(x)
        self._spread.update(x)

    def _slower(self, signal: Signal, usual: float, over: float) -> Finding:
        assert self._slow_since is not None  # noqa: S101 - for the type checker
        short = self.elapsed - self._slow_since <= self.SPIKE_SECONDS
        spike = over > self.SPIKE and short
        now, before = exp(usual + over), exp(usual)
        return Finding(
            AnomalyKind.SPIKE if spike else AnomalyKind.LEVEL_SHIFT,
            ErrorSeverity.HIGH if over > log(4) else ErrorSeverity.MEDIUM,
            f"{signal.subject} takes {now:.3g} ms, {exp(over):.2f} times the median of the hour "
            f"before ({before:.3g} ms)",
            now,
            before,
            signal.unit,
        )

    def _drift(self, signal: Signal, x: float) -> Iterator[Finding]:
        minute = self._minute
        minute[1] += x * signal.weight
        minute[2] += signal.weight
        if self.elapsed - minute[0] >= 60.0:
            self._minutes.append((minute[1] / minute[2], minute[2]))
            if self._slow_since is None:
                self._long.update(minute[1] / minute[2])
                self._long_seen += 1
            self._minute = [self.elapsed, 0.0, 0.0]
        if self._long_seen < 60 or self._slow_since is not None:
            return
        if sum(weight for _, weight in self._minutes) < 5 * self.LEAST_CALLS:
            return
        usual = float(self._long.get())
        # The median, so that a spike among them is no drift.
        over = median(mean for mean, _ in self._minutes) - usual
        if over > self.LEAST_DRIFT:
            yield Finding(
                AnomalyKind.DRIFT,
                ErrorSeverity.MEDIUM,
                f"{signal.subject} took {exp(usual + over):.3g} ms over the last ten minutes, "
                f"{exp(over):.2f} times the median of the last {self._long_seen} minutes at most "
                f"{self.DRIFT_WINDOW} ({exp(usual):.3g} ms), with no sudden change",
                exp(usual + over),
                exp(usual),
                signal.unit,
            )


class FailureWatcher(Watcher):
    """Failures of one operation: bursts by a bound on Poisson counts, rises by ADWIN."""

    WINDOWS: Final = (1, 6, 30)
    """Ticks looked at together."""
    LEAST_FAILURES: Final = 5
    LEAST_SHARE: Final = 0.02
    LOG_PROBABILITY: Final = -18.0
    """Of so many failures at the usual rate, by Chernoff's bound: once in 7 × 10^7 looks."""
    UNKNOWN: Final = 0.0005
    """A share of failures that would not have been seen yet; added to what was."""
    FADING: Final = 0.002
    """Of what is usual: half of it is from the last hour."""

    def __init__(self, library: River) -> None:
        self._adwin = library.drift.ADWIN(delta=1e-4)
        self._failed = library.stats.EWMean(self.FADING)
        self._calls = library.stats.EWMean(self.FADING)
        self._last: deque[tuple[float, float]] = deque(maxlen=self.WINDOWS[-1])

    def look(self, signal: Signal) -> Iterator[Finding]:
        """Take the next value."""
        self._last.append((signal.value, signal.weight))
        calls = float(self._calls.get() or 0.0)
        usual = self.UNKNOWN
        if calls:
            usual += float(self._failed.get() or 0.0) / calls
        self._adwin.update(min(1.0, signal.value / signal.weight))
        found = self._excess(usual)
        if found is None and self._adwin.drift_detected:
            # ADWIN tells of a fall as well, for which the latest values are too low.
            rate = min(float(self._adwin.estimation), self._latest_share())
            if rate > max(self.LEAST_SHARE, 3.0 * usual):
                found = rate, "the mean of its latest stretch by ADWIN"
        if found is None:
            self._failed.update(signal.value)
            self._calls.update(signal.weight)
            return
        rate, of = found
        yield Finding(
            AnomalyKind.ERROR_RATE,
            ErrorSeverity.HIGH if rate > 0.25 else ErrorSeverity.MEDIUM,
            f"{rate:.1%} of {signal.subject} fail ({of}), usually {usual:.2%}",
            rate,
            usual,
            "",
            signal.detail,
        )

    def _latest_share(self) -> float:
        latest = list(self._last)[-self.WINDOWS[1] :]
        return sum([f for f, _ in latest]) / sum([c for _, c in latest])

    def _excess(self, usual: float) -> tuple[float, str] | None:
        if not self._last[-1][0]:
            return None
        entries = list(self._last)
        for window in self.WINDOWS:
            part = entries[-window:]
            failed, calls = sum([f for f, _ in part]), sum([c for _, c in part])
            expected = usual * calls
            least = max(self.LEAST_FAILURES, self.LEAST_SHARE * calls, expected)
            if failed < least:
                continue
            if failed - expected - failed * log(failed / expected) < self.LOG_PROBABILITY:
                return failed / calls, f"{failed:.0f} of the last {calls:.0f}"
        return None


def _mean(values: deque[tuple[float, float]]) -> float:
    weight = sum(weight for _, weight in values)
    return sum(value * weight for value, weight in values) / weight
