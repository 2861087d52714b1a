"""Foundation's ``NSProcessInfo``, asked through the Objective-C runtime.

Not by PyObjC, though the ``metal`` extra brings it: the heat of a Mac is of use in every
installation, also that of ``metalscope serve``, and the two questions need five functions of a
stable, documented C interface (developer.apple.com/documentation/objectivec/objective-c_runtime).
A second way for where PyObjC is there would be a second way to be wrong. What PyObjC's metadata
says of the two selectors and of the states' numbers is what the tests hold this against.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from metalscope.sensors.base import SensorUnavailableError
from metalscope.sensors.native.library import Library

__all__ = ["FOUNDATION", "OBJECTIVE_C", "ProcessInfo"]

OBJECTIVE_C: Final = "/usr/lib/libobjc.A.dylib"
FOUNDATION: Final = "/System/Library/Frameworks/Foundation.framework/Foundation"

_CLASS: Final = "NSProcessInfo"
_SHARED: Final = "processInfo"
_THERMAL_STATE: Final = "thermalState"  # macOS 10.10.3
_LOW_POWER_MODE: Final = "isLowPowerModeEnabled"  # macOS 12

_Id = ctypes.c_void_p
_Class = ctypes.c_void_p
_Selector = ctypes.c_void_p


class ProcessInfo(Library):
    """What the system tells every process of heat and of saving power.

    Args:
        path: the Objective-C runtime.
        foundation: the framework that has the class.

    Raises:
        SensorUnavailableError: one of them is not there, or the class is not.
    """

    def __init__(self, path: str = OBJECTIVE_C, foundation: str = FOUNDATION) -> None:
        super().__init__(path)
        Library(foundation)  # the runtime knows a class once its framework is loaded
        self._selector = self.function("sel_registerName", _Selector, ctypes.c_char_p)
        self._class_of = self.function("object_getClass", _Class, _Id)
        self._responds = self.function("class_respondsToSelector", ctypes.c_bool, _Class, _Selector)
        self._push = self.function("objc_autoreleasePoolPush", ctypes.c_void_p)
        self._pop = self.function("objc_autoreleasePoolPop", None, ctypes.c_void_p)
        # A message's function is declared as what the method returns: never as variadic, whose
        # calling convention on arm64 is another (developer.apple.com/documentation/apple-silicon/
        # addressing-architectural-differences-in-your-macos-code).
        self._object = self.function("objc_msgSend", _Id, _Id, _Selector)
        self._integer = self.function("objc_msgSend", ctypes.c_long, _Id, _Selector)  # NSInteger
        self._boolean = self.function("objc_msgSend", ctypes.c_bool, _Id, _Selector)  # BOOL
        get_class = self.function("objc_getClass", _Class, ctypes.c_char_p)
        self._class = get_class(_CLASS.encode())
        if not self._class:
            raise SensorUnavailableError(f"{foundation} has no class {_CLASS}")

    def thermal_state(self) -> int | None:
        """``NSProcessInfoThermalState``; ``None`` where this macOS does not tell it."""
        found = self._ask(_THERMAL_STATE, self._integer)
        return None if found is None else int(found)

    def low_power_mode(self) -> bool | None:
        """Whether the system saves power; ``None`` where this macOS does not tell it."""
        found = self._ask(_LOW_POWER_MODE, self._boolean)
        return None if found is None else bool(found)

    def _ask(self, name: str, send: Any) -> Any:
        selector = self._selector(name.encode())
        with self._pool():
            info = self._object(self._class, self._selector(_SHARED.encode()))
            # A message that an object does not understand ends the process.
            if not info or not self._responds(self._class_of(info), selector):
                return None
            return send(info, selector)

    @contextmanager
    def _pool(self) -> Iterator[None]:
        """Nothing in a thread of Python's drains what methods autorelease."""
        pool = self._push()
        try:
            yield
        finally:
            self._pop(pool)
