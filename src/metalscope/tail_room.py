"""How much of one record or span is kept for the page: long texts are cut, the rest left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["CUT", "MORE", "MOST_TEXT", "Room", "is_small"]

MOST_TEXT: Final = 16_384
"""Characters of one text; a longer one is cut, with :data:`CUT` at its end."""

CUT: Final = "…[cut]"
MORE: Final = "<more>"
"""Stands where fields were left out, as the sanitizer has it."""

_SMALL: Final = 4096
_EACH: Final = 8
"""What a value counts as besides its characters."""

_NUMBERS: Final = frozenset({int, float, bool, type(None)})


class Room:
    """The room that one record or span has left.

    Args:
        most: characters of all its texts, each value counted as a few more.
    """

    __slots__ = ("_left",)

    def __init__(self, most: int) -> None:
        self._left = most

    def text(self, text: str) -> str:
        """The text as far as there is room for it."""
        most = min(MOST_TEXT, self._left)
        if len(text) <= most:
            self._left -= len(text)
            return text
        self._left -= most
        return text[: max(0, most - len(CUT))] + CUT

    def fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields, which hold JSON's values, as far as there is room for them."""
        kept: dict[str, Any] = {}
        for name, value in fields.items():
            if self._left <= 0:
                kept[MORE] = MORE
                break
            kept[self.text(name)] = self._value(value)
        return kept

    def _value(self, value: Any) -> Any:
        self._left -= _EACH
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return self.fields(value)
        if isinstance(value, list | tuple):
            return self._items(value)
        return value

    def _items(self, values: list[Any] | tuple[Any, ...]) -> list[Any]:
        kept: list[Any] = []
        for value in values:
            if self._left <= 0:
                kept.append(MORE)
                break
            kept.append(self._value(value))
        return kept


def is_small(fields: Mapping[str, Any]) -> bool:
    """Whether these are texts and numbers of a few thousand characters: no more than can be kept as
    it is, and no object of the program's that would be kept alive by it."""
    size = 0
    for name, value in fields.items():
        kind = type(value)
        if kind is str:
            size += len(value)
        elif kind not in _NUMBERS:
            return False
        if type(name) is not str:
            return False
        size += len(name) + _EACH
    return size <= _SMALL
