"""A recorded session as a source: played at any speed, halted, stepped, sought."""

from __future__ import annotations

import asyncio
import threading
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Final

from metalscope.snapshot import MetalTelemetrySnapshot
from metalscope.tui.reel import Reel
from metalscope.tui.source import Arrived, Ended, Jumped, Lost, Noted, Update
from metalscope.tui.text import duration_text

__all__ = ["SPEEDS", "Player"]

SPEEDS: Final = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 100.0)
"""Seconds of the recording in a second."""

LEADING_FRAMES: Final = 40
"""Frames before a new place that are looked at again, for its rates and the lines of bars."""

_TELL_EVERY: Final = 25
"""Frames that are read before the view learns of them."""


class Player:
    """Plays frames by their own timestamps, and reads on while it plays.

    Args:
        label: the file, for a person.
        frames: what was recorded, oldest first; read on a thread of its own.
        complaint: asked after the last frame; what is wrong with the file, or nothing.
        speed: seconds of the recording in a second; one of :data:`SPEEDS`.
    """

    def __init__(
        self,
        label: str,
        frames: Iterator[MetalTelemetrySnapshot],
        *,
        complaint: Callable[[], str] = str,
        speed: float = 1.0,
    ) -> None:
        self._label = label
        self._source = frames
        self._complaint = complaint
        self._reel = Reel()
        self._position = 0
        self._goal: int | None = 0
        self._shown_at = 0.0
        self._is_playing = True
        self._is_read = False
        self._has_told_the_end = False
        self._remark = ""
        self._speed = SPEEDS.index(speed)
        self._woken = asyncio.Event()

    @property
    def label(self) -> str:
        """The file."""
        return self._label

    @property
    def speed(self) -> float:
        """Seconds of the recording in a second."""
        return SPEEDS[self._speed]

    @property
    def is_playing(self) -> bool:
        """Whether it goes on by itself."""
        return self._is_playing

    @property
    def words(self) -> str:
        """Where it is, for a person: ``▶ 2× 0:35 / 5:00``."""
        times = self._reel.times
        if not len(self._reel):
            return "reading"
        sign = "▶ playing" if self._is_playing else "‖ halted"
        if self._is_playing and self._is_at_the_end:
            sign = "■ at the end"
        here = (times[self._position] - times[0]).total_seconds()
        whole = (times[len(self._reel) - 1] - times[0]).total_seconds()
        more = self._remark if self._is_read else "…"
        return f"{sign} {self.speed:g}× {duration_text(here)} / {duration_text(whole)}{more}"

    def toggle(self) -> None:
        """Halt, or go on; at the end, go on from the beginning."""
        if self._is_at_the_end:
            self._is_playing = True
            self._go(0)
        else:
            self._is_playing = not self._is_playing
            self._shown_at = asyncio.get_running_loop().time()
            self._woken.set()

    def step(self, frames: int) -> None:
        """Halt, that many frames on or, below zero, back."""
        self._is_playing = False
        self._go(self._heading + frames)

    def seek(self, seconds: float) -> None:
        """Go on from so many seconds of the recording later or, below zero, earlier."""
        times = self._reel.times[: len(self._reel)]
        if not times:
            return
        goal = times[self._heading] + timedelta(seconds=seconds)
        place = bisect_right(times, goal) - 1
        self._go(max(place, self._heading + 1) if seconds > 0 else place)

    def faster(self, steps: int) -> None:
        """Take the next higher speed, or with -1 the next lower."""
        self._speed = max(0, min(self._speed + steps, len(SPEEDS) - 1))
        self._woken.set()

    async def updates(self) -> AsyncIterator[Update]:
        """Play, until the reader has enough."""
        loop = asyncio.get_running_loop()
        closed = threading.Event()
        threading.Thread(
            target=self._read, args=(loop, closed), name="metalscope-top-read", daemon=True
        ).start()
        try:
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), self._until_next(loop.time()))
                self._woken.clear()
                updates = list(self._due(loop.time()))
                for update in updates or [Noted()]:
                    yield update
        finally:
            closed.set()

    @property
    def _heading(self) -> int:
        return self._position if self._goal is None else self._goal

    @property
    def _is_at_the_end(self) -> bool:
        return self._is_read and self._position >= len(self._reel) - 1

    def _go(self, place: int) -> None:
        self._goal = max(0, min(place, len(self._reel) - 1))
        self._woken.set()

    def _until_next(self, now: float) -> float | None:
        """Seconds to the next frame; ``None`` where nothing comes by itself."""
        after = self._position + 1
        if not self._is_playing or self._goal is not None or after >= len(self._reel):
            return None
        times = self._reel.times
        gap = (times[after] - times[self._position]).total_seconds()
        return max(0.0, gap / self.speed - (now - self._shown_at))

    def _due(self, now: float) -> Iterator[Update]:
        if not len(self._reel):
            if self._is_read:
                yield Lost(self._remark.strip(" ;") or "the recording has no frame")
            return
        if self._goal is not None:
            self._position, self._goal = self._goal, None
            self._shown_at, self._has_told_the_end = now, False
            first = max(0, self._position - LEADING_FRAMES)
            yield Jumped(self._reel.frames(first, self._position))
        elif self._until_next(now) == 0.0:
            self._position += 1
            self._shown_at = now
            yield Arrived(self._reel.frame(self._position))
        if self._is_at_the_end and not self._has_told_the_end:
            self._has_told_the_end = True
            yield Ended()

    def _read(self, loop: asyncio.AbstractEventLoop, closed: threading.Event) -> None:
        try:
            for snapshot in self._source:
                self._reel.append(snapshot)
                if closed.is_set():
                    return
                if self._reel.is_full:
                    self._remark = " (the rest does not fit into memory)"
                    break
                if len(self._reel) % _TELL_EVERY == 1:
                    loop.call_soon_threadsafe(self._woken.set)
            if why := self._complaint():
                self._remark = f"; {why}"
        except (OSError, ValueError) as error:
            self._remark = f"; {error}"
        self._is_read = True
        with suppress(RuntimeError):  # the loop is closed: nobody looks any more
            loop.call_soon_threadsafe(self._woken.set)
