"""A recording in the place of a manager: its frames at the pace in which they were taken."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from time import monotonic
from typing import TYPE_CHECKING

from metalscope.consumers import Consumer, Consumers
from metalscope.errors import MetalscopeError
from metalscope.internal import InternalErrors

if TYPE_CHECKING:
    from metalscope.report import MetalProductionReport
    from metalscope.session.reader import Session
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["EmptySessionError", "Replay"]


class EmptySessionError(MetalscopeError, ValueError):
    """The recording has no frame that can be read."""


class Replay:
    """Looks like a manager to the server, and plays a recording. At the last frame it stays.

    All times are those of the recording.

    Args:
        session: the recording; whoever opened it closes it after :meth:`stop`.
        speed: how many seconds of the recording pass in one; more than 0.
        on_end: called once with the last frame, on the replay's thread, when it is shown.

    Raises:
        EmptySessionError: there is no frame.
    """

    def __init__(
        self,
        session: Session,
        *,
        speed: float = 1.0,
        on_end: Consumer = lambda _: None,
    ) -> None:
        self._frames: Iterator[MetalTelemetrySnapshot] = iter(session)
        first = next(self._frames, None)
        if first is None:
            damage = f": {session.damage}" if session.damage is not None else ""
            raise EmptySessionError(f"{session.path} has no frame{damage}")
        self._now = first
        self._speed = speed
        self._on_end = on_end
        self._errors = InternalErrors()
        self.internal_error = self._errors.report
        self._consumers = Consumers(self._errors.report)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metalscope-replay", daemon=True)

    def start(self) -> None:
        """Begin to play."""
        self._thread.start()

    def stop(self) -> None:
        """Play no more. Idempotent."""
        self._stopping.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def get_snapshot(self) -> MetalTelemetrySnapshot:
        """The frame that is shown now."""
        return self._now

    def generate_report(self) -> MetalProductionReport:
        """The report of the frame that is shown now."""
        from metalscope.report import MetalProductionReport  # noqa: PLC0415 - when asked for

        return MetalProductionReport.of(self._now)

    def subscribe(self, consumer: Consumer) -> Callable[[], None]:
        """Call ``consumer`` with each frame; return what ends that."""
        return self._consumers.subscribe(consumer)

    def _run(self) -> None:
        began, first = monotonic(), self._now.timestamp
        for frame in self._frames:
            played = (frame.timestamp - first).total_seconds() / self._speed
            if self._stopping.wait(max(0.0, began + played - monotonic())):
                return
            self._now = frame
            self._consumers.feed(frame)
        self._on_end(self._now)
