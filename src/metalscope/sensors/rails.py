"""Energy and power by rail, from the channels of IOReport's group “Energy Model”.

The names are matched whole: the group has hundreds of channels, and a part of a name adds up
hundreds of watts (github.com/lablup/all-smi pull request 412). They differ by chip:

============  =========================================================================
rail          channels
============  =========================================================================
``gpu``       ``GPU Energy``; where there is none, ``GPU0`` (M1 Max), ``GPU0_0`` (Ultra)
``gpu_sram``  ``GPU SRAM``, ``GPU SRAM0``, ``GPU SRAM0_0``
``cpu``       ``CPU Energy``; on an Ultra ``DIE_0_CPU Energy`` and ``DIE_1_CPU Energy``
``ane``       ``ANE``, ``ANE0``; on an Ultra ``ANE0_0`` and ``ANE0_1``
``dram``      ``DRAM``, ``DRAM0``; on an Ultra ``DRAM0_0`` and ``DRAM0_1``
============  =========================================================================

Since macOS 27 a name may have a die in front, ``DIE0 CPU Energy``. Apple calls the figures
estimates: drivers compute them from load, clock and voltage (``man powermetrics``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from metalscope.readings import ResourceKind, ResourceMetrics
from metalscope.sensors.figures import joule_scale
from metalscope.sensors.native.ioreport import Channel, Counter
from metalscope.sensors.windows import RateWindow

__all__ = ["ENERGY_GROUP", "RAILS", "Rails", "is_energy"]

ENERGY_GROUP: Final = "Energy Model"

RAILS: Final = ("gpu", "gpu_sram", "cpu", "ane", "dram")

_DIE: Final = r"(?:DIE_?\d+[_ ])?"
_NAMES: Final = {
    "gpu": re.compile(_DIE + r"GPU Energy"),
    "gpu_sram": re.compile(_DIE + r"GPU SRAM(?:\d+(?:_\d+)?)?"),
    "cpu": re.compile(_DIE + r"CPU Energy"),
    "ane": re.compile(_DIE + r"ANE(?:\d+(?:_\d+)?)?"),
    "dram": re.compile(_DIE + r"DRAM(?:\d+(?:_\d+)?)?"),
}
_GPU_WITHOUT_SUM: Final = re.compile(_DIE + r"GPU\d+(?:_\d+)?")
_GPU_DEVICE: Final = "gpu:0"


def is_energy(channel: Channel) -> bool:
    """Whether a rail is made of this channel, or may be."""
    if channel.group != ENERGY_GROUP or joule_scale(channel.unit) is None:
        return False
    names = (*_NAMES.values(), _GPU_WITHOUT_SUM)
    return any(pattern.fullmatch(channel.name) for pattern in names)


@dataclass(slots=True)
class _Rail:
    joules: float = 0.0
    known: bool = False
    windows: dict[Channel, RateWindow] = field(default_factory=dict)


class Rails:
    """What each rail draws, and has used since the first update.

    Args:
        ticks_per_second: of the drivers' stamps; ``None`` if not known.
    """

    def __init__(self, ticks_per_second: float | None) -> None:
        self._ticks = ticks_per_second
        self._rails: dict[str, _Rail] = {}

    def update(self, counters: Iterable[Counter], now: float) -> None:
        """Take what the counters say ``now`` (monotonic seconds)."""
        for rail, members in _by_rail(counters).items():
            state = self._rails.setdefault(rail, _Rail())
            for channel in state.windows.keys() - members.keys():
                del state.windows[channel]
            for channel, counter in members.items():
                window = state.windows.setdefault(channel, RateWindow(self._ticks))
                grown = window.update(counter.value, counter.stamp, now)
                state.joules += grown * (joule_scale(channel.unit) or 0.0)

    def readings(self, now: float) -> Iterator[ResourceMetrics]:
        """Yield watts and joules; nothing of a rail that has not been published twice."""
        for name in RAILS:
            state = self._rails.get(name)
            if state is None:
                continue
            device = _GPU_DEVICE if name.startswith("gpu") else ""
            watts = _watts(state, now)
            if watts is not None:
                state.known = True
                yield ResourceMetrics(ResourceKind.POWER, name, device, current=watts)
            if state.known:
                yield ResourceMetrics(ResourceKind.ENERGY, name, device, current=state.joules)


def _by_rail(counters: Iterable[Counter]) -> Mapping[str, dict[Channel, Counter]]:
    found: dict[str, dict[Channel, Counter]] = {}
    without_sum: dict[Channel, Counter] = {}
    for counter in counters:
        channel = counter.channel
        if not is_energy(channel):
            continue
        rail = next((r for r, names in _NAMES.items() if names.fullmatch(channel.name)), None)
        if rail is None:
            without_sum[channel] = counter
        else:
            found.setdefault(rail, {})[channel] = counter
    if without_sum:
        found.setdefault("gpu", without_sum)
    return found


def _watts(rail: _Rail, now: float) -> float | None:
    """The sum over a rail's channels; ``None`` while one of them has no answer."""
    total = 0.0
    for channel, window in rail.windows.items():
        growth, scale = window.rate(now), joule_scale(channel.unit)
        if growth is None or scale is None:
            return None
        total += growth * scale
    return total if rail.windows else None
