"""Metal kernels that the program compiles itself, with ``torch.mps.compile_shader``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from time import perf_counter_ns
from typing import Any

from metalscope.instrument._probe import Probe, hide_frame
from metalscope.instrument._torch_device_times import DeviceTimes
from metalscope.instrument._torch_state import TorchState

__all__ = ["Kernels"]


class Kernels:
    """Observes libraries of kernels: each that is made a compile, each launch an execute.

    Args:
        torch: the module ``torch``.
        probe: where to record.
        state: answers on which device a launch runs.
        device_times: times some of the launches on the device.
    """

    def __init__(
        self, torch: Any, probe: Probe, state: TorchState, device_times: DeviceTimes
    ) -> None:
        self.probe = probe
        self.state = state
        self.device_times = device_times
        self.is_dynamo_compiling: Callable[[], bool] = torch.compiler.is_dynamo_compiling

    def observed(self, original: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Wrap ``compile_shader`` or ``load_metallib``."""
        probe = self.probe

        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            telemetry = probe.telemetry
            if telemetry is None:
                return original(*args, **kwargs)
            start = perf_counter_ns()
            try:
                library = original(*args, **kwargs)
            except BaseException as error:
                duration_ns = perf_counter_ns() - start
                telemetry.record(
                    "compile", name, duration_ns=duration_ns, error=error, device="mps:0"
                )
                hide_frame(error)
                raise
            duration_ns = perf_counter_ns() - start
            telemetry.record("compile", name, duration_ns=duration_ns, device="mps:0")
            return _Library(self, library)

        return wrapper


class _Library:
    """Stands for PyTorch's library of kernels, which gives its kernels as attributes."""

    __slots__ = ("__wrapped__", "_kernels")

    def __init__(self, kernels: Kernels, library: Any) -> None:
        self.__wrapped__ = library
        self._kernels = kernels

    def __getattr__(self, name: str) -> Any:
        try:
            found = getattr(self.__wrapped__, name)
        except BaseException as error:
            hide_frame(error)
            raise
        return _Kernel(self._kernels, name, found) if callable(found) else found

    def __dir__(self) -> Iterable[str]:
        return dir(self.__wrapped__)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)


class _Kernel:
    """Stands for one kernel; each call is one execute under its name."""

    __slots__ = ("__wrapped__", "_kernels", "_name")

    def __init__(self, kernels: Kernels, name: str, kernel: Any) -> None:
        self.__wrapped__ = kernel
        self._kernels = kernels
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        kernels, name = self._kernels, self._name
        if kernels.is_dynamo_compiling():
            return self.__wrapped__(*args, **kwargs)
        telemetry = kernels.probe.telemetry
        if telemetry is None:
            return self.__wrapped__(*args, **kwargs)
        device = kernels.probe.guarded(telemetry, "", kernels.state.device_of, args)
        timed = kernels.device_times.begin(telemetry, name, device)
        start = perf_counter_ns()
        try:
            result = self.__wrapped__(*args, **kwargs)
        except BaseException as error:
            duration_ns = perf_counter_ns() - start
            telemetry.record("execute", name, duration_ns=duration_ns, error=error, device=device)
            hide_frame(error)
            raise
        duration_ns = perf_counter_ns() - start
        if timed is None:
            telemetry.record("execute", name, duration_ns=duration_ns, device=device)
        else:
            kernels.device_times.end(timed, duration_ns)
        return result
