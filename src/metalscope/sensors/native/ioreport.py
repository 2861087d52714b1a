"""IOReport: counters that drivers publish, readable without privileges.

The library is private to Apple; its names and signatures are known from open programs that have
used it for years (github.com/vladkens/macmon, github.com/dehydratedpotato/socpowerbud). What a
sample holds is public: ``IOReportElement`` in xnu's ``iokit/IOKit/IOReportTypes.h``.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from metalscope.sensors.base import SensorUnavailableError
from metalscope.sensors.native.corefoundation import CoreFoundation, Owned
from metalscope.sensors.native.library import Library

__all__ = ["IOREPORT", "Channel", "Counter", "IOReport", "Subscription"]

IOREPORT: Final = "/usr/lib/libIOReport.dylib"

_INVALID: Final = -(2**63)  # kIOReportInvalidIntValue: the driver has no value for now
_CHANNELS: Final = "IOReportChannels"
_ELEMENTS: Final = "RawElements"
# IOReportElement: provider, channel, type, then the mach_absolute_time() of its last update.
_STAMP: Final = struct.Struct("<24xQ32x")

_Ref = ctypes.c_void_p
_Int = ctypes.c_int
_Word = ctypes.c_uint64


@dataclass(frozen=True, slots=True)
class Channel:
    """What names a counter; ``unit`` is what the driver calls its unit, such as ``mJ``."""

    group: str
    subgroup: str
    name: str
    unit: str


@dataclass(frozen=True, slots=True)
class Counter:
    """What a channel has counted since boot.

    A simple channel has a ``value``, ``None`` while its driver has none, and ``stamp``, when the
    driver last published it (ticks of ``mach_absolute_time``), where the sample says so. A state
    channel has ``states``: each state's name and the ticks spent in it.
    """

    channel: Channel
    value: int | None
    stamp: int | None
    states: tuple[tuple[str, int], ...]


class IOReport(Library):
    """libIOReport, by the path of its library."""

    def __init__(self, core: CoreFoundation, path: str = IOREPORT) -> None:
        super().__init__(path)
        self.core = core
        declare = self.function
        self._group_channels = declare(
            "IOReportCopyChannelsInGroup", _Ref, _Ref, _Ref, _Word, _Word, _Word
        )
        self._merge = declare("IOReportMergeChannels", None, _Ref, _Ref, _Ref)
        self._subscribe = declare(
            "IOReportCreateSubscription", _Ref, _Ref, _Ref, ctypes.POINTER(_Ref), _Word, _Ref
        )
        self._samples = declare("IOReportCreateSamples", _Ref, _Ref, _Ref, _Ref)
        self._group = declare("IOReportChannelGetGroup", _Ref, _Ref)
        self._subgroup = declare("IOReportChannelGetSubGroup", _Ref, _Ref)
        self._name = declare("IOReportChannelGetChannelName", _Ref, _Ref)
        self._unit = declare("IOReportChannelGetUnitLabel", _Ref, _Ref)
        # Programs differ on whether the second is an index or a pointer; NULL is right for both.
        self._simple = declare("IOReportSimpleGetIntegerValue", ctypes.c_int64, _Ref, _Ref)
        self._state_count = declare("IOReportStateGetCount", _Int, _Ref)
        self._state_name = declare("IOReportStateGetNameForIndex", _Ref, _Ref, _Int)
        self._state_ticks = declare("IOReportStateGetResidency", ctypes.c_int64, _Ref, _Int)

    def subscribe(
        self, groups: Iterable[tuple[str, str | None]], wanted: Callable[[Channel], bool]
    ) -> Subscription:
        """Subscribe to the wanted channels of these groups (each a name and a subgroup or none).

        A sample copies every subscribed channel out of the kernel, and a group may have hundreds:
        so only the wanted ones are subscribed to.

        Raises:
            SensorUnavailableError: there are no such channels, or the system refuses them.
        """
        groups = list(groups)
        called = " and ".join(f"“{group}”" for group, _ in groups)
        with ExitStack() as undone:
            found = [undone.enter_context(one) for one in self._found(groups)]
            if not found:
                raise SensorUnavailableError(f"IOReport has no group {called} here")
            channels = undone.enter_context(self.core.mutable_copy(found[0].reference))
            for more in found[1:]:
                self._merge(channels.reference, more.reference, None)
            items = self._items(channels.reference)
            chosen = [item for item in items if wanted(self._channel(item))]
            if not chosen:
                raise SensorUnavailableError(f"IOReport has no channel for it in {called} here")
            with self.core.array(chosen) as array:
                self.core.put(channels.reference, _CHANNELS, array.reference)
            granted = _Ref()
            # What comes back in ``granted`` is left alone: nothing says who owns it.
            made = self._subscribe(None, channels.reference, ctypes.byref(granted), 0, None)
            if not made:
                raise SensorUnavailableError(f"the system refuses a subscription to {called}")
            return Subscription(self, Owned(self.core, made), Owned(self.core, channels.give()))

    def _found(self, groups: Iterable[tuple[str, str | None]]) -> Iterator[Owned]:
        for group, subgroup in groups:
            with self.core.string(group) as name, self.core.string(subgroup or "") as part:
                within = part.reference if subgroup else None
                found = self._group_channels(name.reference, within, 0, 0, 0)
            if found:
                yield Owned(self.core, found)

    def _items(self, dictionary: int) -> tuple[int, ...]:
        array = self.core.get(dictionary, _CHANNELS)
        return self.core.items(array) if array else ()

    def _text(self, string: int | None) -> str:
        return self.core.text(string).strip() if string else ""

    def _channel(self, item: int) -> Channel:
        return Channel(
            self._text(self._group(item)),
            self._text(self._subgroup(item)),
            self._text(self._name(item)),
            self._text(self._unit(item)),
        )

    def _counter(self, item: int) -> Counter:
        count = self._state_count(item)
        if count > 0:
            states = tuple(
                (self._text(self._state_name(item, index)), self._state_ticks(item, index))
                for index in range(count)
            )
            return Counter(self._channel(item), None, None, states)
        value = self._simple(item, None)
        return Counter(
            self._channel(item), None if value == _INVALID else value, self._stamp(item), ()
        )

    def _stamp(self, item: int) -> int | None:
        elements = self.core.value(self.core.get(item, _ELEMENTS))
        if not isinstance(elements, bytes) or len(elements) != _STAMP.size:
            return None
        (stamp,) = _STAMP.unpack(elements)
        return stamp or None


class Subscription:
    """The right to sample some channels.

    Args:
        library: the library it is from.
        subscription: the object itself; owned.
        channels: the dictionary of the channels; owned.
    """

    def __init__(self, library: IOReport, subscription: Owned, channels: Owned) -> None:
        self._library = library
        self._subscription = subscription
        self._channels = channels

    def read(self) -> tuple[Counter, ...]:
        """Sample all channels now.

        Raises:
            SensorUnavailableError: the system gives no sample.
        """
        library = self._library
        made = library._samples(self._subscription.reference, self._channels.reference, None)
        with library.core.own(made, "IOReportCreateSamples") as sample:
            return tuple(library._counter(item) for item in library._items(sample.reference))

    def close(self) -> None:
        """Give it back."""
        self._subscription.release()
        self._channels.release()
