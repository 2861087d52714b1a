"""Thermal state, temperatures, fans, low-power mode of a Mac.

In a forked child the SMC is opened anew, and the rest is left alone: Objective-C ends a process
that first uses a class after ``fork`` ("may have been in progress in another thread when fork() was
called", as github.com/minrk/appnope issue 4 has it), and nobody promises that what the system tells
Foundation of the thermal state still reaches the child. The parent has these figures of the host.
"""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from metalscope.readings import ResourceKind, ResourceMetrics, ThermalState
from metalscope.sensors.base import Offer, SensorUnavailableError
from metalscope.sensors.native.corefoundation import CoreFoundation
from metalscope.sensors.native.foundation import ProcessInfo
from metalscope.sensors.native.hid import HidTemperatures
from metalscope.sensors.native.iokit import IOKit
from metalscope.sensors.native.smc import Smc
from metalscope.sensors.native.system import System
from metalscope.sensors.temperatures import PARTS, Temperatures

__all__ = ["ThermalSensor", "open_sensor"]

_MOST_FANS: Final = 10
"""A fan's keys have one digit for it."""

_IN_CHILD: Final = "this is a forked child, in which Apple's frameworks do not work"
_NOT_TOLD: Final = "this macOS does not tell it"
_NOT_YET_TOLD: Final = "macOS tells it from version 12 on"
_NO_FAN: Final = "the SMC knows of no fan"
_INTEL: Final = "it is read on chips of Apple's only"
_NO_SENSOR: Final = "no sensor of this chip is known to be in that part, or the part is off"
_OLD_OR_NEW: Final = "see whether a newer metalscope knows this macOS"
_REMEDIES: Final = {
    _IN_CHILD: "the parent reads it; or start the process anew instead of forking it",
    _NOT_YET_TOLD: "update macOS",
    _NO_FAN: "",
    _INTEL: "",
}

_T = TypeVar("_T")


def open_sensor() -> ThermalSensor:
    """Open the sensor.

    Raises:
        SensorUnavailableError: this is not macOS, or it gives none of it.
    """
    if sys.platform != "darwin":
        raise SensorUnavailableError("this is not macOS")
    iokit = IOKit(CoreFoundation())
    return ThermalSensor(
        process_info=ProcessInfo,
        hid=partial(HidTemperatures, iokit),
        smc=partial(Smc, iokit),
        # What the interpreter was built for is another thing, under Rosetta.
        apple_silicon=System().integer("hw.optional.arm64") == 1,
    )


@dataclass(slots=True)
class _Sources:
    """What is open in one process, and why the rest is not."""

    process_info: ProcessInfo | None
    hid: HidTemperatures | None
    smc: Smc | None
    why_not: dict[str, str] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        return any(one is not None for one in (self.process_info, self.hid, self.smc))

    def close(self) -> None:
        for one in (self.hid, self.smc):
            if one is not None:
                one.close()


class ThermalSensor:
    """Reads what there is of it; one source that fails takes no other with it.

    Args:
        process_info: opens Foundation's source of the thermal state and low-power mode.
        hid: opens the event system's temperature sensors.
        smc: opens the SMC.
        apple_silicon: whether the chip is one of Apple's. In an Intel Mac the same keys are of
            another chip, and only the fans are read.

    Raises:
        SensorUnavailableError: none of them can be opened.
    """

    name = "thermal"

    def __init__(
        self,
        *,
        process_info: Callable[[], ProcessInfo],
        hid: Callable[[], HidTemperatures],
        smc: Callable[[], Smc],
        apple_silicon: bool,
    ) -> None:
        self._open_smc = smc
        self._apple_silicon = apple_silicon
        self._pid = os.getpid()
        why_not: dict[str, str] = {}
        self._sources = _Sources(
            process_info=_opened("foundation", process_info, why_not),
            hid=_opened("hid", hid, why_not) if apple_silicon else None,
            smc=_opened("smc", smc, why_not),
            why_not=why_not,
        )
        if not self._sources.any:
            raise SensorUnavailableError("; ".join(why_not.values()), _OLD_OR_NEW)
        self._close_at_end(self._sources)
        self._temperatures = Temperatures(self._sources.hid, self._smc_of_the_chip)

    def read(self) -> Iterator[ResourceMetrics]:
        """Yield levels, degrees Celsius and turns a minute, those of them that are known.

        Raises:
            SensorUnavailableError: a source failed; what the others have was yielded before.
        """
        if self._pid != os.getpid():
            self._start_in_child()
        failed: SensorUnavailableError | None = None
        for part in (self._states, self._temperatures.read, self._fans):
            try:
                yield from part()
            except SensorUnavailableError as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def offers(self) -> Iterator[Offer]:
        """Say of each figure whether it can be read here, after reading."""
        found: set[tuple[ResourceKind, str]] = set()
        failure = ""
        try:
            for one in self.read():
                found.add((one.kind, one.name))
        except SensorUnavailableError as error:
            failure = error.why
        why_not = self._sources.why_not
        foundation = why_not.get("foundation")
        yield _offer(
            "thermal state",
            works=(ResourceKind.THERMAL_STATE, "system") in found,
            why_not=foundation or _NOT_TOLD,
        )
        yield _offer(
            "low-power mode",
            works=(ResourceKind.LOW_POWER_MODE, "system") in found,
            why_not=foundation or _NOT_YET_TOLD,
        )
        for part in PARTS:
            yield _offer(
                part.title,
                works=(ResourceKind.TEMPERATURE, part.name) in found,
                why_not=self._why_no_temperature(failure),
            )
        yield _offer(
            "fans",
            works=any(kind is ResourceKind.FAN_SPEED for kind, _ in found),
            why_not=why_not.get("smc") or failure or _NO_FAN,
        )

    def _why_no_temperature(self, failure: str) -> str:
        if not self._apple_silicon:
            return _INTEL
        why_not = self._sources.why_not
        if why_not.get("hid") == _IN_CHILD:
            return _IN_CHILD
        reasons = (why_not.get("hid"), why_not.get("smc"), failure)
        return "; ".join(one for one in reasons if one) or _NO_SENSOR

    # -- what is read ----------------------------------------------------------------------------

    def _states(self) -> Iterator[ResourceMetrics]:
        info = self._sources.process_info
        if info is None:
            return
        state = info.thermal_state()
        if state is not None and state in set(ThermalState):
            yield ResourceMetrics(ResourceKind.THERMAL_STATE, "system", "", current=state)
        saving = info.low_power_mode()
        if saving is not None:
            yield ResourceMetrics(ResourceKind.LOW_POWER_MODE, "system", "", current=int(saving))

    def _fans(self) -> Iterator[ResourceMetrics]:
        smc = self._sources.smc
        if smc is None:
            return
        for index in range(min(int(smc.number("FNum") or 0), _MOST_FANS)):
            # 0 is a reading: the fans of a laptop stand still while it is cool.
            speed, most = smc.number(f"F{index}Ac"), smc.number(f"F{index}Mx")
            if speed is not None and speed >= 0:
                yield ResourceMetrics(
                    ResourceKind.FAN_SPEED, str(index), "", current=speed, limit=most or None
                )

    # -- what is open ----------------------------------------------------------------------------

    @property
    def _smc_of_the_chip(self) -> Smc | None:
        return self._sources.smc if self._apple_silicon else None

    def _start_in_child(self) -> None:
        # The parent's are let go of without being closed: their ports are not in this process.
        self._pid = os.getpid()
        why_not = {"foundation": _IN_CHILD, "hid": _IN_CHILD}
        smc = _opened("smc", self._open_smc, why_not)
        self._sources = _Sources(None, None, smc, why_not)
        self._close_at_end(self._sources)
        self._temperatures = self._temperatures.in_child(self._smc_of_the_chip)

    def _close_at_end(self, sources: _Sources) -> None:
        # At the end of the interpreter there is nothing to give back, and libraries may be gone.
        weakref.finalize(self, _close, sources, os.getpid()).atexit = False


def _opened(name: str, opener: Callable[[], _T], why_not: dict[str, str]) -> _T | None:
    try:
        return opener()
    except SensorUnavailableError as error:
        why_not[name] = error.why
        return None


def _close(sources: _Sources, pid: int) -> None:
    if pid == os.getpid():
        sources.close()


def _offer(what: str, *, works: bool, why_not: str) -> Offer:
    return Offer(what) if works else Offer(what, why_not, _REMEDIES.get(why_not, _OLD_OR_NEW))
