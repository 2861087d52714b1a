"""JSON text, quickly and strictly: no NaN, no lone surrogate, no line break, whatever it is given.

A line of a log is short and mostly known beforehand, so it is put together from text; the standard
library's encoder builds itself anew for each call, which takes longer than the encoding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from json.encoder import encode_basestring
from math import isfinite, isnan
from typing import Any, Final

from metalscope.logs.texts import text_of

__all__ = ["json_members", "json_text", "quoted", "without_surrogates"]

MOST_DEPTH: Final = 16
"""Deeper down, values are told as text."""

_MOST_WHOLE: Final = 2**63

quoted: Callable[[str], str] = encode_basestring
"""A JSON string of text; what is not ASCII stays as it is."""


def _whole(value: int) -> str:
    # Readers keep 64 bits (RFC 8259, 6, warns of it), and Python refuses to write very long ones.
    if -_MOST_WHOLE <= value < _MOST_WHOLE:
        return int.__repr__(value)
    return quoted(text_of(value))


def _real(value: float) -> str:
    if isfinite(value):
        return float.__repr__(value)
    # As the JSON form of Protocol Buffers has them.
    return '"NaN"' if isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'


_OF_TYPE: Final[dict[type, Callable[[Any], str]]] = {
    str: quoted,
    int: _whole,
    float: _real,
    bool: lambda value: "true" if value else "false",
    type(None): lambda _value: "null",
}


def json_text(value: Any, depth: int = 0) -> str:
    """``value`` as JSON. NaN, infinities and whole numbers past 64 bits are text."""
    known = _OF_TYPE.get(type(value))
    if known is not None:
        return known(value)
    if depth < MOST_DEPTH:
        if isinstance(value, Mapping):
            return "{" + json_members(value, depth + 1) + "}"
        if isinstance(value, list | tuple | set | frozenset):
            return "[" + ",".join([json_text(one, depth + 1) for one in value]) + "]"
    for kind in (bool, int, float):  # subclasses, such as an IntEnum or numpy.float64
        if isinstance(value, kind):
            return _OF_TYPE[kind](kind(value))
    return quoted(text_of(value))


def json_members(mapping: Mapping[Any, Any], depth: int = 0) -> str:
    """The members of a JSON object, without its braces; of two with one name the later stays."""
    parts: list[str] = []
    for name, value in mapping.items():
        start = _members.get(name)
        if start is None:
            if type(name) is not str:
                return json_members(_with_text_names(mapping), depth)
            start = _remembered(name)
        kind = type(value)
        if kind is str:
            parts.append(start + quoted(value))
        elif kind is int and -_MOST_WHOLE <= value < _MOST_WHOLE:
            parts.append(f"{start}{value}")
        elif kind is float and isfinite(value):
            parts.append(f"{start}{value!r}")
        elif kind is bool:
            parts.append(start + ("true" if value else "false"))
        else:
            parts.append(start + json_text(value, depth))
    return ",".join(parts)


# The same names come again in every line; as they begin a member.
_members: dict[str, str] = {}
_MOST_MEMBERS: Final = 1024


def _remembered(name: str) -> str:
    start = quoted(name) + ":"
    if len(name) <= 64:
        if len(_members) >= _MOST_MEMBERS:
            _members.clear()
        _members[name] = start
    return start


def _with_text_names(mapping: Mapping[Any, Any]) -> dict[str, Any]:
    return {(name if type(name) is str else text_of(name)): one for name, one in mapping.items()}


def without_surrogates(line: str) -> str:
    """``line``, with U+FFFD for halves of surrogate pairs, which UTF-8 has no bytes for."""
    if line.isascii():
        return line
    try:
        line.encode()
    except UnicodeEncodeError:
        return line.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return line
