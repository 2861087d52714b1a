"""Which valid word somebody meant: keys regardless of style, and the nearest to a misspelt one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

__all__ = ["nearest", "plain"]

_LIKENESS = 0.6


def plain(word: str) -> str:
    """The word without case, underscores, hyphens and blanks.

    ``reporting_interval``, ``ReportingInterval`` and ``reporting-interval`` are one key.
    """
    return word.translate({ord(c): None for c in "_- "}).casefold()


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like the given one, or ``None`` where none is like it at all."""
    wanted = plain(word)
    best, likeness = None, _LIKENESS
    for candidate in known:
        score = SequenceMatcher(None, wanted, plain(candidate)).ratio()
        if score > likeness:
            best, likeness = candidate, score
    return best
