"""What all wrappers of one library share: the telemetry they record to, or none."""

from __future__ import annotations

import functools
from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from metalscope.manager import MetalTelemetryManager

__all__ = ["ByteCount", "Probe", "hide_frame", "observed"]

Value = TypeVar("Value")

ByteCount = Callable[[tuple[Any, ...], dict[str, Any], Any], int]
"""Says how many bytes a call moved, from its arguments, keyword arguments and result."""


class Probe:
    """Where wrappers record.

    Wrappers outlive the instrumentation where a program keeps a reference to one. With
    ``telemetry`` at ``None`` they hand every call through.

    Args:
        room: the name under which our own failures are counted.
        device: returns the label of the device in use.
    """

    __slots__ = ("_device", "_room", "telemetry")

    def __init__(self, room: str, device: Callable[[], str]) -> None:
        self._room = room
        self._device = device
        self.telemetry: MetalTelemetryManager | None = None

    def device(self, telemetry: MetalTelemetryManager) -> str:
        """The label of the device in use, empty where the library fails to say."""
        return self.guarded(telemetry, "", self._device)

    def guarded(
        self,
        telemetry: MetalTelemetryManager,
        otherwise: Value,
        work: Callable[..., Value],
        *args: Any,
    ) -> Value:
        """``work(*args)``; where that fails it is counted, and ``otherwise`` returned."""
        try:
            return work(*args)
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            telemetry.internal_error(self._room, error)
            return otherwise


def hide_frame(error: BaseException) -> None:
    """Take the calling frame out of the traceback; call it where ``error`` was caught.

    A bare ``raise`` after it does not put the frame back, so the program sees the traceback that
    it would see without us.
    """
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next


def observed(
    probe: Probe,
    original: Callable[..., Any],
    kind: str,
    name: str,
    nbytes: ByteCount | None = None,
) -> Callable[..., Any]:
    """Wrap a function so that each call is one operation, ended when the function returns."""

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        telemetry = probe.telemetry
        if telemetry is None:
            return original(*args, **kwargs)
        start = perf_counter_ns()
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            telemetry.record(
                kind,
                name,
                duration_ns=perf_counter_ns() - start,
                error=error,
                device=probe.device(telemetry),
            )
            hide_frame(error)
            raise
        duration_ns = perf_counter_ns() - start
        telemetry.record(
            kind,
            name,
            duration_ns=duration_ns,
            nbytes=probe.guarded(telemetry, 0, nbytes, args, kwargs, result) if nbytes else 0,
            device=probe.device(telemetry),
        )
        return result

    return wrapper
