"""A circuit breaker: after so many failures in a row it refuses calls, and later tries one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from datetime import timedelta
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from metalscope.errors import CircuitOpenError, ConfigurationError, classify
from metalscope.fork import reset_in_child
from metalscope.health import blocks
from metalscope.health.circuit import Circuit, OnChange, OnError
from metalscope.health_report import BreakerStatus
from metalscope.internal import InternalErrors
from metalscope.operation import Component

__all__ = ["DEFAULT_RECOVERY_TIMEOUT", "CircuitBreaker"]

DEFAULT_RECOVERY_TIMEOUT: Final = timedelta(minutes=2)

Function = TypeVar("Function", bound=Callable[..., Any])


class CircuitBreaker:
    """Guards calls: ``with breaker:``, ``async with breaker:`` or ``@breaker`` on a function.

    Closed, it lets every call through. After ``failure_threshold`` failures in a row it is open and
    refuses them with a :class:`~metalscope.errors.CircuitOpenError`. From ``recovery_timeout`` on
    it is half open: one call is let through as a trial, the others are refused meanwhile. Where
    the trial goes well the breaker closes, where it fails it opens again, and where it has not
    ended within ``recovery_timeout`` another one is allowed and the first counts for nothing.

    A call that ends with an exception which does not count, or that is ended by Ctrl-C, a cancelled
    task or a closed generator, is neither a failure nor a success. What a call says that was let
    through before the breaker changed its state counts for nothing.

    One breaker may be used by any number of threads and tasks at once. A block inside a block of
    the same breaker, on the same thread or task or on tasks started there, is a part of the outer
    one: it is never refused, and only the outer block is a call. A generator that holds a block
    over a ``yield`` holds it for whoever runs the generator.

    A forked child begins with a closed breaker and no counts.

    Args:
        name: what it is called in metrics, reports and errors.
        component: whose failures count. Without one, every ``Exception`` does.
        failure_threshold: failures in a row that open it.
        recovery_timeout: how long it is open before a trial, and how long a trial may take.
        counts: says of an ``Exception`` whether it is a failure, in place of the rule, which is:
            with a component, what :func:`~metalscope.errors.classify` reads as an error of it;
            without, everything. A group counts where one of its exceptions does, the refusal of a
            breaker never. What ``counts`` raises is told to ``on_error``; the call then is neither.
        on_change: told the status after each change of state, in order, on a thread that uses the
            breaker.
        on_error: told of what goes wrong inside, as (room, exception); by default it is logged.
        clock: seconds that only grow.

    Raises:
        ConfigurationError: the threshold is below 1, or the timeout is not above zero.
    """

    def __init__(
        self,
        name: str,
        *,
        component: Component | None = None,
        failure_threshold: int = 5,
        recovery_timeout: timedelta = DEFAULT_RECOVERY_TIMEOUT,
        counts: Callable[[Exception], bool] | None = None,
        on_change: OnChange | None = None,
        on_error: OnError | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        if failure_threshold < 1:
            raise ConfigurationError(f"failure_threshold is at least 1, not {failure_threshold!r}")
        if recovery_timeout <= timedelta(0):
            raise ConfigurationError(f"recovery_timeout is above zero, not {recovery_timeout!r}")
        self.name = name
        self.component = component
        self._counts = counts
        self._on_error = on_error if on_error is not None else InternalErrors().report
        self._circuit = Circuit(
            name,
            component,
            threshold=failure_threshold,
            recovery=recovery_timeout,
            on_change=on_change,
            on_error=self._on_error,
            clock=clock,
        )
        self._lost_blocks = 0
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Close, and forget every count; calls that run now count for nothing."""
        self._circuit.start_at_zero()
        self._lost_blocks += 1

    def status(self) -> BreakerStatus:
        """The state and the counts, all of one moment.

        It stays ``open`` until a call asks to be let through after ``retry_at``.
        """
        return self._circuit.status()

    def __enter__(self) -> Self:
        blocks.enter(self, self._lost_blocks, self._circuit.admit)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        block = blocks.leave(self)
        if block is None:
            # Whichever block this is, another thread or task still takes it for open, so no block
            # that is open now may stand for later ones. As a trial it is what is waited for.
            self._lost_blocks += 1
            self._settle(self._circuit.era, exc)
        elif block.era is not None:
            self._settle(block.era, exc)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(exc_type, exc, traceback)

    def __call__(self, function: Function) -> Function:
        """Make each call of a function a call through the breaker.

        Of a coroutine function, the call lasts until what it returns was awaited.

        Raises:
            TypeError: it is a generator function, sync or async: which of its steps can fail, and
                whether one that is left half-way went well, only its author can say.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"a circuit breaker cannot guard the generator function {function!r}; "
                "put `with breaker:` around the steps that can fail"
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def guarded_coroutine(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

            return guarded_coroutine  # type: ignore[return-value]

        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return guarded  # type: ignore[return-value]

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.name!r} {self.status().state.value}>"

    def _settle(self, era: int, error: BaseException | None) -> None:
        if error is None:
            self._circuit.succeeded(era)
        elif isinstance(error, Exception) and self._is_failure(error):
            self._circuit.failed(era, type(error).__name__)
        else:
            self._circuit.said_nothing(era)

    def _is_failure(self, error: Exception) -> bool:
        try:
            if self._counts is not None:
                return bool(self._counts(error))
            return _held_against(self.component, error)
        except Exception as fault:  # noqa: BLE001 - law: the user's own exception passes through
            self._on_error("breaker", fault)
            return False


def _held_against(component: Component | None, error: Exception) -> bool:
    if isinstance(error, ExceptionGroup):
        return any(_held_against(component, one) for one in error.exceptions)
    if isinstance(error, CircuitOpenError):
        return False
    if component is None:
        return True
    reading = classify(error)
    return reading is not None and reading.component is component
