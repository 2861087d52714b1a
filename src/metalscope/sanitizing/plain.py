"""Any value as JSON's kinds of values, without ever failing, waiting or asking a device."""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Iterable, Mapping, Set
from datetime import date, datetime, time, timedelta
from enum import Enum
from typing import Any, Final

__all__ = ["Parts", "Secret", "decoded", "taken_apart"]

_MOST_BITS: Final = 256


class Secret:
    """A value that says itself that it is a secret, as pydantic's ``SecretStr``."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Parts:
    """A value made of others: ``items`` are pairs of name and value, or values without names.

    ``owner`` is the value, by which one that holds itself is told.
    """

    __slots__ = ("items", "named", "owner")

    def __init__(self, owner: object, items: Iterable[Any], *, named: bool) -> None:
        self.owner = owner
        self.items = items
        self.named = named


def taken_apart(value: Any) -> str | int | float | bool | Secret | Parts | None:
    """The value as text, a number, a truth value or nothing; or the parts it has.

    An array stays on its device: only its type and shape are told. Of what cannot be shown the
    class is named.
    """
    try:
        return _simple(value)
    except Exception:  # noqa: BLE001 - law: no object of the program may harm it through us
        return f"<unprintable {type(value).__name__}>"


def decoded(raw: bytes | bytearray | memoryview) -> str:
    """Bytes as text, with ``\\xNN`` for what is no UTF-8."""
    return bytes(raw).decode("utf-8", "backslashreplace")


def _simple(value: Any) -> str | int | float | bool | Secret | Parts | None:  # noqa: PLR0911, PLR0912
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum) and not isinstance(value, str | int):
        return _simple(value.value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        whole = int.__int__(value)
        # Python refuses to write those of many thousand digits.
        bits = whole.bit_length()
        return whole if bits <= _MOST_BITS else f"<whole number of {bits} bits>"
    if isinstance(value, float):
        number = float.__float__(value)
        if math.isfinite(number):
            return number
        # As JSON of protobuf has them.
        return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    if isinstance(value, bytes | bytearray | memoryview):
        return decoded(value)
    if isinstance(value, Mapping):
        return Parts(value, value.items(), named=True)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return Parts(value, zip(value._fields, value, strict=False), named=True)
    if isinstance(value, list | tuple | deque):
        return Parts(value, value, named=False)
    if isinstance(value, Set):
        return Parts(value, sorted(value, key=repr), named=False)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, BaseException):
        return _of_exception(value)
    return _object(value)


def _object(value: Any) -> str | int | float | bool | Secret | Parts | None:  # noqa: PLR0911
    kind = type(value)
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if callable(getattr(kind, "get_secret_value", None)):
        return Secret(value.get_secret_value())
    if getattr(value, "dtype", None) is not None and hasattr(value, "shape"):
        if kind.__module__ == "numpy" and kind.__name__ != "ndarray":
            return _simple(value.item())
        return f"<{kind.__name__} {value.dtype}{list(value.shape)}>"
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
        return Parts(value, [(name, getattr(value, name, None)) for name in names], named=True)
    fields = getattr(kind, "model_fields", None) or getattr(kind, "__attrs_attrs__", None)
    if fields:
        names = list(fields) if isinstance(fields, Mapping) else [one.name for one in fields]
        return Parts(value, [(name, getattr(value, name, None)) for name in names], named=True)
    text = str(value)
    return str.__str__(text)


def _of_exception(error: BaseException) -> str:
    said = str(error)
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
