"""What a launch has to know of WGSL source: its compute entries and their workgroup sizes."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["entry_points"]

_COMMENT: Final = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_ATTRIBUTE: Final = r"@\s*\w+(?:\s*\([^()]*\))?"
_FUNCTION: Final = re.compile(rf"((?:{_ATTRIBUTE}\s*)+)fn\s+(\w+)")
_WORKGROUP_SIZE: Final = re.compile(r"@\s*workgroup_size\s*\(([^()]*)\)")
_NUMBER: Final = re.compile(r"\s*(\d+)[iu]?\s*")

GroupSize = tuple[int, int, int]


def entry_points(source: str) -> dict[str, GroupSize | None]:
    """Return the compute entries; ``None`` where the size is a constant, not a plain number."""
    plain = _COMMENT.sub(" ", source)
    return {
        name: _group_size(attributes)
        for attributes, name in _FUNCTION.findall(plain)
        if re.search(r"@\s*compute\b", attributes)
    }


def _group_size(attributes: str) -> GroupSize | None:
    written = _WORKGROUP_SIZE.search(attributes)
    if written is None:
        return None
    numbers = [_NUMBER.fullmatch(part) for part in written[1].split(",") if part.strip()]
    sizes = [int(number[1]) for number in numbers if number is not None]
    if len(sizes) != len(numbers):
        return None
    x, y, z = (*sizes, 1, 1)[:3]
    return x, y, z
