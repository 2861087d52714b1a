"""JSON that is written in pieces: other threads get their turn between two of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, Final

__all__ = ["json_in_pieces"]

ITEMS: Final = 1000
"""Items of a long list in one piece."""


def json_in_pieces(data: Mapping[str, Any]) -> bytes:
    """The object in JSON, a number that is not finite as ``null``.

    Python's encoder holds the interpreter until it is done, some tenths of a second for what a
    large chart asks for; the host program is not to wait for that.
    """
    text = ",".join(f"{json.dumps(name)}:{_value(value)}" for name, value in data.items())
    return f"{{{text}}}".encode("ascii")


def _value(value: Any) -> str:
    return f"[{','.join(_pieces(value))}]" if isinstance(value, list) else _dumped(value)


def _pieces(items: list[Any]) -> Iterator[str]:
    if items and isinstance(items[0], dict):
        yield from map(_dumped, items)
        return
    for first in range(0, len(items), ITEMS):
        yield _dumped(items[first : first + ITEMS])[1:-1]


def _dumped(value: Any) -> str:
    # Escaped to ASCII: a name may hold half a surrogate pair, which UTF-8 cannot.
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value
