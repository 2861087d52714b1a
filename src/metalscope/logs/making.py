"""Log records of the entries in the buffer, made on the thread that writes them."""

from __future__ import annotations

from typing import Any

from metalscope.correlating import SpanContext
from metalscope.logs.buffer import Entry
from metalscope.logs.record import LogRecord
from metalscope.logs.texts import text_of

__all__ = ["Ids", "record_of"]

Ids = tuple[str | None, str | None]
"""A trace and a span, in hexadecimal digits."""


class _Record:
    """A log record while it is made: of the same layout, and not frozen.

    The initializer of a frozen dataclass takes four times as long as this and the change of class.
    """

    __slots__ = LogRecord.__slots__

    def __init__(self, entry: Entry) -> None:
        (
            self.severity, self.timestamp_ns, self.sequence, body, self.event, self.logger,
            self.attributes, self.correlation_id, trace, error, self.thread,
        ) = entry  # fmt: skip
        self.body = body if type(body) is str else text_of(body)
        if not type(self.event) is type(self.logger) is type(self.thread) is str:
            self.event, self.logger = text_of(self.event), text_of(self.logger)
            self.thread = text_of(self.thread)
        if self.correlation_id is not None and type(self.correlation_id) is not str:
            self.correlation_id = text_of(self.correlation_id)
        if type(self.timestamp_ns) is not int:
            self.timestamp_ns = int(self.timestamp_ns)
        if trace is None:
            self.trace_id = self.span_id = None
            self.sampled = False
        else:
            self.trace_id, self.span_id, self.sampled = _ids(trace)
        self.exception = None if error is None else error.logged()


def record_of(entry: Entry) -> LogRecord:
    """The record of one entry."""
    made: Any = _Record(entry)
    made.__class__ = LogRecord
    return made  # type: ignore[no-any-return]


def _ids(trace: SpanContext | Ids) -> tuple[str | None, str | None, bool]:
    if isinstance(trace, SpanContext):
        return trace.trace_id_text, trace.span_id_text, trace.sampled
    return trace[0], trace[1], False
