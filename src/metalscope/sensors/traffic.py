"""Memory traffic: which of IOReport's groups tells it here, and what it says.

Apple has moved it about. In order of preference:

- “AMC Stats”, subgroup “Perf Counters”: ``DCS RD`` and ``DCS WR`` count the bytes all of the chip
  read and wrote (M1 to M4, up to macOS 26). Later the system lists the group and refuses the
  subscription, or grants one that never has a value
  (github.com/kennss/SiliconScope issues 14, 30, 46).
- “PMP” (“PMP0”, “PMP1”, … since the M5), subgroup “DCS BW”: histograms of the time at each rate.
  ``AMCC`` is the memory controller, and so the total. Beside it are the chip's agents, which add
  up to it and end at 32 GB/s each; they are left alone.
- “PMP”, subgroup “DRAM BW”: bytes by clock of the memory (A18).

Each source is subscribed to by itself, so that one that is refused takes nothing with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from metalscope.readings import ResourceKind, ResourceMetrics
from metalscope.sensors.base import SensorUnavailableError
from metalscope.sensors.figures import byte_scale, mean_traffic
from metalscope.sensors.native.ioreport import Channel, Counter, IOReport, Subscription
from metalscope.sensors.windows import RateWindow, StateWindow

__all__ = ["Traffic"]


@dataclass(frozen=True, slots=True)
class _Source:
    groups: tuple[str, ...]
    subgroup: str
    names: re.Pattern[str]

    def wants(self, channel: Channel) -> bool:
        return channel.subgroup == self.subgroup and bool(self.names.fullmatch(channel.name))


_SOURCES: Final = (
    _Source(("AMC Stats",), "Perf Counters", re.compile(r"(?:DIE_?\d+[_ ])?DCS (?:RD|WR)")),
    _Source(("PMP",), "DCS BW", re.compile(r"AMCC\d* (?:RD|WR|RD\+WR)")),
    _Source(
        tuple(f"PMP{die}" for die in range(4)), "DCS BW", re.compile(r"AMCC\d* (?:RD|WR|RD\+WR)")
    ),
    _Source(("PMP",), "DRAM BW", re.compile(r"F\d+ (?:RD|WR)")),
)
_DIRECTIONS: Final = {"RD": "read", "WR": "write", "RD+WR": "total"}
_PATIENCE: Final = 3
"""Readings without a value, or of no traffic at all, which a running machine never has, after
which a granted subscription is held to be an empty one."""


class Traffic:
    """Bytes per second between memory and the chip.

    Args:
        library: IOReport.
        ticks_per_second: of the drivers' stamps; ``None`` if not known.
        peak: what the chip can do at most, in bytes per second; ``None`` if not known.
    """

    def __init__(
        self, library: IOReport, ticks_per_second: float | None, peak: float | None
    ) -> None:
        self._library = library
        self._ticks = ticks_per_second
        self._peak = peak
        self._untried = list(_SOURCES)
        self._subscription: Subscription | None = None
        self._silent = 0
        self._rates: dict[Channel, RateWindow] = {}
        self._states: dict[Channel, StateWindow] = {}
        self.why_not = "the system has published none while it was tried"
        self._open_next()

    @property
    def works(self) -> bool:
        """Whether there is a source to read."""
        return self._subscription is not None

    def read(self, now: float) -> Iterator[ResourceMetrics]:
        """Yield ``read``, ``write`` and ``total``, those of them the source tells."""
        if self._subscription is None:
            return
        counters = self._subscription.read()
        found = self._directions(counters, now)
        if not _tells(counters) or (found and not any(found.values())):
            self._silent += 1
            if self._silent >= _PATIENCE:
                self.why_not = "the system grants a subscription and publishes nothing in it"
                self._open_next()
            return
        self._silent = 0
        if "total" not in found and {"read", "write"} <= found.keys():
            found["total"] = found["read"] + found["write"]
        for name, current in sorted(found.items()):
            yield ResourceMetrics(
                ResourceKind.BANDWIDTH,
                name,
                "",
                current=current,
                limit=self._peak if name == "total" else None,
            )

    def close(self) -> None:
        """Give the subscription back."""
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None

    def _open_next(self) -> None:
        self.close()
        self._rates, self._states, self._silent = {}, {}, 0
        refused = self.why_not
        while self._untried:
            source = self._untried.pop(0)
            groups = [(group, source.subgroup) for group in source.groups]
            try:
                self._subscription = self._library.subscribe(groups, source.wants)
            except SensorUnavailableError as error:
                refused = error.why
            else:
                return
        self.why_not = refused

    def _directions(self, counters: Iterable[Counter], now: float) -> dict[str, float]:
        """Bytes per second by direction; one of which a channel has no answer is left out."""
        found: dict[str, float] = {}
        unknown: set[str] = set()
        for counter in counters:
            direction = _DIRECTIONS[counter.channel.name.rsplit(" ", 1)[-1]]
            current = self._bytes_per_second(counter, now)
            if current is None:
                unknown.add(direction)
            else:
                found[direction] = found.get(direction, 0.0) + current
        return {name: value for name, value in found.items() if name not in unknown}

    def _bytes_per_second(self, counter: Counter, now: float) -> float | None:
        channel = counter.channel
        if counter.states:
            states = self._states.setdefault(channel, StateWindow()).update(counter.states, now)
            return None if states is None else mean_traffic(states)
        window = self._rates.setdefault(channel, RateWindow(self._ticks))
        window.update(counter.value, counter.stamp, now)
        growth, scale = window.rate(now), byte_scale(channel.unit)
        return None if growth is None or scale is None else growth * scale


def _tells(counters: Iterable[Counter]) -> bool:
    """Whether any counter has a value, or time in any state."""
    return any(one.value is not None or any(t for _, t in one.states) for one in counters)
