"""structlog into the production log: a processor for chains of yours, and a logger of ours."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from metalscope.errors import MissingExtraError
from metalscope.logs.handler import error_of, severity_of_level
from metalscope.logs.record import Severity
from metalscope.logs.texts import text_of

if TYPE_CHECKING:
    from metalscope.logs.logger import MetalProductionLogger

__all__ = ["StructlogProcessor", "structlog_logger"]

Event = MutableMapping[str, Any]

# structlog's names of levels are those of its methods.
_LEVELS: Final = {
    "debug": Severity.DEBUG,
    "info": Severity.INFO,
    "msg": Severity.INFO,
    "warn": Severity.WARNING,
    "warning": Severity.WARNING,
    "error": Severity.ERROR,
    "err": Severity.ERROR,
    "exception": Severity.ERROR,
    "failure": Severity.ERROR,
    "critical": Severity.CRITICAL,
    "fatal": Severity.CRITICAL,
}

# What has a place of its own in a record, or is between structlog's processors alone.
_TAKEN: Final = frozenset(
    {
        "event", "level", "log_level", "level_number", "logger", "logger_name", "timestamp",
        "exc_info", "exception", "stack", "stack_info", "positional_args", "_record",
        "_from_structlog", "correlation_id",
    }
)  # fmt: skip


class StructlogProcessor:
    """Keeps each event that comes by, and hands the very same event on.

    It may stand anywhere in a chain: it knows what structlog's own processors add, and looks for it
    itself where they come later. Best is a place before the event is rendered.
    """

    def __init__(self, log: MetalProductionLogger) -> None:
        self._log = log

    def __call__(self, logger: Any, method_name: str, event_dict: Event) -> Event:
        """Keep it; never raises."""
        try:
            self._keep(logger, method_name, event_dict)
        except Exception as error:  # noqa: BLE001 - law: telemetry never breaks the program
            self._log.report(error)
        return event_dict

    def _keep(self, logger: Any, method: str, event: Event) -> None:
        if not isinstance(event, MutableMapping):  # rendered already
            event = {"event": event}
        severity = _severity(method, event)
        log = self._log
        if severity < log.severity:
            return
        name = event.get("logger") or event.get("logger_name") or getattr(logger, "name", None)
        name = name if isinstance(name, str) and name else "structlog"
        if name == "metalscope":
            return
        attributes = {text_of(key): value for key, value in event.items() if key not in _TAKEN}
        if log.keeps_stacks:
            stacks = {key: event[key] for key in ("stack", "exception") if event.get(key)}
            attributes |= stacks
        elif isinstance(event.get("exception"), str):
            # Rendered already: its last line is what was raised, those above it are the stack.
            attributes["exception"] = event["exception"].rstrip().rpartition("\n")[2]
        at_ns, unread = _moment(event.get("timestamp"))
        if unread is not None:
            attributes["timestamp"] = unread
        raised = event.get("exc_info", method == "exception")
        said = text_of(event.get("event", ""))
        positional = event.get("positional_args")
        if positional:
            said = said % tuple(positional)
        log.keep(
            severity,
            said,
            "",
            name,
            error_of(raised) if raised else None,
            at_ns,
            _text_or_none(event.get("correlation_id")),
            None,
            None,
            attributes,
        )


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _severity(method: str, event: Event) -> Severity:
    number = event.get("level_number")
    if isinstance(number, int):
        return severity_of_level(number)
    level = event.get("level") or event.get("log_level") or method
    if isinstance(level, int):
        return severity_of_level(level)
    return _LEVELS.get(str(level).lower(), _LEVELS.get(method, Severity.INFO))


def _moment(said: object) -> tuple[int | None, object]:
    """Unix time in ns of what ``TimeStamper`` wrote; what cannot be read, as it is."""
    try:
        if isinstance(said, int | float) and not isinstance(said, bool):
            return int(said * 1_000_000_000), None
        if isinstance(said, str):
            moment = datetime.fromisoformat(said)
            if moment.tzinfo is None:  # TimeStamper(utc=False) says local time
                moment = moment.astimezone()
            since = moment - datetime(1970, 1, 1, tzinfo=UTC)
            return (
                (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
            ) * 1000, None
    except (ValueError, OverflowError):
        pass
    return None, said


def structlog_logger(log: MetalProductionLogger, **bound: Any) -> Any:
    """A structlog logger whose events go to ``log`` and nowhere else.

    It has no part in ``structlog.configure``; what is bound by ``structlog.contextvars`` is added
    to its events.

    Args:
        log: where.
        bound: what is bound to it from the start.

    Raises:
        MissingExtraError: structlog is not installed.
    """
    try:
        import structlog  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError("a structlog logger", "logs") from error

    def nowhere_else(_logger: Any, _method: str, _event: Event) -> Event:
        raise structlog.DropEvent

    least = {
        Severity.DEBUG: logging.DEBUG,
        Severity.INFO: logging.INFO,
        Severity.WARNING: logging.WARNING,
        Severity.ERROR: logging.ERROR,
        Severity.CRITICAL: logging.CRITICAL,
    }[log.severity]
    return structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[structlog.contextvars.merge_contextvars, log.processor(), nowhere_else],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        context_class=dict,
        **bound,
    )
