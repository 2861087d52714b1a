"""A forked child begins with closed breakers and no counts."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager, suppress
from datetime import timedelta

import pytest
from breaker_kit import CLOSED, OPEN, BoomError, Clock, breaker_of, counts, fail, opened, succeed

from metalscope.health.breakers import Breakers

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


def in_a_child(work):
    """What ``work`` returns in a forked child, as text."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        signal.alarm(5)
        try:
            os.write(write, str(work()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as said:
        text = said.read()
    os.waitpid(child, 0)
    return text


def test_a_child_of_an_open_breaker_starts_closed_and_at_zero():
    breaker = opened(Clock())

    def work():
        before = breaker.status()
        succeed(breaker)
        return before.state.value, before.calls, before.opened, before.last_error, counts(breaker)

    assert in_a_child(work) == str(("closed", 0, 0, "", (1, 0)))
    assert breaker.status().state is OPEN
    assert counts(breaker) == (1, 0)


def test_a_call_that_began_before_the_fork_counts_in_the_parent_alone():
    breaker = breaker_of(Clock(), failure_threshold=1)

    def work():
        fail(breaker)
        return breaker.status().state.value, counts(breaker)

    with suppress(BoomError), breaker:
        assert in_a_child(work) == str(("open", (1, 0)))
        raise BoomError
    assert breaker.status().state is OPEN


def test_a_child_can_leave_the_block_that_it_was_forked_in():
    breaker = breaker_of(Clock(), failure_threshold=1)

    def work():
        breaker.__exit__(BoomError, BoomError(), None)
        return breaker.status().failures, counts(breaker)

    with breaker:
        assert in_a_child(work) == str((0, (0, 0)))
    assert breaker.status().state is CLOSED


class Held:
    """A place in which one thread stays until the end, and others pass."""

    def __init__(self):
        self.there, self.go_on = threading.Event(), threading.Event()
        self.thread = None

    def pass_through(self):
        if threading.current_thread() is self.thread:
            self.there.set()
            assert self.go_on.wait(20)

    @contextmanager
    def by(self, work):
        self.thread = threading.Thread(target=work)
        self.thread.start()
        try:
            assert self.there.wait(20)
            yield
        finally:
            self.go_on.set()
            self.thread.join()


def test_a_child_is_not_held_up_by_a_thread_that_used_the_breaker():
    held = Held()

    def clock():
        held.pass_through()
        return 0.0

    breaker = opened(clock)
    with held.by(breaker.status):
        assert in_a_child(lambda: (succeed(breaker), counts(breaker))[1]) == str((1, 0))


def test_a_child_is_not_held_up_by_a_thread_that_made_a_breaker():
    held = Held()

    class SlowOptions:
        circuit_breaker_timeout = timedelta(minutes=2)

        @property
        def circuit_breaker_threshold(self):
            held.pass_through()
            return 5

    breakers = Breakers(SlowOptions())
    breakers.get("memory")
    with held.by(lambda: breakers.get("kernel")):
        said = in_a_child(lambda: (breakers.get("device"), len(breakers.statuses()))[1])
        assert said == "2"
