"""How many messages a minute: a bucket of tokens."""

from __future__ import annotations

__all__ = ["TokenBucket"]

_MINUTE = 60.0


class TokenBucket:
    """Holds ``per_minute`` tokens at most, and gets so many a minute, evenly.

    After a quiet minute so many messages may go at once, and then one each time a token has come.
    Times are those of a monotonic clock, in s.
    """

    def __init__(self, per_minute: int) -> None:
        self._most = float(per_minute)
        self._tokens = float(per_minute)
        self._as_of: float | None = None

    def wait(self, now: float) -> float:
        """Seconds until there is a token; 0 where there is one."""
        self._fill(now)
        if self._tokens >= 1:
            return 0.0
        return (1 - self._tokens) * _MINUTE / self._most

    def take(self, now: float) -> None:
        """Use up one."""
        self._fill(now)
        self._tokens = max(0.0, self._tokens - 1)

    def _fill(self, now: float) -> None:
        if self._as_of is not None:
            come = (now - self._as_of) * self._most / _MINUTE
            # What rounding takes away would make a wait that was waited for too short.
            self._tokens = min(self._most, round(self._tokens + come, 9))
        self._as_of = now
