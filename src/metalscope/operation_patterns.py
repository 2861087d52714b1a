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
    # Stars in a row say the same as one, and would each be tried against the others.
    parts = re.split(r"(\*+|\?)", pattern)
    meanings = {"*": ".*?", "?": "."}
    return re.compile("".join(meanings.get(part[:1], re.escape(part)) for part in parts), re.DOTALL)
