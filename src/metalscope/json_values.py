"""Single values read from JSON: each is what it should be, or an error says what it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeVar

__all__ = [
    "maybe",
    "read_known",
    "read_number",
    "read_text",
    "read_time",
    "read_whole",
]

T = TypeVar("T")
E = TypeVar("E", bound=Enum)


def maybe(read: Callable[[Any], T], value: Any) -> T | None:
    """``None`` for ``None``, else what ``read`` makes of it."""
    return None if value is None else read(value)


def read_known(words: type[E], value: Any) -> E | None:
    """The word of an enumeration; ``None`` where this version does not know it."""
    try:
        return words(value)
    except ValueError:
        return None


def read_time(value: Any) -> datetime:
    """A moment, in UTC.

    Raises:
        ValueError, TypeError: it is no RFC 3339 time with a zone.
    """
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone")
    return moment.astimezone(UTC)


def read_text(value: Any) -> str:
    """Text.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def read_whole(value: Any) -> int:
    """A whole number.

    Raises:
        TypeError: it is something else.
    """
    if type(value) is not int:
        raise TypeError(f"{value!r} is not a whole number")
    return value


def read_number(value: Any) -> float:
    """A number. Strict JSON has no NaN and no Infinity; recordings spell them as text.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(value, str) and value in {"NaN", "Infinity", "-Infinity"}:
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return value
