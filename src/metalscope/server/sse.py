"""The live events: one serialisation a tick, handed to every viewer.

A viewer has a slot for the newest update, not a queue: one that reads too slowly skips to the
newest, and nothing is kept for it. Custom events travel with the update, so what a skipped update
held is not lost as long as it is among the snapshot's latest events.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from starlette.types import Receive, Scope, Send

from metalscope.alert_report import Alert, AlertState
from metalscope.fork import reset_in_child

if TYPE_CHECKING:
    from metalscope.server.source import Asker, TelemetrySource
    from metalscope.snapshot import ActivityPoint, MetalTelemetrySnapshot

__all__ = ["EventHub", "EventStream", "HubClosedError", "TooManyViewersError", "Viewer", "history"]

RETRY_MS: Final = 2000
"""How long a browser waits before it reconnects, ms."""

HEARTBEAT_SECONDS: Final = 15.0
"""After this much silence something is sent, so that both sides find out a dead peer: a comment,
and an empty ``alive`` event, since a browser does not show comments to a page."""

MAY_STAY_SECONDS: Final = 1.0
"""How often at most it is asked whether a viewer's key is still good."""

POINTS_PER_UPDATE: Final = 15
"""Latest points of activity in each update, so that a viewer that skipped some has them all."""

ALERTS_PER_UPDATE: Final = 100
"""Alerts in each update, the gravest first; the rest are only counted."""


class TooManyViewersError(Exception):
    """There are as many viewers as are allowed."""


class HubClosedError(Exception):
    """The server is stopping."""


@dataclass(frozen=True, slots=True)
class _Update:
    """One snapshot as frames: itself, and its custom events by sequence, ascending."""

    timestamp: datetime
    run: str
    snapshot: bytes
    events: tuple[tuple[int, bytes], ...]

    @classmethod
    def of(cls, snapshot: MetalTelemetrySnapshot) -> _Update:
        run = format(int(snapshot.started_at.timestamp() * 1000), "x")
        last = snapshot.events[-1].sequence if snapshot.events else 0
        return cls(
            snapshot.timestamp,
            run,
            _frame("snapshot", _live(snapshot), event_id=f"{run}-{last}"),
            tuple((event.sequence, _frame("event", event.to_dict())) for event in snapshot.events),
        )

    @property
    def last_sequence(self) -> int:
        return self.events[-1][0] if self.events else 0

    def frames_after(self, sequence: int) -> bytes:
        newer = (frame for number, frame in self.events if number > sequence)
        return b"".join((*newer, self.snapshot))

    def sequence_seen(self, last_event_id: str | None) -> int:
        """How far a viewer that comes back has seen; 0 where it saw another run, or nothing."""
        run, _, sequence = (last_event_id or "").partition("-")
        return int(sequence) if run == self.run and sequence.isdecimal() else 0


class Viewer:
    """One open stream's slot for what it is to be sent next."""

    def __init__(self) -> None:
        self.newest: _Update | None = None
        self.gone = False
        self.wake = asyncio.Event()


class EventHub:
    """Hands each tick's update to the viewers of one event loop.

    Args:
        telemetry: subscribed to until :meth:`close`; a tick costs nothing while no one looks.
        asker: runs a new viewer's first collection off the loop.
        max_viewers: more than these are refused.
    """

    def __init__(self, telemetry: TelemetrySource, asker: Asker, *, max_viewers: int) -> None:
        self._telemetry = telemetry
        self._asker = asker
        self._max_viewers = max_viewers
        self._closed = False
        self.skipped = 0
        """Updates that slow viewers did not get because a newer one took their place."""
        self.start_at_zero()
        reset_in_child(self)
        self._unsubscribe = telemetry.subscribe(self._on_tick)

    def start_at_zero(self) -> None:
        """Have no viewers; in a forked child the streams and their loop are the parent's."""
        self._viewers: set[Viewer] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._next: _Update | None = None

    @property
    def viewers(self) -> int:
        """How many streams are open."""
        return len(self._viewers)

    def enter(self) -> Viewer:
        """Admit a viewer, on the event loop; to be matched by :meth:`leave`.

        Raises:
            TooManyViewersError: the limit is reached.
            HubClosedError: the server is stopping.
        """
        if self._closed:
            raise HubClosedError
        if len(self._viewers) >= self._max_viewers:
            raise TooManyViewersError
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # the first viewer, or the first after a loop that ended
            self.start_at_zero()
            self._loop = loop
        viewer = Viewer()
        self._viewers.add(viewer)
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """Forget a viewer; on the event loop."""
        self._viewers.discard(viewer)

    def close(self) -> None:
        """End every stream and admit no more. Idempotent; from any thread."""
        self._closed = True
        self._unsubscribe()
        if self._loop is not None:
            with suppress(RuntimeError):  # its loop has ended, and with it the streams
                self._loop.call_soon_threadsafe(self._dismiss)

    async def frames(
        self,
        viewer: Viewer,
        last_event_id: str | None,
        may_stay: Callable[[], bool] = lambda: True,
    ) -> AsyncGenerator[bytes]:
        """What to send to one viewer until the hub closes, or it may not stay."""
        snapshot = await self._asker.ask(self._telemetry.get_snapshot)
        first = _Update.of(snapshot)
        yield b"retry: %d\n\n" % RETRY_MS + _frame("recent", self._opening(snapshot))
        yield first.frames_after(first.sequence_seen(last_event_id))
        seen = first.last_sequence
        asked_at = time.monotonic()
        while not viewer.gone:
            if time.monotonic() - asked_at >= MAY_STAY_SECONDS:
                asked_at = time.monotonic()
                if not may_stay():
                    return
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await viewer.wake.wait()
            except TimeoutError:
                yield b": still here\nevent: alive\ndata: {}\n\n"
                continue
            viewer.wake.clear()
            update, viewer.newest = viewer.newest, None
            # A tick that began before the first collection has nothing new to say.
            if update is not None and update.timestamp > first.timestamp:
                yield update.frames_after(seen)
                seen = max(seen, update.last_sequence)

    def _opening(self, snapshot: MetalTelemetrySnapshot) -> dict[str, Any]:
        # Without it a page could not tell that nothing fires from that nobody looks.
        return history(snapshot) | {"alerts": getattr(self._telemetry, "alerts", None) is not None}

    def _on_tick(self, snapshot: MetalTelemetrySnapshot) -> None:
        loop = self._loop
        if loop is None or not self._viewers:
            return
        update = _Update.of(snapshot)
        with self._lock:
            waiting, self._next = self._next, update
        if waiting is not None:
            # The loop has been busy for a whole tick: it takes the newest when it comes round.
            self.skipped += len(self._viewers)
            return
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(self._hand_round)

    def _hand_round(self) -> None:
        with self._lock:
            update, self._next = self._next, None
        for viewer in self._viewers:
            if viewer.newest is not None:
                self.skipped += 1
            viewer.newest = update
            viewer.wake.set()

    def _dismiss(self) -> None:
        for viewer in self._viewers:
            viewer.gone = True
            viewer.wake.set()


class EventStream:
    """The response that carries a viewer's frames until either side has had enough."""

    def __init__(
        self,
        hub: EventHub,
        viewer: Viewer,
        last_event_id: str | None,
        *,
        may_stay: Callable[[], bool] = lambda: True,
    ) -> None:
        self._hub = hub
        self._viewer = viewer
        self._last_event_id = last_event_id
        self._may_stay = may_stay

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as ASGI asks."""
        pump = asyncio.create_task(self._pump(send))
        departure = asyncio.create_task(_departure(receive))
        try:
            await asyncio.wait({pump, departure}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.leave(self._viewer)
            pump.cancel()
            departure.cancel()
            outcome, _ = await asyncio.gather(pump, departure, return_exceptions=True)
        if isinstance(outcome, Exception):
            raise outcome

    async def _pump(self, send: Send) -> None:
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            # Asks nginx not to hold the stream back.
            (b"x-accel-buffering", b"no"),
        ]
        started = False
        found = self._hub.frames(self._viewer, self._last_event_id, self._may_stay)
        async with aclosing(found) as frames:
            async for data in frames:
                # Not before the first frame, so that a failure to collect is a 500 of its own.
                if not started:
                    await send({"type": "http.response.start", "status": 200, "headers": headers})
                    started = True
                await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def history(snapshot: MetalTelemetrySnapshot) -> dict[str, Any]:
    """The activity of the recent window, oldest first: ``/api/v1/recent``."""
    return {
        "started_at": snapshot.started_at.astimezone(UTC).isoformat(timespec="milliseconds"),
        "points": [_point(point) for point in snapshot.recent.points],
    }


def _live(snapshot: MetalTelemetrySnapshot) -> dict[str, Any]:
    """The snapshot without what only a machine reads each second, with its latest activity."""
    data = snapshot.to_dict()
    del data["events"]  # sent one by one
    del data["duration_edges"]
    for operation in data["operations"]:
        del operation["histogram"]
        del operation["outcomes"]
    latest = snapshot.recent.points[-POINTS_PER_UPDATE:]
    data["recent"]["points"] = [_point(point) for point in latest]
    # A thousand may fire at once, which would be a megabyte a tick for each viewer.
    data["alerts_omitted"] = max(0, len(snapshot.alerts) - ALERTS_PER_UPDATE)
    if data["alerts_omitted"]:
        shown = sorted(snapshot.alerts, key=_gravest_first)[:ALERTS_PER_UPDATE]
        data["alerts"] = [alert.to_dict() for alert in shown]
    return data


def _gravest_first(alert: Alert) -> tuple[int, bool]:
    return -alert.severity.rank, alert.state is AlertState.PENDING


def _point(point: ActivityPoint) -> list[float | None]:
    """Seconds since the epoch, operations/s, errors/s, mean ms."""
    return [
        round(point.timestamp.timestamp(), 3),
        point.operations_per_second,
        point.errors_per_second,
        point.mean_ms,
    ]


def _frame(event: str, data: Mapping[str, Any], *, event_id: str | None = None) -> bytes:
    # JSON escapes line breaks, so the data is one line whatever a name holds.
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    head = f"id: {event_id}\n" if event_id is not None else ""
    return f"{head}event: {event}\ndata: {text}\n\n".encode()
