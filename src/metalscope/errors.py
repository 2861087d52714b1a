"""Every exception metalscope raises, and how a foreign exception is read as a MetalError."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Final

from metalscope.moments import rfc3339
from metalscope.operation import MetalError

__all__ = [
    "CircuitOpenError",
    "CompilationError",
    "ConfigurationError",
    "DeviceLostError",
    "DeviceUnavailableError",
    "InternalOperationError",
    "InvalidArgumentError",
    "InvalidNameError",
    "InvalidOperationError",
    "MetalOperationError",
    "MetalscopeError",
    "MetalscopeWarning",
    "MissingExtraError",
    "OperationTimeoutError",
    "OutOfMemoryError",
    "ResourceLimitExceededError",
    "classify",
]


class MetalscopeError(Exception):
    """The root of all that metalscope raises itself."""


class MetalscopeWarning(UserWarning):
    """Something was asked for that will not happen; the program goes on without it."""


class ConfigurationError(MetalscopeError, ValueError):
    """An option is unknown, of the wrong type or out of range; the text says where it came from."""


class InvalidNameError(MetalscopeError, ValueError):
    """The name of a custom metric, label or event breaks the naming rules."""


class MissingExtraError(MetalscopeError, ImportError):
    """An optional dependency is not installed; the text says which extra brings it."""

    def __init__(self, what: str, extra: str, *, cause: str = "") -> None:
        hint = f"{what} needs an extra that is not installed: pip install 'metalscope[{extra}]'"
        super().__init__(f"{hint} ({cause})" if cause else hint)
        self.extra = extra


class CircuitOpenError(MetalscopeError):
    """A circuit breaker did not let a call through, so nothing was done.

    Attributes:
        name: the breaker's.
        since: since when it has not let calls through.
        retry_at: when it allows the next trial; where one is running, when it gives that one up.
        retry_after: seconds until then.
    """

    def __init__(self, name: str, since: datetime, retry_at: datetime, retry_after: float) -> None:
        # All of them, so that it can be copied and pickled.
        super().__init__(name, since, retry_at, retry_after)
        self.name = name
        self.since = since
        self.retry_at = retry_at
        self.retry_after = retry_after

    def __str__(self) -> str:
        return (
            f"circuit breaker {self.name!r} has refused calls since {rfc3339(self.since)}; the "
            f"next trial is at {rfc3339(self.retry_at)}, in {self.retry_after:.3g} s"
        )


class MetalOperationError(MetalscopeError, RuntimeError):
    """A device operation failed. ``metal_error`` is the word it is recorded under."""

    metal_error: ClassVar[MetalError] = MetalError.INTERNAL_ERROR


class DeviceUnavailableError(MetalOperationError):
    """There is no device of the kind asked for, or it cannot be opened."""

    metal_error = MetalError.DEVICE_UNAVAILABLE


class DeviceLostError(MetalOperationError):
    """The device was there and is gone: removed, reset or revoked."""

    metal_error = MetalError.DEVICE_LOST


class OutOfMemoryError(MetalOperationError, MemoryError):
    """The device could not give the memory asked for."""

    metal_error = MetalError.OUT_OF_MEMORY


class ResourceLimitExceededError(MetalOperationError):
    """A request passes a fixed limit of the device, such as its largest buffer."""

    metal_error = MetalError.RESOURCE_LIMIT_EXCEEDED


class CompilationError(MetalOperationError):
    """The kernel's source does not compile; the text is the compiler's own."""

    metal_error = MetalError.COMPILATION_ERROR


class InvalidOperationError(MetalOperationError):
    """The device refused the operation in its present state."""

    metal_error = MetalError.INVALID_OPERATION


class InvalidArgumentError(MetalOperationError, ValueError):
    """An argument of the operation has the wrong type, shape, size or value."""

    metal_error = MetalError.INVALID_ARGUMENT


class OperationTimeoutError(MetalOperationError, TimeoutError):
    """The operation did not finish in the time given to it."""

    metal_error = MetalError.TIMEOUT


class InternalOperationError(MetalOperationError):
    """The driver or device failed in a way that has no better word."""

    metal_error = MetalError.INTERNAL_ERROR


# MLX, torch and wgpu raise plain RuntimeError or ValueError; the reason is in the text only.
# First match wins, so the more telling phrase comes first.
_PHRASES: Final[tuple[tuple[str, MetalError], ...]] = (
    ("device lost", MetalError.DEVICE_LOST),
    ("device is lost", MetalError.DEVICE_LOST),
    ("device removed", MetalError.DEVICE_LOST),
    ("out of memory", MetalError.OUT_OF_MEMORY),
    ("insufficient memory", MetalError.OUT_OF_MEMORY),
    ("not enough memory", MetalError.OUT_OF_MEMORY),
    ("outofmemory", MetalError.OUT_OF_MEMORY),
    ("unable to allocate", MetalError.OUT_OF_MEMORY),
    ("failed to allocate", MetalError.OUT_OF_MEMORY),
    ("can't allocate memory", MetalError.OUT_OF_MEMORY),
    ("maximum allowed buffer size", MetalError.RESOURCE_LIMIT_EXCEEDED),
    ("invalid buffer size", MetalError.RESOURCE_LIMIT_EXCEEDED),
    ("resource limit", MetalError.RESOURCE_LIMIT_EXCEEDED),
    ("no metal back-end", MetalError.DEVICE_UNAVAILABLE),
    ("no metal device", MetalError.DEVICE_UNAVAILABLE),
    ("mps is not available", MetalError.DEVICE_UNAVAILABLE),
    ("without mps backend", MetalError.DEVICE_UNAVAILABLE),
    ("not linked with support for mps", MetalError.DEVICE_UNAVAILABLE),
    ("torch not compiled with", MetalError.DEVICE_UNAVAILABLE),
    ("unable to build metal library", MetalError.COMPILATION_ERROR),
    ("failed to compile", MetalError.COMPILATION_ERROR),
    ("compilation failed", MetalError.COMPILATION_ERROR),
    ("failed to create metal library", MetalError.COMPILATION_ERROR),
    ("mps does not support", MetalError.INVALID_OPERATION),
    ("not supported on mps", MetalError.INVALID_OPERATION),
    ("not supported for mps", MetalError.INVALID_OPERATION),
    ("not implemented for the mps device", MetalError.INVALID_OPERATION),
    ("shapes cannot be multiplied", MetalError.INVALID_ARGUMENT),
    ("inconsistent tensor size", MetalError.INVALID_ARGUMENT),
    ("expected all tensors to be on the same device", MetalError.INVALID_ARGUMENT),
    ("cannot be converted to scalar", MetalError.INVALID_ARGUMENT),
    ("must match the size of tensor", MetalError.INVALID_ARGUMENT),
    ("storage has not been allocated on mps", MetalError.INVALID_ARGUMENT),
    ("timed out", MetalError.TIMEOUT),
    ("timeout", MetalError.TIMEOUT),
)


_Table = tuple[tuple[type[Exception], MetalError], ...]
_UNKNOWN: Final = MetalError.INTERNAL_ERROR
# Types that say enough, and types that count only where the text says nothing.
_TELLING: Final[_Table] = (
    (MemoryError, MetalError.OUT_OF_MEMORY),
    (TimeoutError, MetalError.TIMEOUT),
)
# Types of libraries that may not be imported for this, by the names in their classes.
_BY_NAME: Final = {
    "torch.OutOfMemoryError": MetalError.OUT_OF_MEMORY,
    "torch._dynamo.exc.TorchDynamoException": MetalError.COMPILATION_ERROR,
    "torch._inductor.exc.InductorError": MetalError.COMPILATION_ERROR,
}
_VAGUE: Final[_Table] = (
    # Of a kernel's source: torch.mps.compile_shader raises it.
    (SyntaxError, MetalError.COMPILATION_ERROR),
    (ValueError, MetalError.INVALID_ARGUMENT),
    (TypeError, MetalError.INVALID_ARGUMENT),
    (LookupError, MetalError.INVALID_ARGUMENT),
    (NotImplementedError, MetalError.INVALID_OPERATION),
)


def classify(error: BaseException) -> MetalError | None:
    """Read any exception as a :class:`MetalError`.

    Returns ``None`` for what ends a block without saying anything of the device, that is for
    every ``BaseException`` that is no ``Exception``: Ctrl-C, ``sys.exit``, a closed generator, a
    cancelled task; and for the refusal of a circuit breaker. Such an operation is counted, and not
    as a failure.
    Exceptions of metalscope name their own error; foreign ones are read by type, some by its name
    alone, then by the phrases MLX, PyTorch and wgpu put in their texts. What fits nothing is
    ``internal_error``.
    """
    if isinstance(error, MetalOperationError):
        return error.metal_error
    if isinstance(error, CircuitOpenError) or not isinstance(error, Exception):
        return None
    return (
        _by_type(error, _TELLING)
        or _by_name(error)
        or _by_text(error)
        or _by_type(error, _VAGUE, _UNKNOWN)
    )


def _by_type(
    error: Exception, table: _Table, default: MetalError | None = None
) -> MetalError | None:
    return next((meaning for kind, meaning in table if isinstance(error, kind)), default)


def _by_name(error: Exception) -> MetalError | None:
    names = (f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__)
    return next((_BY_NAME[name] for name in names if name in _BY_NAME), None)


def _by_text(error: Exception) -> MetalError | None:
    text = str(error)[:2000].lower()
    return next((meaning for phrase, meaning in _PHRASES if phrase in text), None)
