"""The bytes of the buffers a program has created and still holds."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any, Final

from metalscope.readings import ResourceKind, ResourceMetrics

__all__ = ["LiveBuffers"]


class LiveBuffers:
    """A sensor: every buffer created under the hooks, until it is destroyed or let go.

    Each change is one operation on a dictionary, because a buffer may be let go at any moment, in
    the middle of a change too: there is no total that could be torn.
    """

    name: Final = "webgpu_buffers"

    def __init__(self) -> None:
        self._live: dict[int, tuple[weakref.ref[Any], int, str, int]] = {}
        self._devices: dict[str, None] = {}

    def add(self, buffer: Any, device: str) -> None:
        """Count a buffer from now on."""
        key, live = id(buffer), self._live
        self._devices[device] = None
        reference = weakref.ref(buffer, lambda _: live.pop(key, None))
        live[key] = (reference, int(buffer.size), device, id(buffer._device))

    def destroyed(self, buffer: Any) -> None:
        """Count a buffer no more."""
        self._live.pop(id(buffer), None)

    def device_destroyed(self, device: Any) -> None:
        """Count none of a device's buffers any more."""
        for key, (*_, owner) in self._live.copy().items():
            if owner == id(device):
                self._live.pop(key, None)

    def read(self) -> Iterator[ResourceMetrics]:
        """Yield bytes, for each device that has or had buffers."""
        totals: dict[str, int] = {}
        for _, nbytes, device, _ in self._live.copy().values():
            totals[device] = totals.get(device, 0) + nbytes
        for device in tuple(self._devices):
            yield ResourceMetrics(
                ResourceKind.MEMORY, self.name, device, current=totals.get(device, 0)
            )
