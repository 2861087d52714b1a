"""A MetalProductionLogger by the options of telemetry, and the events it tells of by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from metalscope import attributes as names
from metalscope._version import __version__
from metalscope.correlating import make_ids_by
from metalscope.logs.handler import capture
from metalscope.logs.logger import MetalProductionLogger
from metalscope.logs.record import Severity
from metalscope.logs.registry import sinks_of
from metalscope.logs.snapshot_events import SnapshotEvents
from metalscope.sanitizing import sanitizer_of
from metalscope.sending.resource import resource_here

if TYPE_CHECKING:
    from metalscope.alert_report import Alert
    from metalscope.alerts.manager import MetalAlertsManager
    from metalscope.options import MetalTelemetryOptions
    from metalscope.snapshot import MetalTelemetrySnapshot
    from metalscope.tails import Tails

__all__ = ["log_events", "logger_of"]


class EventSource(Protocol):
    """What events are logged of."""

    alerts: MetalAlertsManager | None

    def subscribe(
        self, consumer: Callable[[MetalTelemetrySnapshot], None], /
    ) -> Callable[[], None]:
        """Call ``consumer`` with a snapshot each tick; return what ends that."""
        ...

    def get_snapshot(self) -> MetalTelemetrySnapshot:
        """What is known now."""
        ...


def logger_of(
    options: MetalTelemetryOptions,
    *,
    on_error: Callable[[str, BaseException], None],
    tails: Tails | None = None,
) -> MetalProductionLogger:
    """One whose sinks are running, and whose latest records are in ``tails`` from now on.

    Raises:
        ConfigurationError: a sink, its spool or its settings cannot be used.
        MissingExtraError: a sink's library is not installed.
    """
    logging = options.logging
    make_ids_by(logging.correlation_ids)
    sanitizer = sanitizer_of(options)
    recent = None if tails is None else tails.begin_records(sanitizer)
    logger = MetalProductionLogger(
        logging,
        sanitizer=sanitizer,
        sinks=sinks_of(
            logging, resource=resource_here(options.export.service_name), on_error=on_error
        ),
        on_error=on_error,
        tail=recent,
    )
    if recent is not None:
        recent.drained_by(logger.drain)
    return logger


def log_events(
    source: EventSource,
    logger: MetalProductionLogger,
    options: MetalTelemetryOptions,
    *,
    at_end: Callable[[Callable[[], None]], object],
) -> SnapshotEvents:
    """Log what is new in the snapshots of ``source``, and what other loggers say, if asked to.

    Args:
        source: each of its snapshots is looked at.
        logger: where.
        options: of all of telemetry.
        at_end: has a function called when all is over, the last given first.
    """

    def resolved(alert_id: str) -> Alert | None:
        return None if source.alerts is None else source.alerts.get(alert_id)

    def said_at_the_end() -> None:
        last = source.get_snapshot()
        logger.log(
            Severity.INFO,
            f"telemetry ends: {last.total_operations} operations, {last.total_errors} failed",
            event="metalscope.stopped",
            attributes={
                names.OPERATIONS: last.total_operations,
                names.ERRORS: last.total_errors,
            },
        )

    events = SnapshotEvents(logger, resolved=resolved)
    logger.log(
        Severity.INFO,
        f"telemetry begins, metalscope {__version__}",
        event="metalscope.started",
        attributes={names.VERSION: __version__},
    )
    at_end(said_at_the_end)
    at_end(source.subscribe(events.consume))
    if options.logging.capture:
        at_end(capture(logger, options.logging.capture))
    return events
