"""The circuit breakers of one telemetry, by name."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Final

from metalscope.errors import ConfigurationError, InvalidNameError
from metalscope.fork import reset_in_child
from metalscope.health.breaker import CircuitBreaker
from metalscope.health.circuit import OnChange, OnError
from metalscope.health_report import BreakerStatus
from metalscope.internal import InternalErrors
from metalscope.operation import Component

if TYPE_CHECKING:
    from metalscope.health_options import HealthMonitorOptions

__all__ = ["MAX_BREAKERS", "MAX_NAME", "Breakers"]

MAX_BREAKERS: Final = 1000
"""Most names; each is a label value of metrics, and kept to the end."""

MAX_NAME: Final = 200
"""Most characters of a name."""

_COMPONENTS: Final = {component.value: component for component in Component}


class Breakers:
    """Makes each breaker when it is first asked for. Safe under threads.

    Args:
        options: ``circuit_breaker_threshold`` and ``circuit_breaker_timeout`` of each.
        on_change: told the status of a breaker after each change of its state.
        on_error: told of what goes wrong inside, as (room, exception); by default it is logged.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        options: HealthMonitorOptions,
        on_change: OnChange | None = None,
        *,
        on_error: OnError | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._options = options
        self._on_change = on_change
        self._on_error = on_error if on_error is not None else InternalErrors().report
        self._clock = clock
        self._by_name: dict[str, CircuitBreaker] = {}
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Make a new lock; each breaker goes to zero by itself, and stays the same object."""
        # Re-entrant, as finalisers may run while a breaker is made.
        self._lock = threading.RLock()

    def get(self, name: str, component: Component | str | None = None) -> CircuitBreaker:
        """The breaker of that name, always the same object.

        Args:
            name: what it is called; the name of a component, such as ``memory``, where one breaker
                for all of that component is enough.
            component: whose failures count. Left out, it is the component of that name, and with
                any other name every exception counts.

        Raises:
            InvalidNameError: the name is empty, no text or longer than 200 characters, or there
                are 1000 others already.
            ConfigurationError: the breaker is there and counts the failures of another component.
            ValueError: there is no such component.
        """
        breaker = self._by_name.get(name)
        if breaker is None:
            breaker = self._made(name, component)
        if component is not None and breaker.component is not Component(component):
            counted = breaker.component.value if breaker.component else "no component in particular"
            raise ConfigurationError(
                f"circuit breaker {name!r} is there and is of {counted}, not of {component}"
            )
        return breaker

    def statuses(self) -> tuple[BreakerStatus, ...]:
        """The status of each breaker that was asked for, by name."""
        with self._lock:
            breakers = sorted(self._by_name.items())
        return tuple(breaker.status() for _, breaker in breakers)

    def _made(self, name: str, component: Component | str | None) -> CircuitBreaker:
        if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME:
            raise InvalidNameError(
                f"the name of a circuit breaker is text of 1 to {MAX_NAME} characters, not {name!r}"
            )
        with self._lock:
            if name in self._by_name:
                return self._by_name[name]
            if len(self._by_name) >= MAX_BREAKERS:
                raise InvalidNameError(
                    f"there are {MAX_BREAKERS} circuit breakers already, so there is none for "
                    f"{name!r}; name them by what they protect, not by request, user or file"
                )
            made = CircuitBreaker(
                str(name),
                component=_component(name, component),
                failure_threshold=self._options.circuit_breaker_threshold,
                recovery_timeout=self._options.circuit_breaker_timeout,
                on_change=self._on_change,
                on_error=self._on_error,
                clock=self._clock,
            )
            return self._by_name.setdefault(made.name, made)


def _component(name: str, component: Component | str | None) -> Component | None:
    own = _COMPONENTS.get(name)
    return own if own is not None or component is None else Component(component)
