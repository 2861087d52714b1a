"""MetalMetricsExporter: hands snapshots to every exporter, each at its own pace."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import wait
from dataclasses import dataclass
from datetime import timedelta
from math import inf
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from metalscope.errors import ConfigurationError
from metalscope.export.attempts import AttemptThread
from metalscope.export.codec import encode
from metalscope.export.lane import Lane, LaneTiming, Offer, last_delivered
from metalscope.export.timeline import Timeline
from metalscope.export_status import ExporterStatus
from metalscope.fork import reset_in_child
from metalscope.sending.clock import Clock
from metalscope.sending.pace import Pace
from metalscope.sending.result import ExportResult, Reason
from metalscope.sending.spool.queue import MemorySpool, Spool

if TYPE_CHECKING:
    from metalscope.export.base import MetricsExporter
    from metalscope.export_options import ExporterOptions, ExportOptions
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["MetalMetricsExporter"]

_LONGEST_WAIT: Final = 60.0
"""Seconds after which a lane looks again in any case, as a clock may have been set."""


class MetalMetricsExporter:
    """Runs exporters side by side; one that hangs, raises or is refused harms no other.

    Each has a queue, a schedule, a thread and a circuit breaker of its own. Feed it snapshots by
    :meth:`consume`; :meth:`export_now` does not wait for the schedule.

    Args:
        options: how to export; which exporters there are is said by :meth:`add`.
        interval: time between two exports where an exporter has none of its own; ``None`` exports
            only when asked.
        on_error: told of errors inside, as (room, exception).
        clock: the time.
    """

    def __init__(
        self,
        options: ExportOptions,
        *,
        interval: timedelta | None,
        on_error: Callable[[str, BaseException], None],
        clock: Clock | None = None,
    ) -> None:
        self._options = options
        self._interval = interval
        self._on_error = on_error
        self._clock = clock or Clock()
        self._runners: tuple[_Runner, ...] = ()
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """In a forked child: the exporters are the parent's, as are what they have open."""
        self._lock = threading.Lock()
        self._runners = ()
        self._timeline = Timeline(self._clock.monotonic)
        self._newest: Offer | None = None

    def add(
        self,
        exporter: MetricsExporter,
        *,
        name: str,
        type: str = "custom",  # noqa: A002 - the option's own name
        interval: timedelta | None = None,
        timeout: timedelta | None = None,
    ) -> None:
        """Export by ``exporter`` from the next snapshot on.

        Args:
            exporter: what sends.
            name: its name in logs, metrics and the spool; no other may have it.
            type: what it speaks, for its status.
            interval: time between two exports, where it is not that of all.
            timeout: longest time of one export, where it is not that of all.

        Raises:
            ConfigurationError: there is one of this name, or the spool cannot be used.
        """
        with self._lock:
            if any(runner.lane.name == name for runner in self._runners):
                raise ConfigurationError(f"there is an exporter named {name!r} already")
            options = self._options
            timeout = timeout or options.export_timeout
            spool, orphans = self._spools_for(name)
            if (delivered := last_delivered(spool)) is not None:
                exporter.resume(delivered)
            woken = threading.Event()
            retry = options.retry
            lane = Lane(
                name,
                type,
                spool=spool,
                attempts=AttemptThread(exporter, timeout=timeout, on_error=self._on_error),
                pace=Pace(
                    first_delay=retry.first_delay,
                    max_delay=retry.max_delay,
                    threshold=retry.circuit_breaker_threshold,
                    open_for=retry.circuit_breaker_timeout,
                ),
                timing=LaneTiming(timeout, options.spool.replay_interval),
                keeps_history=exporter.keeps_history,
                clock=self._clock,
                wake=woken.set,
                orphans=orphans,
            )
            runner = _Runner(lane, woken, interval or self._interval, self._on_error)
            runner.start()
            self._runners = (*self._runners, runner)

    def add_of(self, options: ExporterOptions, exporter: MetricsExporter) -> None:
        """Export by ``exporter``, which was made of ``options``; raises as :meth:`add` does."""
        self.add(
            exporter,
            name=options.name,
            type=str(options.type),
            # Where nothing is exported unasked, that holds for those with an interval too.
            interval=None if self._interval is None else options.interval,
            timeout=options.timeout,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The exporters' names."""
        return tuple(runner.lane.name for runner in self._runners)

    def status(self) -> tuple[ExporterStatus, ...]:
        """How each exporter is doing."""
        return tuple(runner.lane.status() for runner in self._runners)

    def consume(self, snapshot: MetalTelemetrySnapshot) -> None:
        """Hand a snapshot to the exporters whose time it is. Never blocks."""
        if self._runners:
            with self._lock:
                self._hand_over(snapshot, self._clock.monotonic())

    def export_now(
        self, snapshot: MetalTelemetrySnapshot, timeout: float | None = None
    ) -> dict[str, ExportResult]:
        """Export a snapshot by every exporter, after what already waits.

        Args:
            snapshot: what to export.
            timeout: how many s to wait for the outcome; ``export_timeout`` where ``None``.

        Returns:
            By exporter what became of it. What is not over when time is up is a retry, and stays
            in the queue.
        """
        if timeout is None:
            timeout = self._options.export_timeout.total_seconds()
        with self._lock:
            offers = self._hand_over(snapshot, None)
        for runner in self._runners:
            runner.lane.urge()
        wait([offer.outcome for offer in offers.values()], timeout)
        late = ExportResult.retry(Reason.TIMEOUT, f"not over within {timeout:g} s; it waits")
        return {
            name: offer.outcome.result() if offer.outcome.done() else late
            for name, offer in offers.items()
        }

    def shutdown(self, timeout: float | None = None) -> None:
        """Export the newest snapshot by those that have not yet, and end. Idempotent.

        Args:
            timeout: how many s to wait for all of them together; ``shutdown_timeout`` where
                ``None``. What has not gone by then stays in the spool, where it is on disk.
        """
        if timeout is None:
            timeout = self._options.shutdown_timeout.total_seconds()
        with self._lock:
            runners, self._runners = self._runners, ()
            newest = self._newest
        for runner in runners:
            if newest is not None and runner.interval is not None:
                runner.offer(newest, None)
            runner.finish(timeout)
        deadline = monotonic() + timeout
        for runner in runners:
            runner.join(max(0.0, deadline - monotonic()))

    def _hand_over(self, snapshot: MetalTelemetrySnapshot, now: float | None) -> dict[str, Offer]:
        snapshot = self._timeline.fit(snapshot)
        encoded = _Encoded(snapshot)
        self._newest = Offer(snapshot, encoded)
        offers: dict[str, Offer] = {}
        for runner in self._runners:
            if now is None or runner.is_due(now):
                offers[runner.lane.name] = runner.offer(Offer(snapshot, encoded), now)
        return offers

    def _spools_for(self, name: str) -> tuple[Spool, Callable[[], Spool | None]]:
        options = self._options.spool
        bounds: dict[str, Any] = {"max_bytes": options.max_bytes, "max_age": options.max_age}
        directory: Path | None = options.directory
        if directory is None:
            return MemorySpool(**bounds), lambda: None
        from metalscope.sending.spool.slots import SpoolSlots  # noqa: PLC0415 - where there are

        slots = SpoolSlots(directory, name, **bounds, on_error=self._on_error)
        return slots.open(), slots.orphan


class _Encoded:
    """A snapshot's bytes, made when the first lane asks, once: lanes ask at the same moment."""

    def __init__(self, snapshot: MetalTelemetrySnapshot) -> None:
        self._snapshot = snapshot
        self._lock = threading.Lock()
        self._data: bytes | None = None

    def __call__(self) -> bytes:
        with self._lock:
            if self._data is None:
                self._data = encode(self._snapshot)
            return self._data


@dataclass
class _Runner:
    """A lane's thread and schedule."""

    lane: Lane
    woken: threading.Event
    interval: timedelta | None
    on_error: Callable[[str, BaseException], None]

    def __post_init__(self) -> None:
        self._due = 0.0
        self._last: Offer | None = None
        self._until = inf
        self._finishing = False
        self._thread = threading.Thread(target=self._run, name="metalscope-lane", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def is_due(self, now: float) -> bool:
        return self.interval is not None and now >= self._due

    def offer(self, offer: Offer, now: float | None) -> Offer:
        """Offer it unless it was; return the one under way."""
        if now is not None and self.interval is not None:
            step = self.interval.total_seconds()
            # On the same beat as before, unless that was missed.
            self._due = self._due + step if now - self._due < step else now + step
        if self._last is not None and self._last.snapshot is offer.snapshot:
            return self._last
        self._last = offer
        self.lane.offer(offer)
        return offer

    def finish(self, timeout: float) -> None:
        self._until = monotonic() + timeout
        self.lane.urge()
        self._finishing = True
        self.woken.set()

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            self.woken.clear()
            try:
                pause = self.lane.turn()
            except Exception as error:  # noqa: BLE001 - law: the lane must go on
                self.on_error("export", error)
                pause = 1.0
            if self._finishing:
                left = self._until - monotonic()
                if left <= 0 or self.lane.is_through:
                    break
                pause = min(pause, left)
            self.woken.wait(min(pause, _LONGEST_WAIT))
        self.lane.close(max(0.0, self._until - monotonic()))
