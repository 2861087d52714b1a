"""Which operations a pattern names: ``kind:name``, with ``*`` and ``?``, or a name alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

__all__ = ["EVERYTHING", "operations_like"]

EVERYTHING: Final = frozenset({"*", "*:*"})
"""The patterns that name every operation."""


def operations_like(pattern: str) -> Callable[[str, str], bool]:
    """Whether an operation, by kind and name, is one of those that ``pattern`` names.

    ``*`` stands for any text and ``?`` for any character; nothing else is special. The first ``:``
    ends the kind; a pattern without one is of the name alone.
    """
    kind, separator, name = pattern.partition(":")
    if not separator:
        kind, name = "*", pattern
    kinds, names = _compiled(kind), _compiled(name)
    return lambda kind, name: (
        kinds.fullmatch(kind) is not None and names.fullmatch(name) is not None
    )


def _compiled(pattern: str) -> re.Pattern[str]:
    first, *rest = (_literal(part) for part in re.split(r"\*+", pattern))
    if not rest:
        return re.compile(first, re.DOTALL)
    # What is between two stars is best found as early as it can be, and never looked for again:
    # else a name that does not fit would be tried in as many ways as the stars can share it.
    inner = "".join(f"(?>.*?{part})" for part in rest[:-1])
    return re.compile(f"{first}{inner}.*{rest[-1]}", re.DOTALL)


def _literal(part: str) -> str:
    return ".".join(re.escape(piece) for piece in part.split("?"))
