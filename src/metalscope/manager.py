"""MetalTelemetryManager: owns the clock tick and hands the snapshot round."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from metalscope.activity import ActivityWindow, Totals
from metalscope.consumers import Consumer, Consumers
from metalscope.counters import MetalPerformanceCounters
from metalscope.custom import CustomMetrics, EventLog, MetricKind
from metalscope.errors import MetalscopeWarning
from metalscope.fork import reset_in_child, restart_in_child
from metalscope.health.monitor import MetalHealthMonitor
from metalscope.internal import InternalErrors
from metalscope.logs_and_traces import LogsAndTraces
from metalscope.recorder import Recorder, Recording
from metalscope.sensors.board import SensorBoard
from metalscope.sensors.host import HostSensor
from metalscope.series import Retired, SeriesBook
from metalscope.services import (
    join_processes,
    start_alerts_for,
    start_exporters_for,
    start_health_for,
    start_server_for,
    telemetry_of,
)
from metalscope.snapshot import (
    DeviceInfo,
    InternalMetrics,
    MetalTelemetrySnapshot,
    OperationMetrics,
)
from metalscope.timed import Function, timed

if TYPE_CHECKING:
    from datetime import timedelta

    from metalscope.alerts.manager import MetalAlertsManager
    from metalscope.analysis import ReportThresholds
    from metalscope.correlating import SpanContext
    from metalscope.export.base import MetricsExporter
    from metalscope.export.exporter import MetalMetricsExporter
    from metalscope.health.breaker import CircuitBreaker
    from metalscope.history import History
    from metalscope.logs.logger import MetalProductionLogger
    from metalscope.operation import Component
    from metalscope.options import MetalTelemetryOptions
    from metalscope.report import MetalProductionReport
    from metalscope.sensors.base import Sensor
    from metalscope.server import RunningServer
    from metalscope.tails import Tails
    from metalscope.traces.block import SpanBlock
    from metalscope.traces.no_span import NoSpan
    from metalscope.traces.tracer import Tracer

__all__ = ["Consumer", "MetalTelemetryManager"]

EVENTS_IN_SNAPSHOT: Final = 100


class MetalTelemetryManager(Recording):
    """Records operations, reads sensors each tick, and gives the snapshot to its consumers.

    Recording works from the moment it is made; :meth:`start` begins the tick. A manager is its own
    context manager: ``with MetalTelemetryManager() as tel: ...`` starts and shuts down.

    Args:
        options: what to do and how often; the defaults where none are given.
    """

    def __init__(self, options: MetalTelemetryOptions | None = None) -> None:
        if options is None:
            from metalscope.options import MetalTelemetryOptions  # noqa: PLC0415 - loads pydantic

            options = MetalTelemetryOptions.defaults()
        self.options = options
        self._errors = InternalErrors()
        self.internal_error = self._errors.report
        self._recorder = Recorder(
            max_series=options.max_operation_names,
            on_error=self._errors.report,
            enabled=options.enabled,
            sample_rate=options.sample_rate,
        )
        self._record_by(self._recorder)
        self._told = LogsAndTraces(options, self._recorder, self, self._errors.report)
        self._custom = CustomMetrics(max_series=options.max_custom_series)
        self._events = EventLog(
            max_events=options.max_events, retention=options.metrics_retention_period
        )
        self._host = HostSensor()
        # Half a tick, so that each tick reads anew however it is late, and a scrape does not.
        self._sensors = SensorBoard(
            self._errors.report, fresh_for=options.tick_interval.total_seconds() / 2
        )
        self._sensors.add(self._host)
        self._consumers = Consumers(self.internal_error)
        self.health = MetalHealthMonitor(
            options.health_monitor,
            on_error=self.internal_error,
            history_window=options.history_window,
        )
        self._thread: threading.Thread | None = None
        self.start_at_zero()
        reset_in_child(self)
        restart_in_child(self)

    def start_at_zero(self) -> None:
        """Forget all counts and be as not started: the state of a new process."""
        self._lock = threading.RLock()
        self._collect_lock = threading.RLock()
        self._stopping = threading.Event()
        self._was_running = self._thread is not None
        self._thread = None
        self._on_shutdown: list[Callable[[], None]] = []
        self.server: RunningServer | None = None
        self.exporter: MetalMetricsExporter | None = None
        self.history: History | None = None
        self.alerts: MetalAlertsManager | None = None
        """Raises alerts while this is started; ``None`` where ``alerts.enabled`` is false."""
        self._series = SeriesBook()
        self._activity = ActivityWindow(self.options.history_window.total_seconds())
        self._started_at = datetime.now(UTC)
        self.counters = MetalPerformanceCounters(
            self.options,
            collect=lambda: self._collect(datetime.now(UTC)),
            read_sensors=self._sensors.read,
        )

    # -- recording ---------------------------------------------------------------------------

    def timed(
        self, kind: str, name: str | None = None, *, device: str = ""
    ) -> Callable[[Function], Function]:
        """Decorate a function, sync or async, so that each call is one operation.

        ``name`` defaults to the function's qualified name.
        """
        return timed(self.operation, kind, name, device)

    def span(
        self,
        name: str,
        *,
        attributes: Mapping[str, Any] | None = None,
        parent: SpanContext | None = None,
    ) -> SpanBlock | NoSpan:
        """A span around a block: ``with tel.span("request") as span: ...``; also ``async with``.

        Operations within are its children. Where ``traces.enabled`` is false it does nothing.

        Args:
            name: what it is; one of few, without ids.
            attributes: what is known of it: texts, numbers, truth values, or lists of one of these.
            parent: what it is within; the span that is current where none is given.
        """
        tracer = self.tracer
        if tracer is None:
            from metalscope.traces.no_span import NO_SPAN  # noqa: PLC0415 - where it is used

            return NO_SPAN
        return tracer.span(name, attributes=attributes, parent=parent)

    @property
    def tracer(self) -> Tracer | None:
        """Makes spans; ``None`` where ``traces.enabled`` is false."""
        return self._told.tracer

    @property
    def tails(self) -> Tails | None:
        """The latest records and spans, for the page; ``None`` where no server is enabled."""
        return self._told.tails

    @property
    def log(self) -> MetalProductionLogger:
        """The production log: ``tel.log.info("loaded", model="llama")``.

        It writes to the sinks of the options, or to the standard error where there are none.

        Raises:
            ConfigurationError: a sink, its spool or its settings cannot be used.
            MissingExtraError: a sink's library is not installed.
        """
        return self._told.log(self)

    def record_custom_metric(
        self,
        name: str,
        value: float,
        labels: Mapping[str, str] | None = None,
        kind: MetricKind = "counter",
    ) -> None:
        """Add ``value`` to a counter, set a gauge to it, or observe it in a histogram.

        Raises:
            InvalidNameError: the name or a label breaks Prometheus's rules, begins with
                ``metal_`` or ``metalscope_``, or is in use as another kind or with other labels.
            ValueError: the value is not a finite number, or negative for a counter.
        """
        self._custom.record(name, value, labels, kind)

    def record_custom_event(self, name: str, properties: Mapping[str, Any] | None = None) -> None:
        """Note that something happened now.

        Raises:
            InvalidNameError: the name is empty or the properties are no mapping of text keys.
        """
        self._events.record(name, properties)

    # -- life --------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether the tick is on in this process."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def start(self) -> Self:
        """Start the tick, and the HTTP server where the options enable it. Idempotent.

        Raises:
            ConfigurationError: the server's address, the spool or an exporter cannot be used.
            MissingExtraError: the libraries of the server or of an exporter are not installed.
        """
        with self._lock:
            if self.is_running:
                return self
            self._warn_of_unavailable_features()
            self._sensors.open_found(without=self.options.disabled_sensors)
            try:
                # First, so that it is the last to end.
                self._told.start(self)
                start_health_for(self)
                directory = self.options.processes_directory
                file = join_processes(self, directory) if directory is not None else None
                start_exporters_for(self)
                source = telemetry_of(self, file)
                start_alerts_for(self, source)
                if self.options.server.enabled:
                    self.server = start_server_for(self, source)
            except BaseException:
                self._stop_services()
                raise
            self._start_tick()
        return self

    def start_in_child(self) -> None:
        """In a forked child: go on counting, where several processes count together.

        The HTTP server stays the parent's. Where processes do not count together, a child's
        counts would reach no one; :meth:`start` is there for those who want them.
        """
        directory = self.options.processes_directory
        if directory is None or not self._was_running:
            return
        try:
            self._told.start(self)
            join_processes(self, directory)
            start_health_for(self)
            start_exporters_for(self)
            # Where one serves all of them, it also raises the alerts of all.
            if not self.options.server.enabled:
                start_alerts_for(self, self)
            self._start_tick()
        except Exception as error:  # noqa: BLE001 - law: the program's fork must go on
            self.internal_error("processes", error)

    def shutdown(self, timeout: float | None = None) -> None:
        """Stop the tick after one last round to the consumers, then stop the services. Idempotent.

        Args:
            timeout: how many seconds to wait for the tick thread; forever where ``None``.
        """
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is None:
                return
            self._stopping.set()
        if thread is not threading.current_thread():
            thread.join(timeout)
        # Before anything that may take long: the process may be given little time to end.
        self._guarded("shutdown", self._told.flush)
        self._stop_services()

    stop = shutdown

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown()

    def on_shutdown(self, stop: Callable[[], None]) -> None:
        """Have ``stop`` called once at shutdown, after the last tick, last added first."""
        self._on_shutdown.append(stop)

    # -- what feeds it and what it feeds -----------------------------------------------------

    def add_sensor(self, sensor: Sensor) -> None:
        """Read ``sensor`` each tick from now on."""
        self._sensors.add(sensor)

    def remove_sensor(self, sensor: Sensor) -> None:
        """Read ``sensor`` no more."""
        self._sensors.remove(sensor)

    def add_device(self, device: DeviceInfo) -> None:
        """Name a device in the snapshot, or complete what is known of it."""
        self._sensors.add_device(device)

    def subscribe(self, consumer: Consumer) -> Callable[[], None]:
        """Call ``consumer`` with a snapshot each tick, on the tick's thread.

        What it raises is counted and logged. Returns a function that ends the subscription.
        """
        return self._consumers.subscribe(consumer)

    def add_exporter(
        self, exporter: MetricsExporter, *, name: str, interval: timedelta | None = None
    ) -> None:
        """Export by one of your own from now on, beside those of the options.

        Args:
            exporter: what sends; see :class:`~metalscope.export.base.MetricsExporter`.
            name: its name in logs, metrics and the spool.
            interval: time between two exports; as often as the others where ``None``.

        Raises:
            ConfigurationError: there is an exporter of this name, or the spool cannot be used.
        """
        with self._lock:
            start_exporters_for(self, even_if_none=True)
            assert self.exporter is not None  # noqa: S101 - for the type checker
            self.exporter.add(exporter, name=name, interval=interval)

    def breaker(self, name: str, component: Component | str | None = None) -> CircuitBreaker:
        """The circuit breaker of this name, made now where there is none; see docs/breakers.md.

        Args:
            name: ``memory``, ``device``, ``kernel``, ``compiler`` or ``system`` for the one of that
                component, or a name of your own.
            component: what a breaker of your own stands before: it is degraded while the breaker is
                open, and only its errors count as failures.

        Raises:
            InvalidNameError: the name is empty, or there are as many breakers as there may be.
            ConfigurationError: the breaker is there with another component.
            ValueError: there is no such component.
        """
        return self.health.breaker(name, component)

    # -- what it knows -----------------------------------------------------------------------

    def get_snapshot(self) -> MetalTelemetrySnapshot:
        """Collect now. Sensors are read at most once a tick."""
        now = datetime.now(UTC)
        operations, retired = self._collect(now)
        recent = self._activity.recent()
        resources = self._sensors.read()
        return MetalTelemetrySnapshot(
            timestamp=now,
            started_at=self._started_at,
            operations=operations,
            resources=resources,
            health=self.health.report(recent, resources),
            alerts=() if self.alerts is None else self.alerts.active,
            recent=recent,
            custom=self._custom.collect(),
            events=self._events.latest(EVENTS_IN_SNAPSHOT),
            notable=self._told.notable(),
            system=self._host.system(self._sensors.devices),
            internals=InternalMetrics(
                errors=MappingProxyType(self._errors.counts()),
                overflowed=self._recorder.overflowed + self._custom.overflowed,
                dropped=MappingProxyType(self._dropped()),
                exporters=() if self.exporter is None else self.exporter.status(),
                channels=() if self.alerts is None else self.alerts.channels(),
                **self._told.facts(),
            ),
            retired_operations=retired.operations,
            retired_errors=retired.errors,
            counters=self.counters.read(),
        )

    def generate_report(self) -> MetalProductionReport:
        """Collect now and analyse: performance, errors, resources, trends, recommendations."""
        from metalscope.report import MetalProductionReport  # noqa: PLC0415 - when asked for

        self._guarded("counters", self.counters.ask)
        return MetalProductionReport.of(self.get_snapshot(), self.report_thresholds)

    @property
    def report_thresholds(self) -> ReportThresholds:
        """From where on the report speaks up, by the options."""
        from metalscope.analysis import ReportThresholds  # noqa: PLC0415 - when asked for

        options = self.options
        return ReportThresholds(
            slow_ms=options.slow_operation_threshold_ms,
            gpu_percent=options.high_gpu_utilization_threshold,
            memory_percent=options.high_memory_utilization_threshold,
            resource_percent=options.high_resource_utilization_threshold,
            error_rate=options.health_monitor.anomaly_error_rate_threshold,
        )

    def export_now(self, timeout: float | None = None) -> MetalTelemetrySnapshot:
        """Collect now and hand the snapshot to every consumer and exporter; return it.

        Args:
            timeout: how many s to wait for the exporters; ``export.export_timeout`` where
                ``None``. What is not sent by then stays in their queues. What became of it is in
                the snapshot's ``internals.exporters`` from then on, and returned one by one by
                ``tel.exporter.export_now``.
        """
        snapshot = self._feed()
        if self.exporter is not None:
            self.exporter.export_now(snapshot, timeout)
        return snapshot

    # -- inside ------------------------------------------------------------------------------

    def _start_tick(self) -> None:
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="metalscope-tick", daemon=True)
        self._thread.start()

    def _stop_services(self) -> None:
        services, self._on_shutdown = self._on_shutdown, []
        for stop in reversed(services):
            # One service must not keep the next alive.
            self._guarded("shutdown", stop)
        self.server = self.exporter = self.history = self.alerts = None

    def _run(self) -> None:
        tick = self.options.tick_interval.total_seconds()
        cleanup = self.options.cleanup_interval.total_seconds()
        due, cleanup_due = monotonic() + tick, monotonic() + cleanup
        stopping = self._stopping
        while not stopping.wait(max(0.0, due - monotonic())):
            self._tick()
            # After sleep or a stall the missed ticks are let go, not caught up with.
            due = max(due + tick, monotonic())
            if monotonic() >= cleanup_due:
                cleanup_due = monotonic() + cleanup
                self._guarded("cleanup", self._clean_up)
        self._guarded("counters", self.counters.finish)
        self._tick()

    def _tick(self) -> None:
        self._guarded("tick", self._observe)
        self._guarded("counters", self.counters.tick)
        self._guarded("tick", self._feed_with_health)

    def _feed_with_health(self) -> None:
        snapshot = self.get_snapshot()
        try:
            snapshot = replace(snapshot, health=self.health.observe(snapshot))
        except Exception as error:  # noqa: BLE001 - law: the consumers get what there is
            self.internal_error("health", error)
        self._consumers.feed(snapshot)

    def _feed(self) -> MetalTelemetrySnapshot:
        snapshot = self.get_snapshot()
        self._consumers.feed(snapshot)
        return snapshot

    def _guarded(self, room: str, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - law: the tick must go on
            self.internal_error(room, error)

    def _observe(self) -> None:
        now = datetime.now(UTC)
        operations, retired = self._collect(now)
        self._activity.observe(Totals.of(now, operations, retired.operations))

    def _collect(self, now: datetime) -> tuple[tuple[OperationMetrics, ...], Retired]:
        # One at a time, so that no reader's counters ever seem to go back.
        with self._collect_lock:
            totals = self._recorder.collect()
            return self._series.update(totals, now, self._told.exemplars(totals))

    def _clean_up(self) -> None:
        now = datetime.now(UTC)
        with self._collect_lock:
            self._collect(now)
            idle = self._series.idle_since(now - self.options.metrics_retention_period)
            if idle:
                self._series.retire(self._recorder.evict(idle))
        self._events.forget_old(now)

    def _dropped(self) -> dict[str, int]:
        dropped = {
            "events": self._events.dropped,
            **self.health.dropped(),
            **self._told.dropped(),
        }
        if self.history is not None:
            dropped["history"] = self.history.dropped
        if self.alerts is not None:
            dropped["alerts"] = self.alerts.dropped
        if self.server is not None:
            dropped["viewers"] = self.server.skipped
        return dropped

    def _warn_of_unavailable_features(self) -> None:
        from metalscope.config import unavailable_features  # noqa: PLC0415 - loads pydantic

        for sentence in unavailable_features(self.options):
            warnings.warn(sentence, MetalscopeWarning, stacklevel=3)
