"""The heat of a stand-in Mac: its SMC, its temperature sensors, its NSProcessInfo."""

from __future__ import annotations

import ctypes
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from standin_mac import StandInMac, build, recorded

from metalscope.readings import ResourceKind
from metalscope.sensors.native.foundation import ProcessInfo
from metalscope.sensors.native.hid import HidTemperatures
from metalscope.sensors.native.smc import Smc
from metalscope.sensors.thermal import ThermalSensor

TEMPERATURE = ResourceKind.TEMPERATURE

ENDPOINT = ("AppleSMCKeysEndpoint", "AppleSMC")
"""The classes of the service that answers, its own first."""


class HotMac:
    """What a test does to the stand-ins, and metalscope's bindings opened on them."""

    def __init__(self, mac: StandInMac, folder: Path) -> None:
        self.mac = mac
        core, iokit = Path(mac.core.path), Path(mac.iokit.path)
        self.smc_path = str(build("smc", folder, core, iokit))
        self.hid_path = str(build("hid", folder, core))
        self.foundation_path = str(build("foundation", folder))
        self._smc = ctypes.CDLL(self.smc_path)
        self._hid = ctypes.CDLL(self.hid_path)
        self._foundation = ctypes.CDLL(self.foundation_path)
        for function in (
            self._smc.standin_smc_open,
            self._smc.standin_smc_calls,
            self._hid.standin_hid_events,
            self._foundation.standin_info_pools,
            self._foundation.standin_info_misuses,
        ):
            function.restype = ctypes.c_long
        self._smc.standin_smc_endpoint.restype = ctypes.c_char_p

    def clear(self) -> None:
        """Make it a Mac without sensors, cool, on mains."""
        self._smc.standin_smc_clear()
        self._hid.standin_hid_clear()
        self.info(0, saves_power=False)

    # -- its SMC ---------------------------------------------------------------------------------

    def smc_service(self) -> None:
        """Put the SMC's services into the registry, the one that answers last."""
        self.mac.entry(["AppleSMCSensorDispatcher", "AppleSMC"], {}, name="smc-sensors")
        self.mac.entry(ENDPOINT, {}, name="AppleSMCKeysEndpoint")

    def key(self, key: str, kind: str, raw: bytes) -> None:
        """Give the SMC a key of these bytes."""
        self._smc.standin_smc_key(key.encode(), kind.encode(), raw, len(raw))

    def number(self, key: str, value: float) -> None:
        """Give the SMC a key of type ``flt ``."""
        self.key(key, "flt ", struct.pack("<f", value))

    def count_keys(self, count: int) -> None:
        """Let the SMC say how many keys it has, as it says it: big-endian."""
        self.key("#KEY", "ui32", count.to_bytes(4, "big"))

    def smc_opening_fails(self, status: int) -> None:
        """Let IOServiceOpen end with this status."""
        self._smc.standin_smc_opening_fails(ctypes.c_int(status))

    def smc_answering_fails(self, status: int) -> None:
        """Let every question to the SMC end with this status; 0 ends that."""
        self._smc.standin_smc_answering_fails(ctypes.c_int(status))

    def refuse_listing(self) -> None:
        """Let no one ask the SMC which keys there are."""
        self._smc.standin_smc_refuse(8)

    @property
    def connections(self) -> int:
        """Connections to the SMC that this process has not closed."""
        return int(self._smc.standin_smc_open())

    @property
    def smc_calls(self) -> int:
        """Questions to the SMC so far."""
        return int(self._smc.standin_smc_calls())

    @property
    def endpoint(self) -> str:
        """The name of the service that was opened last."""
        found: bytes = self._smc.standin_smc_endpoint()
        return found.decode()

    # -- its temperature sensors -----------------------------------------------------------------

    def sensor(self, name: str, celsius: float | None) -> None:
        """Add a sensor; one with ``None`` has no event."""
        self._hid.standin_hid_sensor(
            name.encode(), ctypes.c_double(celsius or 0.0), int(celsius is None)
        )

    def no_sensors(self) -> None:
        """Take all of them away."""
        self._hid.standin_hid_clear()

    @property
    def hid_events(self) -> int:
        """Readings asked of sensors so far."""
        return int(self._hid.standin_hid_events())

    # -- its NSProcessInfo -----------------------------------------------------------------------

    def info(self, thermal_state: int, *, saves_power: bool) -> None:
        """Let Foundation say this."""
        self._foundation.standin_info(ctypes.c_long(thermal_state), int(saves_power))

    def before_macos_12(self) -> None:
        """Let NSProcessInfo not know of low-power mode."""
        self._foundation.standin_info_before_macos_12()

    def without_process_info(self) -> None:
        """Let there be no class NSProcessInfo."""
        self._foundation.standin_info_has_no_class()

    @property
    def pools(self) -> int:
        """Autorelease pools that were not drained."""
        return int(self._foundation.standin_info_pools())

    @property
    def info_misuses(self) -> int:
        """Messages outside of a pool or in a forked child, and pools drained out of order."""
        return int(self._foundation.standin_info_misuses())

    # -- metalscope's bindings -------------------------------------------------------------------

    def open_smc(self) -> Smc:
        return Smc(self.mac.iokit, self.smc_path)

    def open_hid(self) -> HidTemperatures:
        return HidTemperatures(self.mac.iokit, self.hid_path)

    def open_info(self) -> ProcessInfo:
        return ProcessInfo(self.foundation_path, self.foundation_path)

    def open_sensor(self, *, apple_silicon: bool = True) -> ThermalSensor:
        return ThermalSensor(
            process_info=self.open_info,
            hid=self.open_hid,
            smc=self.open_smc,
            apple_silicon=apple_silicon,
        )


def add_m1_sensors(hot: HotMac) -> None:
    for name, celsius in recorded("hid_temperatures")["sensors"]:
        hot.sensor(name, celsius)


def add_later_sensors(hot: HotMac) -> None:
    """What the event system has on an M2 and later: names that say nothing of the part."""
    for name, celsius in recorded("hid_temperatures")["sensors"]:
        if name.startswith("PMU"):
            hot.sensor(name, celsius)


def add_smc(hot: HotMac, report: str = "", **more: float) -> list[float]:
    """Add an SMC as it was recorded; return what its keys of the GPU say."""
    hot.smc_service()
    keys = recorded("smc_temperatures")[report] if report else {}
    for key, raw in keys.items():
        hot.key(key, "flt ", bytes.fromhex(raw))
    for key, value in more.items():
        hot.number(key, value)
    hot.count_keys(len(keys) + len(more) + 1)
    return [
        struct.unpack("<f", bytes.fromhex(raw))[0]
        for key, raw in keys.items()
        if key.startswith("Tg")
    ]


def add_fans(hot: HotMac) -> None:
    hot.smc_service()
    for key, (kind, raw) in recorded("smc_fans")["keys"].items():
        hot.key(key, kind, bytes.fromhex(raw))


def temperatures(sensor: ThermalSensor) -> dict[str, float]:
    return {one.name: one.current for one in sensor.read() if one.kind is TEMPERATURE}


def reasons(sensor: ThermalSensor) -> dict[str, tuple[str, str]]:
    return {one.what: (one.why_not, one.remedy) for one in sensor.offers()}


def in_forked_child(work: Callable[[], Any]) -> Any:
    """Run ``work`` in a forked child; return what it returned, raise if it ended otherwise."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(work(), pipe)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the child ended with {status}"
    return pickle.loads(said)
