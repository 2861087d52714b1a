"""Errors that come up more often than they did: a sequential test on counts.

Wald's sequential probability ratio (A. Wald, "Sequential Tests of Statistical Hypotheses", Annals
of Mathematical Statistics 16, 1945) of two binomial rates, restarted at 0 as Page's sum is. The
usual rate is that of the last hours of work; counts that come in clusters weigh less, by as much as
their variance is above that of independent failures (quasi-likelihood: R. W. M. Wedderburn, 1974).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from math import log
from typing import Final

from metalscope.health.anomalies.episode import ACCEPTED_AFTER, Episode, Now
from metalscope.health.anomalies.shift import THRESHOLD

__all__ = ["Failing", "Rate"]

HALF_LIFE: Final = 3600.0
"""Seconds of work after which a failure counts half in the usual rate."""

PRIOR_RATE: Final = 0.002
PRIOR_FAILURES: Final = 0.5
"""Jeffreys' half a failure: before anything is known, 1 in 500 is taken for usual."""

LEARNING: Final = 300.0
"""Seconds of work within which a rate below the option's threshold is learnt and not told of."""

YOUNG: Final = 900.0
"""Seconds of work within which no rate above half the option's threshold is taken for usual."""

LEAST_FAILURES: Final = 5.0
LEAST_EVIDENCE: Final = 14.0
"""A million to one, as a log."""

LONGEST_SUSPICION: Final = 900.0
FEW_CALLS: Final = 30.0
"""A suspicion that has not become an anomaly after ``LONGEST_SUSPICION`` seconds and ``FEW_CALLS``
calls is part of what is usual, or the usual rate would never hold what raised suspicion."""

MANY_FAILURES: Final = 10.0
MANY_TIMES: Final = 10.0
LEAST_SHARE: Final = 0.01
_RECENT_HALF_LIFE: Final = 30.0
_RARE: Final = 0.01
_LISTED: Final = 64


@dataclass(frozen=True, slots=True)
class Failing:
    """A share of failures, 0..1, and what is usual."""

    since: datetime
    share: float
    usual: float
    failures: float
    calls: float


class Rate:
    """The failures of one operation, of one error, or of everything.

    ``culprits`` counts the failures of the present suspicion by what they are due to.
    """

    __slots__ = (
        "_calls", "_failures", "_known", "_of_calls", "_of_failures", "_pending_calls",
        "_pending_failures", "_recent_calls", "_recent_failures", "_since", "_spread",
        "_spread_expected", "_sum", "_threshold", "_usual", "culprits", "episode", "share",
    )  # fmt: skip

    def __init__(self, threshold: float, calls_before: float = 0.0, known: float = 0.0) -> None:
        self.episode = Episode()
        self.culprits: Counter[str] = Counter()
        self.share = 0.0
        self._threshold = threshold
        self._known = known
        self._of_failures, self._of_calls = 0.0, calls_before
        self._failures = self._calls = 0.0
        self._recent_failures = self._recent_calls = 0.0
        self._pending_failures = self._pending_calls = 0.0
        self._spread = self._spread_expected = 0.0
        self._sum = self._since = 0.0
        self._usual = PRIOR_RATE

    @property
    def calls(self) -> float:
        """Calls the usual rate is drawn from, those long ago counted less."""
        return self._of_calls

    @property
    def known(self) -> float:
        """Seconds of work it is drawn from."""
        return self._known

    @property
    def goes_on(self) -> bool:
        """Whether there is an anomaly now."""
        return self.episode.goes_on

    @property
    def is_suspected(self) -> bool:
        """Whether there is one, or something that speaks for one."""
        return self.episode.goes_on or self._sum > 0

    def add(self, failures: float, calls: float, culprit: str) -> None:
        """Take what one tick counted."""
        self._failures += failures
        self._calls += calls
        if failures and (culprit in self.culprits or len(self.culprits) < _LISTED):
            self.culprits[culprit] += int(failures)

    def close(self, now: Now, seconds: float) -> None:
        """End a bin of ``seconds``."""
        failures, calls = self._failures, self._calls
        self._failures = self._calls = 0.0
        fade = 0.5 ** (seconds / _RECENT_HALF_LIFE)
        self._recent_failures = self._recent_failures * fade + failures
        self._recent_calls = self._recent_calls * fade + calls
        if self._recent_calls > 0:
            self.share = self._recent_failures / self._recent_calls
        if calls > 0:
            self._known += seconds
            if self.episode.goes_on:
                self._follow(now, failures, calls)
            else:
                self._gather(now, seconds, failures, calls)
        if self.episode.rest(now):
            self._start_again()

    def found(self) -> Failing | None:
        """The anomaly that goes on now."""
        since = self.episode.since
        if since is None:
            return None
        counted = self._pending_failures, self._pending_calls
        share = max(self.share, self._pending_failures / max(1.0, self._pending_calls))
        return Failing(since, share, self._usual, *counted)

    def _estimate(self) -> float:
        return (self._of_failures + PRIOR_FAILURES) / (self._of_calls + PRIOR_FAILURES / PRIOR_RATE)

    def _rate(self) -> float:
        rate = self._estimate()
        if self._known < LEARNING:
            return max(rate, self._threshold)
        return min(rate, self._threshold / 2) if self._known < YOUNG else rate

    def _gather(self, now: Now, seconds: float, failures: float, calls: float) -> None:
        if not failures and self._sum <= 0:
            self.culprits.clear()
            self._settle(seconds, failures, calls)
            return
        usual = self._rate()
        shifted = min(0.99, 2 * usual + PRIOR_RATE)
        step = failures * log(shifted / usual)
        step += (calls - failures) * log((1 - shifted) / (1 - usual))
        clusters = max(1.0, self._spread / max(self._spread_expected, _RARE))
        if self._sum <= 0:
            self._since = now.elapsed - seconds
            self._pending_failures = self._pending_calls = 0.0
        self._sum = min(3 * THRESHOLD, max(0.0, self._sum + step / clusters))
        if self._sum <= 0:
            self.culprits.clear()
            self._settle(seconds, failures, calls)
            return
        self._pending_failures += failures
        self._pending_calls += calls
        if now.elapsed - self._since > LONGEST_SUSPICION and self._pending_calls >= FEW_CALLS:
            self._sum = 0.0
            self._settle(now.elapsed - self._since, 0.0, 0.0)
        if self._sum < THRESHOLD:
            return
        count, share = self._pending_failures, self._pending_failures / self._pending_calls
        above = share >= usual + max(LEAST_SHARE, min(usual, 0.15))
        many = count >= MANY_FAILURES and share >= MANY_TIMES * usual
        enough = count >= LEAST_FAILURES and (above or many)
        if enough and self._evidence(usual) >= LEAST_EVIDENCE * clusters:
            self._usual = usual
            self.episode.see(now, self._since)

    def _evidence(self, usual: float) -> float:
        """How much more likely the counts are by two rates than by one, as a log.

        The usual rate is itself known from few failures only; the likelihood ratio of two samples
        (S. S. Wilks, Annals of Mathematical Statistics 9, 1938) takes that into account.
        """
        failures, calls = self._pending_failures, self._pending_calls
        if self._known < LEARNING:
            return calls * _divergence(failures / calls, usual)
        before, of = self._of_failures, max(self._of_calls, 1.0)
        common = (failures + before) / (calls + of)
        evidence = calls * _divergence(failures / calls, common)
        return evidence + of * _divergence(min(1.0, before / of), common)

    def _settle(self, seconds: float, failures: float, calls: float) -> None:
        failures += self._pending_failures
        calls += self._pending_calls
        self._pending_failures = self._pending_calls = 0.0
        fade = 0.5 ** (seconds / HALF_LIFE)
        rate = self._estimate()
        self._of_failures = self._of_failures * fade + failures
        self._of_calls = self._of_calls * fade + calls
        if self._known < LEARNING:
            return
        expected = calls * rate
        self._spread = self._spread * fade + (failures - expected) ** 2
        self._spread_expected = self._spread_expected * fade + expected * (1 - rate)

    def _follow(self, now: Now, failures: float, calls: float) -> None:
        self._pending_failures += failures
        self._pending_calls += calls
        high = self._usual + 0.3 * (self._pending_failures / self._pending_calls - self._usual)
        if failures and self.share > high:
            self.episode.see(now)
        if now.elapsed - self.episode.began >= ACCEPTED_AFTER:
            self._accept()
            self.episode.end(now)

    def _accept(self) -> None:
        self._of_failures, self._of_calls = self._pending_failures, self._pending_calls
        self._start_again()

    def _start_again(self) -> None:
        self._sum = 0.0
        self._pending_failures = self._pending_calls = 0.0
        self.culprits.clear()


def _divergence(share: float, rate: float) -> float:
    """Kullback and Leibler's, of two binomial rates, per call."""
    parts = ((share, rate), (1 - share, 1 - rate))
    return sum(p * log(p / q) for p, q in parts if p > 0 and q > 0)
