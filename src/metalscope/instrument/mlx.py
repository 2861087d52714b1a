"""MLX: ``mx.eval`` and its kin, compiled functions, custom kernels, reads, files.

What is recorded and what its duration means is described in docs/mlx.md. The module loads MLX
only when it installs its hooks.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from metalscope.instrument._mlx_compiled import Compilation, ObservedKernel
from metalscope.instrument._mlx_completion import Completions, Submission
from metalscope.instrument._mlx_tree import MAX_FOLLOWED, Trees
from metalscope.instrument._patch import Patches
from metalscope.instrument._probe import ByteCount, Probe, hide_frame, observed
from metalscope.sensors.mlx import MlxSensor, device_info, device_label

if TYPE_CHECKING:
    from metalscope.manager import MetalTelemetryManager

__all__ = ["INSTRUMENT", "MlxInstrument"]

_ROOM: Final = "instrument.mlx"

_READS: Final = {
    "item": "item",
    "tolist": "tolist",
    "__array__": "numpy",
    "__dlpack__": "dlpack",
    "__float__": "float",
    "__int__": "int",
    "__index__": "int",
    "__bool__": "bool",
    "__complex__": "complex",
    "__bytes__": "bytes",
    "__repr__": "repr",
    "__format__": "format",
    "__getstate__": "pickle",
}
"""Methods of an array for which MLX must have its value, and the names they are recorded under."""

_SAVES: Final = ("save", "savez", "savez_compressed", "save_safetensors", "save_gguf")


class _Lasting(NamedTuple):
    """What is made once in a process, when MLX is first seen with none of our hooks in it."""

    probe: Probe
    """That of compiled functions: those the program holds come to life again with it."""
    compilation: Compilation
    completions: Completions

    @classmethod
    def of(cls, mx: Any) -> _Lasting:
        probe = Probe(_ROOM, functools.partial(device_label, mx))
        enabled = "MLX_DISABLE_COMPILE" not in os.environ
        return cls(
            probe,
            Compilation(probe, mx.compile, enabled=enabled),
            Completions(mx, mx.eval, mx.async_eval),
        )


class _Installed(NamedTuple):
    """What one installation put in place."""

    telemetry: MetalTelemetryManager
    probe: Probe
    sensor: MlxSensor


class MlxInstrument:
    """Hooks MLX. One for the process: MLX is one module."""

    module: Final = "mlx.core"

    def __init__(self) -> None:
        self._patches = Patches()
        self._lasting: _Lasting | None = None
        self._installed: _Installed | None = None

    def install(self, telemetry: MetalTelemetryManager) -> None:
        """Put the hooks in place; all of them, or none where one fails."""
        import mlx.core as mx  # noqa: PLC0415 - a GPU library

        lasting = self._lasting = self._lasting or _Lasting.of(mx)
        probe = Probe(_ROOM, functools.partial(device_label, mx))
        try:
            self._patch(mx, probe, lasting.completions)
            self._patch_callables(mx, lasting.probe, lasting.compilation)
            telemetry.add_device(device_info(mx))
        except BaseException:
            self._patches.restore()
            raise
        self._installed = _Installed(telemetry, probe, MlxSensor(mx))
        telemetry.add_sensor(self._installed.sensor)
        probe.telemetry = lasting.probe.telemetry = telemetry

    def remove(self) -> None:
        """Take the hooks out again."""
        self._patches.restore()
        installed, self._installed = self._installed, None
        if installed is not None:
            installed.probe.telemetry = None
            installed.telemetry.remove_sensor(installed.sensor)
        if self._lasting is not None:
            self._lasting.probe.telemetry = None

    def settle(self, timeout: float) -> bool:
        """Wait until asynchronous work submitted so far is recorded; false where time ran out."""
        return self._lasting is None or self._lasting.completions.settle(timeout)

    def _patch(self, mx: Any, probe: Probe, completions: Completions) -> None:
        replace = self._patches.replace
        trees = Trees(mx.array)
        nbytes = trees.nbytes

        def call(name: str, kind: str, count: ByteCount | None = None) -> None:
            # Which of these there are differs between versions of MLX.
            if name in vars(mx):
                replace(mx, name, observed(probe, getattr(mx, name), kind, name, count))

        call("eval", "execute", lambda args, _kwargs, _result: nbytes(args))
        call("synchronize", "synchronize")
        for name in _SAVES:
            call(name, "transfer", lambda args, kwargs, _result: nbytes((args[1:], kwargs)))
        call("load", "transfer", lambda _args, _kwargs, result: nbytes(result))
        replace(mx, "async_eval", _async_eval(probe, mx.async_eval, completions, trees))
        for method, name in _READS.items():
            if method in vars(mx.array):
                original = vars(mx.array)[method]
                replace(
                    mx.array,
                    method,
                    observed(probe, original, "synchronize", name, _own_size),
                )

    def _patch_callables(self, mx: Any, probe: Probe, compilation: Compilation) -> None:
        def switch(original: Callable[[], Any], *, enabled: bool) -> Callable[[], Any]:
            @functools.wraps(original)
            def wrapper() -> Any:
                result = original()
                compilation.enabled = enabled
                return result

            return wrapper

        self._patches.replace(mx, "compile", compilation.wrapper())
        self._patches.replace(mx, "enable_compile", switch(mx.enable_compile, enabled=True))
        self._patches.replace(mx, "disable_compile", switch(mx.disable_compile, enabled=False))
        if "metal_kernel" in vars(mx.fast):
            kernel = _metal_kernel(probe, mx.fast.metal_kernel)
            self._patches.replace(mx.fast, "metal_kernel", kernel)


INSTRUMENT: Final = MlxInstrument()
"""The entry of this library in the table of instruments."""


def _own_size(args: tuple[Any, ...], _kwargs: dict[str, Any], _result: Any) -> int:
    return int(args[0].nbytes)


def _async_eval(
    probe: Probe,
    original: Callable[..., Any],
    completions: Completions,
    trees: Trees,
) -> Callable[..., Any]:
    @functools.wraps(original)
    def async_eval(*args: Any, **kwargs: Any) -> Any:
        telemetry = probe.telemetry
        if telemetry is None:
            return original(*args, **kwargs)
        start = perf_counter_ns()
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            telemetry.record(
                "execute",
                "async_eval",
                duration_ns=perf_counter_ns() - start,
                error=error,
                device=probe.device(telemetry),
            )
            hide_frame(error)
            raise
        submission = Submission(
            telemetry,
            "async_eval",
            start,
            probe.guarded(telemetry, 0, trees.nbytes, args),
            probe.device(telemetry),
        )
        nothing: list[Any] = []
        arrays = probe.guarded(telemetry, nothing, trees.arrays, args, MAX_FOLLOWED)
        failure = completions.follow(submission, arrays)
        if failure is not None:
            raise failure.with_traceback(None)
        return result

    return async_eval


def _metal_kernel(probe: Probe, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def metal_kernel(*args: Any, **kwargs: Any) -> Any:
        telemetry = probe.telemetry
        if telemetry is None:
            return original(*args, **kwargs)
        given = args[0] if args else kwargs.get("name")
        name = given if isinstance(given, str) else "metal_kernel"
        start = perf_counter_ns()
        try:
            kernel = original(*args, **kwargs)
        except BaseException as error:
            telemetry.record(
                "compile",
                name,
                duration_ns=perf_counter_ns() - start,
                error=error,
                device=probe.device(telemetry),
            )
            hide_frame(error)
            raise
        # Not a compile: MLX has only noted the source, and compiles it when it is evaluated.
        return ObservedKernel(probe, name, kernel)

    return metal_kernel
