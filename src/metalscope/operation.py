"""The words every other room speaks: kinds, outcomes, errors, speed categories.

Nothing here knows about clocks, threads or metrics; the module imports nothing
heavier than :mod:`enum` so that any room may depend on it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

__all__ = [
    "NS_PER_MS",
    "OK",
    "Component",
    "ErrorSeverity",
    "MetalError",
    "OperationKind",
    "PerformanceCategory",
]

NS_PER_MS: Final = 1_000_000
"""Nanoseconds in a millisecond. Durations are integer ns inside, float ms at the edges."""

OK: Final = "ok"
"""The outcome of an operation that did not fail; every other outcome is a :class:`MetalError`."""


class OperationKind(StrEnum):
    """What a piece of device work did."""

    ALLOCATE = "allocate"
    COMPILE = "compile"
    EXECUTE = "execute"
    SYNCHRONIZE = "synchronize"
    TRANSFER = "transfer"


class Component(StrEnum):
    """The part of the system whose health an error speaks of."""

    MEMORY = "memory"
    DEVICE = "device"
    KERNEL = "kernel"
    COMPILER = "compiler"
    SYSTEM = "system"


class ErrorSeverity(StrEnum):
    """How bad one error is on its own, before counting how many there are."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for the mildest, more for each that is worse."""
        return _RANK[self]


_RANK: Final = {severity: rank for rank, severity in enumerate(ErrorSeverity)}


class MetalError(StrEnum):
    """Why an operation failed."""

    DEVICE_UNAVAILABLE = "device_unavailable"
    DEVICE_LOST = "device_lost"
    OUT_OF_MEMORY = "out_of_memory"
    RESOURCE_LIMIT_EXCEEDED = "resource_limit_exceeded"
    COMPILATION_ERROR = "compilation_error"
    INVALID_OPERATION = "invalid_operation"
    INVALID_ARGUMENT = "invalid_argument"
    TIMEOUT = "timeout"
    INTERNAL_ERROR = "internal_error"

    @property
    def component(self) -> Component:
        """The component this error is held against."""
        return _COMPONENT[self]

    @property
    def severity(self) -> ErrorSeverity:
        """The severity of one such error."""
        return _SEVERITY.get(self, ErrorSeverity.LOW)


_COMPONENT: Final[dict[MetalError, Component]] = {
    MetalError.OUT_OF_MEMORY: Component.MEMORY,
    MetalError.RESOURCE_LIMIT_EXCEEDED: Component.MEMORY,
    MetalError.DEVICE_UNAVAILABLE: Component.DEVICE,
    MetalError.DEVICE_LOST: Component.DEVICE,
    MetalError.INVALID_OPERATION: Component.KERNEL,
    MetalError.INVALID_ARGUMENT: Component.KERNEL,
    # A kernel that does not come back in time is the kernel's trouble until the device is lost.
    MetalError.TIMEOUT: Component.KERNEL,
    MetalError.COMPILATION_ERROR: Component.COMPILER,
    MetalError.INTERNAL_ERROR: Component.SYSTEM,
}

_SEVERITY: Final[dict[MetalError, ErrorSeverity]] = {
    MetalError.DEVICE_LOST: ErrorSeverity.CRITICAL,
    MetalError.OUT_OF_MEMORY: ErrorSeverity.HIGH,
    MetalError.DEVICE_UNAVAILABLE: ErrorSeverity.HIGH,
    MetalError.RESOURCE_LIMIT_EXCEEDED: ErrorSeverity.MEDIUM,
    MetalError.COMPILATION_ERROR: ErrorSeverity.MEDIUM,
}


class PerformanceCategory(StrEnum):
    """How fast one operation was: fast < 1 ms ≤ normal < 10 ms ≤ slow ≤ 100 ms < very_slow."""

    FAST = "fast"
    NORMAL = "normal"
    SLOW = "slow"
    VERY_SLOW = "very_slow"

    @classmethod
    def of(cls, duration_ns: int) -> PerformanceCategory:
        """Return the category of a duration given in nanoseconds."""
        if duration_ns < NS_PER_MS:
            return cls.FAST
        if duration_ns < 10 * NS_PER_MS:
            return cls.NORMAL
        if duration_ns <= 100 * NS_PER_MS:
            return cls.SLOW
        return cls.VERY_SLOW
