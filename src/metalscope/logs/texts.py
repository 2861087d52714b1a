"""Text of any object, whatever its ``__str__`` does."""

from __future__ import annotations

from typing import Final

__all__ = ["MOST_CHARACTERS", "text_of"]

MOST_CHARACTERS: Final = 8192
"""Longer text of an object is cut."""


def text_of(value: object) -> str:
    """``str(value)``, cut where it is very long; what it is, where that raises."""
    try:
        text = str(value)
    except Exception as error:  # noqa: BLE001 - law: an odd object must not harm the program
        if isinstance(value, int):  # Python refuses to write those of many thousand digits
            return f"a whole number of {value.bit_length()} bits"
        return f"<{type(value).__name__}, whose text raises {type(error).__name__}>"
    if type(text) is not str:  # a subclass may do anything, at any time
        text = str.__str__(text)
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
