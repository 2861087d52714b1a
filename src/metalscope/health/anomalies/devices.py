"""What the sensors say of each GPU over one bin, and the throttling of each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from metalscope.health.anomalies.episode import Now
from metalscope.health.anomalies.signals import Signal, SignalKind
from metalscope.health.anomalies.throttling import Bin, Throttled, Throttling

__all__ = ["Devices"]

MAX_DEVICES: Final = 16


class Devices:
    """The GPUs that sensors tell of; heat and power that belong to none are held to be of each."""

    def __init__(self) -> None:
        self._throttling: dict[str, Throttling] = {}
        self._readings: dict[str, dict[SignalKind, list[float]]] = {}

    def __bool__(self) -> bool:
        return bool(self._readings or self._throttling)

    def add(self, signal: Signal) -> None:
        """Take what one sensor read at one tick."""
        if signal.kind is SignalKind.POWER and not signal.subject.startswith("gpu"):
            return
        device = signal.detail
        if device not in self._readings and len(self._readings) > MAX_DEVICES:
            return
        kinds = self._readings.setdefault(device, {})
        kinds.setdefault(signal.kind, []).append(signal.value)

    def close(self, now: Now, seconds: float, *, slower: float, ran: bool) -> None:
        """End a bin; ``slower`` is how many times their usual time half of the operations take."""
        common = self._readings.get("", {})
        names = [name for name in self._readings if name] or [""] * bool(common)
        for name in names[:MAX_DEVICES]:
            if name not in self._throttling and len(self._throttling) < MAX_DEVICES:
                self._throttling[name] = Throttling(name)
            if name in self._throttling:
                own = self._readings.get(name, {})
                seen = _bin({**common, **own}, slower=slower, ran=ran)
                self._throttling[name].close(now, seconds, seen)
        self._readings = {}

    def explains(self, ratio: float) -> bool:
        """Whether a slowed GPU is why an operation takes ``ratio`` times its usual time."""
        return any(one.explains(ratio) for one in self._throttling.values())

    def found(self) -> Iterable[tuple[str, Throttled]]:
        """Every GPU that is slowed now."""
        for name, one in self._throttling.items():
            found = one.found()
            if found is not None:
                yield name, found


def _bin(kinds: dict[SignalKind, list[float]], *, slower: float, ran: bool) -> Bin:
    saving = _highest(kinds, SignalKind.LOW_POWER_MODE)
    return Bin(
        busy=_highest(kinds, SignalKind.UTILIZATION),
        hertz=_mean(kinds, SignalKind.FREQUENCY),
        celsius=_highest(kinds, SignalKind.TEMPERATURE),
        watts=_mean(kinds, SignalKind.POWER),
        thermal_state=_highest(kinds, SignalKind.THERMAL_STATE),
        low_power=None if saving is None else saving > 0,
        slower=slower,
        ran=ran,
    )


def _highest(kinds: dict[SignalKind, list[float]], kind: SignalKind) -> float | None:
    return max(kinds.get(kind, ()), default=None)


def _mean(kinds: dict[SignalKind, list[float]], kind: SignalKind) -> float | None:
    values = kinds.get(kind)
    return sum(values) / len(values) if values else None
