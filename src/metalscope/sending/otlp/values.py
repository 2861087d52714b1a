"""Python's values as those of OTLP.

OpenTelemetry specification, "Mapping Arbitrary Data to OTLP AnyValue".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from metalscope.errors import MissingExtraError

try:
    from opentelemetry.proto.common.v1.common_pb2 import (
        AnyValue,
        ArrayValue,
        KeyValue,
        KeyValueList,
    )
except ImportError as missing:
    raise MissingExtraError("OTLP", "otlp", cause=str(missing)) from missing

__all__ = ["any_value", "key_values", "legible"]

_DEEPEST: Final = 16
"""Levels of lists and mappings; what is deeper is said as text. Protobuf reads 100 levels."""
_INT64: Final = range(-(2**63), 2**63)


def key_values(attributes: Mapping[str, Any]) -> list[KeyValue]:
    """Attributes, in their order."""
    return [KeyValue(key=legible(key), value=any_value(attributes[key])) for key in attributes]


def any_value(value: Any, *, depth: int = 0) -> AnyValue:
    """One value; a whole number that 64 bits cannot hold, and what is of no such kind, as text."""
    make = _MAKERS.get(type(value)) or _maker_of(value)
    if make is not None:
        return make(value)
    if depth < _DEEPEST and isinstance(value, Mapping):
        pairs = [
            KeyValue(key=legible(str(key)), value=any_value(one, depth=depth + 1))
            for key, one in value.items()
        ]
        return AnyValue(kvlist_value=KeyValueList(values=pairs))
    if depth < _DEEPEST and isinstance(value, (list, tuple, set, frozenset)):
        parts = [any_value(one, depth=depth + 1) for one in value]
        return AnyValue(array_value=ArrayValue(values=parts))
    return _text(str(value))


def legible(text: str) -> str:
    """Text that protobuf takes: a lone surrogate, which is no character, becomes ``?``."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def _text(value: str) -> AnyValue:
    return AnyValue(string_value=legible(value))


def _whole(value: int) -> AnyValue:
    return AnyValue(int_value=value) if value in _INT64 else _text(str(value))


_MAKERS: Final[dict[type, Callable[[Any], AnyValue]]] = {
    str: _text,
    bool: lambda value: AnyValue(bool_value=value),
    int: _whole,
    float: lambda value: AnyValue(double_value=value),
    bytes: lambda value: AnyValue(bytes_value=value),
    type(None): lambda _: AnyValue(),
}


def _maker_of(value: Any) -> Callable[[Any], AnyValue] | None:
    """For a subclass, such as an enum's member."""
    return next((make for kind, make in _MAKERS.items() if isinstance(value, kind)), None)
