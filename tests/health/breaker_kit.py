"""A clock that moves when it is told to, and calls that fail."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from metalscope.errors import CircuitOpenError
from metalscope.export_status import BreakerState
from metalscope.health.breaker import CircuitBreaker

CLOSED, HALF_OPEN, OPEN = BreakerState.CLOSED, BreakerState.HALF_OPEN, BreakerState.OPEN
RECOVERY = 120.0


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def pass_by(self, seconds):
        self.now += seconds


class BoomError(Exception):
    pass


def breaker_of(clock, name="peer", **options):
    options.setdefault("recovery_timeout", timedelta(seconds=RECOVERY))
    return CircuitBreaker(name, clock=clock, **options)


def fail(breaker, error=BoomError, times=1):
    for _ in range(times):
        with suppress(error if isinstance(error, type) else type(error)), breaker:
            raise error


def succeed(breaker):
    with breaker:
        pass


def opened(clock, **options):
    """A breaker that has just opened."""
    breaker = breaker_of(clock, failure_threshold=1, **options)
    fail(breaker)
    assert breaker.status().state is OPEN
    return breaker


def due(clock, **options):
    """A breaker that lets a trial through next."""
    breaker = opened(clock, **options)
    clock.pass_by(RECOVERY)
    return breaker


def lets_through(breaker):
    try:
        with breaker:
            return True
    except CircuitOpenError:
        return False


def counts(breaker):
    status = breaker.status()
    return status.calls, status.rejected
