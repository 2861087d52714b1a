"""Correlation: one id for all that belongs to one piece of work, and the span it runs in.

Both live in context variables: asyncio tasks inherit them, and :mod:`metalscope.carrying` takes
them along to threads, executors and other processes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, Token
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, TypeVar, cast

if TYPE_CHECKING:
    from metalscope.traces.span import Span

__all__ = [
    "CURRENT_ID",
    "CURRENT_SPAN",
    "MOST_ID_CHARACTERS",
    "SpanContext",
    "UnsampledContext",
    "bind_correlation_id",
    "clean_correlation_id",
    "correlation",
    "current_correlation_id",
    "current_span",
    "make_ids_by",
    "new_correlation_id",
    "unbind_correlation_id",
    "within",
]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

MOST_ID_CHARACTERS: Final = 128
"""A longer id is cut, as one that came from elsewhere may be anything."""

CURRENT_ID: Final[ContextVar[str | None]] = ContextVar("metalscope_correlation_id", default=None)
"""The correlation id of what runs now; set by :class:`correlation`."""


class SpanContext:
    """Where in which trace something happens, by the W3C's words; this trace is kept.

    ``trace_id`` has 128 bits, ``span_id`` 64. ``trace_state`` is the W3C ``tracestate`` as it came.
    ``live`` is the span itself while it runs in this process; ``None`` for one from elsewhere.
    """

    __slots__ = ("live", "span_id", "trace_id", "trace_state")

    sampled = True
    """Whether the trace is kept."""

    def __init__(
        self, trace_id: int, span_id: int, *, trace_state: str = "", live: Span | None = None
    ) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.trace_state = trace_state
        self.live = live

    @property
    def trace_id_text(self) -> str:
        """The trace as 32 hexadecimal digits (W3C Trace Context, "trace-id")."""
        return f"{self.trace_id:032x}"

    @property
    def span_id_text(self) -> str:
        """The span as 16 hexadecimal digits (W3C Trace Context, "parent-id")."""
        return f"{self.span_id:016x}"

    def elsewhere(self) -> SpanContext:
        """The same for another process: without the span itself, which lives in this one."""
        return type(self)(self.trace_id, self.span_id, trace_state=self.trace_state)

    def __getstate__(self) -> tuple[None, dict[str, object]]:
        return None, {name: getattr(self, name) for name in SpanContext.__slots__} | {"live": None}

    def __repr__(self) -> str:
        kind = type(self).__name__
        return f"{kind}(trace_id={self.trace_id_text}, span_id={self.span_id_text})"


class UnsampledContext(SpanContext):
    """The same in a trace of which only what is slow or failed is kept."""

    __slots__ = ()

    sampled = False


CURRENT_SPAN: Final[ContextVar[SpanContext | None]] = ContextVar("metalscope_span", default=None)
"""The span what runs now belongs to. The recorder looks at it by class, so no other may be put
there than :class:`SpanContext` and :class:`UnsampledContext`."""


def current_span() -> SpanContext | None:
    """The span of this library that is current; ``None`` outside of any."""
    return CURRENT_SPAN.get()


def current_correlation_id() -> str | None:
    """The id of the work that goes on here; ``None`` where none was given."""
    return CURRENT_ID.get()


class correlation:  # noqa: N801 - it is used as a function is
    """Give all that happens within one correlation id: ``with correlation("order-17"): ...``.

    Also ``async with``, and a decorator of functions, with ``async def`` or without: each call of
    one has a new id where none is given. What is entered is the id. One object is for one block at
    a time.

    Args:
        correlation_id: the id; a new one where none is given. Control characters are left out, and
            what is past 128 characters.
    """

    __slots__ = ("_given", "_token")

    def __init__(self, correlation_id: str | None = None) -> None:
        self._given = correlation_id

    def __enter__(self) -> str:
        given = self._given
        correlation_id = (given and clean_correlation_id(given)) or new_correlation_id()
        self._token = CURRENT_ID.set(correlation_id)
        return correlation_id

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _put_back(CURRENT_ID, self._token)

    async def __aenter__(self) -> str:
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _put_back(CURRENT_ID, self._token)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Have every call of ``function`` run in a block of its own."""
        from inspect import iscoroutinefunction  # noqa: PLC0415 - for decorators alone

        given = self._given
        if iscoroutinefunction(function):

            @wraps(function)
            async def run_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                with correlation(given):
                    return await cast("Awaitable[Any]", function(*args, **kwargs))

            return cast("Callable[P, R]", run_async)

        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            with correlation(given):
                return function(*args, **kwargs)

        return run


class within:  # noqa: N801 - it is used as a function is
    """Have a block run in this correlation id and this span, ``None`` for none of either.

    For those who bring both from elsewhere: another thread, another process, a request.
    """

    __slots__ = ("_id", "_id_token", "_span", "_span_token")

    def __init__(self, correlation_id: str | None, span: SpanContext | None) -> None:
        self._id = correlation_id
        self._span = span

    def __enter__(self) -> None:
        self._id_token = CURRENT_ID.set(self._id)
        self._span_token = CURRENT_SPAN.set(self._span)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _put_back(CURRENT_SPAN, self._span_token)
        _put_back(CURRENT_ID, self._id_token)


def _put_back(variable: ContextVar[T], token: Token[T]) -> None:
    try:  # noqa: SIM105 - suppress() would take longer than all the rest
        variable.reset(token)
    except (ValueError, RuntimeError):
        # The block is left in another context than it was entered in, as that of an asynchronous
        # generator which the event loop closes. There the variable is not ours.
        pass


def bind_correlation_id(correlation_id: str) -> Token[str | None]:
    """Set the id from here on; :func:`unbind_correlation_id` takes it back by the token."""
    return CURRENT_ID.set(clean_correlation_id(correlation_id))


def unbind_correlation_id(token: Token[str | None]) -> None:
    """Set the id to what it was before."""
    CURRENT_ID.reset(token)


_VERSION: Literal["uuid4", "uuid7"] = "uuid4"


def make_ids_by(version: Literal["uuid4", "uuid7"]) -> None:
    """Have :func:`new_correlation_id` make ids of this version from now on."""
    global _VERSION  # noqa: PLW0603 - one for the process, as the context variables are
    _VERSION = version


def new_correlation_id() -> str:
    """A new UUID in its text form (RFC 9562): version 4, or 7 where the options say so."""
    digits = os.urandom(16).hex()
    if _VERSION == "uuid4":
        head, version = digits[:12], "4"
    else:
        # RFC 9562, 5.7: 48 bits of Unix time in ms, then random ones.
        head, version = f"{time.time_ns() // 1_000_000:012x}", "7"
    return (
        f"{head[:8]}-{head[8:]}-{version}{digits[13:16]}-"
        f"{_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:]}"
    )


# RFC 9562, 4.1: the two highest bits of this digit are 10, the others random.
_VARIANT: Final = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}


def clean_correlation_id(text: str) -> str:
    """The id without what cannot be printed, and without what is past 128 characters."""
    if text.isprintable() and len(text) <= MOST_ID_CHARACTERS:
        return text
    return "".join(filter(str.isprintable, text))[:MOST_ID_CHARACTERS]
