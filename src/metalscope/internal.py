"""What goes wrong inside metalscope: counted always, logged at a bounded rate, never raised."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from time import monotonic
from typing import Final

from metalscope.fork import reset_in_child

__all__ = ["InternalErrors"]

LOG_INTERVAL_SECONDS: Final = 60.0
"""The same kind of failure in the same room is logged once in this time."""

logger = logging.getLogger("metalscope")


class InternalErrors:
    """Counts failures by room."""

    def __init__(self) -> None:
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Forget every count."""
        self._lock = threading.RLock()
        self._counts: Counter[str] = Counter()
        self._logged: dict[tuple[str, str], float] = {}

    def report(self, room: str, error: BaseException) -> None:
        """Count one failure; log it unless its like was logged within the last minute."""
        key = (room, type(error).__name__)
        now = monotonic()
        with self._lock:
            self._counts[room] += 1
            due = now - self._logged.get(key, -LOG_INTERVAL_SECONDS) >= LOG_INTERVAL_SECONDS
            if due:
                self._logged[key] = now
        if due:
            logger.warning("%s: %s: %s", room, key[1], error, exc_info=error)

    def counts(self) -> dict[str, int]:
        """Failures so far by room."""
        with self._lock:
            return dict(self._counts)
