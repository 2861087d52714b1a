"""What is to come: memory that runs out, budgets that are spent, load, components at risk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Final, TypeVar

from metalscope.forecast.base import Forecast, Forecaster, Series
from metalscope.forecast.budget import budget_spent
from metalscope.forecast.exhaustion import exhaustion
from metalscope.forecast.failures import FailureHours
from metalscope.forecast.load import load_ahead, peak_of
from metalscope.forecast.record import Record
from metalscope.forecast.risk import failure_risk
from metalscope.forecast.words import memory_exhausted, risk_of
from metalscope.fork import reset_in_child
from metalscope.health_report import ObjectiveStatus, Prediction
from metalscope.moments import utc_now
from metalscope.operation import Component
from metalscope.readings import ResourceKind, ResourceMetrics

if TYPE_CHECKING:
    from metalscope.health_options import HealthMonitorOptions
    from metalscope.history import HistoryReader
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["MAX_RECORDS", "MAX_SECONDS", "Predictor"]

ROOM: Final = "predictions"
MAX_SECONDS: Final = 10.0
"""After so long a round is over; what was not looked at by then is not predicted."""

MAX_RECORDS: Final = 32
"""Readings of memory that are followed; further ones are not."""

_MEMORY: Final = (ResourceKind.MEMORY, ResourceKind.GPU_MEMORY, ResourceKind.HOST_MEMORY)
_SLOTS: Final = 240

Answer = TypeVar("Answer")

_Reading = tuple[ResourceKind, str, str]


class Predictor:
    """Looks ahead at every interval, on a thread of its own, never twice at once.

    The tick hands its snapshots to :meth:`observe`, which keeps little and computes nothing.
    Without a history, the memory of this process's time is what predictions of memory are drawn
    from, and its failures those of risk; there is no forecast of load.

    Args:
        history: the past; ``None`` where none is kept.
        options: the forecaster, the horizon, the interval.
        on_error: told of what goes wrong inside, as (room, exception).
        objectives: what the objectives' statuses are now.
        forecaster: the one to use; the one the options name where ``None``.
        now: the time of day.
        elapsed: seconds that only ever grow.

    Raises:
        ConfigurationError: no forecaster has the name that the options give.
        MissingExtraError: its libraries are not installed.
    """

    def __init__(
        self,
        history: HistoryReader | None,
        options: HealthMonitorOptions,
        *,
        on_error: Callable[[str, BaseException], None],
        objectives: Callable[[], Sequence[ObjectiveStatus]] = tuple,
        forecaster: Forecaster | None = None,
        now: Callable[[], datetime] = utc_now,
        elapsed: Callable[[], float] = monotonic,
    ) -> None:
        if forecaster is None:
            from metalscope.forecast.forecasters import (  # noqa: PLC0415 - reads entry points
                forecaster_of,
            )

            forecaster = forecaster_of(options.forecaster)
        self._history = history
        self._forecaster = forecaster
        self._horizon = options.prediction_horizon
        self._interval = options.anomaly_detection_interval.total_seconds()
        self._on_error = on_error
        self._objectives = objectives
        self._now = now
        self._elapsed = elapsed
        self.start_at_zero()
        reset_in_child(self)

    def start_at_zero(self) -> None:
        """Know nothing, and run no thread: the state of a new process."""
        self._lock = threading.Lock()
        self._running = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._records: dict[_Reading, Record] = {}
        self._snapshot: MetalTelemetrySnapshot | None = None
        self._failures = FailureHours()
        self._latest: tuple[Prediction, ...] = ()
        self._load: Forecast | None = None

    # -- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to look ahead, first after one interval. Idempotent."""
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._run, name="metalscope-ahead", daemon=True)
            self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """End the thread; wait ``timeout`` s for a round that is under way, or until it is over."""
        thread, self._thread = self._thread, None
        self._stopping.set()
        if thread is not None:
            thread.join(timeout)

    def _run(self) -> None:
        stopping = self._stopping
        while not stopping.wait(self._interval):
            self.predict()

    # -- what it is told and asked ---------------------------------------------------------------

    def observe(self, snapshot: MetalTelemetrySnapshot) -> None:
        """Take one tick's snapshot."""
        now = snapshot.timestamp.timestamp()
        with self._lock:
            self._snapshot = snapshot
            for reading in snapshot.resources:
                if reading.kind in _MEMORY and reading.limit:
                    key = reading.kind, reading.name, reading.device
                    record = self._records.get(key)
                    if record is None:
                        if len(self._records) >= MAX_RECORDS:
                            continue
                        record = self._records[key] = Record(
                            slots=_SLOTS, longest=self._horizon.total_seconds()
                        )
                    record.add(now, reading.current)

    def latest(self) -> tuple[Prediction, ...]:
        """What the last round found."""
        return self._latest

    def load(self) -> Forecast | None:
        """Operations a second in the hours to come, as of the last round."""
        return self._load

    def predict(self) -> tuple[Prediction, ...]:
        """Look ahead now; where a round is under way already, return what the last one found."""
        if not self._running.acquire(blocking=False):
            return self._latest
        try:
            self._latest = tuple(self._look())
        finally:
            self._running.release()
        return self._latest

    # -- a round ---------------------------------------------------------------------------------

    def _look(self) -> Iterator[Prediction]:
        ending = self._elapsed() + MAX_SECONDS
        with self._lock:
            snapshot = self._snapshot
            records = {key: record.series() for key, record in self._records.items()}
        now = self._now()
        exhausted: list[Prediction] = []
        for reading in () if snapshot is None else snapshot.resources:
            key = reading.kind, reading.name, reading.device
            if key in records and self._elapsed() < ending:
                look = partial(self._memory, reading, records[key], now)
                exhausted += self._guarded(look)
        yield from exhausted
        yield from self._guarded(partial(self._budgets, now))
        if self._elapsed() < ending:
            yield from self._guarded(partial(self._work, now))
        if snapshot is not None and self._elapsed() < ending:
            yield from self._guarded(partial(self._risks, snapshot, exhausted, now))

    def _guarded(self, look: Callable[[], Iterator[Prediction]]) -> list[Prediction]:
        return self._or(lambda: list(look()), [])

    def _or(self, ask: Callable[[], Answer], otherwise: Answer) -> Answer:
        try:
            return ask()
        except Exception as error:  # noqa: BLE001 - one that fails must not keep the others back
            self._on_error(ROOM, error)
            return otherwise

    def _memory(
        self, reading: ResourceMetrics, record: Series, now: datetime
    ) -> Iterator[Prediction]:
        limit = reading.limit
        if limit is None:
            return
        # Where the history cannot be read, what this process saw itself is still known.
        series = self._or(lambda: self._longer(reading, record, now), record)
        passage = exhaustion(self._forecaster, series, limit, self._horizon.total_seconds())
        if passage is not None:
            yield memory_exhausted(reading, limit, passage, series, now)

    def _longer(self, reading: ResourceMetrics, record: Series, now: datetime) -> Series:
        """The past of a reading from the history, where it knows more than this process."""
        if self._history is None:
            return record
        from metalscope.history import SeriesKey  # noqa: PLC0415 - loads SQLite, where there is one

        span = self._history.span()
        if span is None:
            return record
        since = max(span[0], now - self._horizon)
        lived = record.step * len(record.values)
        if (now - since).total_seconds() <= lived:
            return record
        step = timedelta(seconds=max(60.0, (now - since).total_seconds() / _SLOTS))
        key = SeriesKey("resource", reading.kind.value, reading.name, reading.device)
        return self._history.series(key, since, now, step, reading="high")

    def _budgets(self, now: datetime) -> Iterator[Prediction]:
        for status in self._objectives():
            prediction = budget_spent(status, now, self._horizon)
            if prediction is not None:
                yield prediction

    def _work(self, now: datetime) -> Iterator[Prediction]:
        if self._history is None:
            return
        self._load = load_ahead(self._forecaster, self._history, now, self._horizon)
        if self._load is not None and max(self._load.values) > 0:
            yield peak_of(self._load)

    def _risks(
        self, snapshot: MetalTelemetrySnapshot, exhausted: Sequence[Prediction], now: datetime
    ) -> Iterator[Prediction]:
        self._failures.observe(snapshot)
        failures, known = self._failures, snapshot.uptime_seconds / 3600
        if self._history is not None:
            past = FailureHours()
            known = max(known, self._or(partial(past.read, self._history, now), 0.0))
            failures = past.merged(failures)
        horizon = self._horizon.total_seconds() / 3600
        for component in Component:
            risk = failure_risk(failures.ages(component, now), known, horizon)
            found = risk_of(
                component,
                risk,
                counted=failures.evidence(component),
                snapshot=snapshot,
                exhausted=exhausted if component is Component.MEMORY else (),
                until=now + self._horizon,
            )
            if found is not None:
                yield found
