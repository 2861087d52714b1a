"""Events of several processes in one order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

__all__ = ["EventOrder"]


class _Event(Protocol):
    @property
    def sequence(self) -> int: ...

    @property
    def timestamp(self) -> datetime: ...


E = TypeVar("E", bound=_Event)


class EventOrder(Generic[E]):
    """Numbers the events of processes anew, in the order in which they are first seen.

    Args:
        keep: how many of the latest are kept.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._seen: dict[str, int] = {}
        self._sequence = 0
        self.latest: tuple[E, ...] = ()

    def take(self, by_process: Mapping[str, Sequence[E]]) -> None:
        """Take what each living process, by its name, has in its own order."""
        fresh = [
            (name, event)
            for name, events in by_process.items()
            for event in events
            if event.sequence > self._seen.get(name, 0)
        ]
        for name, event in sorted(fresh, key=lambda entry: entry[1].timestamp):
            self._sequence += 1
            self._seen[name] = event.sequence
            numbered: Any = replace(event, sequence=self._sequence)  # type: ignore[type-var]
            self.latest = (*self.latest, numbered)[-self._keep :]
        self._seen = {name: seen for name, seen in self._seen.items() if name in by_process}
