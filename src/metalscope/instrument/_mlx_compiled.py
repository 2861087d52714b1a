"""Callables that MLX makes for the program: compiled functions and custom kernels."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any, SupportsIndex
from weakref import WeakValueDictionary

from metalscope.instrument._probe import Probe, hide_frame

__all__ = ["Compilation", "ObservedKernel", "name_of"]


def name_of(function: object) -> str:
    """The qualified name of a function, through any partial; of an object, that of its class."""
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__qualname__", None)
    return name if isinstance(name, str) else type(function).__qualname__


class _StandIn:
    """Stands for a callable of MLX, which is no descriptor: as a class attribute it never binds.

    A Python function in its place would, and pass ``self``. All but the call is MLX's own.
    """

    __slots__ = ("__wrapped__", "_name", "_probe")

    def __init__(self, probe: Probe, name: str, wrapped: Any) -> None:
        self.__wrapped__: Callable[..., Any] = wrapped
        self._name = name
        self._probe = probe

    def __init_subclass__(cls) -> None:
        # What every class has is found before __getattr__ is asked.
        cls.__doc__ = property(lambda self: self.__wrapped__.__doc__)  # type: ignore[assignment]
        cls.__module__ = property(lambda self: self.__wrapped__.__module__)  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        return self.__wrapped__.__reduce_ex__(protocol)


class ObservedKernel(_StandIn):
    """A custom kernel; each call is one execute under the kernel's name."""

    __slots__ = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        telemetry = self._probe.telemetry
        if telemetry is None:
            return self.__wrapped__(*args, **kwargs)
        start = perf_counter_ns()
        failure: BaseException | None = None
        try:
            return self.__wrapped__(*args, **kwargs)
        except BaseException as error:
            failure = error
            hide_frame(error)
            raise
        finally:
            telemetry.record(
                "execute",
                self._name,
                duration_ns=perf_counter_ns() - start,
                error=failure,
                device=self._probe.device(telemetry),
            )
            del failure


class _Call:
    """One call of a compiled function, and what its trace did to it, if there was one."""

    __slots__ = ("failed", "start")

    def __init__(self) -> None:
        self.start = perf_counter_ns()
        self.failed = False


class _Local(threading.local):
    depth = 0
    """How many traces the thread is inside of."""
    call: _Call | None = None
    """The call that a trace beginning now belongs to."""


class Compilation:
    """Observes ``mx.compile``: a compile each time MLX traces the function, an execute each call.

    ``enabled`` follows ``mx.disable_compile`` and ``mx.enable_compile``. While it is false MLX runs
    the function itself at every call, which is no trace.
    """

    def __init__(self, probe: Probe, compile_: Callable[..., Any], *, enabled: bool) -> None:
        self.enabled = enabled
        self._probe = probe
        self._compile = compile_
        self._local = _Local()
        # MLX keeps what it compiled by the function's address, so that two compilations of one
        # function share it. They must go on sharing: one function, one stand-in.
        self._traced: WeakValueDictionary[int, Callable[..., Any]] = WeakValueDictionary()

    def wrapper(self) -> Callable[..., Any]:
        """What takes the place of ``mx.compile``."""

        @functools.wraps(self._compile)
        def compile(*args: Any, **kwargs: Any) -> Any:  # noqa: A001 - its name in MLX
            function = args[0] if args else kwargs.get("fun")
            traced = self._trace(function)
            try:
                if traced is None:
                    return self._compile(*args, **kwargs)
                if args:
                    compiled = self._compile(traced, *args[1:], **kwargs)
                else:
                    compiled = self._compile(**{**kwargs, "fun": traced})
            except BaseException as error:
                hide_frame(error)
                raise
            return _Compiled(self._probe, name_of(function), compiled, function, self._local)

        return compile

    def _trace(self, function: Any) -> Callable[..., Any] | None:
        """The stand-in for ``function`` in MLX's hands; ``None`` where there can be none."""
        telemetry = self._probe.telemetry
        if telemetry is None or not callable(function):
            return None
        known = self._traced.get(id(function))
        if known is not None:
            return known
        try:
            traced = self._make_traced(function, name_of(function))
        except Exception as error:  # noqa: BLE001 - a callable's attributes may raise anything
            telemetry.internal_error("instrument.mlx", error)
            return None
        self._traced[id(function)] = traced
        return traced

    def _make_traced(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        local, probe = self._local, self._probe

        @functools.wraps(function)
        def traced(*args: Any, **kwargs: Any) -> Any:
            telemetry = probe.telemetry
            if telemetry is None or not self.enabled:
                return function(*args, **kwargs)
            call, local.call = local.call, None
            start = perf_counter_ns() if call is None else call.start
            local.depth += 1
            failure: BaseException | None = None
            try:
                return function(*args, **kwargs)
            except BaseException as error:
                failure = error
                hide_frame(error)
                raise
            finally:
                local.depth -= 1
                end = perf_counter_ns()
                if call is not None:
                    local.call = call
                    call.start = end
                    call.failed = failure is not None
                telemetry.record(
                    "compile",
                    name,
                    duration_ns=end - start,
                    error=failure,
                    device=probe.device(telemetry),
                )
                del failure

        return traced


class _Compiled(_StandIn):
    """A compiled function; each call is one execute, less the time MLX took to trace it.

    Inside the trace of another function nothing is executed, and nothing recorded.
    """

    __slots__ = ("_function", "_local")

    def __init__(
        self, probe: Probe, name: str, wrapped: Any, function: object, local: _Local
    ) -> None:
        super().__init__(probe, name, wrapped)
        self._function = function
        self._local = local

    def __getattr__(self, name: str) -> Any:
        # Just as MLX's compiled function does it, with the function that was given to compile.
        return object.__getattribute__(self._function, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        telemetry, local = self._probe.telemetry, self._local
        if telemetry is None:
            return self.__wrapped__(*args, **kwargs)
        outer, local.call = local.call, (call := _Call())
        failure: BaseException | None = None
        try:
            return self.__wrapped__(*args, **kwargs)
        except BaseException as error:
            failure = error
            hide_frame(error)
            raise
        finally:
            local.call = outer
            if not local.depth and not call.failed:
                telemetry.record(
                    "execute",
                    self._name,
                    duration_ns=perf_counter_ns() - call.start,
                    error=failure,
                    device=self._probe.device(telemetry),
                )
            del failure
