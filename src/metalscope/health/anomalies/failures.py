"""Which failures to tell of: of one operation, of one error across operations, or of everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from metalscope.health.anomalies.episode import Now
from metalscope.health.anomalies.rates import Rate
from metalscope.health.anomalies.signals import ALL_OPERATIONS, Signal, SignalKind
from metalscope.health.anomalies.words import failing
from metalscope.health_report import Anomaly
from metalscope.operation import Component, MetalError

__all__ = ["Failures"]

MOSTLY: Final = 0.6
"""An operation with this share of an error's failures is what the error is due to."""

REVEALED_AFTER: Final = 60.0
"""Seconds after which what is still failing is not explained by what is over."""

WAITS: Final = 60.0
"""Seconds given to what says more precisely where the failures are."""

_NAMED: Final = 3


class Failures:
    """The rates of all operations watched, of each error, and of everything together.

    One trouble is told of once: as the operation it is in; where no operation has most of it, as
    the error; and as everything only where neither is found.

    Args:
        threshold: the share of failures, 0..1, above which failing is never usual at first.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._total = Rate(threshold)
        self._errors: dict[MetalError, Rate] = {}
        self._operations: dict[str, Rate] = {}
        self._blamed: dict[MetalError, Counter[str]] = {}
        self._came_up: set[MetalError] = set()
        self._told: set[str] = set()
        self._hidden: dict[str, float] = {}

    def add(self, signal: Signal) -> None:
        """Take what one tick counted, the operations' failures before those of everything."""
        failures, calls, detail = signal.value, signal.weight, signal.detail
        if signal.kind is SignalKind.FAILURES:
            rate = self._operations.get(signal.subject)
            if rate is None:
                rate = self._operations[signal.subject] = Rate(self._threshold)
            rate.add(failures, calls, detail)
            if failures:
                self._blamed.setdefault(MetalError(detail), Counter())[signal.subject] += int(
                    failures
                )
        elif signal.kind is SignalKind.ERRORS:
            error = MetalError(signal.subject)
            if error not in self._errors:
                before = self._total
                self._errors[error] = Rate(self._threshold, before.calls, before.known)
            self._errors[error].add(failures, calls, detail)
            self._came_up.add(error)
        else:
            self._total.add(failures, calls, detail)
            for error, rate in self._errors.items():
                if error not in self._came_up:
                    rate.add(0.0, calls, "")
            self._came_up.clear()

    def forget(self, subject: str) -> None:
        """An operation is no longer watched."""
        self._operations.pop(subject, None)
        self._told.discard(subject)
        self._hidden.pop(subject, None)
        for blamed in self._blamed.values():
            blamed.pop(subject, None)

    def close(self, now: Now, seconds: float) -> None:
        """End a bin of ``seconds``."""
        self._total.close(now, seconds)
        for rate in self._operations.values():
            rate.close(now, seconds)
        for error, rate in self._errors.items():
            rate.close(now, seconds)
            if not rate.is_suspected:
                self._blamed.pop(error, None)

    def found(self, now: Now) -> Iterator[Anomaly]:
        """What goes on now."""
        spread = {e for e, rate in self._errors.items() if rate.goes_on and not self._culprit(e)}
        told: set[str] = set()
        for subject, rate in self._operations.items():
            if rate.goes_on and self._is_told(now, subject, rate, spread):
                told.add(subject)
                yield from _anomaly(subject, rate, _named(rate.culprits))
        for error, rate in self._errors.items():
            if rate.goes_on and (error.value in self._told or self._is_due(now, error, told)):
                told.add(error.value)
                yield from _anomaly(error.value, rate, (error.value,))
        waited = now.elapsed - self._total.episode.opened >= WAITS
        if self._total.goes_on and waited and not told:
            yield from _anomaly(ALL_OPERATIONS, self._total, _named(self._total.culprits))
        self._told = told

    def _culprit(self, error: MetalError) -> str | None:
        blamed = self._blamed.get(error)
        if not blamed:
            return None
        subject, most = blamed.most_common(1)[0]
        return subject if most >= MOSTLY * blamed.total() else None

    def _is_due(self, now: Now, error: MetalError, told: set[str]) -> bool:
        """Whether an error is to be told of that was not so far."""
        culprit = self._culprit(error)
        if culprit is None or culprit not in self._operations:
            return True
        waited = now.elapsed - self._errors[error].episode.opened >= WAITS
        return culprit not in told and waited

    def _is_told(self, now: Now, subject: str, rate: Rate, spread: set[MetalError]) -> bool:
        if subject in self._told:
            return True
        errors = _named(rate.culprits)
        if errors and MetalError(errors[0]) in spread:
            self._hidden[subject] = now.elapsed
            return False
        hidden = self._hidden.get(subject)
        if hidden is not None and rate.episode.last_seen <= hidden + REVEALED_AFTER:
            return False
        self._hidden.pop(subject, None)
        return True


def _named(culprits: Counter[str]) -> tuple[str, ...]:
    return tuple(name for name, _ in culprits.most_common(_NAMED))


def _anomaly(subject: str, rate: Rate, errors: tuple[str, ...]) -> Iterator[Anomaly]:
    found = rate.found()
    if found is not None:
        component = MetalError(errors[0]).component if errors else Component.SYSTEM
        yield failing(subject, component, found, errors)
