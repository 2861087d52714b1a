"""How long the Metal device took for some of the calls, by events in its own stream.

``torch.mps.Event.elapsed_time`` waits for the stream (``MPSEventPool::elapsedTime`` in PyTorch's
sources commits and waits). So it is asked only right after the program itself has waited, when
there is nothing left to wait for, and a program that never waits gets no device times. Recording
an event submits what the stream has collected so far, so that not every call is timed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from metalscope.fork import reset_in_child

if TYPE_CHECKING:
    from metalscope.manager import MetalTelemetryManager

__all__ = ["MAX_PENDING", "DeviceTimes", "Started"]

MAX_PENDING: Final = 64
"""Timed calls that are kept until the program waits; of more, the oldest has no device time."""

_MAX_NAMES: Final = 4096
_ROOM: Final = "instrument.torch"
_POLL_SECONDS: Final = 0.005

_abandoned: list[Any] = []
"""Events a forked child has from its parent: to free one there would call into Metal."""


class Started(NamedTuple):
    """A timed call that is under way."""

    telemetry: MetalTelemetryManager
    name: str
    device: str
    event: Any


class _Pending(NamedTuple):
    """A timed call that has returned, and whose work on the device may not be done."""

    call: Started
    duration_ns: int
    end: Any

    def record(self, gpu_ns: int | None) -> None:
        self.call.telemetry.record(
            "execute",
            self.call.name,
            duration_ns=self.duration_ns,
            device=self.call.device,
            gpu_ns=gpu_ns,
        )


class DeviceTimes:
    """Times the first and then every so-manyth call of a name that runs on ``mps``.

    Args:
        new_event: makes a ``torch.mps.Event`` that keeps time.
        every: one in how many calls is timed; none where 0.
    """

    def __init__(self, new_event: Callable[[], Any], every: int) -> None:
        self._new_event = new_event
        self.every = every
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Forget what is under way; in a forked child there is no device."""
        _abandoned.append(vars(self).get("_pending"))
        self._lock = threading.RLock()
        self._seen: dict[str, int] = {}
        self._pending: deque[_Pending] = deque()

    def begin(self, telemetry: MetalTelemetryManager, name: str, device: str) -> Started | None:
        """Mark the beginning of a call in the device's stream; ``None`` where it is not timed."""
        if not self.every or not device.startswith("mps"):
            return None
        # A count that two threads get to at once times one call more or less; nothing else.
        seen = self._seen.get(name, 0)
        if seen or len(self._seen) < _MAX_NAMES:
            self._seen[name] = seen + 1
        if seen % self.every:
            return None
        try:
            event = self._new_event()
            event.record()
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            telemetry.internal_error(_ROOM, error)
            return None
        return Started(telemetry, name, device, event)

    def end(self, call: Started, duration_ns: int) -> None:
        """Mark the end. The call is recorded when its device time is known, or given up."""
        try:
            end = self._new_event()
            end.record()
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            call.telemetry.internal_error(_ROOM, error)
            _Pending(call, duration_ns, None).record(None)
            return
        self._pending.append(_Pending(call, duration_ns, end))
        if len(self._pending) > MAX_PENDING:
            with self._lock:
                self._pending.popleft().record(None)

    def program_waited(self) -> None:
        """Record the timed calls that are complete. Call when the program has just waited."""
        if self._pending and self._lock.acquire(blocking=False):
            try:
                self._record_complete()
            finally:
                self._lock.release()

    def settle(self, timeout: float) -> bool:
        """Wait until all timed calls are complete, and record them; false where time ran out.

        Those for which there was no time are recorded without a device time.
        """
        deadline = monotonic() + timeout
        with self._lock:
            self._record_complete()
            while self._pending and monotonic() < deadline:
                sleep(_POLL_SECONDS)
                self._record_complete()
            in_time = not self._pending
            self.give_up()
        return in_time

    def give_up(self) -> None:
        """Record all that is pending without a device time."""
        with self._lock:
            while self._pending:
                self._pending.popleft().record(None)

    def _record_complete(self) -> None:
        # In the order of the stream: behind one that is not complete, none is.
        while self._pending:
            first = self._pending[0]
            gpu_ns: int | None = None
            try:
                if not first.end.query():
                    return
                # Once only: PyTorch's wait for the event's notification eats that notification.
                gpu_ns = round(first.call.event.elapsed_time(first.end) * 1e6)
            except Exception as error:  # noqa: BLE001 - law: an absent value, not a failure
                first.call.telemetry.internal_error(_ROOM, error)
            self._pending.popleft()
            first.record(gpu_ns)
