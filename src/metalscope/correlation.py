"""Correlation: one id for all that belongs to one piece of work, and the span it runs in.

Both live in context variables: asyncio tasks inherit them, and :mod:`metalscope.carrying` takes
them along to threads, executors and other processes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Final, Literal
from uuid import UUID

if TYPE_CHECKING:
    from metalscope.traces.span import Span

__all__ = [
    "CURRENT_SPAN",
    "MOST_ID_CHARACTERS",
    "SpanContext",
    "UnsampledContext",
    "bind_correlation_id",
    "correlation",
    "current_correlation_id",
    "current_span",
    "make_ids_by",
    "new_correlation_id",
    "unbind_correlation_id",
]

MOST_ID_CHARACTERS: Final = 128
"""A longer id is cut, as one that came from elsewhere may be anything."""

_ID: ContextVar[str | None] = ContextVar("metalscope_correlation_id", default=None)


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
    return _ID.get()


@contextmanager
def correlation(correlation_id: str | None = None) -> Iterator[str]:
    """Give all that happens within one correlation id: ``with correlation("order-17"): ...``.

    Args:
        correlation_id: the id; a new one where none is given. Control characters are left out, and
            what is past 128 characters.
    """
    token = bind_correlation_id(correlation_id or new_correlation_id())
    try:
        yield _ID.get() or ""
    finally:
        _ID.reset(token)


def bind_correlation_id(correlation_id: str) -> Token[str | None]:
    """Set the id from here on; :func:`unbind_correlation_id` takes it back by the token."""
    return _ID.set(_clean(correlation_id))


def unbind_correlation_id(token: Token[str | None]) -> None:
    """Set the id to what it was before."""
    _ID.reset(token)


_VERSION: Literal["uuid4", "uuid7"] = "uuid4"


def make_ids_by(version: Literal["uuid4", "uuid7"]) -> None:
    """Have :func:`new_correlation_id` make ids of this version from now on."""
    global _VERSION  # noqa: PLW0603 - one for the process, as the context variables are
    _VERSION = version


def new_correlation_id() -> str:
    """A new UUID in its text form (RFC 9562): version 4, or 7 where the options say so."""
    bits = int.from_bytes(os.urandom(16), "big")
    if _VERSION == "uuid4":
        version = 4
    else:
        # RFC 9562, 5.7: 48 bits of Unix time in ms, then random ones.
        version = 7
        bits = (time.time_ns() // 1_000_000 << 80) | (bits & (1 << 80) - 1)
    bits = bits & ~(0xF << 76) | version << 76
    bits = bits & ~(0x3 << 62) | 0x2 << 62
    return str(UUID(int=bits))


def _clean(text: str) -> str:
    if text.isprintable() and len(text) <= MOST_ID_CHARACTERS:
        return text
    return "".join(filter(str.isprintable, text))[:MOST_ID_CHARACTERS]
