"""What ``tel.span`` gives where there are no traces: it does nothing, and costs as little."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self, TypeVar

__all__ = ["NO_SPAN", "NoSpan"]

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})

Function = TypeVar("Function", bound=Callable[..., Any])


class NoSpan:
    """Has what a span and its block have; one object for all."""

    __slots__ = ()

    context = None

    def set_attribute(self, name: str, value: Any) -> None:
        """Nothing is kept."""

    def add_event(
        self, name: str, attributes: Mapping[str, Any] = _NOTHING, *, at_ns: int | None = None
    ) -> None:
        """Nothing is kept."""

    def add_link(
        self, trace_id: int, span_id: int, attributes: Mapping[str, Any] = _NOTHING
    ) -> None:
        """Nothing is kept."""

    def set_error(self, error: BaseException | str) -> None:
        """Nothing is kept."""

    def __call__(self, function: Function) -> Function:
        """As a decorator: the function as it is."""
        return function

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


NO_SPAN: Final = NoSpan()
