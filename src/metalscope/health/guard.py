"""Which circuit breakers a device call goes through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from metalscope.health.breaker import CircuitBreaker
from metalscope.operation import Component, OperationKind

__all__ = ["COMPONENT_OF", "Guard"]

COMPONENT_OF: Final = {
    OperationKind.ALLOCATE: Component.MEMORY,
    OperationKind.COMPILE: Component.COMPILER,
    OperationKind.EXECUTE: Component.KERNEL,
    OperationKind.SYNCHRONIZE: Component.KERNEL,
    OperationKind.TRANSFER: Component.KERNEL,
}
"""The component whose breaker an operation goes through, beside that of the device."""


class Guard:
    """Knows the breaker of the device, and that of each kind of operation's component.

    Args:
        breaker: gives a breaker by name.
    """

    def __init__(self, breaker: Callable[[str], CircuitBreaker]) -> None:
        self._device = breaker(Component.DEVICE.value)
        self._others = {kind: breaker(one.value) for kind, one in COMPONENT_OF.items()}

    def breakers(self, kind: OperationKind) -> tuple[CircuitBreaker, CircuitBreaker]:
        """What an operation goes through, the outer one first."""
        return self._device, self._others[kind]
