"""The decorator form of an operation."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from metalscope.recorder import Operation

__all__ = ["Function", "timed"]

Function = TypeVar("Function", bound=Callable[..., Any])


def timed(
    operation: Callable[..., Operation], kind: str, name: str | None, device: str
) -> Callable[[Function], Function]:
    """Return a decorator that counts each call of a function as one operation.

    A coroutine function is timed from its first step to its end, a generator function only until
    it hands back the generator.
    """

    def decorate(function: Function) -> Function:
        label = name if name is not None else getattr(function, "__qualname__", repr(function))

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def async_wrapper(*args: Any, **kwargs: Any) -> Any:
                with operation(kind, label, device=device):
                    return await function(*args, **kwargs)

            return async_wrapper  # type: ignore[return-value]

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with operation(kind, label, device=device):
                return function(*args, **kwargs)

        return wrapper  # type: ignore[return-value]

    return decorate
