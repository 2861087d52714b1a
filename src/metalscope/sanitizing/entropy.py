"""Whether a run of characters was drawn at random, as keys are, and not written by a person."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

__all__ = ["SHORTEST_RANDOM", "looks_random"]

SHORTEST_RANDOM: Final = 32
"""Characters. Of fewer, names of kernels and random ones cannot be told apart."""

_MANGLED: Final = re.compile(r"_{1,4}Z[0-9A-Z]|\$s|_T0")
"""How names that compilers mangle begin: C++ (Itanium), Swift."""

_KINDS: Final = {
    **dict.fromkeys("abcdefghijklmnopqrstuvwxyz", 1),
    **dict.fromkeys("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 2),
    **dict.fromkeys("0123456789", 3),
}


def looks_random(run: str) -> bool:
    """Whether it looks like base64 of random bytes, or like random letters and digits.

    In random base64 nearly two thirds of all neighbours are of different kinds (lower case, upper
    case, digits, marks), in names far fewer: the bounds lie between what both were seen to have.
    """
    bare = run.rstrip("=")
    if len(bare) < SHORTEST_RANDOM or _MANGLED.match(bare):
        return False
    # One in 64 characters of base64 is a "/", of a path far more.
    if bare.count("/") > max(2, len(bare) // 10):
        return False
    kinds = [_KINDS.get(character, 4) for character in bare]
    changes = sum(one != other for one, other in pairwise(kinds)) / (len(bare) - 1)
    letters, digits = {1, 2} & set(kinds), kinds.count(3)
    if not digits:
        return len(letters) == 2 and changes >= 0.45 and _distinct(bare) >= 16
    if len(letters) == 2:
        return changes >= 0.4 and _distinct(bare) >= 16
    # One case only: in names words stand between the digits, and marks between the words.
    return 4 not in kinds and digits >= 4 and changes >= 0.25 and _distinct(bare) >= 12


def _distinct(text: str) -> int:
    return len(set(text))
