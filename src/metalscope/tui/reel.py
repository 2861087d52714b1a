"""The frames of a recording, kept small: any of them is at hand, few are unpacked at a time."""

from __future__ import annotations

import json
import zlib
from datetime import datetime
from typing import Final

from metalscope.session.format import compact_json
from metalscope.session.frames import FrameMaker
from metalscope.snapshot import MetalTelemetrySnapshot
from metalscope.snapshot_json import snapshot_from_dict

__all__ = ["MOST_BYTES", "Reel"]

MOST_BYTES: Final = 512 * 1024 * 1024
"""Packed frames kept in memory; about 18 hours of 30 operations at a frame a second."""

_FASTEST: Final = 1
"""zlib's level."""


class Reel:
    """Frames, oldest first. One thread appends, any thread reads."""

    def __init__(self) -> None:
        self._packed: list[bytes] = []
        self._nbytes = 0
        self._maker = FrameMaker(host="")  # with the name of the machine, as it was recorded
        self.times: list[datetime] = []
        """The timestamp of each frame."""

    def __len__(self) -> int:
        return len(self._packed)

    @property
    def is_full(self) -> bool:
        """Whether it holds as much as it may."""
        return self._nbytes >= MOST_BYTES

    def append(self, snapshot: MetalTelemetrySnapshot) -> None:
        """Take the next frame."""
        packed = zlib.compress(compact_json(self._maker.frame(snapshot)), _FASTEST)
        self._nbytes += len(packed)
        # The time first: whoever sees a frame finds its time.
        self.times.append(snapshot.timestamp)
        self._packed.append(packed)

    def frame(self, index: int) -> MetalTelemetrySnapshot:
        """One frame, unpacked."""
        return snapshot_from_dict(json.loads(zlib.decompress(self._packed[index])))

    def frames(self, first: int, last: int) -> list[MetalTelemetrySnapshot]:
        """Frames from ``first`` to ``last``, both included."""
        return [self.frame(index) for index in range(first, last + 1)]
