"""When a circuit breaker opens, tries and closes, and what counts for it."""

from __future__ import annotations

import copy
import inspect
import pickle
from contextlib import ExitStack, suppress
from contextvars import Context
from datetime import UTC, datetime, timedelta

import pytest
from breaker_kit import (
    CLOSED,
    HALF_OPEN,
    OPEN,
    RECOVERY,
    BoomError,
    Clock,
    breaker_of,
    counts,
    due,
    fail,
    lets_through,
    opened,
    succeed,
)

from metalscope.errors import (
    CircuitOpenError,
    CompilationError,
    ConfigurationError,
    DeviceLostError,
    InternalOperationError,
    InvalidArgumentError,
    MetalscopeError,
    OperationTimeoutError,
    OutOfMemoryError,
    ResourceLimitExceededError,
)
from metalscope.health.breaker import CircuitBreaker
from metalscope.operation import Component


@pytest.fixture
def clock():
    return Clock()


# -- the way round -------------------------------------------------------------------------------


def test_a_breaker_opens_after_five_failures_in_a_row(clock):
    breaker = breaker_of(clock)
    fail(breaker, times=4)
    assert breaker.status().state is CLOSED
    fail(breaker)
    assert breaker.status().state is OPEN
    assert not lets_through(breaker)


def test_a_success_in_between_starts_the_count_again(clock):
    breaker = breaker_of(clock)
    fail(breaker, times=4)
    succeed(breaker)
    assert breaker.status().failures == 0
    fail(breaker, times=4)
    assert breaker.status().state is CLOSED


def test_an_open_breaker_refuses_until_its_time_is_over(clock):
    breaker = opened(clock)
    clock.pass_by(RECOVERY - 0.001)
    assert not lets_through(breaker)
    clock.pass_by(0.001)
    assert lets_through(breaker)


def test_a_trial_that_goes_well_closes_it(clock):
    breaker = due(clock)
    succeed(breaker)
    status = breaker.status()
    assert (status.state, status.failures, status.retry_at) == (CLOSED, 0, None)
    assert all(lets_through(breaker) for _ in range(3))


def test_a_trial_that_fails_opens_it_for_as_long_again(clock):
    breaker = due(clock, on_change=None)
    fail(breaker)
    assert (breaker.status().state, breaker.status().opened) == (OPEN, 2)
    clock.pass_by(RECOVERY - 0.001)
    assert not lets_through(breaker)
    clock.pass_by(0.001)
    assert lets_through(breaker)


def test_a_closed_breaker_that_was_open_takes_as_many_failures_as_a_new_one(clock):
    breaker = breaker_of(clock, failure_threshold=3)
    fail(breaker, times=3)
    clock.pass_by(RECOVERY)
    succeed(breaker)
    fail(breaker, times=2)
    assert breaker.status().state is CLOSED
    fail(breaker)
    assert breaker.status().state is OPEN


def test_others_are_refused_while_a_trial_runs(clock):
    breaker = due(clock)
    trial = ExitStack()
    trial.enter_context(breaker)

    assert not Context().run(lets_through, breaker)
    assert breaker.status().state is HALF_OPEN
    trial.close()
    assert Context().run(lets_through, breaker)


def test_a_trial_that_never_returns_gives_its_place_away_after_the_timeout(clock):

    breaker = due(clock)
    lost, second = Context(), Context()
    lost.run(breaker.__enter__)
    clock.pass_by(RECOVERY - 0.001)
    assert not Context().run(lets_through, breaker)
    clock.pass_by(0.001)
    second.run(breaker.__enter__)
    assert not Context().run(lets_through, breaker), "two trials at once"
    lost.run(breaker.__exit__, None, None, None)
    assert breaker.status().state is HALF_OPEN, "a trial given up must not decide"
    second.run(breaker.__exit__, None, None, None)
    assert breaker.status().state is CLOSED


def test_a_call_from_before_the_outage_says_nothing_of_after(clock):

    breaker = breaker_of(clock, failure_threshold=1)
    old = [Context() for _ in range(3)]
    for context in old:
        context.run(breaker.__enter__)
    fail(breaker)
    old[0].run(breaker.__exit__, None, None, None)
    assert breaker.status().state is OPEN, "an old success closed it"
    clock.pass_by(RECOVERY)
    with breaker:
        old[1].run(breaker.__exit__, BoomError, BoomError(), None)
        assert breaker.status().state is HALF_OPEN, "an old failure ended the trial"
    old[2].run(breaker.__exit__, BoomError, BoomError(), None)
    assert (breaker.status().state, breaker.status().failures) == (CLOSED, 0)


# -- what counts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_is_neither_failure_nor_success(clock, end):
    breaker = breaker_of(clock, failure_threshold=2)
    fail(breaker)
    fail(breaker, end, times=5)
    assert breaker.status().failures == 1
    fail(breaker)
    assert breaker.status().state is OPEN


@pytest.mark.parametrize("end", [KeyboardInterrupt, InvalidArgumentError("shape")])
def test_a_trial_that_says_nothing_leaves_its_place_to_the_next(clock, end):
    breaker = breaker_of(clock, failure_threshold=1, component=Component.MEMORY)
    fail(breaker, OutOfMemoryError)
    clock.pass_by(RECOVERY)
    fail(breaker, end)
    assert (breaker.status().state, breaker.status().opened) == (HALF_OPEN, 1)
    succeed(breaker)
    assert breaker.status().state is CLOSED


@pytest.mark.parametrize(
    ("component", "error"),
    [
        (Component.MEMORY, OutOfMemoryError("full")),
        (Component.MEMORY, ResourceLimitExceededError("large")),
        (Component.MEMORY, MemoryError()),
        (Component.MEMORY, RuntimeError("[metal::malloc] Unable to allocate 8 bytes")),
        (Component.DEVICE, DeviceLostError("gone")),
        (Component.KERNEL, OperationTimeoutError("long")),
        (Component.KERNEL, InvalidArgumentError("shape")),
        (Component.COMPILER, CompilationError("line 3")),
        (Component.SYSTEM, InternalOperationError("?")),
    ],
)
def test_a_component_is_held_to_its_own_errors_alone(clock, component, error):
    for one in Component:
        breaker = breaker_of(clock, failure_threshold=1, component=one)
        with pytest.raises(type(error)) as caught, breaker:
            raise error
        assert caught.value is error
        assert breaker.status().state is (OPEN if one is component else CLOSED)


def test_another_components_failure_does_not_start_the_count_again(clock):
    breaker = breaker_of(clock, failure_threshold=2, component=Component.MEMORY)
    fail(breaker, OutOfMemoryError)
    fail(breaker, InvalidArgumentError)
    assert breaker.status().failures == 1
    fail(breaker, OutOfMemoryError)
    assert breaker.status().state is OPEN


def test_without_a_component_every_exception_counts(clock):
    breaker = breaker_of(clock, failure_threshold=3)
    for error in (BoomError, LookupError, InvalidArgumentError):
        fail(breaker, error)
    assert breaker.status().state is OPEN
    assert breaker.status().last_error == "InvalidArgumentError"


def test_a_group_counts_where_one_of_its_exceptions_does(clock):
    breaker = breaker_of(clock, failure_threshold=1, component=Component.MEMORY)
    fail(breaker, ExceptionGroup("tasks", [BoomError(), ExceptionGroup("inner", [ValueError()])]))
    assert breaker.status().state is CLOSED
    fail(breaker, ExceptionGroup("tasks", [BoomError(), ExceptionGroup("inner", [MemoryError()])]))
    assert breaker.status().state is OPEN


def test_the_refusal_of_another_breaker_is_no_failure(clock):
    inner, outer = opened(clock, name="inner"), breaker_of(clock, "outer", failure_threshold=1)
    with pytest.raises(CircuitOpenError, match="inner"), outer, inner:
        pytest.fail("it was let through")
    assert outer.status().state is CLOSED


def test_a_predicate_says_what_counts_in_place_of_the_rule(clock):
    breaker = breaker_of(
        clock,
        failure_threshold=1,
        component=Component.MEMORY,
        counts=lambda error: isinstance(error, LookupError),
    )
    fail(breaker, OutOfMemoryError)
    assert breaker.status().state is CLOSED
    fail(breaker, KeyError)
    assert breaker.status().state is OPEN


def test_a_predicate_that_raises_leaves_the_users_exception_alone(clock):
    told = []
    broken = ZeroDivisionError("mine")

    def counting(error):
        raise broken

    breaker = breaker_of(
        clock, counts=counting, on_error=lambda room, error: told.append((room, error))
    )
    with pytest.raises(BoomError), breaker:
        raise BoomError
    assert told == [("breaker", broken)]
    assert breaker.status().failures == 0


def test_an_exception_that_has_no_text_passes_through_as_it_is(clock):
    class MuteError(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    breaker = breaker_of(clock, component=Component.MEMORY, on_error=lambda room, error: None)
    with pytest.raises(MuteError), breaker:
        raise MuteError


def test_the_users_exception_keeps_its_traceback(clock):
    with pytest.raises(BoomError) as caught, breaker_of(clock):
        raise BoomError
    assert [entry.name for entry in caught.traceback] == [inspect.currentframe().f_code.co_name]


# -- what it says --------------------------------------------------------------------------------


def test_a_refusal_says_who_since_when_and_until_when(clock):
    before = datetime.now(UTC)
    breaker = opened(clock, name="memory")
    after = datetime.now(UTC)
    clock.pass_by(20)
    with pytest.raises(CircuitOpenError, match=r"'memory'.*trial.*in 100 s") as caught:
        breaker.__enter__()
    error = caught.value
    assert isinstance(error, MetalscopeError)
    assert error.name == "memory"
    assert before <= error.since <= after
    assert error.retry_after == 100.0
    wait = error.retry_at - datetime.now(UTC)
    assert timedelta(seconds=90) < wait <= timedelta(seconds=100)


def test_a_refusal_after_a_failed_trial_tells_of_the_whole_outage(clock):
    breaker = opened(clock)
    began = breaker.status().since
    clock.pass_by(RECOVERY)
    fail(breaker)
    assert breaker.status().since > began
    with pytest.raises(CircuitOpenError) as caught:
        breaker.__enter__()
    assert caught.value.since == began


def test_a_refused_operation_is_not_recorded_as_a_failure(clock):
    from metalscope.manager import MetalTelemetryManager

    tel = MetalTelemetryManager()
    with suppress(CircuitOpenError), tel.operation("execute", "k"), opened(clock, name="timeout"):
        pytest.fail("it was let through")
    snapshot = tel.get_snapshot()
    assert (snapshot.total_operations, snapshot.total_errors) == (1, 0)


def test_a_refusal_can_be_pickled_and_copied(clock):
    with pytest.raises(CircuitOpenError) as caught:
        opened(clock).__enter__()
    for again in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
        assert str(again) == str(caught.value)
        assert again.retry_after == caught.value.retry_after


def test_the_status_tells_all_counts(clock):
    breaker = breaker_of(clock, "kernel", component=Component.KERNEL, failure_threshold=2)
    succeed(breaker)
    fail(breaker, InvalidArgumentError, times=2)
    lets_through(breaker)
    lets_through(breaker)
    status = breaker.status()
    assert (status.name, status.component, status.state) == ("kernel", Component.KERNEL, OPEN)
    assert (status.calls, status.rejected, status.opened, status.failures) == (3, 2, 1, 2)
    assert status.last_error == "InvalidArgumentError"
    left = status.retry_at - datetime.now(UTC)
    assert timedelta(seconds=RECOVERY - 10) < left <= timedelta(seconds=RECOVERY)


def test_each_change_is_told_once_with_the_status_after_it(clock):
    told = []
    breaker = due(clock, on_change=told.append)
    fail(breaker)
    clock.pass_by(RECOVERY)
    lets_through(breaker)
    assert [one.state for one in told] == [OPEN, HALF_OPEN, OPEN, HALF_OPEN, CLOSED]
    assert [one.opened for one in told] == [1, 1, 2, 2, 2]
    assert all(one.name == "peer" for one in told)


def test_who_is_told_may_use_the_breaker(clock):
    seen = []

    def on_change(status):
        seen.append((status.state, breaker.status().state, lets_through(breaker)))

    breaker = breaker_of(clock, failure_threshold=1, on_change=on_change)
    fail(breaker)
    assert seen == [(OPEN, OPEN, False)]


def test_a_change_made_by_who_is_told_is_told_after_the_present_one(clock):
    told = []

    def on_change(status):
        told.append(f"{status.state} begins")
        if status.state is OPEN:
            clock.pass_by(RECOVERY)
            succeed(breaker)
        told.append(f"{status.state} ends")

    breaker = breaker_of(clock, failure_threshold=1, on_change=on_change)
    fail(breaker)
    states = ("open", "half_open", "closed")
    assert told == [f"{state} {part}" for state in states for part in ("begins", "ends")]


def test_one_who_is_told_and_raises_does_no_harm(clock):
    wrong = []
    told = []

    def on_change(status):
        told.append(status.state)
        raise BoomError

    breaker = due(clock, on_change=on_change, on_error=lambda *report: wrong.append(report[0]))
    succeed(breaker)
    assert told == [OPEN, HALF_OPEN, CLOSED]
    assert wrong == ["breaker"] * 3


def test_where_nobody_takes_errors_they_are_logged(clock, caplog):
    fail(breaker_of(clock, counts=lambda error: 1 / 0))
    assert "ZeroDivisionError" in caplog.text


def test_a_very_long_timeout_still_has_a_moment(clock):
    breaker = opened(clock, recovery_timeout=timedelta.max)
    assert breaker.status().retry_at > datetime.now(UTC) + timedelta(days=30_000)
    assert not lets_through(breaker)


@pytest.mark.parametrize("options", [{"failure_threshold": 0}, {"recovery_timeout": timedelta(0)}])
def test_a_breaker_that_could_not_work_is_refused(options):
    with pytest.raises(ConfigurationError):
        CircuitBreaker("x", **options)


# -- on functions --------------------------------------------------------------------------------


def test_a_guarded_function_keeps_what_it_is_and_what_it_returns(clock):
    breaker = breaker_of(clock)

    def scale(values: list[float], *, by: float = 2.0) -> list[float]:
        """Scale them."""
        return [value * by for value in values]

    guarded = breaker(scale)
    assert inspect.signature(guarded) == inspect.signature(scale)
    assert (guarded.__name__, guarded.__doc__) == ("scale", "Scale them.")
    assert guarded([1.0], by=3.0) == [3.0]
    assert counts(breaker) == (1, 0)


def test_a_guarded_function_is_refused_and_not_run(clock):
    breaker = breaker_of(clock, failure_threshold=2)
    ran = []

    @breaker
    def work():
        ran.append(1)
        raise BoomError

    for _ in range(2):
        with pytest.raises(BoomError):
            work()
    with pytest.raises(CircuitOpenError):
        work()
    assert ran == [1, 1]


def test_a_guarded_method_gets_its_object(clock):
    breaker = breaker_of(clock)

    class Model:
        @breaker
        def itself(self):
            return self

    model = Model()
    assert model.itself() is model


def test_a_generator_function_is_refused(clock):
    breaker = breaker_of(clock)

    def steps():
        yield 1

    async def async_steps():
        yield 1

    for function in (steps, async_steps):
        with pytest.raises(TypeError, match="generator"):
            breaker(function)
