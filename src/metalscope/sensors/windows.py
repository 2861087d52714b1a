"""From counters since boot to what happened between two publications of theirs.

Drivers publish energy in batches, about two seconds apart (measured on an M1 Ultra and an M5 Max,
github.com/lablup/all-smi pull requests 412 and 424): dividing what came in by the time since the
last reading would give nothing in one second and double in the next. So a window here is from one
publication to the next, by the driver's own stamps, and between two of them the last answer holds.
A counter that is not published any more (github.com/vladkens/macmon issue 76) has no answer.
"""

from __future__ import annotations

from typing import Final

from metalscope.sensors.figures import States, rate

__all__ = ["HOLD_SECONDS", "RateWindow", "StateWindow"]

HOLD_SECONDS: Final = 10.0
"""How long an answer stands without a new publication."""

_SPLIT_SECONDS: Final = 0.05
"""A shorter span is the tail of a batch that came in two parts, and joins the next one."""


class RateWindow:
    """How fast one counter grows, and by how much it has grown.

    Args:
        ticks_per_second: of the driver's stamps; ``None`` to go by the time of reading instead.
    """

    __slots__ = ("_at", "_base", "_known_at", "_last", "_rate", "_stamp", "_ticks")

    def __init__(self, ticks_per_second: float | None) -> None:
        self._ticks = ticks_per_second
        self._last: int | None = None
        self._base = 0
        self._stamp: int | None = None
        self._at = 0.0
        self._rate: float | None = None
        self._known_at = float("-inf")

    def update(self, value: int | None, stamp: int | None, now: float) -> int:
        """Take what the counter says ``now`` (monotonic seconds); return by how much it grew.

        0 for the first value, after a gap, and where the counter was reset.
        """
        last, self._last = self._last, value
        if value is None or last is None or value < last:
            self._rate = None
            self._start(value or 0, stamp, now)
            return 0
        self._advance(value, stamp, now, grew=value > last)
        return value - last

    def rate(self, now: float) -> float | None:
        """Growth per second over the last whole window; ``None`` if none is known ``now``."""
        return self._rate if now - self._known_at <= HOLD_SECONDS else None

    def _advance(self, value: int, stamp: int | None, now: float, *, grew: bool) -> None:
        if self._ticks and self._stamp is not None:
            if stamp is not None and stamp > self._stamp:
                span = (stamp - self._stamp) / self._ticks
                if span < _SPLIT_SECONDS:
                    return
                self._close(value, stamp, now, span)
                return
            if stamp == self._stamp and not grew:
                return
            self._ticks = None  # the stamps stand still or go back while the value moves
        self._close(value, stamp, now, now - self._at)

    def _close(self, value: int, stamp: int | None, now: float, span: float) -> None:
        found = rate(value - self._base, span)
        if found is not None:
            self._rate, self._known_at = found, now
            self._start(value, stamp, now)

    def _start(self, value: int, stamp: int | None, now: float) -> None:
        self._base, self._stamp, self._at = value, stamp, now


class StateWindow:
    """The time one channel spent in each of its states since it was last published."""

    __slots__ = ("_base", "_found", "_found_at")

    def __init__(self) -> None:
        self._base: States = ()
        self._found: States | None = None
        self._found_at = float("-inf")

    def update(self, states: States, now: float) -> States | None:
        """Take what the channel says ``now``; return ticks by state, or ``None`` without a window.

        A channel that was reset, or that has other states than before, starts again.
        """
        base = self._base
        if [name for name, _ in states] != [name for name, _ in base]:
            self._restart(states)
            return None
        spent = [
            (name, ticks - before) for (name, ticks), (_, before) in zip(states, base, strict=True)
        ]
        if any(ticks < 0 for _, ticks in spent):
            self._restart(states)
            return None
        if any(ticks for _, ticks in spent):
            self._base, self._found, self._found_at = states, spent, now
        return self._found if now - self._found_at <= HOLD_SECONDS else None

    def _restart(self, states: States) -> None:
        self._base, self._found = states, None
