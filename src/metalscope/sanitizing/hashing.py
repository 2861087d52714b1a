"""What is put in the place of what was taken out: a mark, or the mark with a keyed hash."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Final

__all__ = ["MASK", "Put", "hashed", "is_mask", "redacted"]

MASK: Final = "…"

Put = Callable[[str], str]
"""Gives what is put in the place of a text; what is such a mark already stays as it is."""

_HASH_CHARACTERS: Final = 12
"""48 bits: equal hashes of different values are not met within one log."""

_MARK: Final = re.compile(rf"{MASK}(?:[0-9a-f]{{{_HASH_CHARACTERS}}})?")


def is_mask(text: str) -> bool:
    """Whether this is what :func:`redacted` or :func:`hashed` puts in place of something."""
    return _MARK.fullmatch(text) is not None


def redacted(found: str) -> str:
    """:data:`MASK`, whatever was found."""
    return found if is_mask(found) else MASK


def hashed(key: bytes) -> Put:
    """The mark with the first 12 hexadecimal digits of HMAC-SHA256 (RFC 2104) of what was found."""

    def put(found: str) -> str:
        if is_mask(found):
            return found
        digest = hmac.new(key, found.encode("utf-8", "surrogatepass"), hashlib.sha256)
        return MASK + digest.hexdigest()[:_HASH_CHARACTERS]

    return put
