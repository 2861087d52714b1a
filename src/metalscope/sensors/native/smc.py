"""The System Management Controller: fans, and the temperatures of the chip's parts.

Apple documents none of it. The request's layout, selector and commands are those of open programs
that have used them for years (github.com/beltex/SMCKit ``SMCParamStruct``; github.com/exelban/stats
``SMC/smc.swift``; github.com/vladkens/macmon ``platform/smc.rs``). A key is four characters.
"""

from __future__ import annotations

import ctypes
import struct
from math import isfinite
from typing import Final

from metalscope.sensors.base import SensorUnavailableError
from metalscope.sensors.native.iokit import IOKIT, IOKit
from metalscope.sensors.native.library import Library

__all__ = ["Smc"]

_CLASS: Final = "AppleSMC"
_ENDPOINT: Final = "AppleSMCKeysEndpoint"
"""The service of that class which answers, on Apple silicon."""

_SELECTOR: Final = 2  # kSMCHandleYPCEvent
_READ, _BY_INDEX, _INFO = 5, 8, 9  # kSMCReadKey, kSMCGetKeyFromIndex, kSMCGetKeyInfo
_KEY_COUNT: Final = "#KEY"

_UINT8 = ctypes.c_uint8
_UINT16 = ctypes.c_uint16
_UINT32 = ctypes.c_uint32
_Pointer = ctypes.c_void_p
_Size = ctypes.c_size_t
_Return = ctypes.c_int  # kern_return_t


class _Version(ctypes.Structure):
    _fields_ = (
        ("major", _UINT8),
        ("minor", _UINT8),
        ("build", _UINT8),
        ("reserved", _UINT8),
        ("release", _UINT16),
    )


class _Limits(ctypes.Structure):
    _fields_ = (
        ("version", _UINT16),
        ("length", _UINT16),
        ("cpu", _UINT32),
        ("gpu", _UINT32),
        ("memory", _UINT32),
    )


class _Info(ctypes.Structure):
    _fields_ = (("size", _UINT32), ("type", _UINT32), ("attributes", _UINT8))


class _KeyData(ctypes.Structure):
    """Request and answer in one: 80 bytes, laid out as C does it."""

    _fields_ = (
        ("key", _UINT32),
        ("version", _Version),
        ("limits", _Limits),
        ("info", _Info),
        ("result", _UINT8),
        ("status", _UINT8),
        ("command", _UINT8),
        ("index", _UINT32),
        ("bytes", _UINT8 * 32),
    )


class Smc(Library):
    """An open connection to the SMC.

    It belongs to the process that made it: a forked child must make its own, and must not close
    this one, whose number means something else there.

    Args:
        iokit: finds the service.
        path: the library that talks to it.

    Raises:
        SensorUnavailableError: there is no SMC, or it cannot be opened.
    """

    def __init__(self, iokit: IOKit, path: str = IOKIT) -> None:
        super().__init__(path)
        open_service = self.function(
            "IOServiceOpen", _Return, _UINT32, _UINT32, _UINT32, ctypes.POINTER(_UINT32)
        )
        self._close = self.function("IOServiceClose", _Return, _UINT32)
        self._call = self.function(
            "IOConnectCallStructMethod",
            _Return,
            _UINT32,
            _UINT32,
            _Pointer,
            _Size,
            _Pointer,
            ctypes.POINTER(_Size),
        )
        self._infos: dict[str, _Info | None] = {}
        # mach_task_self() is a macro for this variable, which a child of fork has anew.
        task = _UINT32.from_address(self.address("mach_task_self_")).value
        connection = _UINT32(0)
        with iokit.services(_CLASS) as entries:
            if not entries:
                raise SensorUnavailableError("this Mac has no SMC")
            named = (entry for entry in entries if iokit.name(entry) == _ENDPOINT)
            entry = next(named, entries[0])
            status = open_service(entry, task, 0, ctypes.byref(connection))
        if status:
            raise SensorUnavailableError(f"the SMC cannot be opened: {_hexadecimal(status)}")
        self._connection: int | None = connection.value

    def close(self) -> None:
        """Close the connection, if that was not done yet."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._close(connection)

    def number(self, key: str) -> float | None:
        """The value of a key; ``None`` where the SMC has none, or none that is a number.

        Raises:
            SensorUnavailableError: the connection does not answer.
        """
        if key not in self._infos:
            answer = self._ask(_KeyData(key=_code(key), command=_INFO))
            self._infos[key] = None if answer is None else answer.info
        info = self._infos[key]
        if info is None:
            return None
        answer = self._ask(_KeyData(key=_code(key), command=_READ, info=info))
        return None if answer is None else _decode(info, bytes(answer.bytes))

    def keys(self, prefix: str) -> tuple[str, ...]:
        """The keys that begin with ``prefix``. It asks for every key there is: a thousand calls.

        Raises:
            SensorUnavailableError: the connection does not answer.
        """
        found = []
        for index in range(int(self.number(_KEY_COUNT) or 0)):
            answer = self._ask(_KeyData(command=_BY_INDEX, index=index))
            if answer is None:
                continue
            key = int(answer.key).to_bytes(4, "big").decode("latin-1")
            if key.startswith(prefix):
                found.append(key)
        return tuple(found)

    def _ask(self, request: _KeyData) -> _KeyData | None:
        if self._connection is None:
            raise SensorUnavailableError("the connection to the SMC was closed")
        answer, size = _KeyData(), _Size(ctypes.sizeof(_KeyData))
        status = self._call(
            self._connection,
            _SELECTOR,
            ctypes.byref(request),
            ctypes.sizeof(request),
            ctypes.byref(answer),
            ctypes.byref(size),
        )
        if status:
            raise SensorUnavailableError(f"the SMC does not answer: {_hexadecimal(status)}")
        return None if answer.result else answer  # 0x84: there is no such key


def _decode(info: _Info, raw: bytes) -> float | None:
    kind, size = int(info.type).to_bytes(4, "big"), int(info.size)
    if kind == b"flt " and size == 4:
        # In the processor's order, which is little-endian; integers are big-endian, as "#KEY" is.
        value = float(struct.unpack_from("<f", raw)[0])
        return value if isfinite(value) else None
    if kind == b"fpe2" and size == 2:  # fans of Macs before 2018: a fixed point before two bits
        return int.from_bytes(raw[:2], "big") / 4
    if kind in (b"ui8 ", b"ui32") and size in (1, 4):
        return float(int.from_bytes(raw[:size], "big"))
    return None


def _code(key: str) -> int:
    return int.from_bytes(key.encode("latin-1"), "big")


def _hexadecimal(status: int) -> str:
    return f"{status & 0xFFFFFFFF:#010x}"
