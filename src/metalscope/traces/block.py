"""SpanBlock: a span around a block of code, or around each call of a function."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from metalscope import attributes as names
from metalscope.correlating import UnsampledContext
from metalscope.errors import classify
from metalscope.traces.live import LiveSpan
from metalscope.traces.span import Span, SpanKind

if TYPE_CHECKING:
    from metalscope.correlating import SpanContext
    from metalscope.traces.tracer import Tracer

__all__ = ["SpanBlock"]

Function = TypeVar("Function", bound=Callable[..., Any])


class SpanBlock:
    """What ``with`` and ``async with`` enter; entered anew, it is a new span.

    It decorates functions too: each call is a span. A coroutine function's lasts to its end, a
    generator function's only until it hands back the generator.

    An exception passes through untouched and marks the span as failed, unless it is one that says
    nothing of what ran, as a cancelled task's; see :func:`metalscope.errors.classify`.
    """

    __slots__ = ("_attributes", "_kind", "_name", "_parent", "_span", "_tracer")

    def __init__(
        self,
        tracer: Tracer,
        name: str,
        kind: SpanKind,
        attributes: Mapping[str, Any] | None,
        parent: SpanContext | None,
    ) -> None:
        self._tracer = tracer
        self._name = name
        self._kind = kind
        self._attributes = attributes
        self._parent = parent
        self._span: LiveSpan | None = None

    def __enter__(self) -> Span:
        tracer = self._tracer
        try:
            span = LiveSpan()
            tracer.begin(
                span, str(self._name), dict(self._attributes or {}), self._parent,
                kind=SpanKind(self._kind),
            )  # fmt: skip
            tracer.enter(span)
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            tracer.report(error)
            # What is said of it goes nowhere.
            return Span("", UnsampledContext(1, 1), parent_id=0, start_ns=0)
        self._span = span
        return span

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        span, self._span = self._span, None
        if span is None:
            return
        tracer = self._tracer
        duration_ns = tracer.leave(span)
        try:
            if exc is not None and _says_something(exc):
                if not span.failed:
                    span.set_error(exc)
                span.attributes.setdefault(names.ERROR_TYPE, _type_name(exc))
            tracer.finish(span, duration_ns)
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            tracer.report(error)

    async def __aenter__(self) -> Span:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(exc_type, exc, traceback)

    def __call__(self, function: Function) -> Function:
        """Decorate a function."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def async_wrapper(*args: Any, **kwargs: Any) -> Any:
                with self._anew():
                    return await function(*args, **kwargs)

            return async_wrapper  # type: ignore[return-value]

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self._anew():
                return function(*args, **kwargs)

        return wrapper  # type: ignore[return-value]

    def _anew(self) -> SpanBlock:
        return SpanBlock(self._tracer, self._name, self._kind, self._attributes, self._parent)


def _says_something(error: BaseException) -> bool:
    try:
        return classify(error) is not None
    except Exception:  # noqa: BLE001 - its own __str__ raised
        return True


def _type_name(error: BaseException) -> str:
    """Its class as OpenTelemetry's ``error.type`` has it."""
    kind = type(error)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"
