"""MetalProductionLogger: records tied to the work they tell of, written by another thread."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from math import inf
from threading import current_thread
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any, Final

from metalscope.correlating import SpanContext, current_correlation_id
from metalscope.fork import reset_in_child
from metalscope.logs.bound import BoundLogger
from metalscope.logs.buffer import RecordBuffer
from metalscope.logs.captured import PLAIN, captured
from metalscope.logs.ending import at_end, at_end_of_child
from metalscope.logs.exceptions import captured_exception
from metalscope.logs.flusher import ROOM, CleansRecords, Flusher, remaining
from metalscope.logs.here import current_trace
from metalscope.logs.making import Ids
from metalscope.logs.record import Severity
from metalscope.logs.saying import NAME, NOTHING, Says, severity_of
from metalscope.sending.result import Reason

if TYPE_CHECKING:
    import logging

    from metalscope.log_options import LoggingOptions
    from metalscope.logs.flusher import KeepsRecords
    from metalscope.logs.processor import StructlogProcessor
    from metalscope.logs.running import RunningSink
    from metalscope.sink_status import SinkStatus

__all__ = ["MetalProductionLogger"]

_KEEPING_SECONDS: Final = 0.25
"""How long each sink has, at the end, to put on disk what has not gone in time."""


class MetalProductionLogger(Says):
    """Keeps records in a bounded buffer; one thread makes lines of them and hands these to sinks.

    To log costs the time, the ids of now and one place in the buffer. Nothing is formatted,
    sanitized or sent on the caller's thread; no method that logs raises or waits. They may be
    called from any thread, from a signal handler and from a finalizer.

    Args:
        options: level, buffer and what is kept of exceptions.
        sanitizer: what no record gets past on its way to a sink.
        sinks: where records go to, running.
        on_error: told of what goes wrong inside, as (room, exception).
        tail: what keeps the latest records in memory besides.
    """

    def __init__(
        self,
        options: LoggingOptions,
        *,
        sanitizer: CleansRecords,
        sinks: Sequence[RunningSink],
        on_error: Callable[[str, BaseException], None],
        tail: KeepsRecords | None = None,
    ) -> None:
        self._sinks = tuple(sinks)
        self._on_error = on_error
        level = Severity.of(options.level)
        mildest = min([one.severity for one in self._sinks], default=level)
        self.severity = max(level, mildest)
        """Records milder than this are not kept: no sink would take them."""
        self.keeps_stacks: Final = options.enable_stack_trace_logging
        """Whether the stack trace of an exception is kept."""
        self._correlates = options.enable_correlation_tracking
        self._shutdown_timeout = options.shutdown_timeout.total_seconds()
        self._buffer = RecordBuffer(
            options.max_buffer_size, drop_newest=options.overflow == "drop_newest"
        )
        self._entries = self._buffer.entries
        self._flusher = Flusher(
            self._buffer,
            sanitizer=sanitizer,
            sinks=self._sinks,
            interval=options.buffer_flush_interval.total_seconds(),
            urgent=not options.enable_buffering,
            on_error=on_error,
            tail=tail,
        )
        self._full_at = (options.max_buffer_size + 1) // 2 if options.enable_buffering else 1
        self._closed = False
        self._exit_until = inf
        self._begin()
        reset_in_child(self)
        at_end(self)
        weakref.finalize(self, self._flusher.end).atexit = False

    def start_at_zero(self) -> None:
        """Forget what waits and all counts: in a child, those are the parent's to tell."""
        self._begin()
        at_end_of_child(self)

    def _begin(self) -> None:
        self._buffer.start_at_zero()
        self._flusher.start_at_zero()
        self._sequence = count()
        # The first record finds the buffer full, and so has the thread started.
        self._look_at = 0 if self._closed else 1

    def log(
        self,
        severity: Severity,
        message: str,
        /,
        *,
        event: str = "",
        logger: str = NAME,
        error: BaseException | None = None,
        at_ns: int | None = None,
        correlation_id: str | None = None,
        trace: SpanContext | None = None,
        ids: Ids | None = None,
        thread: str | None = None,
        attributes: Mapping[str, Any] = NOTHING,
        **more: Any,
    ) -> None:
        """Keep one record.

        Args:
            severity: how much it matters.
            message: the sentence for a person.
            event: the name of the event, if it is one.
            logger: who says it.
            error: what went wrong.
            at_ns: when, as Unix time in ns; now, where it is not given.
            correlation_id: the work it belongs to; what is current, where it is not given.
            trace: the span it belongs to; what is current, where it is not given: that of this
                library, else that of OpenTelemetry.
            ids: in place of ``trace``, the ids of a trace and a span as hexadecimal digits.
            thread: the name of the thread that says it, where that is another.
            attributes: what else is to be said, under names that Python has no words for.
            more: the same, under those it has.
        """
        if type(severity) is not Severity:
            severity = severity_of(severity)
        if severity < self.severity:
            return
        if attributes:
            try:
                more = {**attributes, **more}
            except Exception as failure:  # noqa: BLE001 - law: what is no mapping harms nobody
                self.report(failure)
        self.keep(
            severity, message, event, logger, error, at_ns, correlation_id, trace or ids, thread,
            more,
        )  # fmt: skip

    def keep(  # noqa: PLR0917 - as _say
        self,
        severity: Severity,
        message: object,
        event: str,
        logger: str,
        error: BaseException | None,
        at_ns: int | None,
        correlation_id: str | None,
        trace: SpanContext | Ids | None,
        thread: str | None,
        attributes: dict[str, Any],
    ) -> None:
        """As :meth:`log`, for who has it all at hand; ``attributes`` becomes the record's own."""
        try:
            if error is not None and not isinstance(error, BaseException):
                attributes = {**attributes, "error": error}  # such as error="timeout"
                error = None
            if not PLAIN.issuperset(map(type, attributes.values())):
                attributes = captured(attributes)
            if correlation_id is None and self._correlates:
                correlation_id = current_correlation_id()
            entries = self._entries
            entries.append(
                (
                    severity,
                    time_ns() if at_ns is None else at_ns,
                    next(self._sequence),
                    message,
                    event,
                    logger,
                    attributes,
                    correlation_id,
                    current_trace() if trace is None else trace,
                    None if error is None else captured_exception(error, stack=self.keeps_stacks),
                    current_thread().name if thread is None else thread,
                )
            )
            if severity >= 17 or len(entries) >= self._look_at:  # 17: Severity.ERROR
                self._look()
        except Exception as failure:  # noqa: BLE001 - law: telemetry never breaks the program
            self.report(failure)

    def _say(  # noqa: PLR0917 - see Says
        self,
        severity: Severity,
        message: str,
        event: str,
        logger: str,
        error: BaseException | None,
        attributes: dict[str, Any],
    ) -> None:
        self.keep(severity, message, event, logger, error, None, None, None, None, attributes)

    def _look(self) -> None:
        """See to a buffer that is half full or more, holds an error, or had none before."""
        buffer = self._buffer
        if self._closed:
            buffer.trim(0)
            return
        if len(buffer.entries) > buffer.size:
            buffer.trim()
        self._flusher.ring()
        if self._flusher.is_running:
            self._look_at = 0 if self._closed else self._full_at

    def bind(self, **attributes: Any) -> BoundLogger:
        """One that adds ``attributes`` to all it says."""
        return BoundLogger(self, attributes)

    def handler(self) -> logging.Handler:
        """A handler of Python's ``logging`` that keeps what it is given here, too."""
        from metalscope.logs.handler import MetalLogHandler  # noqa: PLC0415 - where it is asked for

        return MetalLogHandler(log=self)

    def processor(self) -> StructlogProcessor:
        """A processor of structlog that keeps each event here, and hands it on unchanged."""
        from metalscope.logs.processor import StructlogProcessor  # noqa: PLC0415 - as above

        return StructlogProcessor(self)

    def structlog_logger(self, **bound: Any) -> Any:
        """A logger of structlog whose events come here and go nowhere else; see
        :func:`~metalscope.logs.processor.structlog_logger`."""
        from metalscope.logs.processor import structlog_logger  # noqa: PLC0415 - as above

        return structlog_logger(self, **bound)

    def drain(self, timeout: float) -> bool:
        """Wait, in s, until all that was logged before was handed to the sinks; whether it was."""
        return self._flusher.drain(timeout)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was logged before is over in every sink.

        Args:
            timeout: longest wait in s; ``shutdown_timeout`` where it is not given.

        Returns:
            Whether it is: delivered, refused for good, or dropped and counted.
        """
        until = monotonic() + (self._shutdown_timeout if timeout is None else timeout)
        if not self._flusher.drain(remaining(until)):
            return False
        shippers = [running.shipper for running in self._sinks]
        for one in shippers:
            one.flush(0)  # so that all send, while one is waited for
        return all(one.flush(remaining(until)) for one in shippers)

    def close(self, timeout: float | None = None) -> None:
        """Hand over all that was logged, have it sent, and end; what is logged later is dropped.

        Args:
            timeout: longest wait in s; ``shutdown_timeout`` where it is not given.
        """
        if self._closed:
            return
        until = monotonic() + (self._shutdown_timeout if timeout is None else timeout)
        until = min(until, self._exit_until)
        self._flusher.drain(remaining(until))
        self._closed = True
        self._look_at = 0
        self._flusher.drain(remaining(until))  # what came before it was closed to others
        self._flusher.end(max(remaining(until), _KEEPING_SECONDS))
        self._buffer.trim(0)
        for running in self._sinks:
            running.shipper.flush(0)
        for running in self._sinks:
            running.shipper.close(remaining(until))

    @property
    def counts(self) -> Mapping[str, int]:
        """How many records were made, by severity: those dropped, too."""
        return {one.text: made for one, made in self._buffer.counts().items() if made}

    @property
    def dropped(self) -> int:
        """How many of them the full buffer let go of."""
        return self._buffer.dropped

    def report(self, error: BaseException) -> None:
        """Tell of what went wrong inside; never raises."""
        with suppress(Exception):
            self._on_error(ROOM, error)

    def status(self) -> tuple[SinkStatus, ...]:
        """How each sink is doing."""
        return tuple(self._status(running) for running in self._sinks)

    def _status(self, running: RunningSink) -> SinkStatus:
        status = running.shipper.status()
        lost = self._flusher.lost[running.options.name]
        if not lost:
            return status
        dropped = dict(status.dropped)
        dropped[Reason.EXPORTER_ERROR] = dropped.get(Reason.EXPORTER_ERROR, 0) + lost
        return replace(status, dropped=dropped)

    def at_exit(self) -> None:
        """See that what was logged goes out, also where nobody closes this."""
        if self._closed:
            return
        # Whoever closes it after this has what is left of the time.
        self._exit_until = monotonic() + self._shutdown_timeout
        if not self.flush(self._shutdown_timeout):
            for running in self._sinks:
                running.shipper.keep(_KEEPING_SECONDS)
