"""``torch.compile``: each compilation, and each call of what was compiled."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, Final

from metalscope.instrument._patch import Patches
from metalscope.instrument._probe import Probe, hide_frame
from metalscope.instrument._torch_calls import Calls, Level
from metalscope.operation import MetalError

__all__ = ["Compilations"]

_DYNAMO: Final = "torch._dynamo.utils"
_HOOK: Final = "add_compilation_metrics_to_chromium"
"""The one function that Dynamo hands each compilation's metrics to by its name, at the end of it.

Its caller, ``record_compilation_metrics``, is remembered by each thread, so that wrapping it would
come too late for threads that have compiled before.
"""

_NAMELESS: Final = frozenset({"forward", "inner"})
"""What the compiled function of every module is called, by the module or by Dynamo."""


class Compilations:
    """Observes compilers at work.

    Dynamo measures each compilation; the function it hands the figures to is wrapped as soon as
    Dynamo is there. It is imported at the first ``torch.compile``.

    Args:
        probe: where to record.
        calls: what wraps the compiled functions.
        level: that of the models' forwards, which compiled functions share.
        patches: where the wrapping is noted.
    """

    def __init__(self, probe: Probe, calls: Calls, level: Level, patches: Patches) -> None:
        self._probe = probe
        self._calls = calls
        self._level = level
        self._patches = patches
        self._watched: object = None

    def compile(self, original: Callable[..., Any], module: type[Any]) -> Callable[..., Any]:
        """What takes the place of ``torch.compile``; ``module`` is ``torch.nn.Module``."""

        @functools.wraps(original)
        def compile(*args: Any, **kwargs: Any) -> Any:  # noqa: A001 - its name in torch
            try:
                compiled = original(*args, **kwargs)
            except BaseException as error:
                hide_frame(error)
                raise
            if self._probe.telemetry is None:
                return compiled
            self.watch()
            model = args[0] if args else kwargs.get("model")
            # Without a model it is a decorator, which comes back here with one. A module is
            # recorded as modules are, and compile(disable=True) gives back what it was given.
            if model is None or compiled is model or isinstance(model, (module, type)):
                return compiled
            name = _name_of(model)
            return self._calls.outermost(
                compiled, lambda args, kwargs: (name, (args, kwargs)), self._level
            )

        return compile

    def watch(self) -> None:
        """Record compilations from now on, if Dynamo is there."""
        dynamo = sys.modules.get(_DYNAMO)
        original = getattr(dynamo, _HOOK, None)
        if original is None or original is self._watched:
            return
        wrapper = self._recording(original)
        self._patches.replace(dynamo, _HOOK, wrapper)
        self._watched = wrapper

    def _recording(self, original: Callable[..., Any]) -> Callable[..., Any]:
        probe, level, compile_time = self._probe, self._level, self._calls.compile_time

        def note(metrics: Any) -> None:
            duration_ns = max(0, (metrics.end_time_us - metrics.start_time_us) * 1000)
            compile_time.ns += duration_ns
            telemetry = probe.telemetry
            if telemetry is None:
                return
            name = metrics.co_name or "unknown"
            if metrics.is_forward is False:
                name = "backward"
            elif name in _NAMELESS and level.inside:
                name = level.name
            error = MetalError.COMPILATION_ERROR if metrics.fail_type else None
            telemetry.record("compile", name, duration_ns=duration_ns, error=error)

        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            telemetry = probe.telemetry
            if telemetry is not None and args:
                probe.guarded(telemetry, None, note, args[0])
            return original(*args, **kwargs)

        return wrapper


def _name_of(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__qualname__", None)
    return name if isinstance(name, str) else type(function).__qualname__
