"""Values as they are when a record is made: what may change afterwards is copied.

Lists, tuples, sets and mappings are copied down to :data:`MOST_DEPTH`, :data:`MOST_ITEMS` of them
in all. Exceptions and arrays become text at once, so that no record keeps the memory of a device.
Any other object is kept as it is and made text when the record is written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from typing import Any, Final

from metalscope.logs.texts import text_of

__all__ = ["PLAIN", "captured"]

PLAIN: Final = frozenset({str, int, float, bool, type(None)})
"""Types whose values never change."""

_SEQUENCES: Final = frozenset({list, tuple, set, frozenset, deque})
_NUMBERS: Final = (int, float, complex)  # numpy's float64 is one, and has a shape

MOST_DEPTH: Final = 6
MOST_ITEMS: Final = 1000


def captured(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of ``attributes`` that nobody else can change."""
    left = [MOST_ITEMS]
    return {
        name: value if type(value) in PLAIN else _copied(value, left, MOST_DEPTH)
        for name, value in attributes.items()
    }


def _copied(value: Any, left: list[int], depth: int) -> Any:
    kind = type(value)
    if kind in PLAIN:
        return value
    try:
        if isinstance(value, Mapping):
            return _mapping(value, left, depth)
        if kind in _SEQUENCES:
            return _sequence(value, left, depth)
        return _thing(value)
    except Exception as error:  # noqa: BLE001 - law: an odd object must not harm the program
        return f"<{kind.__name__}, which raises {type(error).__name__}>"


def _mapping(value: Mapping[Any, Any], left: list[int], depth: int) -> Any:
    copy: dict[Any, Any] = {}
    for name, one in list(value.items()):
        if left[0] <= 0 or depth == 0:
            copy["…"] = f"{len(value) - len(copy)} more"
            break
        left[0] -= 1
        copy[name] = _copied(one, left, depth - 1)
    return copy


def _sequence(value: Collection[Any], left: list[int], depth: int) -> Any:
    items: list[Any] = []
    for one in list(value):
        if left[0] <= 0 or depth == 0:
            items.append(f"… {len(value) - len(items)} more")
            break
        left[0] -= 1
        items.append(_copied(one, left, depth - 1))
    return items


def _thing(value: Any) -> Any:
    kind = type(value)
    if isinstance(value, BaseException):
        said = text_of(value)
        return f"{kind.__name__}: {said}" if said else kind.__name__
    if isinstance(value, bytearray | memoryview):
        return f"<{kind.__name__} of {len(value)}>"
    if hasattr(kind, "shape") and hasattr(kind, "dtype") and not isinstance(value, _NUMBERS):
        return f"<{kind.__module__}.{kind.__qualname__} {value.shape} {value.dtype}>"
    return value
