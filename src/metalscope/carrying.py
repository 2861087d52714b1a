"""Take the correlation id and the current span along to where context variables do not go.

Tasks of asyncio inherit them; threads, executors and other processes do not. By hand it is
:func:`carried`; ``metalscope.instrument("threads")`` does it for a whole program.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, Final, Generic, ParamSpec, TypeVar, cast

from metalscope.correlating import CURRENT_ID, CURRENT_SPAN, SpanContext, within

__all__ = ["Carried", "carried"]

P = ParamSpec("P")
R = TypeVar("R")


def carried(function: Callable[P, R]) -> Callable[P, R]:
    """A callable that runs ``function`` in the correlation id and the span that are current now.

    It may be called often, by any thread, also by several at once, and pickled where ``function``
    can be: ``pool.map(carried(work), items)``. Nothing else of the context is taken along.
    """
    correlation_id, span = CURRENT_ID.get(), CURRENT_SPAN.get()
    if not iscoroutinefunction(function):
        return Carried(function, correlation_id, span)

    @wraps(function)
    async def run(*args: P.args, **kwargs: P.kwargs) -> Any:
        with within(correlation_id, span):
            return await cast("Awaitable[Any]", function(*args, **kwargs))

    return cast("Callable[P, R]", run)


_OF_THE_FUNCTION: Final = frozenset({"__name__", "__qualname__"})


class Carried(Generic[P, R]):
    """A function, and what it is to run in."""

    __slots__ = ("__weakref__", "_correlation_id", "_function", "_span")

    def __init__(
        self,
        function: Callable[P, R],
        correlation_id: str | None,
        span: SpanContext | None,
    ) -> None:
        self._function = function
        self._correlation_id = correlation_id
        self._span = span

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function there."""
        try:
            with within(self._correlation_id, self._span):
                return self._function(*args, **kwargs)
        except BaseException as error:
            # Our frame is not to be seen in the program's tracebacks.
            if error.__traceback__ is not None:
                error.__traceback__ = error.__traceback__.tb_next
            raise

    def __getattr__(self, name: str) -> Any:
        # For whoever shows what runs, or looks at what a function has with it.
        if name.startswith("_") and name not in _OF_THE_FUNCTION:
            raise AttributeError(name)
        return getattr(self._function, name)

    @property
    def __wrapped__(self) -> Callable[P, R]:
        return self._function

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._function, self._correlation_id, self._span)
