"""What one piece of JSON data has other than another, as JSON data, and putting it in.

A patch is

* ``[value]``: this value in the place of the one before;
* ``[]``: the key is gone;
* an object for an object: a patch for each key that changed, came or went;
* an object for a list: a patch for each index that changed, or ``{"<": n, ">": [...]}``: the first
  ``n`` items went and these came at the end, as in a window that slides.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["difference", "patched"]

WENT: Final = "<"
CAME: Final = ">"

Patch = list[Any] | dict[str, Any]


def difference(old: Any, new: Any) -> Patch | None:
    """The patch that makes ``new`` of ``old``; ``None`` where they are the same."""
    # 1, 1.0 and True are equal and not the same JSON; nor are two orders of keys.
    if old is new or (old == new and repr(old) == repr(new)):
        return None
    if isinstance(old, dict) and isinstance(new, dict):
        return _of_objects(old, new)
    if isinstance(old, list) and isinstance(new, list):
        return _of_lists(old, new)
    return [new]


def patched(old: Any, patch: Patch) -> Any:
    """The data that :func:`difference` was given as ``new``; ``old`` stays as it is.

    Raises:
        ValueError, TypeError, KeyError, IndexError: the patch does not fit.
    """
    if isinstance(patch, list):
        (value,) = patch
        return value
    if isinstance(old, dict):
        merged = dict(old)
        for key, change in patch.items():
            if change == []:
                del merged[key]
            else:
                merged[key] = patched(merged.get(key), change)
        return merged
    if not isinstance(old, list):
        raise TypeError("a patch of parts does not fit a plain value")
    if WENT in patch:
        return [*old[patch[WENT] :], *patch[CAME]]
    items = list(old)
    for index, change in patch.items():
        items[int(index)] = patched(items[int(index)], change)
    return items


def _of_objects(old: dict[str, Any], new: dict[str, Any]) -> Patch | None:
    kept = [key for key in old if key in new]
    came = [key for key in new if key not in old]
    if [*kept, *came] != list(new):
        return [new]  # in another order
    patch: dict[str, Any] = {key: [] for key in old if key not in new}
    for key in kept:
        change = difference(old[key], new[key])
        if change is not None:
            patch[key] = change
    patch.update((key, [new[key]]) for key in came)
    return patch or None


def _of_lists(old: list[Any], new: list[Any]) -> Patch | None:
    if len(old) != len(new):
        return _slide(old, new) or [new]
    # A full window that slides has another item in every place.
    if old and old[0] != new[0] and (slide := _slide(old, new)):
        return slide
    changes = {
        str(index): change
        for index, pair in enumerate(zip(old, new, strict=True))
        if (change := difference(*pair)) is not None
    }
    return changes or None


def _slide(old: list[Any], new: list[Any]) -> Patch | None:
    if not old or not new:
        return None
    try:
        went = old.index(new[0])
    except ValueError:
        return None
    stayed = len(old) - went
    if old[went:] != new[:stayed]:
        return None
    return {WENT: went, CAME: new[stayed:]}
