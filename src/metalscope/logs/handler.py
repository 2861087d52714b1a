"""Python's ``logging`` into the production log: a handler, and how it is put to loggers."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from metalscope.logs.record import Severity
from metalscope.logs.texts import text_of

if TYPE_CHECKING:
    from metalscope.logs.logger import MetalProductionLogger

__all__ = ["OWN_LOGGER", "OWN_THREADS", "MetalLogHandler", "capture", "severity_of_level"]

OWN_LOGGER: Final = "metalscope"
OWN_THREADS: Final = "metalscope-"
"""How the names of this library's threads begin."""

# What every record has: the rest came by ``extra=``. Those of 3.12 are there in 3.11 as well.
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def severity_of_level(level: int) -> Severity:
    """Of the levels of ``logging`` the next one below."""
    if level >= logging.ERROR:
        return Severity.CRITICAL if level >= logging.CRITICAL else Severity.ERROR
    if level >= logging.INFO:
        return Severity.WARNING if level >= logging.WARNING else Severity.INFO
    return Severity.DEBUG


class MetalLogHandler(logging.Handler):
    """Keeps what it is given in a :class:`~metalscope.logs.logger.MetalProductionLogger`.

    It leaves out what metalscope itself says, and what is said on its threads: a sink that fails
    would else have its warnings to send, for ever. Whatever other handlers do is theirs.

    Args:
        level: records below are not taken, as of any handler.
        log: where; the log of the process's default telemetry where it is ``None``, and nowhere
            as long as there is none. So it can be named in a ``dictConfig``.
    """

    def __init__(
        self, level: int | str = logging.NOTSET, *, log: MetalProductionLogger | None = None
    ) -> None:
        super().__init__(level)
        self._log = log

    def handle(self, record: logging.LogRecord) -> Any:
        """As of any handler, without its lock: here is nothing for which a thread has to wait."""
        found: Any = self.filter(record)
        if found:
            # From Python 3.12 on, a filter may give another record in its place.
            self.emit(found if isinstance(found, logging.LogRecord) else record)
        return found

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        log = self._log or _default_log()
        if log is None or _is_own(record):
            return
        severity = severity_of_level(record.levelno)
        if severity < log.severity:
            return
        try:
            message, attributes = _said(record)
        except Exception:  # noqa: BLE001 - such as arguments that do not fit: as logging does it
            self.handleError(record)
            return
        correlation_id = attributes.pop("correlation_id", None)
        if record.stack_info and log.keeps_stacks:
            attributes["stack_info"] = record.stack_info
        log.keep(
            severity,
            message,
            "",
            record.name,
            error_of(record.exc_info),
            round(record.created * 1_000_000) * 1000,  # a float holds no more
            None if correlation_id is None else text_of(correlation_id),
            None,
            record.threadName or "",
            attributes,
        )


def error_of(exc_info: object) -> BaseException | None:
    """The exception of an ``exc_info`` as callers give it: true, an exception, or a triple."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if len(exc_info) > 1 else None
    return sys.exception() if exc_info else None


def _is_own(record: logging.LogRecord) -> bool:
    name = record.name
    if name == OWN_LOGGER or name.startswith(OWN_LOGGER + "."):
        return True
    return (record.threadName or "").startswith(OWN_THREADS)


def _said(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    attributes = {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
    # structlog.stdlib.ProcessorFormatter.wrap_for_formatter gives a whole event in place of text.
    attributes.pop("_logger", None)
    attributes.pop("_name", None)
    if isinstance(record.msg, Mapping) and "event" in record.msg and not record.args:
        attributes |= {
            text_of(name): value
            for name, value in record.msg.items()
            if name not in {"event", "level", "logger", "timestamp"}
        }
        return text_of(record.msg["event"]), attributes
    return record.getMessage(), attributes


def _default_log() -> MetalProductionLogger | None:
    # Not imported here: who has started telemetry has loaded it.
    default = sys.modules.get("metalscope.default")
    telemetry = None if default is None else default.get_telemetry()
    return None if telemetry is None else telemetry.log


def capture(logger: MetalProductionLogger, names: Iterable[str]) -> Callable[[], None]:
    """Keep what these loggers of ``logging`` are given, too; ``root`` is all of them.

    Neither their levels nor their other handlers are touched. A logger whose records come to
    another one of ``names`` anyhow gets no handler, so that nothing is kept twice.

    Returns:
        What ends it.
    """
    wanted = {logging.getLogger(None if name == "root" else name) for name in names}
    handler = logger.handler()
    attached = [one for one in wanted if not wanted.intersection(_above(one))]
    for one in attached:
        one.addHandler(handler)

    def detach() -> None:
        for one in attached:
            one.removeHandler(handler)

    return detach


def _above(logger: logging.Logger) -> Iterable[logging.Logger]:
    """Those whose handlers get its records as well."""
    now = logger
    while now.propagate and now.parent is not None:
        now = now.parent
        yield now
