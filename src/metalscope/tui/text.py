"""Text from outside as a terminal may show it, and numbers as a person reads them.

Names of kernels, devices and events come from programs and from files. Whatever they hold, they
stay text: no escape sequence reaches the terminal, no character turns the line around, and the
width that is computed is the width that is drawn.
"""

from __future__ import annotations

import math
import unicodedata
from datetime import timedelta
from typing import Final

from rich.cells import cell_len, set_cell_size

__all__ = [
    "ABSENT",
    "bytes_text",
    "count_text",
    "duration_text",
    "fit",
    "ms_text",
    "percent_text",
    "rate_text",
    "scaled_text",
    "visible",
]

ABSENT: Final = "—"
"""What stands where there is no value; never 0."""

_ELLIPSIS: Final = "…"
_LONGEST: Final = 2_000
"""Characters of a name that are looked at; a screen has fewer cells."""

# Control, format (bidirectional overrides, zero-width joiners), surrogate, private, unassigned,
# line and paragraph separators: nothing a terminal should be handed.
_UNSHOWABLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# They only ask for another picture of the character before, at a width terminals disagree on.
_VARIATION_SELECTORS: Final = range(0xFE00, 0xFE10)
_MOST_MARKS: Final = 2
"""Combining marks kept on one character; more would pile up over the lines above."""


def visible(text: str) -> str:
    r"""Text with everything in it that is no printable character escaped, as ``\x1b`` for ESC."""
    if text.isascii() and text.isprintable():
        return text[:_LONGEST]
    shown: list[str] = []
    marks = 0
    for char in unicodedata.normalize("NFC", text[:_LONGEST]):
        category = unicodedata.category(char)
        if category in {"Mn", "Me"}:
            marks += 1
            if marks > _MOST_MARKS or not shown or ord(char) in _VARIATION_SELECTORS:
                continue
        else:
            marks = 0
        if category in _UNSHOWABLE:
            shown.append(char.encode("unicode_escape").decode("ascii"))
        else:
            shown.append(char)
    return "".join(shown)


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Visible text made exactly ``width`` cells wide: cut with an ellipsis, or padded."""
    if width <= 0:
        return ""
    shown = visible(text)
    length = cell_len(shown)
    if length > width:
        return set_cell_size(set_cell_size(shown, width - 1).rstrip() + _ELLIPSIS, width)
    padding = " " * (width - length)
    return padding + shown if right else shown + padding


def count_text(count: int) -> str:
    """A whole number in at most 6 cells: ``9,999``, ``12.3k``, ``4.56M``."""
    return f"{count:,}" if count < 10_000 else scaled_text(count)


def rate_text(rate: float | None) -> str:
    """A number a second; what is above zero never reads as zero."""
    if rate is None:
        return ABSENT
    if rate == 0:
        return "0"
    if rate < 0.01:
        return "<0.01"
    return f"{rate:.2f}" if rate < 1 else scaled_text(rate)


def scaled_text(value: float) -> str:
    """Three digits with k, M, G, T where it takes them: ``73.4``, ``12.3k``."""
    for suffix in ("", "k", "M", "G"):
        if abs(value) < 999.5:
            return _three_digits(value) + suffix
        value /= 1000
    return _three_digits(value) + "T"


def bytes_text(size: float | None) -> str:
    """Bytes in binary units: ``449 KiB``, ``1.50 GiB``."""
    if size is None:
        return ABSENT
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1023.5:
            return f"{size:.0f} B" if unit == "B" else f"{_three_digits(size)} {unit}"
        size /= 1024
    return f"{_three_digits(size)} TiB"


def ms_text(ms: float | None) -> str:
    """A duration given in ms: ``71.2 µs``, ``3.22 ms``, ``1.50 s``."""
    if ms is None:
        return ABSENT
    if ms < 0.001:
        return f"{ms * 1e6:.0f} ns"
    if ms < 0.9995:
        return f"{_three_digits(ms * 1000)} µs"
    if ms < 999.5:
        return f"{_three_digits(ms)} ms"
    if ms < 999_500:
        return f"{_three_digits(ms / 1000)} s"
    minutes = ms / 60_000
    return f"{minutes:.0f} min" if minutes < 999.5 else f"{minutes / 60:.0f} h"


def percent_text(percent: float | None) -> str:
    """A percentage; what is above zero never reads as zero."""
    if percent is None:
        return ABSENT
    if 0 < percent < 0.1:
        return "<0.1 %"
    return f"{percent:.1f} %" if percent < 99.95 else f"{percent:.0f} %"


def duration_text(seconds: float) -> str:
    """A length of time to the second: ``1:05``, ``2:03:04``, ``3 d 1:00:00``."""
    whole = timedelta(seconds=math.floor(max(seconds, 0)))
    minutes, second = divmod(whole.seconds, 60)
    hours, minute = divmod(minutes, 60)
    clock = f"{hours}:{minute:02}:{second:02}" if hours or whole.days else f"{minute}:{second:02}"
    return f"{whole.days} d {clock}" if whole.days else clock


def _three_digits(value: float) -> str:
    size = abs(value)
    if size == 0:
        return "0"
    if size < 9.995:
        return f"{value:.2f}"
    return f"{value:.1f}" if size < 99.95 else f"{value:.0f}"
