"""Text that leaves the host without what may point to a person, a machine or an account."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["MASK", "sanitized"]

MASK: Final = "…"

_PATTERNS: Final = (
    # The path below a home stays: it says which file, not whose.
    (re.compile(r"(/Users/|/home/|[A-Za-z]:\\Users\\)[^/\\\s:]+"), rf"\1{MASK}"),
    (re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+"), MASK),
    (re.compile(r"(?<![\w.])(\d{1,3}\.){3}\d{1,3}(?![\w.])"), MASK),
    (re.compile(r"(?i)(?<![\w:])([0-9a-f]{1,4}:){3,7}:?[0-9a-f]{1,4}(?![\w:])"), MASK),
    # Credentials by the words before them, then by their look: JSON web tokens, hexadecimal digits
    # in number, and the beginnings that platforms give their keys so that they can be found.
    (
        re.compile(r"(?i)\b(key|token|secret|password|passwd|pwd|authorization)(\s*[=:]\s*)\S+"),
        rf"\1\2{MASK}",
    ),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), MASK),
    (re.compile(r"(?i)\b[0-9a-f]{32,}\b"), MASK),
    (re.compile(r"\b(AKIA|ASIA|gh[opsu]_|glc_|glsa_|hf_|sk-|xox[abp]-)[\w-]{12,}"), MASK),
)


def sanitized(text: str) -> str:
    """``text`` with :data:`MASK` in place of what may be private.

    Found by its look: the user in a home directory, e-mail and IP addresses, ``password=…`` and
    its like, JSON web tokens, 32 and more hexadecimal digits, and keys with a known beginning.
    What looks like nothing of this stays.
    """
    for pattern, mask in _PATTERNS:
        text = pattern.sub(mask, text)
    return text
