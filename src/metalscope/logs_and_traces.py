"""What a manager tells of single operations: the log, the spans, and what was notable."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from metalscope.operation import NS_PER_MS
from metalscope.operation_watch import OperationWatch

if TYPE_CHECKING:
    from metalscope.alerts.manager import MetalAlertsManager
    from metalscope.logs.logger import MetalProductionLogger
    from metalscope.options import MetalTelemetryOptions
    from metalscope.recorder import Recorder, Recording, Series
    from metalscope.sink_status import SinkStatus
    from metalscope.snapshot import Exemplar, MetalTelemetrySnapshot, NotableOperation
    from metalscope.tails import Tails
    from metalscope.traced import TracedRecording
    from metalscope.traces.starting import RunningSpans
    from metalscope.traces.tracer import Tracer

__all__ = ["REMEMBERED", "LogsAndTraces"]

FLUSH_SECONDS: Final = 1.0
"""How long a peer is waited for when all is about to end; what is left gets the rest later."""

REMEMBERED: Final = 64
"""How many of the last operations the recorder keeps for the record of an error."""


class Telemetry(Protocol):
    """What is asked of the manager."""

    alerts: MetalAlertsManager | None

    def subscribe(
        self, consumer: Callable[[MetalTelemetrySnapshot], None], /
    ) -> Callable[[], None]:
        """Call ``consumer`` with a snapshot each tick; return what ends that."""
        ...

    def on_shutdown(self, stop: Callable[[], None]) -> None:
        """Have ``stop`` called at the end, the last added first."""
        ...

    def get_snapshot(self) -> MetalTelemetrySnapshot:
        """What is known now."""
        ...


class LogsAndTraces:
    """Looks at operations one by one, as far as the options ask for it; else nothing is done.

    Args:
        options: of all of telemetry.
        recorder: counts the operations.
        recording: what they are given to.
        on_error: told of what goes wrong, as (room, exception).
    """

    def __init__(
        self,
        options: MetalTelemetryOptions,
        recorder: Recorder,
        recording: Recording,
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        self._options = options
        self._recorder = recorder
        self._recording = recording
        self._on_error = on_error
        self._lock = threading.RLock()
        self._logger: MetalProductionLogger | None = None
        self._is_over = False
        self._spans: RunningSpans | None = None
        self.tracer: Tracer | None = None
        """Makes spans; ``None`` where ``traces.enabled`` is false."""
        self.tails: Tails | None = None
        """The latest records and spans, for the page; ``None`` where no server is enabled."""
        self._traced: TracedRecording | None = None
        self._watch: OperationWatch | None = None
        if options.server.enabled:
            from metalscope.tails import Tails  # noqa: PLC0415 - only where somebody may look

            self.tails = Tails.of(options)
        if options.enabled:
            self._trace()
            self._look()

    def _trace(self) -> None:
        options = self._options
        if options.traces.enabled:
            from metalscope.traces.tracer import Tracer  # noqa: PLC0415 - only where asked for

            self.tracer = Tracer(options.traces, on_error=self._on_error)
        if self.tracer is not None or options.exemplars:
            from metalscope.traced import TracedRecording  # noqa: PLC0415 - only where asked for

            self._traced = TracedRecording(
                self._recorder, self._on_error, tracer=self.tracer, exemplars=options.exemplars
            )
            self._traced.stand_before(self._recording)

    def _look(self) -> None:
        logging = self._options.logging
        if not logging.is_on and self.tracer is None:
            return
        slow_ns = round(logging.slow_operation_threshold_ms * NS_PER_MS)
        self._watch = OperationWatch(
            slow_ns if logging.is_on else None, self._traced if self.tracer is not None else None
        )
        self._recorder.watch(self._watch.above_ns, self._watch)

    # -- life --------------------------------------------------------------------------------

    def start(self, telemetry: Telemetry) -> None:
        """Open what records and spans go to, and log events, as the options say.

        Raises:
            ConfigurationError: a sink, its spool, its settings or a file cannot be used.
            MissingExtraError: a library of theirs is not installed.
        """
        with self._lock:
            if self._is_over:
                self._logger, self._is_over = None, False
        if self._options.logging.is_on:
            self._start_logging(telemetry)
        if self.tracer is not None:
            self._start_tracing(telemetry, self.tracer)

    def _start_tracing(self, telemetry: Telemetry, tracer: Tracer) -> None:
        from metalscope.sanitizing import sanitizer_of  # noqa: PLC0415 - only where asked for
        from metalscope.sending.resource import resource_here  # noqa: PLC0415
        from metalscope.traces.starting import start_traces  # noqa: PLC0415

        sanitizer = sanitizer_of(self._options)
        recent = None
        if self.tails is not None:
            recent = self.tails.begin_spans(sanitizer, self._on_error)
            settle = recent.settle
            telemetry.on_shutdown(telemetry.subscribe(lambda _: settle()))
        self._spans = spans = start_traces(
            self._options.traces,
            sanitizer=sanitizer,
            resource=resource_here(self._options.export.service_name),
            on_error=self._on_error,
            recent=recent,
        )
        telemetry.on_shutdown(spans.close)
        tracer.hand_to(spans.sinks, always=spans.always, sanitized=spans.sanitized)

    def _start_logging(self, telemetry: Telemetry) -> None:
        from metalscope.logs.operation_events import (  # noqa: PLC0415 - only where asked for
            OperationEvents,
        )
        from metalscope.logs.starting import log_events  # noqa: PLC0415

        options = self._options
        logger = self.log(telemetry)
        events = log_events(telemetry, logger, options, at_end=telemetry.on_shutdown)
        if self._watch is not None:
            self._recorder.remember(REMEMBERED)
            self._watch.log_by(
                OperationEvents(
                    logger,
                    options.logging,
                    remembered=self._recorder.remembered,
                    latest=lambda: events.latest,
                )
            )
        if options.logging.log_operations and options.enabled:
            from metalscope.logs.operation_log import OperationLog  # noqa: PLC0415

            step_aside = OperationLog(logger, self._recorder).stand_before(self._recording)
            telemetry.on_shutdown(step_aside)

    def flush(self) -> None:
        """Have what was logged and traced written and sent, as far as that takes no time."""
        if self._logger is not None:
            self._logger.flush(FLUSH_SECONDS)
        if self._spans is not None:
            self._spans.flush(FLUSH_SECONDS)

    def log(self, telemetry: Telemetry) -> MetalProductionLogger:
        """The production log, opened now where it was not; see :attr:`MetalTelemetryManager.log`.

        Raises:
            ConfigurationError: a sink, its spool or its settings cannot be used.
            MissingExtraError: a sink's library is not installed.
        """
        if self._logger is None:
            from metalscope.logs.starting import logger_of  # noqa: PLC0415 - where there is a log

            with self._lock:
                if self._logger is None:
                    logger = logger_of(self._options, on_error=self._on_error, tails=self.tails)
                    telemetry.on_shutdown(self._close_log)
                    self._logger = logger
                return self._logger
        return self._logger

    def _close_log(self) -> None:
        # It stays: who logs after the end is to open nothing anew.
        self._is_over = True
        if self._watch is not None:
            self._watch.log_by(None)
        if self._logger is not None:
            self._logger.close()

    # -- what it knows -----------------------------------------------------------------------

    def exemplars(self, present: Collection[Series]) -> dict[Series, tuple[Exemplar, ...]]:
        """The exemplars of these series."""
        return {} if self._traced is None else self._traced.collect(present)

    def notable(self) -> tuple[NotableOperation, ...]:
        """The latest operations that failed or were slow, oldest first."""
        return () if self._watch is None else self._watch.latest()

    def facts(self) -> dict[str, Any]:
        """Sinks, records and spans as :class:`~metalscope.snapshot.InternalMetrics` has them."""
        logs: tuple[SinkStatus, ...] = () if self._logger is None else self._logger.status()
        spans: tuple[SinkStatus, ...] = () if self._spans is None else self._spans.status()
        return {
            "sinks": (*logs, *spans),
            "log_records": {} if self._logger is None else self._logger.counts,
            "spans": {} if self.tracer is None else self.tracer.counts,
        }

    def dropped(self) -> Mapping[str, int]:
        """What full buffers let go."""
        dropped: dict[str, int] = {}
        if self._logger is not None:
            dropped["logs"] = self._logger.dropped
        if self._spans is not None:
            dropped["spans"] = self._spans.dropped
        return dropped
