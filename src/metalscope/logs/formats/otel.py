"""The format ``otel``: the fields of OpenTelemetry's log data model, by their names there.

"Logs Data Model", https://opentelemetry.io/docs/specs/otel/logs/data-model/: times are Unix times
in ns, as text, since JSON's numbers do not hold them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from metalscope import attributes as names
from metalscope._version import __version__
from metalscope.logs.formats.json_text import json_members, quoted, without_surrogates
from metalscope.logs.record import LogRecord, Severity

__all__ = ["SEVERITY_TEXT", "otel_attributes", "otel_lines"]

SEVERITY_TEXT: Final = {
    Severity.DEBUG: "DEBUG",
    Severity.INFO: "INFO",
    Severity.WARNING: "WARN",
    Severity.ERROR: "ERROR",
    Severity.CRITICAL: "FATAL",
}
"""The data model's short names, "Displaying Severity"."""

_SEVERITY: Final = {
    one: f'"SeverityText":"{text}","SeverityNumber":{one.value},"Body":'
    for one, text in SEVERITY_TEXT.items()
}


def otel_attributes(record: LogRecord) -> dict[str, Any]:
    """The record's attributes, and what the data model has no field for.

    An exception's are ``exception.*``, the thread's ``thread.name``; the correlation id and the
    sequence are of our namespace. They take the place of attributes of the same name.
    """
    attributes: dict[str, Any] = dict(record.attributes)
    if record.correlation_id is not None:
        attributes[names.CORRELATION_ID] = record.correlation_id
    if record.thread:
        attributes["thread.name"] = record.thread
    attributes["metalscope.sequence"] = record.sequence
    error = record.exception
    if error is not None:
        attributes["exception.type"] = error.type
        attributes["exception.message"] = error.message
        if error.stacktrace:
            attributes["exception.stacktrace"] = error.stacktrace
    return attributes


def otel_lines(resource: Mapping[str, str | int]) -> Callable[[LogRecord], str]:
    """Makes lines of records."""
    end = "}," + f'"Resource":{{{json_members(resource)}}}' + "}"

    def line(record: LogRecord) -> str:
        text = (
            f'{{"Timestamp":"{record.timestamp_ns}","ObservedTimestamp":"{time.time_ns()}",'
            f"{_SEVERITY[record.severity]}{quoted(record.body)}"
        )
        if record.event:
            text += f',"EventName":{quoted(record.event)}'
        if record.trace_id is not None:
            # W3C Trace Context, "trace-flags": the lowest bit says that it is sampled.
            text += f',"TraceId":{quoted(record.trace_id)}'
            if record.span_id is not None:
                text += f',"SpanId":{quoted(record.span_id)}'
            text += f',"TraceFlags":{int(record.sampled)}'
        scope = f'{{"Name":{quoted(record.logger)}'
        scope += f',"Version":"{__version__}"}}' if record.logger == "metalscope" else "}"
        return without_surrogates(
            f'{text},"InstrumentationScope":{scope},'
            f'"Attributes":{{{json_members(otel_attributes(record))}{end}'
        )

    return line
