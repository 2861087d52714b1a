"""Series as text, to be kept and read again: a JSON array of the name, labels and values."""

from __future__ import annotations

import json
from collections.abc import Mapping

from metalscope.alerts.expression.catalogue import BOUND
from metalscope.alerts.expression.wanted import Wanted

__all__ = ["Keys", "key_of"]

SeriesKey = tuple[str, tuple[str, ...], tuple[str, ...]]
"""A name of series, the names of the labels, and their values."""


def key_of(name: str, labels: tuple[str, ...], values: tuple[str, ...]) -> str:
    """The key of a series."""
    parts = [part for pair in zip(labels, values, strict=True) for part in pair]
    return json.dumps([name, *parts], separators=(",", ":"))


class Keys:
    """Reads keys, those of series that are wanted; each but once."""

    def __init__(self, wanted: Mapping[str, Wanted]) -> None:
        self._wanted = wanted
        self._known: dict[str, SeriesKey | int | None] = {}

    def read(self, key: str) -> SeriesKey | int | None:
        """What a key says; ``None`` where it says nothing that is wanted.

        A number is the key of a row about the whole sampling.
        """
        if key not in self._known:
            self._known[key] = self._read(key)
        return self._known[key]

    def _read(self, key: str) -> SeriesKey | int | None:
        try:
            name, *parts = json.loads(key)
        except (ValueError, TypeError, RecursionError):
            return None
        if isinstance(name, int) and not parts:
            return name
        needs = self._wanted.get(name) if isinstance(name, str) else None
        if needs is None or len(parts) % 2 or not all(isinstance(part, str) for part in parts):
            return None
        names, values = tuple(parts[::2]), tuple(parts[1::2])
        if names[-1:] == (BOUND,) and not needs.needs_bound(values[-1]):
            return None
        return name, names, values
