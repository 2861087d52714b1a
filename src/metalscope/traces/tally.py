"""Tally: a count that any thread adds to."""

from __future__ import annotations

import threading
from typing import Final

__all__ = ["Tally"]

_PENDING: Final = 255


class Tally:
    """Counts exactly under threads, with and without a global lock, and cheaper than a lock does:
    an append to a list is atomic in both. They are added up a few hundred at a time."""

    __slots__ = ("_added", "_lock", "_pending")

    def __init__(self) -> None:
        self._pending: list[None] = []
        self._added = 0
        # Re-entrant: a signal handler may count while its thread adds up.
        self._lock = threading.RLock()

    def add(self) -> None:
        """Count one more."""
        pending = self._pending
        pending.append(None)
        if len(pending) > _PENDING:
            self.total()

    def total(self) -> int:
        """How many there were."""
        with self._lock:
            pending, added = self._pending, self._added
            count = len(pending)
            # A signal handler may have added up meanwhile. From here on none can: CPython runs
            # handlers at calls and backward jumps only, and there are none.
            if self._added == added:
                del pending[:count]
                self._added = added + count
            return self._added
