"""How often alerts fired lately, so that one that comes and goes is told from one that is new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metalscope.json_values import read_whole

__all__ = ["Flapping"]


class Flapping:
    """Remembers when each fingerprint fired, as far as the window goes.

    Times are microseconds of the engine's clock, with leaps in full: what fired before the night
    did not fire lately. Of one fingerprint no more than ``threshold``
    times are kept, and of fingerprints no more than ``most``: those that fired longest ago go.
    """

    def __init__(self, *, threshold: int, window: int, most: int) -> None:
        self._threshold = threshold
        self._window = window
        self._most = most
        self._fired: dict[str, tuple[int, ...]] = {}

    @property
    def quiet(self) -> int:
        """How long one that flaps must be quiet to be over: half the window."""
        return self._window // 2

    def fires(self, fingerprint: str, now: int) -> bool:
        """Take down that it fires now; whether it flaps."""
        times = (*self._fired.pop(fingerprint, ()), now)[-self._threshold :]
        # At the end, so that those that fired longest ago are first.
        self._fired[fingerprint] = times
        while len(self._fired) > self._most:
            del self._fired[next(iter(self._fired))]
        return len(times) == self._threshold and now - times[0] <= self._window

    def forget(self, now: int) -> None:
        """Let go of fingerprints that did not fire within the window."""
        while self._fired:
            fingerprint, times = next(iter(self._fired.items()))
            if now - times[-1] <= self._window:
                return
            del self._fired[fingerprint]

    def __len__(self) -> int:
        return len(self._fired)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data."""
        return {fingerprint: list(times) for fingerprint, times in self._fired.items()}

    def restore(self, data: Mapping[str, Any]) -> None:
        """Go on from what :meth:`to_dict` gave.

        Raises:
            TypeError, AttributeError: it is no such data.
        """
        read = {key: tuple(map(read_whole, times)) for key, times in data.items() if times}
        # JSON objects of other writers may be in any order.
        latest = sorted(read.items(), key=lambda item: item[1][-1])[-self._most :]
        self._fired = {key: times[-self._threshold :] for key, times in latest}
