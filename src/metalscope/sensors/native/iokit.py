"""The part of IOKit that finds services and reads their properties.

Signatures: IOKit/IOKitLib.h. An ``io_object_t`` is a Mach port's name, an unsigned of 32 bits;
0 is none. All are released with ``IOObjectRelease``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from metalscope.sensors.base import SensorUnavailableError
from metalscope.sensors.native.corefoundation import CoreFoundation, Owned, Value
from metalscope.sensors.native.library import Library

__all__ = ["IOKIT", "IOKit"]

IOKIT: Final = "/System/Library/Frameworks/IOKit.framework/IOKit"

_MAIN_PORT: Final = 0  # kIOMainPortDefault, which is MACH_PORT_NULL
_NAME_SIZE: Final = 128  # sizeof(io_name_t)

_Ref = ctypes.c_void_p
_Object = ctypes.c_uint32  # io_object_t
_Return = ctypes.c_int  # kern_return_t


class IOKit(Library):
    """IOKit, by the path of its library, with the Core Foundation its objects are made of."""

    def __init__(self, core: CoreFoundation, path: str = IOKIT) -> None:
        super().__init__(path)
        self.core = core
        declare = self.function
        self._matching = declare("IOServiceMatching", _Ref, ctypes.c_char_p)
        self._find = declare(
            "IOServiceGetMatchingServices", _Return, _Object, _Ref, ctypes.POINTER(_Object)
        )
        self._next = declare("IOIteratorNext", _Object, _Object)
        self._release = declare("IOObjectRelease", _Return, _Object)
        self._name = declare("IORegistryEntryGetName", _Return, _Object, ctypes.c_char_p)
        self._property = declare(
            "IORegistryEntryCreateCFProperty", _Ref, _Object, _Ref, _Ref, ctypes.c_uint32
        )

    @contextmanager
    def services(self, class_name: str) -> Iterator[tuple[int, ...]]:
        """Find the services of a class; they are released at the end of the ``with``.

        Raises:
            SensorUnavailableError: the registry cannot be asked.
        """
        # IOServiceGetMatchingServices consumes the dictionary, also where it fails.
        matching = self.core.own(self._matching(class_name.encode()), "IOServiceMatching").give()
        iterator = _Object(0)
        status = self._find(_MAIN_PORT, matching, ctypes.byref(iterator))
        if status:
            raise SensorUnavailableError(
                f"the registry has no answer about {class_name}: {status & 0xFFFFFFFF:#010x}"
            )
        entries: list[int] = []
        try:
            while entry := self._next(iterator.value):
                entries.append(entry)
            yield tuple(entries)
        finally:
            for entry in entries:
                self._release(entry)
            self._release(iterator.value)

    def name(self, entry: int) -> str:
        """The name of an entry; empty where it has none."""
        buffer = ctypes.create_string_buffer(_NAME_SIZE)
        if self._name(entry, buffer):
            return ""
        return buffer.value.decode("utf-8", "replace")

    def property(self, entry: int, key: str) -> Value | None:
        """One property of an entry; ``None`` where it has no such one."""
        with self.core.string(key) as name:
            found = self._property(entry, name.reference, None, 0)
        if not found:
            return None
        with Owned(self.core, found) as owned:
            return self.core.value(owned.reference)
