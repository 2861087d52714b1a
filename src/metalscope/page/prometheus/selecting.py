"""Series of PromQL by patterns; what is put into a query stays what it is, whatever it holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["fits", "matching", "quoted", "selected"]

# RE2 takes a backslash before any of ASCII's punctuation (github.com/google/re2, "Syntax").
_SPECIAL: Final = re.compile(r"([!-/:-@\[-`{-~])")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def quoted(text: str) -> str:
    """A string of PromQL that means this text (prometheus.io, "Querying basics": Go's escapes).

    Raises:
        ValueError: it cannot be written in UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{text!r:.100} is no text: it cannot be written in UTF-8") from None
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    text = _CONTROL.sub(lambda found: rf"\x{ord(found[0]):02x}", text)
    return f'"{text}"'


def matching(label: str, pattern: str) -> str:
    """A matcher of the values that ``pattern`` names; empty where it names all.

    ``*`` stands for any text and ``?`` for any character; nothing else is special.
    """
    if pattern and not pattern.strip("*"):
        return ""
    if "*" not in pattern and "?" not in pattern:
        return f"{label}={quoted(pattern)}"
    # A label's regular expression is anchored at both ends, and "." is no new line by itself.
    meanings = {"*": ".*", "?": "."}
    parts = re.split(r"(\*+|\?)", pattern)
    expression = "".join(meanings.get(part[:1], _SPECIAL.sub(r"\\\1", part)) for part in parts)
    return f"{label}=~{quoted(f'(?s:{expression})')}"


def selected(metric: str, *matchers: str, **equal: str) -> str:
    """The series of a metric that all matchers match, with these labels; empty ones do not count.

    A label given as empty text is not asked for.
    """
    own = [f"{label}={quoted(value)}" for label, value in equal.items() if value]
    return f"{metric}{{{','.join([*filter(None, matchers), *own])}}}"


def fits(pattern: str, text: str) -> bool:
    """Whether ``pattern`` names this text."""
    meanings: Mapping[str, str] = {"*": ".*", "?": "."}
    parts = re.split(r"(\*+|\?)", pattern)
    expression = "".join(meanings.get(part[:1], re.escape(part)) for part in parts)
    return re.fullmatch(expression, text, re.DOTALL) is not None
