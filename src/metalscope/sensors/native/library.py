"""One shared library, its functions declared before use."""

from __future__ import annotations

import ctypes
from typing import Any

from metalscope.sensors.base import SensorUnavailableError

__all__ = ["Library"]


class Library:
    """A shared library of the system.

    Calls release the GIL. A subclass declares each function with :meth:`function`, so that no call
    is ever made with ctypes' guess of a signature (an ``int`` where there is a pointer).

    Args:
        path: where it lies. On macOS the system's libraries are no files but parts of dyld's
            shared cache, which opens them by this path all the same.

    Raises:
        SensorUnavailableError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        try:
            self._library = ctypes.CDLL(path)
        except OSError as error:
            raise SensorUnavailableError(f"{path} cannot be opened: {error}") from error

    def function(self, name: str, result: Any, *arguments: Any) -> Any:
        """Return the function ``name`` with this signature.

        Raises:
            SensorUnavailableError: the library has no such function.
        """
        try:
            # By index, not attribute: each caller has a function object of its own, so that two
            # classes that declare one function differently do not change each other's.
            found = self._library[name]
        except AttributeError as error:
            raise SensorUnavailableError(f"{self.path} has no function {name}") from error
        found.restype = result
        found.argtypes = arguments
        return found

    def address(self, name: str) -> int:
        """Return where the constant ``name`` lies, for a function that takes a pointer to it.

        Raises:
            SensorUnavailableError: the library has no such constant.
        """
        try:
            return ctypes.addressof(ctypes.c_char.in_dll(self._library, name))
        except ValueError as error:
            raise SensorUnavailableError(f"{self.path} has no constant {name}") from error
