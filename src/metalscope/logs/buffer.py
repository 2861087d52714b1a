"""The bounded buffer between who logs and who writes; nobody waits in it."""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import Any, Final

from metalscope.logs.record import Severity

__all__ = ["AT_NS", "SEVERITY", "Entry", "RecordBuffer"]

Entry = tuple[Any, ...]
"""A record in the making, as :mod:`metalscope.logs.making` reads it; no class of its own, as a
tuple is made several times faster."""

SEVERITY: Final = 0
"""The place of the severity in an entry."""
AT_NS: Final = 1


class RecordBuffer:
    """Entries in order, ``size`` of them at most.

    Appending to :attr:`entries` is one call into C, safe on any thread, in a signal handler and
    in a finalizer; whoever finds more there than belongs calls :meth:`trim`. Two threads may both
    have appended before one of them trims, so for a moment there is one more a thread.

    Args:
        size: most entries.
        drop_newest: whether the newest go where there are too many, not the oldest.
    """

    def __init__(self, size: int, *, drop_newest: bool) -> None:
        self.size = size
        self.entries: Final[deque[Entry]] = deque()
        self._let_go = self.entries.pop if drop_newest else self.entries.popleft
        self.start_at_zero()

    def start_at_zero(self) -> None:
        """Be empty, and forget all counts."""
        # Reentrant, as a finalizer or a signal handler may log while this thread is in here.
        self._lock = threading.RLock()
        self.entries.clear()
        # With all keys from the start, so that a reader never meets one that grows.
        self._dropped = Counter(dict.fromkeys(Severity, 0))
        self._taken = self._dropped.copy()
        self._told = self._dropped.copy()

    def trim(self, size: int | None = None) -> None:
        """Let go of what is too many, and count it."""
        most = self.size if size is None else size
        gone: list[Entry] = []  # freed after the lock: a finalizer may do anything
        with self._lock:
            while len(self.entries) > most:
                try:
                    entry = self._let_go()
                except IndexError:  # taken meanwhile
                    break
                self._dropped[entry[SEVERITY]] += 1
                gone.append(entry)

    def take(self) -> list[Entry]:
        """All that is in it now, oldest first. Called by one thread at a time."""
        taken: list[Entry] = []
        for _ in range(len(self.entries)):
            try:
                taken.append(self.entries.popleft())
            except IndexError:  # let go meanwhile
                break
        self._taken.update([entry[SEVERITY] for entry in taken])
        return taken

    @property
    def dropped(self) -> int:
        """How many were let go."""
        return self._dropped.total()

    def counts(self) -> Counter[Severity]:
        """How many were appended, by severity: those taken, those let go, and those in it."""
        with self._lock:
            # Those in it last, so that what is taken meanwhile is missed, not counted twice: what
            # was told once never gets less.
            made = self._taken + self._dropped
            made.update([entry[SEVERITY] for entry in self.entries.copy()])
            self._told |= made
            return self._told.copy()
