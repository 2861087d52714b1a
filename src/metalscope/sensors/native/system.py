"""The part of the C library that tells facts of the machine: ``sysctlbyname``."""

from __future__ import annotations

import ctypes
from typing import Final

from metalscope.sensors.native.library import Library

__all__ = ["SYSTEM", "System"]

SYSTEM: Final = "/usr/lib/libSystem.B.dylib"

_Size = ctypes.c_size_t


class System(Library):
    """libSystem, by the path of its library."""

    def __init__(self, path: str = SYSTEM) -> None:
        super().__init__(path)
        self._sysctl = self.function(
            "sysctlbyname",
            ctypes.c_int,
            ctypes.c_char_p,
            ctypes.c_void_p,
            ctypes.POINTER(_Size),
            ctypes.c_void_p,
            _Size,
        )

    def text(self, name: str) -> str | None:
        """A fact that is text; ``None`` where the system does not know the name."""
        found = self._value(name)
        return None if found is None else found.rstrip(b"\0").decode("utf-8", "replace")

    def integer(self, name: str) -> int | None:
        """A fact that is an integer of 32 or 64 bits; ``None`` where there is none."""
        found = self._value(name)
        if found is None or len(found) not in (4, 8):
            return None
        return int.from_bytes(found, "little", signed=True)

    def _value(self, name: str) -> bytes | None:
        size = _Size(0)
        if self._sysctl(name.encode(), None, ctypes.byref(size), None, 0) or not size.value:
            return None
        buffer = ctypes.create_string_buffer(size.value)
        if self._sysctl(name.encode(), buffer, ctypes.byref(size), None, 0):
            return None
        return buffer.raw[: size.value]
