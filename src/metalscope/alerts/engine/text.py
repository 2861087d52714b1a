"""Titles and descriptions: templates with the labels and the value of an alert filled in."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Final

from metalscope.amounts import amount
from metalscope.durations import format_duration

__all__ = ["PLACEHOLDER", "filled", "format_of", "one_line", "plain_number"]

VALUE: Final = "value"
LONGEST_LINE: Final = 300
"""Characters of a title. A label may be long, and a title is to be read at a glance."""

PLACEHOLDER: Final = re.compile(
    r"\{\{|\}\}|\{([a-zA-Z_][a-zA-Z0-9_]*)(?::([a-z]+))?(?:\|([^{}]*))?\}"
)
"""A brace that is meant, or a placeholder: its name, its format, what goes before it."""

Part = str | tuple[str, str, str]
"""Text as it stands, or the name of a placeholder, its format, and what goes before it."""


def filled(template: str, labels: Mapping[str, str], value: float | None) -> str:
    """A template with its placeholders filled in.

    ``{value}`` is the value, ``{name}`` the label ``name``; what is unknown is empty. Of
    ``{device| on device }`` the text goes before the label, where there is one. A value may
    have a format: ``{value:percent}`` of a percentage, ``{value:ratio}`` of 0..1 shown in percent,
    ``{value:bytes}``, ``{value:duration}`` of s. ``{{`` and ``}}`` are braces. Any other brace
    stands for itself, so no template is wrong.
    """
    return "".join(
        part if isinstance(part, str) else _placeholder(part, labels, value)
        for part in _parts(template)
    )


def format_of(template: str) -> str:
    """The format that a template gives the value; empty where it gives none."""
    return next(
        (part[1] for part in _parts(template) if not isinstance(part, str) and part[0] == VALUE),
        "",
    )


def one_line(text: str) -> str:
    """Text as a title: no line breaks, and not too long."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"


def plain_number(value: float) -> str:
    """A number without a unit: whole ones in full, others with two decimals or three digits."""
    if not math.isfinite(value):
        return {math.inf: "infinity", -math.inf: "-infinity"}.get(value, "no number")
    if value == round(value):
        return f"{value:.0f}" if abs(value) < 1e15 else f"{value:.3g}"
    return _trimmed(f"{value:.2f}") if abs(value) >= 1 else f"{value:.3g}"


@lru_cache(maxsize=1024)
def _parts(template: str) -> tuple[Part, ...]:
    parts: list[Part] = []
    end = 0
    for found in PLACEHOLDER.finditer(template):
        parts.append(template[end : found.start()])
        end = found.end()
        name, form, before = found.groups()
        parts.append(found[0][0] if name is None else (name, form or "", before or ""))
    parts.append(template[end:])
    return tuple(part for part in parts if part)


def _placeholder(part: tuple[str, str, str], labels: Mapping[str, str], value: float | None) -> str:
    name, form, before = part
    text = labels.get(name, "") if name != VALUE else _of_value(form, value)
    return before + text if text else ""


def _of_value(form: str, value: float | None) -> str:
    if value is None:
        return ""
    # What is no finite number has no size.
    write = _FORMATS.get(form, plain_number) if math.isfinite(value) else plain_number
    return write(value)


def _percent(value: float) -> str:
    return f"{_trimmed(f'{value:.1f}')} %"


def _duration(value: float) -> str:
    """As precise as its size asks: two units at most."""
    size = abs(value)
    step = 3600.0 if size >= 86_400 else 60.0 if size >= 3600 else 1.0 if size >= 60 else 0.001
    try:
        return format_duration(timedelta(seconds=round(value / step) * step))
    except OverflowError:
        return f"{plain_number(value)} s"


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".")


_FORMATS: Final[dict[str, Callable[[float], str]]] = {
    "percent": _percent,
    "ratio": lambda value: _percent(100 * value),
    "bytes": lambda value: amount(value, "bytes"),
    "duration": _duration,
}
