"""How hot the GPU, the CPU's cores and the rest of the chip are, from two sources.

The chips of 2020 (M1) name their sensors by part to the event system of human interface devices;
later ones call them ``PMU tdie1`` and the like there, which says nothing of the part, and name the
GPU in the keys of the SMC. The names are those that open programs have found:

* ``GPU MTR …``, ``pACC MTR …`` and ``eACC MTR …`` (performance and efficiency cores),
  ``SOC MTR …``: github.com/exelban/stats ``Modules/Sensors/values.swift``; the GPU's and the cores'
  also github.com/vladkens/macmon ``metrics.rs`` and Chromium ``m1_sensors_mac.mm``.
* ``Tg…``, of type ``flt ``: the same ``values.swift``, and the dumps of 25 Macs from M1 to M5 in
  github.com/dkorunic/iSMC ``internal/reports``.

The CPU is not read by the SMC. For a core that is off, some firmware says 40 °C to the bit (in two
of these dumps), which cannot be told from a reading; and ``TCMb``, called the mean over the CPU's
die by some, is the hottest of the GPU's keys in three of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from metalscope.readings import ResourceKind, ResourceMetrics
from metalscope.sensors.native.hid import HidTemperatures
from metalscope.sensors.native.smc import Smc

__all__ = ["PARTS", "Part", "Temperatures"]

_HOTTEST: Final = 150.0
"""Degrees Celsius past which a sensor is not believed, as github.com/vladkens/macmon does."""

_COLDEST_BY_SMC: Final = 15.0
"""Degrees Celsius below which the SMC means that the part is off: it says a number up to 8.4 then
(github.com/oshi/oshi pull request 3531). No ``Tg…`` key of the 25 dumps is between 0 and 19."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the chip: what it is called, here and by the sensors that are in it."""

    name: str
    title: str
    device: str
    hid: tuple[str, ...]
    smc: str = ""
    """What the SMC's keys begin with; empty where it has none that are clearly this part's."""


PARTS: Final = (
    Part("gpu", "GPU temperature", "gpu:0", ("GPU MTR Temp Sensor",), smc="Tg"),
    Part("cpu", "CPU temperature", "", ("pACC MTR Temp Sensor", "eACC MTR Temp Sensor")),
    Part("soc", "SoC temperature", "", ("SOC MTR Temp Sensor", "PMGR SOC Die Temp Sensor")),
)

_HID_PREFIXES: Final = tuple(prefix for part in PARTS for prefix in part.hid)


class _Source(Enum):
    HID = "hid"
    SMC = "smc"


class Temperatures:
    """The mean over a part's sensors, from the first source that has one, and then from that only.

    Two sources are two sets of sensors in different places of the part: a series that changed from
    one to the other would jump where no heat did.

    Args:
        hid: the event system's sensors, where there are any.
        smc: the SMC of a chip of Apple's, where there is one.
        sources: of each part, as settled by another.
    """

    def __init__(
        self,
        hid: HidTemperatures | None,
        smc: Smc | None,
        sources: dict[str, tuple[_Source, ...]] | None = None,
    ) -> None:
        self._hid = hid
        self._smc = smc
        self._smc_keys: dict[str, tuple[str, ...]] = {}
        there = tuple(
            source for source, one in ((_Source.HID, hid), (_Source.SMC, smc)) if one is not None
        )
        self._sources = (
            dict.fromkeys((part.name for part in PARTS), there) if sources is None else sources
        )

    def in_child(self, smc: Smc | None) -> Temperatures:
        """The same for a forked child, which has a connection of its own to the SMC only."""
        left = () if smc is None else (_Source.SMC,)
        sources: dict[str, tuple[_Source, ...]] = {
            name: () if before == (_Source.HID,) else left for name, before in self._sources.items()
        }
        return Temperatures(None, smc, sources)

    def read(self) -> Iterator[ResourceMetrics]:
        """Yield degrees Celsius of each part that a source knows.

        Raises:
            SensorUnavailableError: the SMC has stopped answering.
        """
        listed: tuple[tuple[str, float | None], ...] | None = None
        for part in PARTS:
            for source in self._sources[part.name]:
                if source is _Source.HID:
                    if listed is None:
                        listed = self._listed()
                    values = self._by_hid(part, listed)
                else:
                    values = self._by_smc(part)
                if values:
                    self._sources[part.name] = (source,)
                    yield ResourceMetrics(
                        ResourceKind.TEMPERATURE,
                        part.name,
                        part.device,
                        current=sum(values) / len(values),
                    )
                    break

    def _listed(self) -> tuple[tuple[str, float | None], ...]:
        return () if self._hid is None else tuple(self._hid.read(_HID_PREFIXES))

    def _by_hid(self, part: Part, listed: tuple[tuple[str, float | None], ...]) -> list[float]:
        found = [celsius for name, celsius in listed if name.startswith(part.hid)]
        if not found:
            # Sensors do not come later, and to list them is to ask each for its name.
            left = (one for one in self._sources[part.name] if one is not _Source.HID)
            self._sources[part.name] = tuple(left)
        return _believed(found, lambda celsius: 0 < celsius <= _HOTTEST)

    def _by_smc(self, part: Part) -> list[float]:
        if self._smc is None or not part.smc:
            return []
        if part.name not in self._smc_keys:
            self._smc_keys[part.name] = self._smc.keys(part.smc)
        found = [self._smc.number(key) for key in self._smc_keys[part.name]]
        return _believed(found, lambda celsius: _COLDEST_BY_SMC <= celsius <= _HOTTEST)


def _believed(found: list[float | None], believes: Callable[[float], bool]) -> list[float]:
    return [celsius for celsius in found if celsius is not None and believes(celsius)]
