"""Durations as people write them: ``5m``, ``1h30m``, ``PT5M``, ``00:05:00``, or seconds."""

from __future__ import annotations

import math
import re
from datetime import time, timedelta
from typing import Final

__all__ = ["DURATION_FORMS", "LONGEST", "DurationLike", "format_duration", "parse_duration"]

DurationLike = timedelta | float | str
"""What :func:`parse_duration` takes from Python code: a timedelta, seconds, or text."""

DURATION_FORMS: Final = "seconds, '250ms', '5m', '1h30m', '7d', 'PT5M', '00:05:00' or '7.00:00:00'"
"""The accepted forms, for error texts."""

LONGEST: Final = timedelta(days=36_525)
"""A hundred years. Longer waits overflow the operating system's timers, and are typing errors."""

_MICROSECOND: Final = timedelta(microseconds=1)

# Largest first: format_duration() takes them in this order.
_UNITS: Final[dict[str, timedelta]] = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
    "us": _MICROSECOND,
}

_NUMBER: Final = r"\d+(?:\.\d+)?"
_SECONDS: Final = re.compile(r"\d+(?:\.\d*)?(?:[eE][+-]?\d+)?", re.ASCII)
_UNITS_TEXT: Final = re.compile(
    "".join(rf"(?:(?P<{unit}>{_NUMBER})\s*{unit}\s*)?" for unit in _UNITS), re.ASCII
)
_ISO: Final = re.compile(
    rf"P(?:(?P<w>{_NUMBER})W|(?:(?P<d>{_NUMBER})D)?"
    rf"(?:T(?=\d)(?:(?P<h>{_NUMBER})H)?(?:(?P<m>{_NUMBER})M)?(?:(?P<s>{_NUMBER})S)?)?)",
    re.ASCII,
)
_CLOCK: Final = re.compile(
    r"(?:(?P<d>\d+)\.)?(?P<h>\d{1,2}):(?P<m>\d{2}):(?P<s>\d{2}(?:\.\d{1,7})?)", re.ASCII
)


def parse_duration(value: object) -> timedelta:
    """Read a duration from a timedelta, a number of seconds, or one of the text forms.

    Text is a number of seconds (``"5"``, ``"0.5"``), units from large to small (``"1d"``,
    ``"1h30m"``, ``"250ms"``; d, h, m, s, ms, us), ISO 8601 in weeks to seconds (``"PT5M"``,
    ``"P7D"``), or the .NET clock form ``[d.]hh:mm:ss[.fffffff]``. A leading minus is read, so that
    the caller can say that the value is negative. A time of day is read as the clock form, because
    that is what TOML makes of an unquoted ``00:05:00``. Parts of a microsecond are rounded.

    Raises:
        ValueError: The value is none of these, or is longer than :data:`LONGEST`.
    """
    duration = _read(value)
    if abs(duration) > LONGEST:
        raise ValueError("must be at most 100 years")
    return duration


def _read(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _sum({"s": value})
    if isinstance(value, time) and value.tzinfo is None:
        return timedelta(
            hours=value.hour,
            minutes=value.minute,
            seconds=value.second,
            microseconds=value.microsecond,
        )
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("-"):
            return -_text(text[1:])
        return _text(text.removeprefix("+"))
    raise ValueError(f"must be a duration ({DURATION_FORMS})")


def _text(text: str) -> timedelta:
    if _SECONDS.fullmatch(text):
        return _sum({"s": float(text)})
    if match := _CLOCK.fullmatch(text):
        # .NET reads "24:00:00" as 24 days; nobody means that, so neither reading is taken.
        if int(match["h"]) > 23 or int(match["m"]) > 59 or float(match["s"]) >= 60:
            raise ValueError(
                "must have hours to 23, minutes and seconds to 59: a day is '1.00:00:00' or '1d'"
            )
        return _sum(match.groupdict())
    for form in (_ISO, _UNITS_TEXT):
        match = form.fullmatch(text)
        if match and any(match.groupdict().values()):
            return _sum(match.groupdict())
    raise ValueError(f"must be a duration ({DURATION_FORMS})")


def _sum(parts: dict[str, str | None] | dict[str, float]) -> timedelta:
    total = timedelta()
    try:
        for unit, amount in parts.items():
            if amount is None:
                continue
            number = float(amount)
            if math.isnan(number):
                raise ValueError("must be a duration, not NaN")
            total += number * (7 * _UNITS["d"] if unit == "w" else _UNITS[unit])
    except OverflowError:
        raise ValueError("must be at most 100 years") from None
    return total


def format_duration(duration: timedelta) -> str:
    """Write a duration with units, exactly: ``1h30m``, ``250ms``, ``0s``.

    :func:`parse_duration` reads it back to the same value.
    """
    sign, rest = ("-", -duration) if duration < timedelta() else ("", duration)
    text = ""
    for unit, size in _UNITS.items():
        amount, rest = divmod(rest, size)
        if amount:
            text += f"{amount}{unit}"
    return sign + (text or "0s")
