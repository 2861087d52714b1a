"""The format ``text``: one line for a person, and a stack trace indented below it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from metalscope.logs.formats.json_text import json_text, quoted, without_surrogates
from metalscope.logs.formats.moment_text import millis_text
from metalscope.logs.record import LogRecord, Severity
from metalscope.logs.texts import text_of

__all__ = ["text_lines"]

_BARE: Final = re.compile(r"[^\s\"'=\[\]{}\\,]+\Z")

# ECMA-48, "Select Graphic Rendition": 2 faint, 3x colours, 1 bold.
_COLOURS: Final = {
    Severity.DEBUG: "\x1b[2m",
    Severity.INFO: "\x1b[32m",
    Severity.WARNING: "\x1b[33m",
    Severity.ERROR: "\x1b[31m",
    Severity.CRITICAL: "\x1b[1;31m",
}
_FAINT: Final = "\x1b[2m"
_PLAIN: Final = "\x1b[0m"

_NAMES: Final = {one: f"{one.name:<8}" for one in Severity}


def text_lines(*, colour: bool = False) -> Callable[[LogRecord], str]:
    """Makes lines of records; what a terminal would obey is escaped, so no record can forge one."""
    names = (
        {one: f"{_COLOURS[one]}{name}{_PLAIN}" for one, name in _NAMES.items()}
        if colour
        else _NAMES
    )
    faint, plain = (_FAINT, _PLAIN) if colour else ("", "")

    def line(record: LogRecord) -> str:
        parts = [f"{millis_text(record.timestamp_ns)} {names[record.severity]}"]
        said_by = record.event or ("" if record.logger == "metalscope" else record.logger)
        if said_by:
            parts.append(f" {printable(said_by)} ")
        parts.append(f" {printable(record.body)}")
        if record.attributes:
            parts.append("  " + " ".join([_pair(*pair) for pair in record.attributes.items()]))
        error = record.exception
        if error is not None:
            said = printable(error.message)
            parts.append(f"  {printable(error.type)}" + (f": {said}" if said else ""))
        if record.correlation_id is not None:
            parts.append(f"  {faint}[{printable(record.correlation_id)}]{plain}")
        if error is not None and error.stacktrace:
            parts += [f"\n    {printable(part)}" for part in error.stacktrace.splitlines()]
        return without_surrogates("".join(parts))

    return line


def printable(text: str) -> str:
    """``text`` with what is not printable, line breaks among it, as Python escapes it."""
    if text.isprintable():
        return text
    return "".join(
        [one if one.isprintable() else one.encode("unicode_escape").decode() for one in text]
    )


def _pair(name: Any, value: Any) -> str:
    name = name if type(name) is str else text_of(name)
    return f"{name if _BARE.match(name) and name.isprintable() else _safe(name)}={_value(value)}"


def _value(value: Any) -> str:
    if type(value) is float:
        return repr(value)
    if type(value) is str:
        return value if _BARE.match(value) and value.isprintable() else _safe(value)
    return printable(json_text(value))


def _safe(text: str) -> str:
    return printable(quoted(text))
