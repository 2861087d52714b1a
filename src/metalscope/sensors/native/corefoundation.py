"""The part of Core Foundation that reading the system needs, with ownership made explicit.

A *reference* here is the address of a CF object as an ``int``. Core Foundation's rule: what a
function named Create or Copy returns is owned by the caller, what one named Get returns is not
(developer.apple.com/library/archive/documentation/CoreFoundation/Conceptual/CFMemoryMgmt). What is
owned comes as an :class:`Owned`; what is not, as a bare reference that is good only as long as the
object it was got from.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

from metalscope.sensors.base import SensorUnavailableError
from metalscope.sensors.native.library import Library

__all__ = ["CORE_FOUNDATION", "CoreFoundation", "Owned", "Value"]

CORE_FOUNDATION: Final = "/System/Library/Frameworks/CoreFoundation.framework/CoreFoundation"

Value: TypeAlias = "str | int | float | bool | bytes | list[Any] | dict[str, Any]"
"""What a CF object is in Python."""

_UTF8: Final = 0x08000100  # kCFStringEncodingUTF8
_SINT64: Final = 4  # kCFNumberSInt64Type
_FLOAT64: Final = 6  # kCFNumberFloat64Type

_Ref = ctypes.c_void_p
_Index = ctypes.c_long  # CFIndex
_TypeID = ctypes.c_ulong  # CFTypeID
_Boolean = ctypes.c_ubyte


class CoreFoundation(Library):
    """Core Foundation, by the path of its library."""

    def __init__(self, path: str = CORE_FOUNDATION) -> None:
        super().__init__(path)
        declare = self.function
        self._release = declare("CFRelease", None, _Ref)
        self._retain = declare("CFRetain", _Ref, _Ref)
        self._type_of = declare("CFGetTypeID", _TypeID, _Ref)
        self._string_create = declare(
            "CFStringCreateWithCString", _Ref, _Ref, ctypes.c_char_p, ctypes.c_uint32
        )
        self._string_length = declare("CFStringGetLength", _Index, _Ref)
        self._string_room = declare(
            "CFStringGetMaximumSizeForEncoding", _Index, _Index, ctypes.c_uint32
        )
        self._string_bytes = declare(
            "CFStringGetCString", _Boolean, _Ref, ctypes.c_char_p, _Index, ctypes.c_uint32
        )
        self._number_create = declare("CFNumberCreate", _Ref, _Ref, _Index, _Ref)
        self._number_is_float = declare("CFNumberIsFloatType", _Boolean, _Ref)
        self._number_value = declare("CFNumberGetValue", _Boolean, _Ref, _Index, _Ref)
        self._boolean_value = declare("CFBooleanGetValue", _Boolean, _Ref)
        self._data_length = declare("CFDataGetLength", _Index, _Ref)
        self._data_bytes = declare("CFDataGetBytePtr", _Ref, _Ref)
        self._array_count = declare("CFArrayGetCount", _Index, _Ref)
        self._array_item = declare("CFArrayGetValueAtIndex", _Ref, _Ref, _Index)
        self._dictionary_count = declare("CFDictionaryGetCount", _Index, _Ref)
        self._dictionary_value = declare("CFDictionaryGetValue", _Ref, _Ref, _Ref)
        self._dictionary_all = declare("CFDictionaryGetKeysAndValues", None, _Ref, _Ref, _Ref)
        self._dictionary_create = declare(
            "CFDictionaryCreate", _Ref, _Ref, _Ref, _Ref, _Index, _Ref, _Ref
        )
        self._dictionary_copy = declare("CFDictionaryCreateMutableCopy", _Ref, _Ref, _Index, _Ref)
        self._dictionary_set = declare("CFDictionarySetValue", None, _Ref, _Ref, _Ref)
        self._array_create = declare("CFArrayCreateMutable", _Ref, _Ref, _Index, _Ref)
        self._array_append = declare("CFArrayAppendValue", None, _Ref, _Ref)
        self._converters: dict[int, Callable[[int], Value]] = {
            declare(f"CF{name}GetTypeID", _TypeID)(): convert
            for name, convert in (
                ("String", self.text),
                ("Number", self._number),
                ("Boolean", lambda ref: bool(self._boolean_value(ref))),
                ("Data", self.data),
                ("Array", self._list),
                ("Dictionary", self._dict),
            )
        }

    # -- ownership -------------------------------------------------------------------------------

    def own(self, reference: int | None, made_by: str) -> Owned:
        """Take over what a function named Create or Copy returned.

        Raises:
            SensorUnavailableError: it returned NULL; ``made_by`` names it.
        """
        if not reference:
            raise SensorUnavailableError(f"{made_by} returned nothing")
        return Owned(self, reference)

    def keep(self, borrowed: int) -> Owned:
        """Retain what a function named Get returned, to have it longer than where it is from."""
        return self.own(self._retain(borrowed), "CFRetain")

    # -- to Core Foundation ----------------------------------------------------------------------

    def string(self, text: str) -> Owned:
        """Make a CFString."""
        made = self._string_create(None, text.encode(), _UTF8)
        return self.own(made, "CFStringCreateWithCString")

    def integer(self, value: int) -> Owned:
        """Make a CFNumber of 64 bits."""
        number = ctypes.c_int64(value)
        made = self._number_create(None, _SINT64, ctypes.byref(number))
        return self.own(made, "CFNumberCreate")

    def dictionary(self, items: Mapping[str, int]) -> Owned:
        """Make a CFDictionary of numbers by name, as matching wants it."""
        made: list[Owned] = []
        try:
            for name, value in items.items():
                made.append(self.string(name))
                made.append(self.integer(value))
            keys = (_Ref * len(items))(*(one.reference for one in made[::2]))
            values = (_Ref * len(items))(*(one.reference for one in made[1::2]))
            reference = self._dictionary_create(
                None,
                keys,
                values,
                len(items),
                self.address("kCFTypeDictionaryKeyCallBacks"),
                self.address("kCFTypeDictionaryValueCallBacks"),
            )
            return self.own(reference, "CFDictionaryCreate")
        finally:
            for one in made:  # the dictionary has retained them
                one.release()

    def array(self, items: Iterable[int]) -> Owned:
        """Make a CFArray that retains these."""
        callbacks = self.address("kCFTypeArrayCallBacks")
        made = self.own(self._array_create(None, 0, callbacks), "CFArrayCreateMutable")
        for item in items:
            self._array_append(made.reference, item)
        return made

    def put(self, dictionary: int, key: str, value: int) -> None:
        """Set a value of a mutable dictionary, which retains it."""
        with self.string(key) as name:
            self._dictionary_set(dictionary, name.reference, value)

    def mutable_copy(self, dictionary: int) -> Owned:
        """Copy a dictionary to one that can be changed."""
        made = self._dictionary_copy(None, 0, dictionary)
        return self.own(made, "CFDictionaryCreateMutableCopy")

    # -- from Core Foundation --------------------------------------------------------------------

    def value(self, reference: int | None) -> Value | None:
        """Convert strings, numbers, booleans, data, arrays, dictionaries, with all in them.

        ``None`` for NULL and for objects of other types; these are left out of dictionaries.
        """
        if not reference:
            return None
        convert = self._converters.get(self._type_of(reference))
        return convert(reference) if convert else None

    def text(self, string: int) -> str:
        """Convert a CFString."""
        room = self._string_room(self._string_length(string), _UTF8) + 1
        buffer = ctypes.create_string_buffer(room)
        if not self._string_bytes(string, buffer, room, _UTF8):
            return ""  # an unpaired surrogate: there is no such text in UTF-8
        return buffer.value.decode("utf-8", "replace")

    def data(self, data: int) -> bytes:
        """Convert a CFData."""
        length = self._data_length(data)
        return ctypes.string_at(self._data_bytes(data), length) if length else b""

    def get(self, dictionary: int, key: str) -> int | None:
        """Look up a reference in a dictionary; it is not owned."""
        with self.string(key) as name:
            found: int | None = self._dictionary_value(dictionary, name.reference)
            return found

    def items(self, array: int) -> tuple[int, ...]:
        """The references in an array; they are not owned."""
        return tuple(self._array_item(array, index) for index in range(self._array_count(array)))

    def _number(self, number: int) -> int | float:
        if self._number_is_float(number):
            real = ctypes.c_double()
            self._number_value(number, _FLOAT64, ctypes.byref(real))
            return real.value
        whole = ctypes.c_int64()
        self._number_value(number, _SINT64, ctypes.byref(whole))
        return whole.value

    def _list(self, array: int) -> list[Value | None]:
        return [self.value(item) for item in self.items(array)]

    def _dict(self, dictionary: int) -> dict[str, Value]:
        count = self._dictionary_count(dictionary)
        keys, values = (_Ref * count)(), (_Ref * count)()
        self._dictionary_all(dictionary, keys, values)
        found = {}
        for key, reference in zip(keys, values, strict=True):
            name, value = self.value(key), self.value(reference)
            if isinstance(name, str) and value is not None:
                found[name] = value
        return found


class Owned:
    """A CF object that is ours to release: once, at the end of a ``with`` or by ``release``."""

    __slots__ = ("_framework", "_reference")

    def __init__(self, framework: CoreFoundation, reference: int) -> None:
        self._framework = framework
        self._reference: int | None = reference

    @property
    def reference(self) -> int:
        """The object.

        Raises:
            ValueError: it has been released or given away.
        """
        if self._reference is None:
            raise ValueError("this object was released")
        return self._reference

    def give(self) -> int:
        """Hand the object to a function that consumes it: it is no longer ours to release."""
        reference, self._reference = self.reference, None
        return reference

    def release(self) -> None:
        """Release it, if that was not done yet."""
        reference, self._reference = self._reference, None
        if reference is not None:
            self._framework._release(reference)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
