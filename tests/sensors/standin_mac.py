"""A Mac made of stand-in libraries: a test puts facts into it, metalscope's bindings read them.

The libraries in ``standin/`` are C with Apple's names and signatures. They count live objects, and
notice a release too many, an object used after its release, and one of a wrong type.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metalscope.sensors.native.corefoundation import CoreFoundation
from metalscope.sensors.native.iokit import IOKit
from metalscope.sensors.native.ioreport import IOReport
from metalscope.sensors.native.system import System
from peers import require_peer

SOURCES = Path(__file__).parent / "standin"
_FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
_UTF8 = 0x08000100


def recorded(name: str) -> dict[str, Any]:
    """What a real Mac said; the file says where that is published."""
    found: dict[str, Any] = json.loads(
        (Path(__file__).parent / "recorded" / f"{name}.json").read_text()
    )
    return found


def build(name: str, into: Path, *needs: Path) -> Path:
    """Compile ``standin/NAME.c`` to a library; it may call those in ``needs``."""
    library = into / f"{name}.so"
    subprocess.run(
        [require_peer("gcc"), *_FLAGS, SOURCES / f"{name}.c", *needs, "-o", library], check=True
    )
    return library


class StandInMac:
    """The libraries, opened by metalscope's own bindings, and what a test does to them."""

    def __init__(self, folder: Path) -> None:
        core = build("corefoundation", folder)
        paths = {name: build(name, folder, core) for name in ("iokit", "ioreport", "system")}
        self.core = CoreFoundation(str(core))
        self.iokit = IOKit(self.core, str(paths["iokit"]))
        self.ioreport = IOReport(self.core, str(paths["ioreport"]))
        self.system = System(str(paths["system"]))
        self._core = ctypes.CDLL(str(core))
        self._iokit = ctypes.CDLL(str(paths["iokit"]))
        self._ioreport = ctypes.CDLL(str(paths["ioreport"]))
        self._system = ctypes.CDLL(str(paths["system"]))
        for function in (
            self._core.CFStringCreateWithCString,
            self._core.CFNumberCreate,
            self._core.CFDataCreate,
            self._core.CFArrayCreateMutable,
            self._core.CFDictionaryCreateMutable,
        ):
            function.restype = ctypes.c_void_p
        for function in (
            self._core.standin_live,
            self._core.standin_misuses,
            self._iokit.standin_io_live,
        ):
            function.restype = ctypes.c_long
        self._seen_misuses = 0

    def clear(self) -> None:
        """Make it a Mac of which nothing is known."""
        self._iokit.standin_registry_clear()
        self._ioreport.standin_report_clear()
        self._system.standin_facts_clear()
        self._seen_misuses = self._core.standin_misuses()

    # -- what it counts --------------------------------------------------------------------------

    @property
    def live(self) -> tuple[int, int]:
        """CF objects and IOKit objects that nobody has released."""
        return self._core.standin_live(), self._iokit.standin_io_live()

    @property
    def misuses(self) -> int:
        """Mistakes made since the test began; each is written to standard error."""
        return int(self._core.standin_misuses()) - self._seen_misuses

    # -- the registry ----------------------------------------------------------------------------

    def entry(
        self, classes: Sequence[str], properties: Mapping[str, Any], *, name: str = ""
    ) -> None:
        """Add an entry of these classes, its own first, to the registry."""
        at = self._iokit.standin_entry(f":{':'.join(classes)}:".encode(), name.encode())
        for key, value in properties.items():
            self._iokit.standin_entry_put(at, key.encode(), ctypes.c_void_p(self.make(value)))

    def dvfs(self, table: bytes, key: str = "voltage-states9") -> None:
        """Add the power manager, with the clocks of one table."""
        self.entry(["AppleARMIODevice"], {"IORegistryEntryName": "other"}, name="other")
        self.entry(["AppleARMIODevice"], {key: table}, name="pmgr")

    def registry_fails(self, status: int) -> None:
        """Let every search of the registry end with this status."""
        self._iokit.standin_io_fail(ctypes.c_int(status))

    # -- facts -----------------------------------------------------------------------------------

    def fact(self, name: str, value: str | int) -> None:
        """Let ``sysctlbyname`` know a fact."""
        raw = f"{value}\0".encode() if isinstance(value, str) else value.to_bytes(8, "little")
        self._system.standin_fact(name.encode(), raw, ctypes.c_size_t(len(raw)))

    # -- counters --------------------------------------------------------------------------------

    def channel(
        self, group: str, subgroup: str, name: str, unit: str = "", states: Sequence[str] = ()
    ) -> int:
        """Add a channel to IOReport; return its number."""
        at: int = self._ioreport.standin_channel(
            group.encode(), subgroup.encode(), name.encode(), unit.encode()
        )
        for state in states:
            self._ioreport.standin_state(at, state.encode())
        return at

    def publish(self, channel: int, value: int, *, stamp: int = 0) -> None:
        """Let a driver publish a simple counter."""
        self._ioreport.standin_publish(channel, ctypes.c_int64(value), ctypes.c_uint64(stamp))

    def spend(self, channel: int, ticks: Sequence[int]) -> None:
        """Let a driver publish the ticks in each state."""
        for index, value in enumerate(ticks):
            self._ioreport.standin_ticks(channel, index, ctypes.c_int64(value))

    def refuse(self, group: str) -> None:
        """List a group and let no one subscribe to it."""
        self._ioreport.standin_refuse(group.encode())

    def leave_empty(self, group: str) -> None:
        """Grant subscriptions to a group and put it into no sample."""
        self._ioreport.standin_empty(group.encode())

    def sampling_fails(self, *, fails: bool = True) -> None:
        """Let IOReportCreateSamples return NULL."""
        self._ioreport.standin_sampling_fails(int(fails))

    # -- Core Foundation -------------------------------------------------------------------------

    def make(self, value: Any) -> int:
        """Make a CF object of a Python one; it is the caller's to release."""
        if isinstance(value, list):
            return self._array(value)
        if isinstance(value, Mapping):
            return self._dictionary(value)
        core, none, long = self._core, None, ctypes.c_long
        if isinstance(value, bool):
            name = "kCFBooleanTrue" if value else "kCFBooleanFalse"
            made = ctypes.c_void_p.in_dll(core, name).value
        elif isinstance(value, str):
            made = core.CFStringCreateWithCString(none, value.encode(), _UTF8)
        elif isinstance(value, int):
            made = core.CFNumberCreate(none, long(4), ctypes.byref(ctypes.c_int64(value)))
        elif isinstance(value, float):
            made = core.CFNumberCreate(none, long(6), ctypes.byref(ctypes.c_double(value)))
        else:
            made = core.CFDataCreate(none, value, long(len(value)))
        return int(made)

    def _array(self, items: Sequence[Any]) -> int:
        core, callbacks = self._core, self._constant("kCFTypeArrayCallBacks")
        array = core.CFArrayCreateMutable(None, ctypes.c_long(0), ctypes.byref(callbacks))
        for item in items:
            made = ctypes.c_void_p(self.make(item))
            core.CFArrayAppendValue(ctypes.c_void_p(array), made)
            core.CFRelease(made)
        return int(array)

    def _dictionary(self, items: Mapping[str, Any]) -> int:
        dictionary = self._core.CFDictionaryCreateMutable(
            None,
            ctypes.c_long(0),
            ctypes.byref(self._constant("kCFTypeDictionaryKeyCallBacks")),
            ctypes.byref(self._constant("kCFTypeDictionaryValueCallBacks")),
        )
        for key, item in items.items():
            made = ctypes.c_void_p(self.make(item))
            self._core.standin_put(ctypes.c_void_p(dictionary), key.encode(), made)
        return int(dictionary)

    def release(self, reference: int) -> None:
        """Release a CF object."""
        self._core.CFRelease(ctypes.c_void_p(reference))

    def _constant(self, name: str) -> ctypes.c_long:
        return ctypes.c_long.in_dll(self._core, name)
