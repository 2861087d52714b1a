"""Outermost calls into PyTorch: a model's forward, a backward, an optimizer's step."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

from metalscope.instrument._probe import Probe, hide_frame
from metalscope.instrument._torch_device_times import DeviceTimes
from metalscope.instrument._torch_state import TorchState

if TYPE_CHECKING:
    from metalscope.manager import MetalTelemetryManager

__all__ = ["Calls", "CompileTime", "Level"]

Describe = Callable[[tuple[Any, ...], dict[str, Any]], tuple[str, Any]]
"""From a call's arguments: under which name it is recorded, and what has its tensors."""


_Described = tuple[str, str, AbstractContextManager[Any] | None]
"""Name, device, and the context in which the operations within are recorded, or none."""

_UNKNOWN: Final[_Described] = ("unknown", "", None)
"""What is recorded of a call that could not be described, because of a failure of ours."""


class Level(threading.local):
    """The call of one sort that this thread is inside of; what is called in there is part of it."""

    inside = False
    name = ""
    """The name of the latest such call."""


class CompileTime(threading.local):
    """How many nanoseconds of this thread have gone into compilation so far."""

    ns = 0


class Calls:
    """Makes wrappers whose outermost calls are one execute each.

    Args:
        torch: the module ``torch``.
        probe: where to record.
        state: answers whether the call is real work.
        device_times: times some of the calls on the device.
        detail: gives a context in which the operations within a call are recorded, or ``None``.
    """

    def __init__(
        self,
        torch: Any,
        probe: Probe,
        state: TorchState,
        device_times: DeviceTimes,
        detail: Callable[[str], AbstractContextManager[Any] | None],
    ) -> None:
        self.compile_time = CompileTime()
        self._probe = probe
        self._state = state
        self._device_times = device_times
        self._detail = detail
        self._is_dynamo_compiling: Callable[[], bool] = torch.compiler.is_dynamo_compiling

    def outermost(
        self, original: Callable[..., Any], describe: Describe, level: Level
    ) -> Callable[..., Any]:
        """Wrap a function so that calls outside of others of its ``level`` are recorded.

        Calls from inside the backward engine, which may run parts of the model once more, are part
        of the backward.
        """
        probe, state = self._probe, self._state
        is_dynamo_compiling, run = self._is_dynamo_compiling, self._run
        sort = (describe, level)

        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            # Dynamo folds this to a constant, and traces the original as if we were not here.
            if is_dynamo_compiling():
                return original(*args, **kwargs)
            telemetry = probe.telemetry
            try:
                if telemetry is None or level.inside or state.is_tracing() or state.in_backward():
                    return original(*args, **kwargs)
                level.inside = True
                try:
                    return run(telemetry, original, sort, args, kwargs)
                finally:
                    level.inside = False
            except BaseException as error:
                hide_frame(error)
                raise

        return wrapper

    def _run(
        self,
        telemetry: MetalTelemetryManager,
        original: Callable[..., Any],
        sort: tuple[Describe, Level],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        describe, level = sort
        compile_time = self.compile_time
        name, device, detail = self._probe.guarded(
            telemetry, _UNKNOWN, self._describe, describe, args, kwargs
        )
        level.name = name
        timed = None
        if device.startswith("mps"):
            timed = self._device_times.begin(telemetry, name, device)
        compiled_before = compile_time.ns
        start = perf_counter_ns()
        try:
            if detail is None:
                result = original(*args, **kwargs)
            else:
                with detail:
                    result = original(*args, **kwargs)
        except BaseException as error:
            telemetry.record(
                "execute",
                name,
                duration_ns=perf_counter_ns() - start - (compile_time.ns - compiled_before),
                error=error,
                device=device,
            )
            hide_frame(error)
            raise
        # Compilation is an operation of its own.
        duration_ns = perf_counter_ns() - start - (compile_time.ns - compiled_before)
        if timed is None:
            telemetry.record("execute", name, duration_ns=duration_ns, device=device)
        else:
            self._device_times.end(timed, duration_ns)
        return result

    def _describe(
        self, describe: Describe, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> _Described:
        name, tensors = describe(args, kwargs)
        return name, self._state.device_of(tensors), self._detail(name)
