"""Whatever is done in whatever order: a breaker does what a few plain rules say."""

from __future__ import annotations

from contextvars import Context
from datetime import timedelta

import pytest
from breaker_kit import CLOSED, HALF_OPEN, OPEN, BoomError, Clock
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from metalscope.errors import CircuitOpenError, InvalidArgumentError, OutOfMemoryError
from metalscope.health.breaker import CircuitBreaker
from metalscope.operation import Component

THRESHOLD = 3
RECOVERY = 10

FAILURES = (OutOfMemoryError, MemoryError)
NEITHER = (InvalidArgumentError, KeyboardInterrupt, BoomError)


class Breaker(RuleBasedStateMachine):
    """The rules: who is heard is kept as a set, emptied whenever the breaker changes."""

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.told = []
        self.breaker = CircuitBreaker(
            "memory",
            component=Component.MEMORY,
            failure_threshold=THRESHOLD,
            recovery_timeout=timedelta(seconds=RECOVERY),
            clock=self.clock,
            on_change=lambda status: self.told.append(status.state),
        )
        self.state = CLOSED
        self.row = 0
        self.next_trial = None
        self.heard = set()
        self.running = {}
        self.calls = self.rejected = 0
        self.history = []

    def becomes(self, state):
        self.state = state
        self.history.append(state)
        self.heard.clear()
        if state is OPEN:
            self.next_trial = self.clock.now + RECOVERY

    @rule(seconds=st.integers(0, 2 * RECOVERY))
    def time_passes(self, seconds):
        self.clock.pass_by(seconds)

    @rule()
    def begin(self):
        task = Context()
        if self.state is not CLOSED and self.clock.now < self.next_trial:
            self.rejected += 1
            with pytest.raises(CircuitOpenError) as refused:
                task.run(self.breaker.__enter__)
            assert refused.value.retry_after == self.next_trial - self.clock.now
            return
        task.run(self.breaker.__enter__)
        self.calls += 1
        if self.state is OPEN:
            self.becomes(HALF_OPEN)
        if self.state is HALF_OPEN:
            self.heard.clear()
            self.next_trial = self.clock.now + RECOVERY
        self.heard.add(self.calls)
        self.running[self.calls] = task

    def end(self, data, error=None):
        number = data.draw(st.sampled_from(sorted(self.running)))
        task = self.running.pop(number)
        task.run(self.breaker.__exit__, error and type(error), error, None)
        is_heard = number in self.heard
        self.heard.discard(number)
        return is_heard

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def end_well(self, data):
        if self.end(data):
            self.row = 0
            if self.state is HALF_OPEN:
                self.becomes(CLOSED)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), kind=st.sampled_from(FAILURES))
    def end_badly(self, data, kind):
        if self.end(data, kind("no memory")):
            self.row += 1
            if self.state is HALF_OPEN or self.row >= THRESHOLD:
                self.becomes(OPEN)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), kind=st.sampled_from(NEITHER))
    def end_saying_nothing(self, data, kind):
        if self.end(data, kind("something else")) and self.state is HALF_OPEN:
            self.next_trial = self.clock.now

    @precondition(lambda self: self.running)
    @rule(data=st.data(), error=st.sampled_from([None, OutOfMemoryError("inside")]))
    def a_part_of_a_call_is_let_through_and_says_nothing(self, data, error):
        task = self.running[data.draw(st.sampled_from(sorted(self.running)))]
        task.run(self.breaker.__enter__)
        task.run(self.breaker.__exit__, error and type(error), error, None)

    @invariant()
    def says_what_it_is(self):
        status = self.breaker.status()
        assert status.state is self.state
        assert status.failures == self.row
        assert (status.calls, status.rejected) == (self.calls, self.rejected)
        assert status.opened == self.history.count(OPEN)
        assert self.told == self.history
        assert (status.retry_at is None) == (self.state is CLOSED)


Breaker.TestCase.settings = settings(max_examples=100, stateful_step_count=40)
TestBreakerAgainstItsRules = Breaker.TestCase
