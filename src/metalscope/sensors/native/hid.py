"""Temperatures that the chip's sensors report as human interface devices.

``IOHIDEventSystemClientCopyServices`` and ``IOHIDServiceClientCopyProperty`` are in Apple's public
headers, the others are exported by IOKit without one; their signatures are those that Chromium
declares (``components/power_metrics/m1_sensors_mac.mm``), the constants those of Apple's
IOHIDFamily (``AppleHIDUsageTables.h``, ``IOHIDEventTypes.h``).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Final

from metalscope.sensors.native.corefoundation import Owned
from metalscope.sensors.native.iokit import IOKIT, IOKit
from metalscope.sensors.native.library import Library

__all__ = ["HidTemperatures"]

_MATCHING: Final = {
    "PrimaryUsagePage": 0xFF00,  # kHIDPage_AppleVendor
    "PrimaryUsage": 0x0005,  # kHIDUsage_AppleVendor_TemperatureSensor
}
_TEMPERATURE: Final = 15  # kIOHIDEventTypeTemperature
_FIELD: Final = _TEMPERATURE << 16  # IOHIDEventFieldBase: the level, in degrees Celsius

_Ref = ctypes.c_void_p
_Int32 = ctypes.c_int32
_Int64 = ctypes.c_int64


class HidTemperatures(Library):
    """A client of the event system that sees temperature sensors only.

    Args:
        iokit: with the Core Foundation that the client's objects are made of.
        path: the library that has the client.

    Raises:
        SensorUnavailableError: there is no such client.
    """

    def __init__(self, iokit: IOKit, path: str = IOKIT) -> None:
        super().__init__(path)
        self._core = iokit.core
        create = self.function("IOHIDEventSystemClientCreate", _Ref, _Ref)
        match = self.function("IOHIDEventSystemClientSetMatching", ctypes.c_int, _Ref, _Ref)
        self._services = self.function("IOHIDEventSystemClientCopyServices", _Ref, _Ref)
        self._property = self.function("IOHIDServiceClientCopyProperty", _Ref, _Ref, _Ref)
        self._event = self.function(
            "IOHIDServiceClientCopyEvent", _Ref, _Ref, _Int64, _Int32, _Int64
        )
        self._float = self.function("IOHIDEventGetFloatValue", ctypes.c_double, _Ref, _Int32)
        self._client = self._core.own(create(None), "IOHIDEventSystemClientCreate")
        with self._core.dictionary(_MATCHING) as matching:
            match(self._client.reference, matching.reference)

    def close(self) -> None:
        """Let go of the client, if that was not done yet."""
        self._client.release()

    def read(self, prefixes: tuple[str, ...]) -> Iterator[tuple[str, float | None]]:
        """Yield name and degrees Celsius of each sensor whose name begins with one of these.

        A sensor that has no reading now has ``None``. One name may come more than once.
        """
        found = self._services(self._client.reference)
        if not found:  # none matches
            return
        with Owned(self._core, found) as services:
            for service in self._core.items(services.reference):
                name = self._name(service)
                if not name.startswith(prefixes):
                    continue
                yield name, self._celsius(service)

    def _celsius(self, service: int) -> float | None:
        event = self._event(service, _TEMPERATURE, 0, 0)
        if not event:
            return None
        with Owned(self._core, event) as owned:
            return float(self._float(owned.reference, _FIELD))

    def _name(self, service: int) -> str:
        with self._core.string("Product") as key:
            found = self._property(service, key.reference)
        if not found:
            return ""
        with Owned(self._core, found) as owned:
            name = self._core.value(owned.reference)
        return name if isinstance(name, str) else ""
